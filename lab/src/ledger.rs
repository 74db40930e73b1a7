//! The proof: what became of every message, counted from what the producers wrote down, what the mappers touched and what
//! the pool's manifest lists. The broker is not asked. Only counting; who wrote those files is elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_emr_sim::{inputs::Aside, manifest::Output};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    dialogue::Turn,
    mapper::{Line, Touched},
    producer::Noted,
};

/// The table that a class looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Tries that went out, repeats with them.
    pub sent: u64,
    /// Tries without an answer.
    pub unanswered: u64,
    /// Different messages that were answered for.
    pub accepted: u64,
    /// Answers that said: known already, nothing new is stored.
    pub turned_away: u64,
    /// Different numbers in the queue among the answers: as many messages lie on disk.
    pub stored: u64,
    /// Messages that a worker went through, again and again where it had to.
    pub processed: u64,
    /// Lines of published files.
    pub committed: u64,
    /// Messages that nobody can process, set aside for people.
    pub dead_lettered: u64,
    /// Accepted, and on their way.
    pub on_the_way: u64,
    /// Accepted, nowhere, and nothing is on its way any more.
    pub lost: u64,
    /// Committed more than once.
    pub duplicated: u64,
    /// Committed behind a later one of their conversation.
    pub out_of_order: u64,
    /// SHA-256 over the conversations as they were sent.
    pub sender_sha256: String,
    /// SHA-256 over the conversations as they were published.
    pub processor_sha256: String,
    /// The first thing that is wrong, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violation: Option<String>,
}

impl Proof {
    /// Whether both ends have the same words in the same order.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.sender_sha256 == self.processor_sha256
    }

    /// Whether nothing is wrong, and nothing is on its way.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.violation.is_none()
            && self.on_the_way == 0
            && self.is_equal()
            && self.lost + self.duplicated + self.out_of_order == 0
    }
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = |count: u64, what: &str| if count > 0 { format!(", {what} {count}") } else { String::new() };
        write!(
            f,
            "sent {}, accepted {}, turned away {}, stored {}, processed {}, committed {}{}{}, lost {}, duplicated {}, out of order {}",
            self.sent,
            self.accepted,
            self.turned_away,
            self.stored,
            self.processed,
            self.committed,
            named(self.dead_lettered, "dead-lettered"),
            named(self.on_the_way, "on the way"),
            self.lost,
            self.duplicated,
            self.out_of_order
        )
    }
}

/// How far a message is, for its three ticks and beyond.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Life {
    /// How often it went out.
    pub tries: u64,
    /// It was answered for, under this number.
    pub sequence_number: Option<u64>,
    /// The answer said: known already.
    pub known: bool,
    /// How often a worker went through it.
    pub processed: u64,
    /// How often it is in published files.
    pub committed: u64,
    /// It was set aside.
    pub aside: bool,
    /// Its answer left the broker and was lost, so it is on disk.
    pub on_disk: bool,
}

/// Everything that is known from outside.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    script: BTreeMap<(String, u32), Turn>,
    lives: BTreeMap<(String, u32), Life>,
    /// In the order of their answers.
    answered: Vec<(String, u32)>,
    numbers: BTreeSet<u64>,
    published: Vec<Line>,
    /// By worker: what it touched last.
    hands: BTreeMap<u32, Touched>,
    commits: usize,
    aside: BTreeSet<u64>,
    sent: u64,
    unanswered: u64,
    turned_away: u64,
    processed: u64,
    fault: Option<String>,
}

impl Ledger {
    /// A ledger of the messages that are to be sent.
    #[must_use]
    pub fn new(script: impl IntoIterator<Item = Turn>) -> Self {
        let script = script.into_iter().map(|turn| ((turn.conversation.clone(), turn.turn), turn)).collect();
        Self { script, ..Self::default() }
    }

    /// One more message that will be sent.
    pub fn expect(&mut self, turn: Turn) {
        self.script.insert((turn.conversation.clone(), turn.turn), turn);
    }

    /// Takes the next line of a producer's log.
    pub fn noted(&mut self, noted: Noted) {
        match noted {
            Noted::Try { conversation, turn } => {
                self.sent += 1;
                self.lives.entry((conversation, turn)).or_default().tries += 1;
            }
            Noted::Answer { conversation, turn, sequence_number, known } => {
                self.turned_away += u64::from(known);
                self.numbers.insert(sequence_number);
                let message = (conversation, turn);
                let life = self.lives.entry(message.clone()).or_default();
                life.known = known;
                if life.sequence_number.replace(sequence_number).is_none() {
                    self.answered.push(message);
                }
            }
            Noted::Unanswered { .. } => self.unanswered += 1,
        }
    }

    /// Takes the next line of what mappers touched.
    pub fn touched(&mut self, touched: Touched) {
        self.processed += 1;
        self.lives.entry((touched.conversation.clone(), touched.turn)).or_default().processed += 1;
        self.hands.insert(touched.worker, touched);
    }

    /// Takes the next line of a published file.
    pub fn published(&mut self, line: Line) {
        self.lives.entry((line.group.clone(), line.turn)).or_default().committed += 1;
        self.published.push(line);
    }

    /// A message was set aside, by its number.
    pub fn set_aside(&mut self, sequence_number: u64) {
        self.aside.insert(sequence_number);
        if let Some(life) = self.lives.values_mut().find(|life| life.sequence_number == Some(sequence_number)) {
            life.aside = true;
        }
    }

