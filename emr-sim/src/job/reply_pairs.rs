//! The job `reply-pairs`: for every message of an agent that has an earlier turn in its conversation, one training
//! example: the turns so far and the reply. The turns of a conversation are its state, kept across claims under (message
//! group, conversation), so one group may hold many conversations. The check against whole conversations is
//! `recompute`, which must not use anything from here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Job, JobError, JobMessage, StateChange};
use crate::digest::sha256_hex;
use crate::rows::Rows;

/// A conversation id of up to so many bytes is its own state key; a key has at most 256 characters (B1), and pointers
/// to spilled values must fit beside the keys in one Commit.
const KEY_BYTES: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Turn {
    sender: String,
    text: String,
}

#[derive(Deserialize)]
struct Body {
    conversation_id: String,
    turn: u64,
    sender: String,
    text: String,
}

#[derive(Serialize)]
struct Pair<'a> {
    conversation_id: &'a str,
    turn: u64,
    context: &'a [Turn],
    reply: &'a str,
}

#[derive(Default)]
struct Conversation {
    turns: Vec<Turn>,
    changed: bool,
}

/// A run of the job: the conversations of the claim's groups, by group and state key.
#[derive(Default)]
pub(super) struct ReplyPairs {
    conversations: BTreeMap<(String, String), Conversation>,
}

/// The state key of a conversation: its id, or `#` and a digest when the id is empty, long or begins with `#`; so two
/// conversations never share a key.
fn key(conversation_id: &str) -> String {
    if conversation_id.is_empty() || conversation_id.len() > KEY_BYTES || conversation_id.starts_with('#') {
        format!("#{}", sha256_hex(conversation_id.as_bytes()))
    } else {
        conversation_id.to_owned()
    }
}

fn parse(body: &[u8]) -> Result<Body, String> {
    serde_json::from_slice(body).map_err(|error| {
        format!("its body is not an object with conversation_id, turn (a whole number), sender and text: {error}")
    })
}

pub(super) fn check(body: &[u8]) -> Result<(), String> {
    parse(body).map(drop)
}

impl Job for ReplyPairs {
    fn state(&mut self, group: &str, key: &str, value: &[u8]) -> Result<(), JobError> {
        let turns = serde_json::from_slice(value).map_err(|error| JobError::State {
            group: group.to_owned(),
            key: key.to_owned(),
            why: format!("it is not a list of turns: {error}"),
        })?;
        self.conversations.insert((group.to_owned(), key.to_owned()), Conversation { turns, changed: false });
        Ok(())
    }

