//! A seeded day of conversations, for a pipeline without an input: the same seed makes the same bytes. Conversations
//! start through the day, take turns with thinking times, and lie interleaved in the order of arrival.

use std::{fmt::Write as _, io::Write as _, path::Path};

use anyhow::Context as _;
use fastrand::Rng;

/// About so many messages make a day.
const MESSAGES: usize = 5_000;
/// 2026-03-02T00:00:00Z, a Monday, in milliseconds of Unix time.
const DAY: i64 = 1_772_409_600_000;

const ASKS: [&str; 8] = [
    "My parcel has not arrived yet.",
    "I cannot log in to my account.",
    "Can I change my booking?",
    "The invoice shows the wrong amount.",
    "How do I return an item?",
    "My card was charged twice.",
    "The app closes by itself.",
    "I would like to cancel my plan.",
];
const ANSWERS: [&str; 8] = [
    "I am sorry to hear that. May I have the number?",
    "Let me look into it.",
    "Thank you. I have found it.",
    "I have asked the team; it takes a moment.",
    "That is done now. Please check once more.",
    "You will get a message within the hour.",
    "I have sent you a link.",
    "Is there anything else I can do?",
];
const REPLIES: [&str; 8] = [
    "It is the one from last week.",
    "Thank you, I will try.",
    "Yes, please.",
    "No, that is not the right one.",
    "I still see the same.",
    "Now it works.",
    "That took long.",
    "Good, thank you.",
];

/// Writes the day of a seed into a file, whole or not at all.
pub(crate) fn write_day(path: &Path, seed: u64) -> anyhow::Result<()> {
    let named = || format!("cannot write {}", path.display());
    let partial = path.with_extension("partial");
    let mut file = std::fs::File::create(&partial).with_context(named)?;
    file.write_all(day(seed).as_bytes()).and_then(|()| file.sync_all()).with_context(named)?;
    std::fs::rename(&partial, path).with_context(named)
}

/// The day of a seed, as JSON Lines in the order of arrival.
pub(crate) fn day(seed: u64) -> String {
    let mut rng = Rng::with_seed(seed);
    let mut messages = Vec::with_capacity(MESSAGES + 30);
    let mut conversation = 0;
    while messages.len() < MESSAGES {
        conversation += 1;
        // Most conversations start between 9 and 17 h: the mean of two draws lies in the middle of the day.
        let mut at = DAY + (rng.i64(0..86_400_000) + rng.i64(0..86_400_000)) / 2;
        for turn in 1..=rng.usize(4..30) {
            let (sender, text) = speak(&mut rng, turn);
            messages.push((at, conversation, turn, sender, text));
            at += rng.i64(2_000..90_000);
        }
    }
    messages.sort_unstable();
    let mut lines = String::new();
    for (at, conversation, turn, sender, text) in messages {
        let sent_at = jiff::Timestamp::from_millisecond(at).expect("a day in 2026 is in range");
        writeln!(
            lines,
            r#"{{"conversation_id":"day-{seed}-{conversation:04}","turn":{turn},"sender":"{sender}","text":"{text}","sent_at":"{sent_at:.3}"}}"#
        )
        .expect("a String takes every write");
    }
    lines
}

fn speak(rng: &mut Rng, turn: usize) -> (&'static str, &'static str) {
    let texts = match turn {
        1 => &ASKS,
        turn if turn.is_multiple_of(2) => &ANSWERS,
        _ => &REPLIES,
    };
    (if turn.is_multiple_of(2) { "agent" } else { "customer" }, texts[rng.usize(..texts.len())])
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_day_is_made_by_its_seed_alone() {
        assert_eq!(super::day(7), super::day(7));
        assert_ne!(super::day(7), super::day(8));
        assert!((5_000..5_030).contains(&super::day(7).lines().count()));
    }
}
