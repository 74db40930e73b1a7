//! The service Readers: batch claims and Commit (B1, B6), without memory. [`BatchReader`](crate::BatchReader) carries
//! the numbers that these calls want.

use std::time::Duration;

use lockstep_proto::v1::{self, claim_response::Outcome};

use super::{part, same_length};
use crate::{Client, Error, Sent, claim::ClaimStream, retry::Repeat};

const NO_WAIT: Duration = Duration::ZERO;

/// What a claim's number stands for (B6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimAnswer {
    /// The number is open, and these are its messages' counts: the same number gives the same messages.
    Open(v1::OpenClaim),
    /// Nothing was there, and no number was used.
    Empty,
    /// The number is finished.
    Committed {
        /// The commit's dense number among the reader's commits (B9).
        commit_number: u64,
    },
    /// The number was abandoned or lapsed; its messages went back.
    Burnt,
}

/// A reader as it is at its opening (B6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedReader {
    /// The queue's generation: the reader ends with it (B8).
    pub queue_generation: u64,
    /// From a rising counter; a dropped name opened again has a new one.
    pub reader_id: u64,
    /// Fences every older opening of this reader, its workers included.
    pub reader_generation: u64,
    /// Claims that are neither committed nor burnt, at most 64.
    pub open_claims: Vec<v1::OpenClaim>,
    /// The highest number up to which every claim is committed or burnt.
    pub last_committed: u64,
    /// The highest number given out: the next claim is the one after it.
    pub last_number: u64,
    /// The newest dense commit number (B9).
    pub commits: u64,
    /// The identity of the broker's journal, a UUID.
    pub journal_id: String,
}

/// The answer to a commit (B1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Dense and rising for the commits of a reader's claims (B9); 0 for other commits.
    pub commit_number: u64,
    /// One for each output, in order; a duplicate counts as accepted.
    pub outputs: Vec<Sent>,
    /// This id was committed before, maybe by an earlier try of this call, and this is the answer of that time.
    pub already_committed: bool,
}

impl From<v1::OpenReaderResponse> for OpenedReader {
    fn from(answer: v1::OpenReaderResponse) -> Self {
        OpenedReader {
            queue_generation: answer.queue_generation,
            reader_id: answer.reader_id,
            reader_generation: answer.reader_generation,
            open_claims: answer.open_claims,
            last_committed: answer.last_committed,
            last_number: answer.last_number,
            commits: answer.commits,
            journal_id: answer.journal_id,
        }
    }
}

/// Some of the readers of a queue, in the order of their names.
#[derive(Clone, Debug, PartialEq)]
pub struct ReaderPage {
    /// At most as many as were asked for.
    pub readers: Vec<v1::ReaderDescription>,
    /// Pass it as `after` to get the next page; `None` on the last one.
    pub next: Option<String>,
}

impl Client {
    /// Opens a reader. The same instance gets the same generation back, which makes it safe to repeat; another
    /// instance fences this one. [`Client::open_reader`] is the comfortable form.
    ///
    /// # Errors
    /// [`Error::Refused`] for a bad name, a queue that is not strict, or one made anew.
    pub async fn open_reader_with(&self, request: v1::OpenReaderRequest) -> Result<OpenedReader, Error> {
        let call = || {
            let (mut rpc, request) = (self.readers(), request.clone());
            async move { rpc.open_reader(request).await }
        };
        self.call(Repeat::Always, NO_WAIT, call).await.map(OpenedReader::from)
    }

    /// Takes messages under a number, or answers what became of that number. The number is the key: repeating the
    /// call gives the same messages.
    ///
    /// # Errors
    /// [`Error::Refused`] for an older generation, a number that is not the next, or 64 open claims.
    pub async fn claim(&self, request: v1::ClaimRequest) -> Result<ClaimAnswer, Error> {
        let wait = Duration::from_secs(request.wait_seconds.into());
        let call = || {
            let (mut rpc, request) = (self.readers(), request.clone());
            async move { rpc.claim(request).await }
        };
        let answer = self.call(Repeat::Always, wait, call).await?;
        Ok(match part(answer.outcome, "outcome")? {
            Outcome::Open(open) if open.number == request.number => ClaimAnswer::Open(open),
            Outcome::Open(open) => {
                return Err(Error::Protocol(format!("claim {} was asked for, {} came", request.number, open.number)));
            }
            Outcome::Empty(v1::ClaimEmpty {}) => ClaimAnswer::Empty,
            Outcome::Committed(v1::ClaimCommitted { commit_number }) => ClaimAnswer::Committed { commit_number },
            Outcome::Burnt(v1::ClaimBurnt {}) => ClaimAnswer::Burnt,
        })
    }

    /// Makes a worker the holder of an open claim and fences the holder before it. The worker's id is the key: it
    /// gets the same epoch again, and no receive is counted twice.
    ///
    /// # Errors
    /// [`Error::Refused`] when the claim is not open or the generation is an older one.
    pub async fn take_claim(&self, request: v1::TakeClaimRequest) -> Result<v1::OpenClaim, Error> {
        let call = || {
            let (mut rpc, request) = (self.readers(), request.clone());
            async move { rpc.take_claim(request).await }
        };
        part(self.call(Repeat::Always, NO_WAIT, call).await?.claim, "claim")
    }

