//! The messages of the lab: six customers who write to the support of a shop, made from a seed. Only words; who sends
//! them, and when, is `stage`'s.

use serde::{Deserialize, Serialize};

/// The conversations, which are the message groups.
pub const CONVERSATIONS: [&str; 6] = ["anna", "bela", "carl", "dora", "emil", "faye"];
/// Turns of each, the customer's and the agent's by turns.
pub const TURNS: u32 = 12;
/// A message whose text begins with this cannot be processed by anybody.
pub const POISON: char = '\u{2620}';

/// One message as its producer has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The conversation: its message group.
    pub conversation: String,
    /// From 1.
    pub turn: u32,
    /// `customer` or `agent`.
    pub sender: String,
    /// What is said.
    pub text: String,
}

impl Turn {
    /// The deduplication id: the same for every try of this message.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}-{}", self.conversation, self.turn)
    }
}

const THINGS: [&str; 8] =
    ["kettle", "lamp", "raincoat", "bicycle bell", "tea set", "headphones", "notebook", "blanket"];
const FAULTS: [&str; 6] =
    ["it hums", "the lid is missing", "it is the wrong colour", "a seam is open", "it came twice", "it is scratched"];
const STREETS: [&str; 6] =
    ["Mill Lane 4", "Harbour Road 12", "Station Street 7", "Hill Path 31", "Elm Court 2", "Bridge Street 9"];
const DAYS: [&str; 5] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"];

/// All turns of all conversations, turn by turn, as they are said during the day.
#[must_use]
pub fn dialogue(seed: u64) -> Vec<Turn> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let spoken: Vec<Vec<String>> = CONVERSATIONS.iter().map(|name| conversation(name, &mut rng)).collect();
    let mut turns = Vec::new();
    for turn in 1..=TURNS {
        let mut order: Vec<usize> = (0..CONVERSATIONS.len()).collect();
        rng.shuffle(&mut order);
        for who in order {
            let sender = if turn % 2 == 1 { "customer" } else { "agent" };
            turns.push(Turn {
                conversation: CONVERSATIONS[who].to_owned(),
                turn,
                sender: sender.to_owned(),
                text: spoken[who][turn as usize - 1].clone(),
            });
        }
    }
    turns
}

fn conversation(name: &str, rng: &mut fastrand::Rng) -> Vec<String> {
    let thing = THINGS[rng.usize(..THINGS.len())];
    let fault = FAULTS[rng.usize(..FAULTS.len())];
    let street = STREETS[rng.usize(..STREETS.len())];
    let day = DAYS[rng.usize(..DAYS.len())];
    let order = rng.u32(10_000..100_000);
    let name = name[..1].to_uppercase() + &name[1..];
    vec![
        format!("Hello, this is {name}. My {thing} has arrived, and {fault}."),
        format!("Hello {name}, I am sorry. What is the number of your order?"),
        format!("It is {order}."),
        format!("Thank you. I have order {order}: one {thing}. Do you want another one, or your money back?"),
        "Another one, please.".to_owned(),
        "Gladly. Is your address still the same?".to_owned(),
        format!("No, I have moved: {street}."),
        format!("Noted: {street}. The parcel leaves on {day}."),
        "What do I do with the old one?".to_owned(),
        "Keep it, or give it to somebody who can use it.".to_owned(),
        "That is kind. Goodbye!".to_owned(),
        format!("Goodbye, {name}, and enjoy the {thing}."),
    ]
}

/// Which of so many producers a conversation belongs to: one producer a group, as order in a group needs it.
#[must_use]
pub fn producer_of(conversation: &str, producers: usize) -> usize {
    CONVERSATIONS.iter().position(|name| *name == conversation).unwrap_or(0) % producers.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_dialogue_and_every_conversation_is_whole_and_in_order() {
        assert_eq!(dialogue(7), dialogue(7));
        assert_ne!(dialogue(7), dialogue(8));
        let turns = dialogue(7);
        assert_eq!(turns.len(), CONVERSATIONS.len() * TURNS as usize);
        for name in CONVERSATIONS {
            let own: Vec<u32> = turns.iter().filter(|turn| turn.conversation == name).map(|turn| turn.turn).collect();
            assert_eq!(own, (1..=TURNS).collect::<Vec<_>>());
        }
    }
}
