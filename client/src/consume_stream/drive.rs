//! The task behind a `ConsumeStream`: it keeps a connection, grants credit as messages are taken, and asks what has no
//! answer again when the connection breaks. It ends when nobody can take messages any more.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use lockstep_proto::v1;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, Streaming};

use super::{
    ask::{Ask, Line},
    credit::Credit,
};
use crate::{
    Client, Delivery, Error,
    delivery::Source,
    error::Failure,
    retry::{GaveUp, SHORTEST_TRY, Start, within},
    wire,
};

/// A connection that lasted so long was a good one, though nothing came on it.
const GOOD: Duration = Duration::from_secs(1);

/// What came together, or why nothing comes.
pub(super) type Came = Result<VecDeque<Delivery>, Error>;
type Deliveries = mpsc::UnboundedSender<Came>;

/// Starts a driver; where its deliveries come.
pub(super) fn start(
    client: Client,
    start: v1::ConsumeStart,
    credit: Credit,
    asks: mpsc::WeakUnboundedSender<Ask>,
    asked: mpsc::UnboundedReceiver<Ask>,
) -> mpsc::UnboundedReceiver<Came> {
    let (deliveries, taken) = mpsc::unbounded_channel();
    let (line, waiting) = (Line::default(), false);
    let source = Source::new(client.clone(), start.queue.clone(), Some(asks));
    let driver = Driver { client, start, source, asked, deliveries, line, credit, waiting, closing: None };
    tokio::spawn(driver.run());
    taken
}

struct Driver {
    client: Client,
    start: v1::ConsumeStart,
    /// Of the deliveries; its way back here is weak, so that this end does not keep itself open.
    source: Arc<Source>,
    asked: mpsc::UnboundedReceiver<Ask>,
    deliveries: Deliveries,
    line: Line,
    credit: Credit,
    /// An error was told, and nobody asked for more since.
    waiting: bool,
    closing: Option<oneshot::Sender<()>>,
}

/// Why a connection is served no more.
enum End {
    /// Nobody takes messages any more.
    Gone,
    /// As it was asked.
    Closed,
    Broken(Failure),
}

type Connection = (mpsc::UnboundedSender<Bytes>, Streaming<v1::ConsumeResponse>);

impl Driver {
    async fn run(mut self) {
        // The failures in a row, and when the first of them was.
        let (mut failed, mut since) = (0, None);
        loop {
            while self.waiting && self.line.is_empty() {
                if !self.wait().await {
                    return self.end();
                }
            }
            let end = match self.open().await {
                Ok(connection) => {
                    let (began, mut heard) = (Instant::now(), false);
                    let end = self.serve(connection, &mut heard).await;
                    if heard || began.elapsed() >= GOOD {
                        (failed, since) = (0, None);
                    }
                    end
                }
                Err(end) => end,
            };
            let failure = match end {
                End::Gone | End::Closed => return self.end(),
                End::Broken(failure) => failure,
            };
            let pause = self.client.retry_policy().pause(failed);
            failed = failed.saturating_add(1);
            let over = *since.get_or_insert_with(Start::now);
            if self.broke(failure, over, pause) {
                (failed, since) = (0, None);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.deliveries.closed() => return,
            }
            if self.closing.is_some() {
                return self.end();
            }
        }
    }

    /// What is unanswered is asked in calls, by those who wait for it.
    fn end(mut self) {
        if let Some(closing) = self.closing.take() {
            // Who asked may have gone.
            let _ = closing.send(());
        }
    }

    /// Waits until somebody asks for something; false when nobody can any more.
    async fn wait(&mut self) -> bool {
        tokio::select! {
            () = self.deliveries.closed() => false,
            ask = self.asked.recv() => {
                ask.is_some_and(|ask| self.take(ask)) && self.closing.is_none()
            }
        }
    }

    /// Takes what is asked; false when the stream shall end.
    fn take(&mut self, ask: Ask) -> bool {
        match ask {
            Ask::Taken(messages) => self.credit.taken(messages),
            Ask::GoOn => self.waiting = false,
            Ask::Finish(finish) => self.line.push(finish),
            Ask::FinishAll(finishes) => finishes.into_iter().for_each(|finish| self.line.push(finish)),
            Ask::Close(closing) => self.closing = Some(closing),
        }
        self.closing.is_none()
    }

