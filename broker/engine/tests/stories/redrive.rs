//! Move tasks: the way back of dead letters (Q6, Q7, L13).

use lockstep_engine::{
    Event, Rejected,
    command::{CancelMoveTask, ChangeVisibility, Send, Space, StartMoveTask},
    event::{MoveTask, MoveTaskEnd, MoveTaskFact},
    limits,
    reply::MoveTaskStarted,
    words::{SequenceNumber, TaskNumber, Timestamp},
};

use crate::world::{QUEUE, SECOND, World, entry, groups, queue, queue_name, receipt, redrive, sequences, strict};

const DEAD: &str = "dead.fifo";
const HOUR: u64 = 3_600 * SECOND;

/// A queue with a dead letter in each of the named groups.
fn with_letters(names: &str) -> World {
    let mut world = World::empty();
    world.watchful = false;
    world.create(DEAD, strict()).expect("a new queue");
    world.create(QUEUE, redrive(DEAD, 1)).expect("a new queue");
    bury(&mut world, names);
    world
}

fn bury(world: &mut World, names: &str) {
    let mut left = names.split_whitespace().count();
    world.fill(names);
    while left > 0 {
        let held = world.receive(1_000);
        left -= held.len();
        let entries = held.iter().map(|delivered| (receipt(delivered), 0)).collect();
        let _ = world.ask(&ChangeVisibility { queue: queue(QUEUE), entries });
        let heads: Vec<_> = held.iter().map(|delivered| delivered.group.clone()).collect();
        left += held.len() - heads.iter().enumerate().filter(|(place, head)| !heads[..*place].contains(head)).count();
        if left == 0 {
            assert_eq!(world.receive(1_000), [], "all are dead letters");
        }
    }
}

fn start(world: &mut World, to: Option<&str>, rate: u32) -> Result<MoveTaskStarted, Rejected> {
    world.ask(&StartMoveTask { source: queue(DEAD), destination: to.map(queue_name), rate })
}

fn task(world: &World) -> MoveTask {
    world.engine.move_tasks(&queue(DEAD), 1).expect("a queue").remove(0)
}

fn available(world: &World, name: &str) -> u64 {
    world.engine.describe(&queue(name)).expect("a queue").available
}

fn end(world: &World) -> Option<MoveTaskEnd> {
    task(world).ended.map(|(_, end)| end)
}

#[test]
fn q7_letters_go_back_to_their_own_queues_as_new_messages_oldest_first() {
    let mut world = with_letters("a b");
    world.create("other.fifo", redrive(DEAD, 1)).expect("a new queue");
    let first_letter = world.engine.peek(&queue(DEAD), None, SequenceNumber(0), 1, 1).expect("seen").remove(0);
    world.ask(&Send { queue: queue("other.fifo"), session: None, entries: vec![entry("c", "c")] }).expect("sent");
    let held = world.receive_of("other.fifo", 1);
    let entries = vec![(receipt(&held[0]), 0)];
    world.ask(&ChangeVisibility { queue: queue("other.fifo"), entries }).expect("back");
    assert_eq!(world.receive_of("other.fifo", 1), []);
    world.pass(HOUR);
    start(&mut world, None, 500).expect("started");
    world.settle();
    let back = world.receive(10);
    assert_eq!((groups(&back).as_str(), sequences(&back)), ("a b", vec![3, 4]));
    assert_eq!((back[0].receives, &back[0].origin, back[0].sent_at), (1, &None, Timestamp(world.now)), "new (Q7)");
    assert_eq!(back[0].body, first_letter.body, "the body stays where it lies");
    assert_eq!(groups(&world.receive_of("other.fifo", 10)), "c");
    let task = task(&world);
    assert_eq!((task.to_move, task.moved, task.passed_over), (3, 3, 0));
    assert_eq!(end(&world), Some(MoveTaskEnd::Completed));
    world.engine.check().expect("the invariants hold");
}

