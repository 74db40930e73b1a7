//! The reply pairs computed anew from whole conversations, for a verifier that stands outside broker and pool. It shares
//! no code with the incremental job, so that a fault there cannot hide here.

use std::collections::HashMap;

use serde_json::{Value, json};

/// A line that the job `reply-pairs` must have written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedPair {
    /// Which message of the input the reply is: its place in arrival order, from 0.
    pub input: usize,
    /// The output line, without its LF.
    pub line: String,
}

struct Arrived {
    conversation: usize,
    place: usize,
}

struct Turn {
    turn: Value,
    sender: String,
    text: String,
}

/// The expected pairs, in the arrival order of their replies; made one at a time, for the contexts together are large.
pub struct ExpectedPairs {
    arrived: std::iter::Enumerate<std::vec::IntoIter<Arrived>>,
    conversations: Vec<(String, Vec<Turn>)>,
}

/// Computes the pairs of `messages`, (message group, body) in arrival order, from whole conversations: a conversation is
/// what has one `conversation_id` in one group. Within a group, the job's output lines must be these, in this order.
///
/// # Errors
/// Says which message (its place in arrival order, from 0) cannot be used, and why.
pub fn recompute_pairs<'a>(messages: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<ExpectedPairs, String> {
    let mut index: HashMap<(String, String), usize> = HashMap::new();
    let mut conversations: Vec<(String, Vec<Turn>)> = Vec::new();
    let mut arrived = Vec::new();
    for (input, (group, body)) in messages.into_iter().enumerate() {
        let fault = |what: &str| format!("message {input} of the input: {what}");
        let body: Value = serde_json::from_slice(body).map_err(|error| fault(&error.to_string()))?;
        let text_of = |field: &str| {
            body[field].as_str().map(str::to_owned).ok_or_else(|| fault(&format!("no text in the field `{field}`")))
        };
        let id = text_of("conversation_id")?;
        let turn = Turn { turn: body["turn"].clone(), sender: text_of("sender")?, text: text_of("text")? };
        let conversation = *index.entry((group.to_owned(), id.clone())).or_insert_with(|| {
            conversations.push((id, Vec::new()));
            conversations.len() - 1
        });
        arrived.push(Arrived { conversation, place: conversations[conversation].1.len() });
        conversations[conversation].1.push(turn);
    }
    Ok(ExpectedPairs { arrived: arrived.into_iter().enumerate(), conversations })
}

impl Iterator for ExpectedPairs {
    type Item = ExpectedPair;

    fn next(&mut self) -> Option<ExpectedPair> {
        loop {
            let (input, Arrived { conversation, place }) = self.arrived.next()?;
            let (id, turns) = &self.conversations[conversation];
            let reply = &turns[place];
            if place == 0 || reply.sender != "agent" {
                continue;
            }
            let context: Vec<Value> =
                turns[..place].iter().map(|turn| json!({ "sender": turn.sender, "text": turn.text })).collect();
            let line = json!({ "conversation_id": id, "turn": reply.turn, "context": context, "reply": reply.text })
                .to_string();
            return Some(ExpectedPair { input, line });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_cannot_be_used_is_named_by_its_place() {
        let messages: [(&str, &[u8]); 2] = [
            ("g", br#"{"conversation_id":"c","turn":1,"sender":"agent","text":"x"}"#),
            ("g", br#"{"conversation_id":"c","turn":2,"sender":"agent"}"#),
        ];
        let error = recompute_pairs(messages).err().unwrap();
        assert!(error.contains("message 1") && error.contains("text"), "{error}");
    }
}