    async fn open(&mut self) -> Result<Connection, End> {
        let (requests, said) = mpsc::unbounded_channel();
        let opening = wire::consume(self.client.stream_wire(), UnboundedReceiverStream::new(said));
        let until = Instant::now().checked_add(self.client.retry_policy().try_limit);
        let late = || Status::unavailable("the broker did not open a stream in time");
        let opened = tokio::select! {
            () = self.deliveries.closed() => return Err(End::Gone),
            opened = within(until, opening) => opened,
        };
        let answers = opened.ok_or_else(late).flatten().map_err(|status| End::Broken(status.into()))?;
        let start = Some(self.start.clone());
        let first = v1::ConsumeRequest { start, credit: self.credit.anew(), ..v1::ConsumeRequest::default() };
        // What cannot be sent any more is learnt from the answers.
        let _ = requests.send(wire::consume_request(&first, [].iter()));
        Ok((requests, answers))
    }

    async fn serve(&mut self, (requests, mut answers): Connection, heard: &mut bool) -> End {
        let mut requests = Some(requests);
        // When the broker last gave a sign, or had no reason to.
        let mut sign = Instant::now();
        loop {
            if self.line.is_empty() {
                sign = Instant::now();
            }
            while let Ok(ask) = self.asked.try_recv() {
                self.take(ask);
            }
            if let Some(open) = &requests {
                let credit = if self.closing.is_some() { 0 } else { self.credit.more() };
                let grant = v1::ConsumeRequest { credit, ..v1::ConsumeRequest::default() };
                let grant = (credit > 0).then(|| wire::consume_request(&grant, [].iter()));
                for request in grant.into_iter().chain(self.line.send()) {
                    let _ = open.send(request);
                }
            }
            if self.closing.is_some() {
                // All is said. The broker answers what it was asked, and ends the stream.
                requests = None;
            }
            let until = self.patience(sign);
            tokio::select! {
                biased;
                () = self.deliveries.closed() => return End::Gone,
                response = within(until, answers.message()) => match response {
                    Some(Ok(Some(response))) => {
                        (*heard, sign) = (true, Instant::now());
                        if !self.heard(response) {
                            return End::Broken(Failure::Unknown("an answer to nothing that was asked".to_owned()));
                        }
                    }
                    Some(Ok(None)) if requests.is_none() => return End::Closed,
                    Some(Ok(None)) => return End::Broken(Failure::Unknown("the broker ended the stream".to_owned())),
                    Some(Err(status)) => return End::Broken(status.into()),
                    None => return End::Broken(Failure::Unknown("no answer in time".to_owned())),
                },
                ask = self.asked.recv(), if requests.is_some() => match ask {
                    Some(ask) => {
                        if self.line.is_empty() {
                            sign = Instant::now();
                        }
                        self.take(ask);
                    }
                    None => return End::Gone,
                },
            }
        }
    }

    /// Until when an answer is waited for: as long as one try lasts, and no longer than the oldest request may take.
    fn patience(&self, sign: Instant) -> Option<Instant> {
        let policy = self.client.retry_policy();
        let age = self.line.age()?;
        let silent = sign.checked_add(policy.try_limit);
        if policy.time_limit.is_zero() {
            return silent;
        }
        let left = policy.time_limit.saturating_sub(age).max(SHORTEST_TRY);
        silent.into_iter().chain(Instant::now().checked_add(left)).min()
    }

    fn heard(&mut self, response: v1::ConsumeResponse) -> bool {
        if !response.deliveries.is_empty() {
            self.credit.delivered(response.deliveries.len());
            let came = response.deliveries.into_iter().map(|read| Delivery::new(&self.source, read)).collect();
            // A consumer that is gone is noticed in the next turn.
            let _ = self.deliveries.send(Ok(came));
        }
        response.answers.into_iter().all(|answer| self.line.answer(answer))
    }

    /// The connection is lost, or could not be made: true when that was told, so that the tries begin anew.
    fn broke(&mut self, failure: Failure, since: Start, pause: Duration) -> bool {
        while let Ok(ask) = self.asked.try_recv() {
            self.take(ask);
        }
        let limit = self.client.retry_policy().time_limit.saturating_sub(pause);
        let gave_up = match failure {
            Failure::Final(error) => {
                self.line.fail(&error);
                return self.tell(error);
            }
            Failure::Unknown(text) => {
                self.line.lost(Some(&text));
                GaveUp::Unknown(text)
            }
            Failure::Unsent(text) => {
                self.line.lost(None);
                GaveUp::Unsent(text)
            }
        };
        tracing::debug!(?gave_up, ?pause, "a stream of deliveries is lost and opened again");
        let error = self.client.error(gave_up);
        self.line.give_up(limit, &error);
        since.elapsed() >= limit && self.tell(error)
    }

    fn tell(&mut self, error: Error) -> bool {
        if !std::mem::replace(&mut self.waiting, true) {
            // A consumer that is gone is noticed in the next turn.
            let _ = self.deliveries.send(Err(error));
        }
        true
    }
}
