//! What the running pool asks the broker, and what it makes of the answers: new claims, what became of a claim whose
//! worker is gone, what is left at the end. Workers and their reports are in `news`.

use super::{Answer, Run};
use crate::pool::PoolError;
use crate::pool::publish::Task;
use crate::port::{ClaimLimits, Claimed, Patience, Port, PortError, ReaderState, Reason};

/// At most so many claims of a reader are open (B6).
const OPEN_CLAIMS: usize = 64;

impl<P: Port> Run<P> {
    /// Asks for the next claim when there is room for it and nobody asks already.
    pub(super) fn claim_more(&mut self) {
        let staffed = self.crew.staffed();
        let room = (staffed + self.settings.claims_ahead).min(OPEN_CLAIMS);
        if self.claiming.is_some() || self.checking || self.cancelled || staffed == 0 || self.claims.len() >= room {
            return;
        }
        let mut limits = self.settings.claim;
        if self.no_more {
            // Nothing is to be gathered any more; but where something stands in the way, wait for its end.
            let wait_seconds = u32::from(self.leftovers || !self.claims.is_empty());
            limits = ClaimLimits { wait_seconds, min_messages: 1, linger_ms: 0, ..limits };
        }
        self.turn += 1;
        let (turn, number) = (self.turn, self.next);
        let (port, reader, patience) = (self.port.clone(), self.reader.clone(), Patience(self.settings.patience));
        let asking = async move {
            Answer::Claimed { turn, claimed: patience.ask(|| port.claim(&reader, number, limits)).await }
        };
        self.claiming = Some(self.answers.spawn(asking));
    }

    /// Gives up a claim that waits for messages; the same number is asked for again, so nothing is lost by it (B6).
    pub(super) fn hurry(&mut self) {
        if let Some(claiming) = self.claiming.take() {
            claiming.abort();
        }
    }

    /// Takes an answer of the broker; `Some` when nothing is left to do.
    pub(super) fn answered(&mut self, answer: Answer) -> Result<Option<ReaderState>, PoolError> {
        match answer {
            Answer::Claimed { turn, .. } if turn != self.turn => {}
            Answer::Claimed { claimed, .. } => {
                self.claiming = None;
                match claimed? {
                    Claimed::Open(claim) => {
                        self.leftovers = false;
                        self.claims.add(claim.number, claim.messages);
                        self.next += 1;
                    }
                    Claimed::Empty => {
                        if self.no_more && self.claims.is_empty() {
                            self.check_what_is_left();
                        }
                    }
                    // Ended between two tries of the call, by the operator's word.
                    Claimed::Committed | Claimed::Burnt => self.next += 1,
                }
            }
            Answer::Became { number, claimed } => self.became(number, claimed)?,
            Answer::Left(left) => {
                self.checking = false;
                let (queue, reader) = left?;
                if queue.queue_generation != self.reader.queue_generation {
                    let (now, own) = (queue.queue_generation, self.reader.queue_generation);
                    return Err(PoolError::QueueGenerationChanged(format!("it is generation {now} now, not {own}")));
                }
                // Parked groups wait for somebody's word, not for this pool (B7).
                if queue.messages <= queue.parked && reader.open_claims.is_empty() {
                    return Ok(Some(reader));
                }
                self.leftovers = true;
                for claim in reader.open_claims.iter().filter(|claim| claim.number < self.next) {
                    self.claims.add(claim.number, claim.messages);
                }
            }
        }
        Ok(None)
    }

    fn check_what_is_left(&mut self) {
        self.checking = true;
        let (port, reader, patience) = (self.port.clone(), self.reader.clone(), Patience(self.settings.patience));
        self.answers.spawn(async move {
            let queue = match patience.ask(|| port.describe_queue(&reader)).await {
                Ok(queue) => queue,
                Err(error) => return Answer::Left(Err(error)),
            };
            Answer::Left(patience.ask(|| port.describe_reader(&reader)).await.map(|reader| (queue, reader)))
        });
    }

    /// A worker has let go of a claim: only the broker knows what became of it. `Claim` of a number that was given out
    /// takes nothing, it answers (B6).
    pub(super) fn ask_what_became(&mut self, number: u64, previous_failed: bool) {
        if !self.claims.ask(number, previous_failed) {
            return;
        }
        let (port, reader, patience) = (self.port.clone(), self.reader.clone(), Patience(self.settings.patience));
        let limits = self.settings.claim;
        self.answers.spawn(async move {
            Answer::Became { number, claimed: patience.ask(|| port.claim(&reader, number, limits)).await }
        });
    }

    fn became(&mut self, number: u64, claimed: Result<Claimed, PortError>) -> Result<(), PoolError> {
        match claimed {
            Ok(Claimed::Open(_)) => self.claims.still_open(number),
            Ok(Claimed::Committed) => self.committed(number, None),
            // Burnt by the operator's word: its messages went back and come again under another number.
            Ok(Claimed::Burnt | Claimed::Empty) => drop(self.claims.ended(number)),
            // It ended so long ago that only the records know how; the publisher reads those anyway.
            Err(PortError::Refused { reason: Reason::OutcomeForgotten, .. }) => self.committed(number, None),
            Err(error) => return Err(error.into()),
        }
        self.hurry_at_the_end();
        Ok(())
    }

    /// `done`: how many of its messages, where a worker said so; else all are counted until the manifest is read.
    pub(super) fn committed(&mut self, number: u64, done: Option<u64>) {
        if let Some(messages) = self.claims.ended(number) {
            let messages = done.unwrap_or(messages);
            self.progress.send_modify(|progress| {
                progress.commits += 1;
                progress.messages_committed += messages;
            });
        }
        self.task(Task::Publish);
    }

    /// The last claim has ended: do not sit out a wait for messages that are not coming.
    pub(super) fn hurry_at_the_end(&mut self) {
        if self.no_more && self.claims.is_empty() && !self.leftovers {
            self.hurry();
        }
    }
}
