//! Dead letters from outside: what wakes, what is delivered, and how it looks on the wire (Q1 to Q5).

use lockstep_engine::{
    AttributeChanges, RedriveChange, RedrivePolicy,
    command::{ChangeVisibility, Receive, SetQueueAttributes},
    words::QueueName,
};
use lockstep_proto::v1::{self, dead_letters_client::DeadLettersClient};
use tonic::Code;

use crate::support::{Served, create, glance, memory, park, queue, reason, receive, send, sled, with_clock};

const Q: &str = "q.fifo";
const DEAD: &str = "dead.fifo";

fn attributes(max_receive_count: u32) -> v1::QueueAttributes {
    let redrive_policy = Some(v1::RedrivePolicy { dead_letter_queue: DEAD.into(), max_receive_count });
    v1::QueueAttributes { redrive_policy, ..v1::QueueAttributes::default() }
}

#[tokio::test]
async fn a_move_wakes_the_polls_of_the_other_queue_and_leaves_the_own_ones_waiting() {
    let (broker, clock) = with_clock();
    let handle = broker.handle();
    create(handle, DEAD).await;
    create(handle, Q).await;
    let policy = RedrivePolicy { dead_letter_queue: QueueName::parse(DEAD).expect("a name"), max_receives: 1 };
    let changes = AttributeChanges { redrive: Some(RedriveChange::Set(policy)), ..AttributeChanges::default() };
    handle.set_queue_attributes(SetQueueAttributes { queue: queue(Q), changes }).await.expect("changed");
    send(handle, Q, "g", "1").await;
    let short = Receive { visibility: Some(5_000), ..receive(Q, 1) };
    let held = handle.receive(short, Some(0)).await.expect("received").remove(0);
    let letters = park(handle, handle.receive(receive(DEAD, 1), Some(20_000))).await;
    let mut waiting = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    clock.advance(5_000);
    let letter = letters.await.expect("woken").remove(0);
    assert_eq!((letter.message_id, letter.delivered.receives), (held.message_id, 2), "H9");
    assert_eq!(letter.deduplication_id, letter.message_id.to_string(), "Q3");
    assert!(glance(&mut waiting).await.is_none(), "nothing was there for it");
    send(handle, Q, "g", "2").await;
    let next = waiting.await.expect("woken").remove(0);
    assert_eq!(next.body, "2");
    let receipt = handle.receipt(&next.receipt_handle).expect("ours");
    let back = ChangeVisibility { queue: queue(Q), entries: vec![(receipt, 0)] };
    handle.change_visibility(back).await.expect("given back");
    assert!(
        handle.receive(receive(Q, 1), Some(0)).await.expect("empty").is_empty(),
        "it moved, and that is the answer"
    );
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_dead_letter_looks_the_same_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut broker = Served::start(&sled(&directory)).await;
    broker.create(DEAD, v1::QueueAttributes::default()).await;
    broker.create(Q, attributes(1)).await;
    let sent = broker.send(Q, "g", "1", "poison").await;
    broker.send(Q, "g", "2", "sound").await;
    let held = broker.receive(Q, 1).await.remove(0);
    let entry = Some(v1::VisibilityEntry { receipt_handle: held.receipt_handle, visibility_timeout_seconds: 0 });
    broker.messages.change_visibility(v1::ChangeVisibilityRequest { queue: Q.into(), entry }).await.expect("back");
    assert_eq!(broker.receive(Q, 1).await[0].body, "sound");
    let letter = broker.receive(DEAD, 1).await.remove(0);
    assert_eq!((&letter.message_id, letter.body.as_ref()), (&sent.message_id, &b"poison"[..]));
    assert_eq!((letter.dead_letter_source.as_str(), &letter.message_deduplication_id), (Q, &sent.message_id));
    let mut admin = DeadLettersClient::new(broker.channel.clone());
    let request = v1::ListDeadLetterSourceQueuesRequest { queue: DEAD.into(), ..Default::default() };
    let sources = admin.list_dead_letter_source_queues(request).await.expect("listed").into_inner();
    assert_eq!(sources, v1::ListDeadLetterSourceQueuesResponse { queues: vec![Q.into()], next: String::new() });
    broker.stop().await.expect("a clean end");
    let mut broker = Served::start(&sled(&directory)).await;
    let request = v1::PeekRequest { queue: DEAD.into(), ..Default::default() };
    let peeked = broker.messages.peek(request).await.expect("seen").into_inner().messages.remove(0);
    assert_eq!((&peeked.message_id, peeked.body.as_ref()), (&sent.message_id, &b"poison"[..]));
    assert_eq!(peeked.dead_letter_source, Q);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn policies_that_mean_nothing_are_refused_with_their_rule() {
    let mut broker = Served::start(&memory()).await;
    broker.create(DEAD, v1::QueueAttributes::default()).await;
    let allow = |permission: v1::RedrivePermission, names: usize| v1::QueueAttributes {
        redrive_allow_policy: Some(v1::RedriveAllowPolicy {
            permission: permission.into(),
            source_queues: vec![Q.into(); names],
        }),
        ..v1::QueueAttributes::default()
    };
    let to = |name: &str, max_receive_count| {
        let redrive_policy = Some(v1::RedrivePolicy { dead_letter_queue: name.into(), max_receive_count });
        v1::QueueAttributes { redrive_policy, ..v1::QueueAttributes::default() }
    };
    let cases = [
        (attributes(0), Code::InvalidArgument, "ATTRIBUTE_INVALID"),
        (attributes(1_001), Code::InvalidArgument, "ATTRIBUTE_INVALID"),
        (to("", 3), Code::InvalidArgument, "FIELD_MISSING"),
        (to("no such name", 3), Code::InvalidArgument, "QUEUE_NAME_INVALID"),
        (to("absent.fifo", 3), Code::FailedPrecondition, "DEAD_LETTER_QUEUE_NOT_FOUND"),
        (to(Q, 3), Code::InvalidArgument, "DEAD_LETTER_QUEUE_IS_SELF"),
        (allow(v1::RedrivePermission::Unspecified, 0), Code::InvalidArgument, "FIELD_MISSING"),
        (allow(v1::RedrivePermission::AllowAll, 1), Code::InvalidArgument, "ATTRIBUTE_INVALID"),
        (allow(v1::RedrivePermission::ByQueue, 0), Code::InvalidArgument, "ATTRIBUTE_INVALID"),
        (allow(v1::RedrivePermission::ByQueue, 11), Code::InvalidArgument, "ATTRIBUTE_INVALID"),
    ];
    for (attributes, code, wanted) in cases {
        let request = v1::CreateQueueRequest { queue: Q.into(), attributes: Some(attributes), tags: Vec::new() };
        let status = broker.queues.create_queue(request).await.expect_err(wanted);
        assert_eq!((status.code(), reason(&status).0.as_str()), (code, wanted), "{status}");
    }
    let request = v1::SetQueueAttributesRequest {
        queue: DEAD.into(),
        attributes: Some(allow(v1::RedrivePermission::DenyAll, 0)),
    };
    broker.queues.set_queue_attributes(request).await.expect("changed");
    let request = v1::CreateQueueRequest { queue: Q.into(), attributes: Some(attributes(3)), tags: Vec::new() };
    let status = broker.queues.create_queue(request).await.expect_err("denied");
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::FailedPrecondition, "REDRIVE_NOT_ALLOWED"));
    broker.stop().await.expect("a clean end");
}