#[test]
fn q7_with_a_destination_all_go_there_and_no_key_swallows_them() {
    let mut world = with_letters("a b");
    world.create("to.fifo", strict()).expect("a new queue");
    // The letters' own ids are known there.
    let entries = vec![entry("x", "made-1"), entry("x", "made-2")];
    world.ask(&Send { queue: queue("to.fifo"), session: None, entries }).expect("sent");
    start(&mut world, Some("to.fifo"), 500).expect("started");
    world.settle();
    assert_eq!(sequences(&world.receive_of("to.fifo", 10)), [1, 2, 3, 4]);
    assert_eq!((available(&world, QUEUE), available(&world, DEAD)), (0, 0));
}

#[test]
fn l13_the_rate_holds_and_time_that_was_missed_is_not_made_up_for() {
    let mut world = with_letters("a b c d e f");
    start(&mut world, None, 2).expect("started");
    world.settle();
    assert_eq!(available(&world, QUEUE), 2);
    world.pass(SECOND - 1);
    world.settle();
    assert_eq!(available(&world, QUEUE), 2);
    world.pass(1);
    assert_eq!(world.engine.next_settlement(), Some(Timestamp(world.now)));
    world.settle();
    assert_eq!(available(&world, QUEUE), 4);
    world.restart_after(HOUR);
    world.settle();
    assert_eq!((available(&world, QUEUE), end(&world)), (6, Some(MoveTaskEnd::Completed)), "it goes on by itself");
    assert!(world.journal.iter().any(|event| matches!(event, Event::Resumed { .. })));
}

#[test]
fn h3_a_turn_looks_at_a_thousand_messages() {
    let mut world = World::empty();
    world.watchful = false;
    world.create(DEAD, strict()).expect("a new queue");
    world.create(QUEUE, redrive(DEAD, 1)).expect("a new queue");
    for batch in 0..25 {
        // Sent by hand: without a destination they have no queue to go to.
        let entries = (0..100).map(|n| entry("g", &format!("{batch}-{n}"))).collect();
        world.ask(&Send { queue: queue(DEAD), session: None, entries }).expect("sent");
    }
    start(&mut world, None, 500).expect("started");
    for looked in [1_000, 2_000, 2_500] {
        let events = world.engine.redrive(Timestamp(world.now), Space::UNLIMITED);
        events.iter().for_each(|event| world.engine.evolve(event));
        world.journal.extend(events);
        assert_eq!(task(&world).passed_over, looked);
    }
    assert_eq!((end(&world), task(&world).moved), (Some(MoveTaskEnd::Completed), 0));
    start(&mut world, Some(QUEUE), 500).expect("started again");
    world.settle();
    assert_eq!(available(&world, QUEUE), 500, "a destination takes those, too");
}

#[test]
fn q6_what_somebody_holds_or_parked_stays_with_its_group() {
    let mut world = with_letters("a a b c");
    let held = world.receive_of(DEAD, 1);
    assert_eq!(groups(&held), "a");
    world.ask(&lockstep_engine::command::Park { queue: queue(DEAD), group: crate::world::group("b") }).expect("parked");
    start(&mut world, None, 500).expect("started");
    world.settle();
    assert_eq!(groups(&world.receive(10)), "c");
    assert_eq!((task(&world).moved, task(&world).passed_over), (1, 3));
    assert_eq!(end(&world), Some(MoveTaskEnd::Completed), "it waits for nobody");
}

