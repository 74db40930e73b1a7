//! `lockstep receive --follow`: messages as they come, until enough came, nothing comes, or somebody interrupts it. How
//! a message looks is `receive`'s.

use std::time::Duration;

use lockstep_client::{ConsumeStream, Delivery};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::output::say;

/// Messages that are printed and deleted together, when so many are there.
const TOGETHER: usize = 100;

/// When to end, and what to do with messages.
pub(crate) struct Follow<P> {
    pub(crate) count: Option<u64>,
    pub(crate) idle: Option<Duration>,
    pub(crate) delete: bool,
    /// Prints a message.
    pub(crate) print: P,
}

/// An interrupt or a wish to end.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

impl<P: FnMut(&Delivery) -> anyhow::Result<()>> Follow<P> {
    /// Follows a stream to the end. What was delivered and not printed is given back, so that nobody waits for its lease.
    pub(crate) async fn run(mut self, mut stream: ConsumeStream) -> anyhow::Result<()> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut interrupts = Interrupts { interrupt, terminate };
        let ended = self.follow(&mut stream, &mut interrupts).await;
        let closed = stream.close().await;
        ended?;
        if let Err(error) = closed {
            say(&format!("what was delivered and not printed comes again when its leases end: {error}"));
        }
        Ok(())
    }

    async fn follow(&mut self, stream: &mut ConsumeStream, interrupts: &mut Interrupts) -> anyhow::Result<()> {
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let first = tokio::select! {
                biased;
                () = interrupts.next() => return Ok(()),
                first = stream.next() => first?,
                () = idle(self.idle) => return Ok(()),
            };
            let mut batch = vec![first];
            while batch.len() < TOGETHER
                && (batch.len() as u64) < left
                && let Some(Ok(next)) = stream.try_next()
            {
                batch.push(next);
            }
            left -= batch.len() as u64;
            // What is begun is ended, whoever interrupts it.
            self.handle(stream, &batch).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, stream: &ConsumeStream, batch: &[Delivery]) -> anyhow::Result<()> {
        for (printed, delivery) in batch.iter().enumerate() {
            if let Err(error) = (self.print)(delivery) {
                // Nobody reads any more. What was seen is finished, what was not goes back.
                let (seen, unseen) = batch.split_at(printed);
                if self.delete {
                    let _ = stream.delete_all(seen).await;
                }
                for delivery in unseen {
                    // A refusal says that it went back with one before it, or that its lease is over.
                    let _ = delivery.give_back().await;
                }
                return Err(error);
            }
        }
        if self.delete {
            // Printed first, so that nothing is deleted unseen.
            for deleted in stream.delete_all(batch).await {
                deleted?;
            }
        }
        Ok(())
    }
}

async fn idle(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
