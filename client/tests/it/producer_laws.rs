//! A producer under random losses and refusals, many seeds: nothing stored twice, nothing overtakes, nothing after a
//! stop, one unanswered block a group. The broker here is a plain model: a map of keys and a list of stored messages.

use std::collections::{HashMap, HashSet};

use lockstep_client::{Error, Message, Sent, v1};
use tokio::task::JoinSet;

use crate::fake::{Broker, SendCall, entry_refusal};

const GROUPS: usize = 5;
const PER_GROUP: usize = 40;

#[derive(Default)]
struct Model {
    keys: HashMap<String, u64>,
    stored: Vec<v1::SendEntry>,
    unanswered: HashSet<String>,
}

impl Model {
    /// Judges a call as the broker does: in order, a refused entry refuses the later ones of its group.
    fn apply(&mut self, entries: &[v1::SendEntry]) -> Vec<Result<v1::Accepted, v1::Refusal>> {
        let mut rejected = HashSet::new();
        let mut judge = |entry: &v1::SendEntry| {
            if rejected.contains(&entry.message_group_id) {
                return Err(entry_refusal("EARLIER_REJECTED"));
            }
            if entry.body.ends_with(b"bad") {
                rejected.insert(entry.message_group_id.clone());
                return Err(entry_refusal("BAD"));
            }
            let id = entry.message_deduplication_id.clone();
            let duplicate = self.keys.contains_key(&id);
            let sequence_number = *self.keys.entry(id.clone()).or_insert_with(|| {
                self.stored.push(entry.clone());
                self.stored.len() as u64
            });
            Ok(v1::Accepted { message_id: id, sequence_number, duplicate })
        };
        entries.iter().map(&mut judge).collect()
    }

    fn begin(&mut self, call: &SendCall) -> HashSet<String> {
        let groups: HashSet<_> = call.entries.iter().map(|entry| entry.message_group_id.clone()).collect();
        assert!(self.unanswered.is_disjoint(&groups), "two unanswered blocks of a group");
        self.unanswered.extend(groups.clone());
        groups
    }
}

/// Answers blocks in random order, loses answers before and after the effect, cuts connections; returns the model once
/// the senders are done. A stream that loses an answer loses those behind it, of which some may have had their effect.
async fn play(mut broker: Broker, mut random: fastrand::Rng, mut done: tokio::sync::oneshot::Receiver<()>) -> Model {
    let mut model = Model::default();
    // In the order of the stream; answered when there are results for it.
    let mut open: Vec<(SendCall, HashSet<String>)> = Vec::new();
    broker.answer_window(300).await;
    loop {
        tokio::select! {
            biased;
            call = broker.next_send() => {
                let groups = model.begin(&call);
                open.push((call, groups));
            }
            _ = &mut done => return model,
            // Answer open blocks when no further one has arrived.
            () = tokio::task::yield_now(), if !open.is_empty() => match random.u8(..10) {
                chance @ 0..3 => {
                    // Effects come in the order of the stream, so that what had one is the beginning of it.
                    let effects = random.usize(..=open.len());
                    open.iter().take(effects).for_each(|(call, _)| _ = model.apply(&call.entries));
                    model.unanswered.clear();
                    open.drain(..).for_each(|(call, _)| call.lose());
                    if chance == 2 { broker.cut(); }
                }
                _ => {
                    for (call, groups) in open.drain(..=random.usize(..open.len())) {
                        let results = model.apply(&call.entries);
                        model.unanswered.retain(|group| !groups.contains(group));
                        call.answer(results);
                    }
                }
            }
        }
    }
}

/// What each group's sender sent and heard, in its order.
type Heard = Vec<(String, Result<Sent, Error>)>;

fn check(model: &Model, heard: &HashMap<String, Heard>, seed: u64) {
    let mut seen = HashSet::new();
    for entry in &model.stored {
        assert!(seen.insert(&entry.message_deduplication_id), "seed {seed}: stored twice");
    }
    for (group, heard) in heard {
        let stored: Vec<_> = model.stored.iter().filter(|entry| entry.message_group_id == *group).collect();
        let accepted: Vec<_> = heard.iter().take_while(|(_, outcome)| outcome.is_ok()).collect();
        let stored_bodies: Vec<_> = stored.iter().map(|entry| entry.body.as_ref()).collect();
        let accepted_bodies: Vec<_> = accepted.iter().map(|(body, _)| body.as_bytes()).collect();
        assert_eq!(stored_bodies, accepted_bodies, "seed {seed}: group {group} is what was accepted, in order");
        let mut failures = heard.iter().skip(accepted.len());
        if let Some((body, first)) = failures.next() {
            assert!(body.ends_with("bad"), "seed {seed}: {body} {first:?}");
            assert_eq!(first.as_ref().map_or_else(Error::reason, |_| None), Some("BAD"), "seed {seed}");
        }
        for (_, behind) in failures {
            assert_eq!(behind.as_ref().map_or_else(Error::reason, |_| None), Some("EARLIER_REJECTED"), "seed {seed}");
        }
    }
}

#[tokio::test]
async fn nothing_is_stored_twice_overtakes_or_follows_a_stop() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let broker = Broker::start().await;
        let producer = broker.client().await.producer("q.fifo").max_blocks_in_flight(random.usize(1..5)).build();
        let (finished, done) = tokio::sync::oneshot::channel();
        let playing = tokio::spawn(play(broker, random.fork(), done));
        let mut senders = JoinSet::new();
        for group in 0..GROUPS {
            let (producer, mut random) = (producer.clone(), random.fork());
            let bad = random.usize(..PER_GROUP * 2);
            senders.spawn(async move {
                let group = format!("g{group}");
                let mut tickets = Vec::new();
                for n in 0..PER_GROUP {
                    let body = format!("{n}{}", if n == bad { "bad" } else { "" });
                    tickets.push((body.clone(), producer.enqueue(Message::new(group.as_str(), body)).await));
                    if random.bool() {
                        tokio::task::yield_now().await;
                    }
                }
                let mut heard = Heard::new();
                for (body, ticket) in tickets {
                    heard.push((body, ticket.await));
                }
                (group, heard)
            });
        }
        let heard = senders.join_all().await.into_iter().collect();
        finished.send(()).expect("the broker still plays");
        check(&playing.await.unwrap(), &heard, seed);
    }
}