    /// Reads what a manifest lists beyond what is known already. Every file is checked against the digest of its commit.
    pub fn read(&mut self, output: &Output) {
        let lines = output.published_files().len();
        if lines <= self.commits {
            return;
        }
        if let Err(why) = self.read_from(output) {
            self.fault.get_or_insert(why);
        }
        self.commits = lines;
    }

    fn read_from(&mut self, output: &Output) -> Result<(), String> {
        for file in output.verified_files().skip(self.commits) {
            let file = file.map_err(|error| error.to_string())?;
            for line in file.lines() {
                let line = serde_json::from_slice(line)
                    .map_err(|error| format!("a published line is none of ours: {error}"))?;
                self.published(line);
            }
            let inputs = output.inputs(&file.line).map_err(|error| error.to_string())?.unwrap_or_default();
            for aside in inputs.into_iter().filter_map(|group| group.set_aside) {
                match aside.outcome {
                    Aside::DeadLettered | Aside::Parked => self.set_aside(aside.sequence_number),
                }
            }
        }
        Ok(())
    }

    /// The answer to a message was seen, and lost.
    pub fn answer_lost(&mut self, conversation: &str, turn: u32) {
        self.lives.entry((conversation.to_owned(), turn)).or_default().on_disk = true;
    }

    /// What a worker touched last, while that is not committed.
    #[must_use]
    pub fn doing(&self, worker: u32) -> Option<&Touched> {
        let touched = self.hands.get(&worker)?;
        let life = self.lives.get(&(touched.conversation.clone(), touched.turn))?;
        (life.committed == 0 && !life.aside).then_some(touched)
    }

    /// How far a message is.
    #[must_use]
    pub fn life(&self, conversation: &str, turn: u32) -> Life {
        self.lives.get(&(conversation.to_owned(), turn)).cloned().unwrap_or_default()
    }

    /// The published lines, in the order of their commits.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.published
    }

    /// How many files were published.
    #[must_use]
    pub fn commits(&self) -> usize {
        self.commits
    }

    /// The table. When everything has `drained`, what is nowhere is lost; before, it is on its way.
    #[must_use]
    pub fn proof(&self, drained: bool) -> Proof {
        let mut violation = self.fault.clone();
        let mut wrong = |what: String| {
            violation.get_or_insert(what);
        };
        let (mut duplicated, mut out_of_order) = (0, 0);
        let mut newest: BTreeMap<&str, u32> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for line in &self.published {
            let Line { group, turn, sender, text, .. } = line;
            let sent = self.script.get(&(group.clone(), *turn));
            if !sent.is_some_and(|sent| sent.sender == *sender && sent.text == *text) {
                wrong(format!("{group}, turn {turn}, is published in words that nobody sent"));
            }
            if !seen.insert((group.as_str(), *turn)) {
                duplicated += 1;
                wrong(format!("{group}, turn {turn}, is published twice"));
                continue;
            }
            let last = newest.entry(group).or_default();
            if *last > *turn {
                out_of_order += 1;
                wrong(format!("{group}, turn {turn}, is published behind turn {last}"));
            }
            *last = (*last).max(*turn);
        }
        let (mut missing, mut dead_lettered) = (0, 0);
        for message in &self.answered {
            let life = &self.lives[message];
            if life.aside || life.sequence_number.is_some_and(|number| self.aside.contains(&number)) {
                dead_lettered += 1;
            } else if life.committed == 0 {
                missing += 1;
                if drained {
                    wrong(format!("{}, turn {}, was accepted and is nowhere", message.0, message.1));
                }
            }
        }
        let (on_the_way, lost) = if drained { (0, missing) } else { (missing, 0) };
        let (sender_sha256, processor_sha256) = self.digests();
        if drained && sender_sha256 != processor_sha256 {
            wrong("the transcripts of both ends differ".to_owned());
        }
        Proof {
            sent: self.sent,
            unanswered: self.unanswered,
            accepted: self.answered.len() as u64,
            turned_away: self.turned_away,
            stored: self.numbers.len() as u64,
            processed: self.processed,
            committed: self.published.len() as u64,
            dead_lettered,
            on_the_way,
            lost,
            duplicated,
            out_of_order,
            sender_sha256,
            processor_sha256,
            violation,
        }
    }

    /// The digests of the transcripts: conversation by conversation, by name, each in the order of its own end. What was
    /// set aside is in neither.
    fn digests(&self) -> (String, String) {
        let mut sent: BTreeMap<&str, Vec<&Turn>> = BTreeMap::new();
        for message in &self.answered {
            let aside = self.lives[message].sequence_number.is_some_and(|number| self.aside.contains(&number));
            if let Some(turn) = self.script.get(message).filter(|_| !aside) {
                sent.entry(&turn.conversation).or_default().push(turn);
            }
        }
        let sent = sent.into_values().flatten();
        let sender = digest(sent.map(|it| (it.conversation.as_str(), it.turn, it.sender.as_str(), it.text.as_str())));
        let mut got: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in &self.published {
            got.entry(&line.group).or_default().push(line);
        }
        let got = got.into_values().flatten();
        let processor = digest(got.map(|it| (it.group.as_str(), it.turn, it.sender.as_str(), it.text.as_str())));
        (sender, processor)
    }
}

/// SHA-256 over lines of four fields each, in hexadecimal digits.
pub fn digest<'a>(lines: impl Iterator<Item = (&'a str, u32, &'a str, &'a str)>) -> String {
    let mut hasher = Sha256::new();
    for line in lines {
        let line = serde_json::to_vec(&line).expect("words and numbers are always JSON");
        hasher.update(line);
        hasher.update(b"\n");
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "ledger/tests.rs"]
mod tests;