#[test]
fn q6_who_may_start_and_what_is_refused() {
    let mut world = with_letters("a b");
    let missing = Rejected::MoveDestinationNotFound { name: queue_name("no.fifo") };
    assert_eq!(start(&mut world, Some("no.fifo"), 1), Err(missing));
    assert_eq!(start(&mut world, Some(DEAD), 1), Err(Rejected::MoveDestinationIsSource));
    assert_eq!(start(&mut world, None, 0), Err(Rejected::MoveRateInvalid));
    assert_eq!(start(&mut world, None, 501), Err(Rejected::MoveRateInvalid));
    let of_source = StartMoveTask { source: queue(QUEUE), destination: None, rate: 1 };
    assert_eq!(world.ask(&of_source), Err(Rejected::NotADeadLetterQueue));
    let started = start(&mut world, None, 1).expect("started");
    assert_eq!(start(&mut world, None, 1), Err(Rejected::MoveTaskRunning));
    let cancel = CancelMoveTask { queue: started.queue, task: started.task };
    assert_eq!(world.ask(&cancel), Ok(1), "what it moved stays moved");
    assert_eq!(world.ask(&cancel), Err(Rejected::MoveTaskEnded));
    assert_eq!(end(&world), Some(MoveTaskEnd::Cancelled));
    let other = CancelMoveTask { task: TaskNumber(9), ..cancel };
    assert_eq!(world.ask(&other), Err(Rejected::MoveTaskNotFound));
    for number in 2..=12 {
        let started = start(&mut world, None, 1).expect("started");
        assert_eq!(started.task, TaskNumber(number));
        let _ = world.ask(&CancelMoveTask { queue: started.queue, task: started.task });
    }
    assert_eq!(world.engine.move_tasks(&queue(DEAD), 99).expect("a queue").len(), 10, "the newest are kept");
}

#[test]
fn q7_a_destination_that_is_deleted_fails_the_task() {
    let mut world = with_letters("a b");
    world.create("to.fifo", strict()).expect("a new queue");
    start(&mut world, Some("to.fifo"), 1).expect("started");
    world.settle();
    world.delete_queue("to.fifo");
    world.create("to.fifo", strict()).expect("another queue of that name");
    world.pass(SECOND);
    world.settle();
    assert_eq!((end(&world), task(&world).moved), (Some(MoveTaskEnd::DestinationGone), 1));
    assert_eq!((available(&world, DEAD), available(&world, "to.fifo")), (1, 0));
}

#[test]
fn h5_without_space_it_waits() {
    let mut world = with_letters("a");
    start(&mut world, None, 500).expect("started");
    world.space = Space { for_sends: limits::MESSAGE_OVERHEAD - 1, for_finishes: 0 };
    world.settle();
    assert_eq!((available(&world, DEAD), end(&world)), (1, None));
    world.space = Space::UNLIMITED;
    world.pass(limits::TICK);
    world.settle();
    assert_eq!((available(&world, QUEUE), end(&world)), (1, Some(MoveTaskEnd::Completed)));
}

#[test]
fn l13_after_36_hours_it_fails() {
    let mut world = with_letters("a b c");
    start(&mut world, None, 1).expect("started");
    world.settle();
    world.restart_after(36 * HOUR);
    world.settle();
    assert_eq!((end(&world), available(&world, DEAD)), (Some(MoveTaskEnd::TooLong), 2));
}

#[test]
fn l13_a_hundred_run_at_a_time() {
    let mut world = World::empty();
    world.watchful = false;
    let mut refused = None;
    for number in 0..=limits::MOVE_TASKS {
        let (dead, source) = (format!("d{number}.fifo"), format!("s{number}.fifo"));
        world.create(&dead, strict()).expect("a new queue");
        world.create(&source, redrive(&dead, 1)).expect("a new queue");
        for n in 0..2 {
            let entries = vec![entry("g", &format!("{n}"))];
            world.ask(&Send { queue: queue(&dead), session: None, entries }).expect("sent");
        }
        let to = Some(queue_name(&source));
        refused = world.ask(&StartMoveTask { source: queue(&dead), destination: to, rate: 1 }).err();
    }
    assert_eq!(refused, Some(Rejected::TooManyMoveTasks));
}

#[test]
fn q7_a_crash_between_two_steps_loses_and_repeats_nothing() {
    let mut world = with_letters("a b c d e");
    start(&mut world, None, 1).expect("started");
    for _ in 0..5 {
        world.settle();
        assert_eq!(available(&world, QUEUE) + available(&world, DEAD), 5);
        world.restart_after(SECOND);
    }
    world.settle();
    assert_eq!(groups(&world.receive(10)), "a b c d e");
    let moved = world.journal.iter().filter_map(|event| {
        let Event::MoveTask { fact, .. } = event else { return None };
        let MoveTaskFact::Moved { messages, .. } = &**fact else { return None };
        Some(messages.len())
    });
    assert_eq!(moved.sum::<usize>(), 5);
    world.engine.check().expect("the invariants hold");
}
