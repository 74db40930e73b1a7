//! The machine's stories: what EMR's users count on, told one by one.

use lockstep_emr_sim::cluster::{
    ActionOnFailure, CancelHow, ClusterReason, ClusterState, Command, GroupState, JobFlow, MAX_ACTIVE_STEPS, Rejected,
    Reply, Role, SCALE_IN_AFTER_MS, ScalingPolicy, StepEnd, StepState,
};

use crate::{World, failed, flow, group, step};

#[test]
fn a_cluster_with_a_step_runs_it_and_ends_when_there_is_no_more() {
    let mut world = World { now: 1_000, ..World::default() };
    let steps = vec![step(ActionOnFailure::Continue)];
    let id = world.run(JobFlow { steps, keep_alive: false, ..flow(2) });
    let cluster = world.of(&id);
    assert_eq!((cluster.state, cluster.slots(), cluster.ready), (ClusterState::Running, vec![1, 2], Some(1_000)));
    let step = cluster.steps[0].clone();
    assert_eq!((step.state, step.started), (StepState::Running, Some(1_000)));
    world.now = 5_000;
    world.end(&id, &step.id, StepEnd::Completed);
    let cluster = world.of(&id);
    assert_eq!((cluster.state, cluster.ended), (ClusterState::Terminated, Some(5_000)));
    assert_eq!(cluster.reason, Some((ClusterReason::AllStepsCompleted, "Steps completed".into())));
}

#[test]
fn a_cluster_of_a_master_alone_works_on_the_master() {
    let mut world = World::default();
    let id = world.run(flow(0));
    assert_eq!((world.of(&id).state, world.of(&id).slots()), (ClusterState::Waiting, vec![0]));
}

#[test]
fn steps_run_one_after_the_other_or_as_many_at_once_as_the_level_says() {
    let mut world = World::default();
    let id = world.run(flow(1));
    let ids = world.add(&id, vec![step(ActionOnFailure::Continue); 3]).unwrap();
    assert_eq!(world.states(&id), [StepState::Running, StepState::Pending, StepState::Pending]);
    world.end(&id, &ids[0], StepEnd::Completed);
    assert_eq!(world.states(&id), [StepState::Completed, StepState::Running, StepState::Pending]);
    world.ask(&Command::SetConcurrency { cluster: id.clone(), level: 2 }).unwrap();
    assert_eq!(world.states(&id), [StepState::Completed, StepState::Running, StepState::Running]);
}

#[test]
fn what_a_failure_means_is_the_steps_own_word() {
    use ActionOnFailure::{CancelAndWait, Continue, TerminateCluster, TerminateJobFlow};
    use StepState::{Cancelled, Failed, Running};
    for (action, keep_alive, protected, then, state) in [
        (Continue, true, false, [Failed, Running], ClusterState::Running),
        (CancelAndWait, true, false, [Failed, Cancelled], ClusterState::Waiting),
        (CancelAndWait, false, false, [Failed, Cancelled], ClusterState::Waiting),
        (TerminateCluster, true, false, [Failed, Cancelled], ClusterState::TerminatedWithErrors),
        (TerminateJobFlow, true, false, [Failed, Cancelled], ClusterState::TerminatedWithErrors),
        (TerminateCluster, true, true, [Failed, Cancelled], ClusterState::Waiting),
    ] {
        let mut world = World::default();
        let steps = vec![step(action), step(Continue)];
        let id = world.run(JobFlow { steps, keep_alive, protected, ..flow(1) });
        let first = world.of(&id).steps[0].id.clone();
        world.end(&id, &first, failed());
        assert_eq!((&world.states(&id)[..], world.of(&id).state), (&then[..], state), "{action:?}");
    }
}

#[test]
fn a_cluster_whose_last_step_failed_and_may_ends_with_steps_completed_with_errors() {
    let mut world = World::default();
    let id = world.run(JobFlow { steps: vec![step(ActionOnFailure::Continue)], keep_alive: false, ..flow(1) });
    let first = world.of(&id).steps[0].id.clone();
    world.end(&id, &first, failed());
    let (state, reason) = (world.of(&id).state, world.of(&id).reason.clone().unwrap());
    assert_eq!((state, reason.1.as_str()), (ClusterState::Terminated, "Steps completed with errors"));
}

