//! Moving bodies out of old frames in which hardly anything is named any more, so that those frames may go (H6). One
//! request at a time, a bounded share of a turn; the engine judges whether a body is still where it was read.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use lockstep_engine::{
    Engine,
    command::MoveBodies,
    words::{BodyOwner, BodyRef, QueueGeneration},
};
use tokio::sync::{mpsc, oneshot};

use super::nudge::Nudge;
use crate::{
    bodies::Bodies,
    failure::Failure,
    limits,
    request::{CommandRequest, Request},
};

type Body = (QueueGeneration, BodyOwner, BodyRef);

/// What a request under way will answer.
enum Answer {
    Moved(oneshot::Receiver<Result<u32, Failure>>),
    Nudged(oneshot::Receiver<Result<(), Failure>>),
}

/// What is to be moved, and the request under way.
pub(super) struct Mover {
    requests: mpsc::Sender<Box<dyn Request>>,
    bodies: Bodies,
    waiting: VecDeque<Body>,
    under_way: Option<Answer>,
    /// Frames with a body that cannot be read: they stay.
    stuck: BTreeSet<u64>,
}

impl Mover {
    pub(super) fn new(requests: mpsc::Sender<Box<dyn Request>>, bodies: Bodies) -> Self {
        Self { requests, bodies, waiting: VecDeque::new(), under_way: None, stuck: BTreeSet::new() }
    }

    /// Whether it has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_none()
    }

    /// Asks for a frame of its own, unless one is under way anyhow.
    pub(super) fn nudge(&mut self) {
        if self.is_idle() {
            let (nudge, answered) = Nudge::ask();
            // A sequencer that is busy makes frames without it.
            if self.requests.try_send(nudge).is_ok() {
                self.under_way = Some(Answer::Nudged(answered));
            }
        }
    }

    /// Takes on the bodies in these frames.
    pub(super) fn begin(&mut self, engine: &Engine, frames: &BTreeSet<u64>) {
        let frames = frames - &self.stuck;
        if !frames.is_empty() {
            self.waiting.extend(engine.owners(&frames));
            tracing::debug!(frames = frames.len(), bodies = self.waiting.len(), "bodies are moved");
        }
    }

    /// Sends the next request when the one before was answered. False: the broker ends.
    pub(super) fn step(&mut self) -> bool {
        let answered = match &mut self.under_way {
            Some(Answer::Moved(answer)) => answer.try_recv().map(|moved| moved.map(drop)),
            Some(Answer::Nudged(answer)) => answer.try_recv(),
            None => Ok(Ok(())),
        };
        match answered {
            Err(oneshot::error::TryRecvError::Empty) => return true,
            Ok(Err(Failure::Unavailable(_))) | Err(oneshot::error::TryRecvError::Closed) => return false,
            // What was refused is looked at again later.
            Ok(_) => self.under_way = None,
        }
        while self.under_way.is_none()
            && let Some((queue, _, _)) = self.waiting.front()
        {
            let queue = *queue;
            self.send(queue);
        }
        true
    }

    /// Reads some bodies of a queue and asks for their move.
    fn send(&mut self, queue: QueueGeneration) {
        let (mut owners, mut bodies, mut bytes) = (Vec::new(), Vec::new(), 0);
        while bytes < limits::MOVED_BYTES
            && let Some((_, owner, body)) = self.waiting.pop_front_if(|(of, _, _)| *of == queue)
        {
            match self.bodies.read(body.position) {
                Ok(read) => {
                    bytes += read.len() as u64;
                    bodies.push(read);
                    owners.push((owner, body));
                }
                Err(unread) => {
                    let fault = unread.into_fault();
                    tracing::error!(fault, "a body cannot be read: its frame stays where it is (H6)");
                    self.stuck.insert(body.position.frame);
                }
            }
        }
        if !bodies.is_empty() {
            self.ask(MoveBodies { queue, bodies: owners }, bodies, bytes);
        }
    }

    fn ask(&mut self, command: MoveBodies, bodies: Vec<Bytes>, bytes: u64) {
        let (answer, answered) = oneshot::channel();
        let request = CommandRequest { command, bodies, bytes, answer, _share: None };
        // A sequencer with too much to do, or that is gone, is asked again after the next look.
        if self.requests.try_send(Box::new(request)).is_ok() {
            self.under_way = Some(Answer::Moved(answered));
        } else {
            self.waiting.clear();
        }
    }
}
