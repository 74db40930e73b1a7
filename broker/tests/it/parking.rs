//! Outcomes per group and parked groups from outside (B7).

use lockstep_proto::v1::{self, commit_request::Target, groups_client::GroupsClient};
use tonic::Code;

use crate::support::{Served, memory, reason, sled};

const Q: &str = "q.fifo";
const DEAD: &str = "dead.fifo";

fn outcome(group: &str, done_through: u64, rest: v1::GroupRest) -> v1::GroupOutcome {
    v1::GroupOutcome { message_group_id: group.into(), done_through, rest: rest.into() }
}

/// A commit of the first claim of a new reader, with outcomes.
async fn commit(broker: &mut Served, queue_generation: u64, outcomes: Vec<v1::GroupOutcome>) -> v1::CommitRequest {
    let open =
        v1::OpenReaderRequest { queue: Q.into(), reader: "pool".into(), instance: "one".into(), ..Default::default() };
    let opened = broker.readers.open_reader(open).await.expect("opened").into_inner();
    let claim = v1::ClaimRequest {
        queue: Q.into(),
        queue_generation,
        reader: "pool".into(),
        reader_generation: opened.reader_generation,
        number: 1,
        ..Default::default()
    };
    let answer = broker.readers.claim(claim).await.expect("claimed").into_inner();
    let Some(v1::claim_response::Outcome::Open(claim)) = answer.outcome else { panic!("{answer:?}") };
    let target = v1::ClaimTarget {
        reader: "pool".into(),
        reader_generation: opened.reader_generation,
        number: 1,
        epoch: claim.epoch,
        outcomes,
        ..Default::default()
    };
    let target = Some(Target::Claim(target));
    v1::CommitRequest { queue: Q.into(), queue_generation, commit_id: "c".into(), target, ..Default::default() }
}