#[test]
fn with_several_steps_at_once_a_failure_must_not_touch_the_others() {
    let mut world = World::default();
    let id = world.run(JobFlow { concurrency: 2, ..flow(1) });
    let refused = world.add(&id, vec![step(ActionOnFailure::CancelAndWait)]).unwrap_err();
    assert!(matches!(refused, Rejected::ActionNeedsOneStep(_)), "{refused}");
    world.ask(&Command::SetConcurrency { cluster: id.clone(), level: 1 }).unwrap();
    world.add(&id, vec![step(ActionOnFailure::TerminateCluster)]).unwrap();
    let refused = world.ask(&Command::SetConcurrency { cluster: id, level: 2 }).unwrap_err();
    assert!(matches!(refused, Rejected::ActionNeedsOneStep(_)), "{refused}");
}

#[test]
fn a_pending_step_is_cancelled_at_once_and_a_running_one_when_it_has_let_go() {
    let mut world = World::default();
    let id = world.run(flow(1));
    let ids = world.add(&id, vec![step(ActionOnFailure::Continue); 2]).unwrap();
    let cancel = Command::CancelSteps { cluster: id.clone(), steps: ids.clone(), how: CancelHow::Interrupt };
    let reply = world.ask(&cancel).unwrap();
    assert_eq!(reply, Reply::Cancelled(vec![(ids[0].clone(), Ok(())), (ids[1].clone(), Ok(()))]));
    assert_eq!(world.states(&id), [StepState::CancelPending, StepState::Cancelled]);
    world.end(&id, &ids[0], StepEnd::Stopped);
    assert_eq!((world.states(&id)[0], world.of(&id).state), (StepState::Cancelled, ClusterState::Waiting));
    let Reply::Cancelled(answers) = world.ask(&cancel).unwrap() else { panic!() };
    assert!(answers.iter().all(|(_, answer)| answer.is_err()), "{answers:?}");
}

#[test]
fn a_step_that_was_done_before_its_cancellation_came_is_completed() {
    let mut world = World::default();
    let id = world.run(flow(1));
    let ids = world.add(&id, vec![step(ActionOnFailure::Continue)]).unwrap();
    world.ask(&Command::CancelSteps { cluster: id.clone(), steps: ids.clone(), how: CancelHow::Kill }).unwrap();
    world.end(&id, &ids[0], StepEnd::Completed);
    assert_eq!(world.states(&id), [StepState::Completed]);
    world.end(&id, &ids[0], failed());
    assert_eq!(world.states(&id), [StepState::Completed], "a second report says nothing");
}

#[test]
fn a_terminated_cluster_waits_for_its_running_step_and_takes_no_more() {
    let mut world = World::default();
    let id = world.run(flow(1));
    let ids = world.add(&id, vec![step(ActionOnFailure::Continue); 2]).unwrap();
    world.ask(&Command::Terminate { clusters: vec![id.clone()] }).unwrap();
    assert_eq!(world.of(&id).state, ClusterState::Terminating);
    assert_eq!(world.states(&id), [StepState::Running, StepState::Cancelled]);
    world.end(&id, &ids[0], StepEnd::Stopped);
    assert_eq!((world.of(&id).state, world.states(&id)[0]), (ClusterState::Terminated, StepState::Interrupted));
    let refused = world.add(&id, vec![step(ActionOnFailure::Continue)]).unwrap_err();
    assert!(refused.to_string().contains("may not be modified"), "{refused}");
    world.ask(&Command::Terminate { clusters: vec![id] }).unwrap();
}

#[test]
fn a_protected_cluster_is_not_terminated_and_neither_are_those_named_with_it() {
    let mut world = World::default();
    let (one, two) = (world.run(flow(1)), world.run(JobFlow { protected: true, ..flow(1) }));
    let both = Command::Terminate { clusters: vec![one.clone(), two.clone()] };
    assert_eq!(world.ask(&both), Err(Rejected::Protected(two.clone())));
    assert_eq!(world.of(&one).state, ClusterState::Waiting);
    world.ask(&Command::SetProtection { clusters: vec![two.clone()], on: false }).unwrap();
    world.ask(&both).unwrap();
    assert!([one, two].iter().all(|id| world.of(id).state == ClusterState::Terminated));
}

#[test]
fn the_257th_active_step_is_turned_away_with_all_that_came_with_it() {
    let mut world = World::default();
    let id = world.run(flow(1));
    world.add(&id, vec![step(ActionOnFailure::Continue); MAX_ACTIVE_STEPS]).unwrap();
    let refused = world.add(&id, vec![step(ActionOnFailure::Continue)]).unwrap_err();
    assert_eq!(refused, Rejected::TooManySteps { active: 256, added: 1 });
}

#[test]
fn an_idle_cluster_ends_by_its_auto_termination_policy() {
    let mut world = World::default();
    let id = world.run(JobFlow { idle_timeout: Some(60), ..flow(1) });
    assert_eq!(world.fleet.next_deadline(), Some(60_000));
    world.now = 59_999;
    world.ask(&Command::Tick).unwrap();
    assert_eq!(world.of(&id).state, ClusterState::Waiting);
    world.now = 60_000;
    world.ask(&Command::Tick).unwrap();
    assert_eq!(world.of(&id).state, ClusterState::Terminated);
}