    /// Streams a claim, or a shard of it. Only its beginning is repeated; a stream that breaks ends with
    /// [`Error::Unavailable`] and can be read again from its start.
    ///
    /// # Errors
    /// [`Error::Refused`] when another holder took the claim or it is not open.
    pub async fn read_claim(&self, request: v1::ReadClaimRequest) -> Result<ClaimStream, Error> {
        let call = || {
            let (mut rpc, request) = (self.readers(), request.clone());
            async move { rpc.read_claim(request).await }
        };
        let stream = self.call(Repeat::Always, NO_WAIT, call).await?;
        Ok(ClaimStream::new(self.clone(), stream))
    }

    /// Burns claims and gives their messages back in order; answers the burnt numbers. Naming a number makes it safe
    /// to repeat (the repetition may then find nothing left to burn); number 0, every open claim, is never repeated
    /// once it was sent, because it could burn a claim made since.
    ///
    /// # Errors
    /// [`Error::Refused`] for a missing reader or an older generation.
    pub async fn abandon(&self, request: v1::AbandonRequest) -> Result<Vec<u64>, Error> {
        let repeat = if request.number == 0 { Repeat::Unsent } else { Repeat::Always };
        let call = || {
            let (mut rpc, request) = (self.readers(), request.clone());
            async move { rpc.abandon(request).await }
        };
        Ok(self.call(repeat, NO_WAIT, call).await?.burnt)
    }

    /// All or nothing: finishes a claim or deliveries, stores values, sends outputs (B1). The commit id is the key:
    /// repeating the call gives the first answer.
    ///
    /// # Errors
    /// [`Error::Refused`] when fenced, burnt, over a limit, or when an output is not accepted: nothing happened.
    /// With the reason `OUTCOME_FORGOTTEN` the opposite may be true: read the records, redo nothing.
    pub async fn commit(&self, request: v1::CommitRequest) -> Result<Committed, Error> {
        let call = || {
            let (mut rpc, request) = (self.readers(), request.clone());
            async move { rpc.commit(request).await }
        };
        let answer = self.call(Repeat::Always, NO_WAIT, call).await?;
        same_length(answer.outputs.len(), request.outputs.len())?;
        let outputs = answer.outputs.into_iter().map(Sent::from).collect();
        let v1::CommitResponse { commit_number, outputs: _, already_committed } = answer;
        Ok(Committed { commit_number, outputs, already_committed })
    }

    /// A page of stored values in the order of (scope, key). Only reads, so it is repeated freely.
    ///
    /// # Errors
    /// [`Error::Refused`] for a missing queue or reader.
    pub async fn read_values(&self, request: v1::ReadValuesRequest) -> Result<v1::ReadValuesResponse, Error> {
        let call = || {
            let (mut rpc, request) = (self.readers(), request.clone());
            async move { rpc.read_values(request).await }
        };
        self.call(Repeat::Always, NO_WAIT, call).await
    }

    /// At most `max_results` (1 to 1,000; 0 means 1,000, L13) readers of a queue whose name comes after `after`, in the
    /// order of names; `""` begins at the first. Only reads, so it is repeated freely.
    ///
    /// # Errors
    /// [`Error::Refused`] for a missing queue, one that is not strict, or a `max_results` over its limit.
    pub async fn list_readers_page(&self, queue: &str, after: &str, max_results: u32) -> Result<ReaderPage, Error> {
        let request = v1::ListReadersRequest { queue: queue.to_owned(), max_results, after: after.to_owned() };
        let call = || {
            let (mut rpc, request) = (self.readers(), request.clone());
            async move { rpc.list_readers(request).await }
        };
        let v1::ListReadersResponse { readers, next } = self.call(Repeat::Always, NO_WAIT, call).await?;
        Ok(ReaderPage { readers, next: (!next.is_empty()).then_some(next) })
    }

    /// Every reader of a queue, in the order of names, read page by page.
    ///
    /// # Errors
    /// As [`Client::list_readers_page`]; [`Error::Protocol`] when the pages do not advance.
    pub async fn list_readers(&self, queue: &str) -> Result<Vec<v1::ReaderDescription>, Error> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.list_readers_page(queue, &after, 0).await?;
            all.extend(page.readers);
            match page.next {
                None => return Ok(all),
                Some(next) if next > after => after = next,
                Some(next) => return Err(Error::Protocol(format!("the page after {after:?} ends at {next:?}"))),
            }
        }
    }

    /// One reader, with its open claims. Only reads, so it is repeated freely.
    ///
    /// # Errors
    /// [`Error::Refused`] for a missing queue or reader.
    pub async fn describe_reader(&self, queue: &str, reader: &str) -> Result<v1::ReaderDescription, Error> {
        let request = v1::DescribeReaderRequest { queue: queue.to_owned(), reader: reader.to_owned() };
        let call = || {
            let (mut rpc, request) = (self.readers(), request.clone());
            async move { rpc.describe_reader(request).await }
        };
        part(self.call(Repeat::Always, NO_WAIT, call).await?.reader, "reader")
    }

    /// Ends a reader: its claims are given back, its values removed. With an id it is refused when the name belongs
    /// to another reader by now.
    ///
    /// Never repeated once it was sent: a second call could end a reader opened since.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when its answer was lost; [`Error::Refused`] for a missing or another reader.
    pub async fn drop_reader(&self, queue: &str, reader: &str, reader_id: Option<u64>) -> Result<(), Error> {
        let request = v1::DropReaderRequest { queue: queue.to_owned(), reader: reader.to_owned(), reader_id };
        let call = || {
            let (mut rpc, request) = (self.readers(), request.clone());
            async move { rpc.drop_reader(request).await }
        };
        self.call(Repeat::Unsent, NO_WAIT, call).await.map(|_| ())
    }
}