/// A broker on disk with so many dead letters, each in a group of its own.
async fn with_letters(broker: &mut Served, count: u32) {
    broker.create(DEAD, v1::QueueAttributes::default()).await;
    broker.create(Q, attributes(1)).await;
    for number in 0..count {
        broker.send(Q, &number.to_string(), &number.to_string(), "letter").await;
        let held = broker.receive(Q, 1).await.remove(0);
        let entry = Some(v1::VisibilityEntry { receipt_handle: held.receipt_handle, visibility_timeout_seconds: 0 });
        broker.messages.change_visibility(v1::ChangeVisibilityRequest { queue: Q.into(), entry }).await.expect("back");
        assert!(broker.receive(Q, 1).await.is_empty());
    }
}

fn task_of(destination: &str, rate: u32) -> v1::StartMessageMoveTaskRequest {
    let (source_queue, destination_queue) = (DEAD.into(), destination.into());
    v1::StartMessageMoveTaskRequest { source_queue, destination_queue, max_messages_per_second: rate }
}

#[tokio::test]
async fn a_move_task_goes_on_after_a_restart_and_wakes_who_waits() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut broker = Served::start(&sled(&directory)).await;
    with_letters(&mut broker, 3).await;
    let mut admin = DeadLettersClient::new(broker.channel.clone());
    let handle = admin.start_message_move_task(task_of("", 1)).await.expect("started").into_inner().task_handle;
    broker.stop().await.expect("a clean end");
    let mut broker = Served::start(&sled(&directory)).await;
    let mut admin = DeadLettersClient::new(broker.channel.clone());
    let mut groups = Vec::new();
    while groups.len() < 3 {
        let request =
            v1::ReceiveRequest { queue: Q.into(), max_messages: 1, wait_seconds: Some(20), ..Default::default() };
        let messages = broker.messages.receive(request).await.expect("received").into_inner().deliveries;
        assert_eq!(messages.len(), 1, "it was woken");
        assert_eq!((messages[0].receive_count, messages[0].body.as_ref()), (1, &b"letter"[..]));
        groups.push(messages[0].message_group_id.clone());
    }
    assert_eq!(groups, ["0", "1", "2"]);
    let request = v1::ListMessageMoveTasksRequest { source_queue: DEAD.into(), max_results: 0 };
    let task = admin.list_message_move_tasks(request).await.expect("listed").into_inner().tasks.remove(0);
    assert_eq!((task.status(), task.messages_moved), (v1::MoveTaskStatus::Completed, 3));
    assert!(task.task_handle.is_empty() && !handle.is_empty(), "only while it runs (Q7)");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn move_tasks_that_mean_nothing_are_refused_and_a_lost_destination_has_its_name() {
    let mut broker = Served::start(&memory()).await;
    with_letters(&mut broker, 2).await;
    broker.create("to.fifo", v1::QueueAttributes::default()).await;
    let mut admin = DeadLettersClient::new(broker.channel.clone());
    let of_source = v1::StartMessageMoveTaskRequest { source_queue: Q.into(), ..Default::default() };
    let cases = [
        (of_source, Code::FailedPrecondition, "NOT_A_DEAD_LETTER_QUEUE"),
        (task_of("no.fifo", 0), Code::NotFound, "MOVE_DESTINATION_NOT_FOUND"),
        (task_of(DEAD, 0), Code::InvalidArgument, "MOVE_DESTINATION_IS_SOURCE"),
        (task_of("no name", 0), Code::InvalidArgument, "QUEUE_NAME_INVALID"),
        (task_of("", 501), Code::InvalidArgument, "OUT_OF_RANGE"),
    ];
    for (request, code, wanted) in cases {
        let status = admin.start_message_move_task(request).await.expect_err(wanted);
        assert_eq!((status.code(), reason(&status).0.as_str()), (code, wanted), "{status}");
    }
    let handle = admin.start_message_move_task(task_of("to.fifo", 1)).await.expect("started").into_inner().task_handle;
    let status = admin.start_message_move_task(task_of("", 0)).await.expect_err("one is running");
    assert_eq!(reason(&status).0, "MOVE_TASK_RUNNING");
    broker
        .queues
        .delete_queue(v1::DeleteQueueRequest { queue: "to.fifo".into(), ..Default::default() })
        .await
        .expect("gone");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let task = loop {
        let request = v1::ListMessageMoveTasksRequest { source_queue: DEAD.into(), max_results: 1 };
        let task = admin.list_message_move_tasks(request).await.expect("listed").into_inner().tasks.remove(0);
        if task.status() != v1::MoveTaskStatus::Running || tokio::time::Instant::now() > deadline {
            break task;
        }
    };
    assert_eq!(task.status(), v1::MoveTaskStatus::Failed);
    assert_eq!(task.failure_reason, "AWS.SimpleQueueService.NonExistentQueue");
    for (task_handle, wanted) in [
        (handle, "MOVE_TASK_ENDED"),
        ("move-task-99-1".into(), "MOVE_TASK_NOT_FOUND"),
        ("x".into(), "TASK_HANDLE_INVALID"),
    ] {
        let request = v1::CancelMessageMoveTaskRequest { task_handle };
        let status = admin.cancel_message_move_task(request).await.expect_err(wanted);
        assert_eq!(reason(&status).0, wanted);
    }
    broker.stop().await.expect("a clean end");
}