#[test]
fn an_instance_that_is_to_go_stays_until_its_worker_has_let_go() {
    let mut world = World::default();
    let id = world.run(flow(3));
    let core = world.of(&id).groups[1].clone();
    let chance = world.chance();
    let counts = vec![(core.id.clone(), 1)];
    world.ask(&Command::ResizeGroups { cluster: Some(id.clone()), counts, chance }).unwrap();
    let cluster = world.of(&id);
    assert_eq!((cluster.slots(), cluster.group_state(&cluster.groups[1])), (vec![1], GroupState::Resizing));
    let going: Vec<_> = cluster.retiring().map(|(_, id)| id.clone()).collect();
    assert_eq!((going.len(), cluster.running_in(&core.id)), (2, 3));
    world.ask(&Command::Release { cluster: id.clone(), instances: going }).unwrap();
    let cluster = world.of(&id);
    assert_eq!((cluster.running_in(&core.id), cluster.group_state(&cluster.groups[1])), (1, GroupState::Running));
}

#[test]
fn task_groups_come_later_but_no_second_master_or_core() {
    let mut world = World::default();
    let id = world.run(flow(1));
    let mut add = |role, count| {
        let chance = world.chance();
        world.ask(&Command::AddGroups { cluster: id.clone(), groups: vec![group(role, count)], chance })
    };
    assert!(matches!(add(Role::Task, 2), Ok(Reply::Groups(ids)) if ids.len() == 1));
    assert!(add(Role::Core, 1).is_err() && add(Role::Master, 1).is_err());
    assert_eq!(add(Role::Task, 30), Err(Rejected::TooManyInstances(33)));
    assert_eq!(world.of(&id).slots(), [1, 2, 3]);
}

#[test]
fn managed_scaling_follows_the_demand_up_at_once_and_down_after_a_while() {
    let mut world = World::default();
    let policy = ScalingPolicy { minimum: 1, maximum: 6, maximum_on_demand: None, maximum_core: Some(2) };
    let groups = vec![group(Role::Master, 1), group(Role::Core, 1), group(Role::Task, 0)];
    let id = world.run(JobFlow { groups, scaling: Some(policy), ..flow(1) });
    let demand = |world: &mut World, workers| {
        let chance = world.chance();
        world.ask(&Command::Demand { cluster: id.clone(), workers, chance }).unwrap();
        let counts: Vec<_> = world.of(&id).groups[1..].iter().map(|group| group.requested).collect();
        counts
    };
    assert_eq!(demand(&mut world, 5), [2, 3]);
    assert_eq!(demand(&mut world, 90), [2, 4]);
    assert_eq!(demand(&mut world, 3), [2, 4]);
    world.now = SCALE_IN_AFTER_MS - 1;
    assert_eq!(demand(&mut world, 3), [2, 4]);
    assert_eq!(demand(&mut world, 6), [2, 4], "it is needed again");
    world.now += SCALE_IN_AFTER_MS;
    assert_eq!(demand(&mut world, 3), [2, 4]);
    world.now += SCALE_IN_AFTER_MS;
    assert_eq!(demand(&mut world, 3), [2, 1]);
}

#[test]
fn clusters_that_cannot_be_are_refused_with_the_way_out() {
    let mut world = World::default();
    let good = || flow(1);
    let name = lockstep_emr_sim::cluster::Profile { name: "n".repeat(257), ..Default::default() };
    let no_core = ScalingPolicy { minimum: 1, maximum: 2, maximum_on_demand: None, maximum_core: None };
    for (bad, why) in [
        (JobFlow { profile: name, ..good() }, "256"),
        (JobFlow { groups: vec![group(Role::Core, 1)], ..good() }, "MASTER"),
        (JobFlow { groups: vec![group(Role::Master, 1), group(Role::Task, 1)], ..good() }, "CORE"),
        (flow(33), "at most 32"),
        (JobFlow { concurrency: 257, ..good() }, "1 to 256"),
        (JobFlow { idle_timeout: Some(59), ..good() }, "60"),
        (JobFlow { scaling: Some(no_core), ..flow(0) }, "CORE"),
        (JobFlow { scaling: Some(ScalingPolicy { minimum: 3, ..no_core }), ..good() }, "MaximumCapacityUnits"),
    ] {
        let chance = world.chance();
        let refused = world.ask(&Command::RunJobFlow { flow: Box::new(bad), chance }).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    assert!(world.log.is_empty());
}