    fn message(&mut self, message: &JobMessage<'_>, rows: &mut Rows) -> Result<(), JobError> {
        let body = parse(message.body).map_err(|why| JobError::message(message, why))?;
        let conversation =
            self.conversations.entry((message.group.to_owned(), key(&body.conversation_id))).or_default();
        let is_reply = body.sender == "agent" && !conversation.turns.is_empty();
        if is_reply {
            let pair = Pair {
                conversation_id: &body.conversation_id,
                turn: body.turn,
                context: &conversation.turns,
                reply: &body.text,
            };
            rows.push(message.group, &serde_json::to_vec(&pair).expect("strings and numbers are always JSON"));
        }
        conversation.turns.push(Turn { sender: body.sender, text: body.text });
        conversation.changed = true;
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Rows) -> Vec<StateChange> {
        let changed = self.conversations.into_iter().filter(|(_, conversation)| conversation.changed);
        changed
            .map(|((group, key), conversation)| StateChange {
                group,
                key,
                value: Some(serde_json::to_vec(&conversation.turns).expect("strings are always JSON")),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{JobKind, recompute_pairs};

    fn body(conversation: &str, turn: u64, sender: &str, text: &str) -> Vec<u8> {
        serde_json::to_vec(&serde_json::json!({
            "conversation_id": conversation, "turn": turn, "sender": sender, "text": text, "sent_at": "x"
        }))
        .unwrap()
    }

    /// Runs the job over `messages` cut into claims at `cuts`, carrying the state as the broker would.
    fn run_in_claims(messages: &[(&str, Vec<u8>)], size: usize) -> Vec<u8> {
        let mut stored: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
        let mut rows = Rows::default();
        for claim in messages.chunks(size) {
            let mut job = JobKind::ReplyPairs.start();
            for ((group, key), value) in &stored {
                if claim.iter().any(|(g, _)| g == group) {
                    job.state(group, key, value).unwrap();
                }
            }
            for (group, body) in claim {
                let message = JobMessage { message_id: "m", sequence_number: 1, group, body };
                job.message(&message, &mut rows).unwrap();
            }
            for change in job.finish(&mut rows) {
                stored.insert((change.group, change.key), change.value.unwrap());
            }
        }
        rows.bytes().to_vec()
    }

    #[test]
    fn a_pair_holds_the_turns_so_far_and_the_reply() {
        let messages = [
            ("g", body("c", 1, "agent", "Hello, first!")),
            ("g", body("c", 2, "customer", "A \"table\", please.")),
            ("g", body("c", 3, "agent", "For how many?")),
        ];
        assert_eq!(
            String::from_utf8(run_in_claims(&messages, 3)).unwrap(),
            "{\"conversation_id\":\"c\",\"turn\":3,\"context\":[{\"sender\":\"agent\",\"text\":\"Hello, first!\"},\
             {\"sender\":\"customer\",\"text\":\"A \\\"table\\\", please.\"}],\"reply\":\"For how many?\"}\n"
        );
    }

    #[test]
    fn any_cut_into_claims_and_any_grouping_gives_the_pairs_of_whole_conversations() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..200 {
            let one_group = round % 2 == 0;
            let messages: Vec<(String, Vec<u8>)> = (0..60)
                .map(|turn| {
                    let conversation = format!("c{}", random.u8(0..5));
                    let sender = if random.bool() { "agent" } else { "customer" };
                    let group = if one_group { "all".to_owned() } else { conversation.clone() };
                    (group, body(&conversation, turn, sender, &format!("text {turn} \u{e4}\u{1f600}")))
                })
                .collect();
            let messages: Vec<(&str, Vec<u8>)> = messages.iter().map(|(g, b)| (g.as_str(), b.clone())).collect();
            let got = String::from_utf8(run_in_claims(&messages, random.usize(1..20))).unwrap();
            let expected = recompute_pairs(messages.iter().map(|(g, b)| (*g, b.as_slice()))).unwrap();
            let expected: String = expected.map(|pair| pair.line + "\n").collect();
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn one_conversation_id_in_two_groups_is_two_conversations() {
        let messages = [("g", body("c", 1, "customer", "Hi")), ("h", body("c", 2, "agent", "Hello"))];
        assert!(run_in_claims(&messages, 2).is_empty());
    }

    #[test]
    fn state_keys_are_distinct_and_short() {
        let long = "x".repeat(129);
        let keys = [key(""), key("c"), key(&long), key(&key(&long)), key(&key("")), key("#")];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert!(keys.iter().all(|key| (1..=KEY_BYTES).contains(&key.len())));
    }

    #[test]
    fn a_message_without_its_fields_is_an_error_that_names_it() {
        let message = JobMessage { message_id: "m-9", sequence_number: 9, group: "g", body: br#"{"turn":1}"# };
        let error = ReplyPairs::default().message(&message, &mut Rows::default()).unwrap_err().to_string();
        assert!(error.contains("m-9") && error.contains("sequence number 9"), "{error}");
    }

    #[test]
    fn a_state_value_that_is_no_list_of_turns_is_refused() {
        assert!(matches!(ReplyPairs::default().state("g", "c", b"{}"), Err(JobError::State { .. })));
    }
}