#[tokio::test]
async fn a_claim_is_finished_group_by_group_and_a_parked_group_stays_so_over_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut broker = Served::start(&sled(&directory)).await;
    broker.create(DEAD, v1::QueueAttributes::default()).await;
    let redrive_policy = Some(v1::RedrivePolicy { dead_letter_queue: DEAD.into(), max_receive_count: 9 });
    let generation = broker.create(Q, v1::QueueAttributes { redrive_policy, ..Default::default() }).await;
    for (group, id) in [("a", "1"), ("a", "2"), ("b", "3"), ("b", "4"), ("c", "5"), ("d", "6")] {
        broker.send(Q, group, id, id).await;
    }
    let outcomes = vec![
        outcome("a", 1, v1::GroupRest::GiveBack),
        outcome("b", 0, v1::GroupRest::DeadLetterHead),
        outcome("c", 0, v1::GroupRest::Park),
    ];
    let request = commit(&mut broker, generation, outcomes).await;
    let first = broker.readers.commit(request.clone()).await.expect("committed").into_inner();
    assert!(!first.already_committed);
    broker.stop().await.expect("a clean end");

    let mut broker = Served::start(&sled(&directory)).await;
    let again = broker.readers.commit(request.clone()).await.expect("a repeat").into_inner();
    assert!(again.already_committed);
    let mut other = request;
    if let Some(Target::Claim(target)) = &mut other.target {
        target.outcomes.clear();
    }
    let status = broker.readers.commit(other).await.expect_err("another content");
    assert_eq!(reason(&status).0, "COMMIT_CONFLICT", "outcomes are part of what was committed (B1)");
    let bodies = |deliveries: Vec<v1::Delivery>| -> Vec<String> {
        deliveries.iter().map(|it| String::from_utf8_lossy(&it.body).into_owned()).collect()
    };
    assert_eq!(bodies(broker.receive(DEAD, 10).await), ["3"]);
    assert_eq!(bodies(broker.receive(Q, 10).await), ["2", "4"]);
    let peek = v1::PeekRequest { queue: Q.into(), message_group_id: "c".into(), ..Default::default() };
    let peeked = broker.messages.peek(peek).await.expect("seen").into_inner().messages.remove(0);
    assert_eq!(peeked.state(), v1::MessageState::Parked);
    let mut groups = GroupsClient::new(broker.channel.clone());
    let list = v1::ListParkedGroupsRequest { queue: Q.into(), ..Default::default() };
    let parked = groups.list_parked_groups(list).await.expect("listed").into_inner().groups;
    let seen: Vec<_> = parked.iter().map(|it| (it.message_group_id.as_str(), it.messages)).collect();
    assert_eq!(seen, [("c", 1)]);
    let explain = v1::ExplainRequest {
        queue: Q.into(),
        subject: Some(v1::explain_request::Subject::MessageGroupId("c".into())),
        ..Default::default()
    };
    let said = broker.queues.explain(explain).await.expect("explained").into_inner().explanation.expect("said");
    assert!(said.reason() == v1::ExplainReason::Parked && said.text.contains("lockstep unpark q.fifo c"), "{said:?}");
    let unpark = v1::UnparkRequest { queue: Q.into(), message_group_id: "c".into(), all: false };
    assert_eq!(groups.unpark(unpark).await.expect("unparked").into_inner().groups, 1);
    assert_eq!(bodies(broker.receive(Q, 10).await), ["5"]);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn unparking_wakes() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let mut groups = GroupsClient::new(broker.channel.clone());
    let park = v1::ParkRequest { queue: Q.into(), message_group_id: "g".into() };
    assert!(!groups.park(park.clone()).await.expect("parked").into_inner().already_parked);
    assert!(groups.park(park).await.expect("again").into_inner().already_parked);
    broker.send(Q, "g", "1", "one").await;
    let handle = broker.handle.clone();
    let poll = crate::support::park(&handle, handle.receive(crate::support::receive(Q, 1), Some(20_000))).await;
    let unpark = v1::UnparkRequest { queue: Q.into(), all: true, ..Default::default() };
    assert_eq!(groups.unpark(unpark).await.expect("unparked").into_inner().groups, 1);
    assert_eq!(poll.await.expect("woken")[0].body, "one");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn outcomes_and_groups_that_mean_nothing_are_refused_with_their_rule() {
    let mut broker = Served::start(&memory()).await;
    let generation = broker.create(Q, v1::QueueAttributes::default()).await;
    broker.send(Q, "g", "1", "one").await;
    let cases = [
        (outcome("g", 0, v1::GroupRest::Unspecified), Code::InvalidArgument, "FIELD_MISSING"),
        (
            v1::GroupOutcome { rest: 9, ..outcome("g", 0, v1::GroupRest::Park) },
            Code::InvalidArgument,
            "OUTCOME_INVALID",
        ),
        (outcome("", 0, v1::GroupRest::Park), Code::InvalidArgument, "MESSAGE_GROUP_ID_INVALID"),
        (outcome("x", 0, v1::GroupRest::Park), Code::InvalidArgument, "OUTCOME_INVALID"),
        (outcome("g", 7, v1::GroupRest::Park), Code::InvalidArgument, "OUTCOME_INVALID"),
        (outcome("g", 0, v1::GroupRest::DeadLetterHead), Code::FailedPrecondition, "NO_DEAD_LETTER_QUEUE"),
    ];
    for (outcome, code, wanted) in cases {
        let request = commit(&mut broker, generation, vec![outcome]).await;
        let status = broker.readers.commit(request).await.expect_err(wanted);
        assert_eq!((status.code(), reason(&status).0.as_str()), (code, wanted), "{status}");
    }
    let mut groups = GroupsClient::new(broker.channel.clone());
    let neither = v1::UnparkRequest { queue: Q.into(), ..Default::default() };
    assert_eq!(reason(&groups.unpark(neither).await.expect_err("nothing named")).0, "FIELD_MISSING");
    let park = v1::ParkRequest { queue: Q.into(), message_group_id: "no space".into() };
    assert_eq!(reason(&groups.park(park).await.expect_err("a bad name")).0, "MESSAGE_GROUP_ID_INVALID");
    broker.stop().await.expect("a clean end");
}
