//! What crossed the wire of a run, in the order in which it did: questions, answers, crashes. Plain numbers only, so
//! that the checker can judge without a line of the broker's code. Groups, bodies and ids are numbers that the clients
//! turned into texts; a text that no client made is [`STRANGE`].

/// A group, body or deduplication id that no client ever sent.
pub const STRANGE: u64 = u64::MAX;

/// A question's number; every repeat and every late duplicate has its own.
pub type Call = u32;

/// A refusal's name, such as `ReceiptExpired`.
pub type Refusal = String;

/// One run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The queues, by index.
    pub queues: Vec<QueueFacts>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The journal may get full: then sends are refused, and dead letters stay (H5, H10).
    pub may_fill: bool,
}

/// What a queue promises. Times in milliseconds.
#[derive(Clone, Debug)]
pub struct QueueFacts {
    /// One holder of a group at a time (else O3 alone).
    pub strict: bool,
    /// An equal id is a duplicate only in the same group (S7).
    pub group_scope: bool,
    /// How long an id is remembered (S4).
    pub window: u64,
    /// How long a message is kept (R9).
    pub retention: u64,
    /// How long a delivery is hidden unless the receive says otherwise.
    pub visibility: u64,
    /// Claims lapse after so long; never when absent.
    pub claim_limit: Option<u64>,
    /// How long a new message stays hidden, until that is changed (S11).
    pub delay: u64,
    /// The dead-letter queue, and how often a message is delivered before it goes there (Q1, Q2).
    pub redrive: Option<(usize, u32)>,
}

/// Something that happened at an instant.
#[derive(Clone, Debug)]
pub struct Event {
    /// Milliseconds of the machine's clock.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// A question reached the broker.
    Asked(Call, Ask),
    /// Its answer left the broker, whether or not the client got it.
    Answered(Call, Answer),
    /// The caller went before the answer.
    Left(Call),
    /// The broker's process or machine died, or was told to end.
    Ended,
    /// It started.
    Started {
        /// The last instant that its journal held.
        last: u64,
        /// Milliseconds that it counted as downtime (H2).
        gap: u64,
    },
    /// It would not start.
    RefusedToStart(String),
    /// A call, or the whole, did not come to an end although time passed.
    Stuck(String),
    /// The run is over and every queue was seen empty.
    Drained,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its group.
    pub group: u64,
    /// Its deduplication id; absent: the body's digest, or for an output the commit's.
    pub id: Option<u64>,
    /// Its body; every different message has its own.
    pub body: u64,
}

/// A receipt: message and epoch.
pub type Receipt = (u64, u64);

/// Who reads: queue, reader's name, generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReaderAt {
    /// The queue.
    pub queue: usize,
    /// The reader.
    pub reader: u64,
    /// Its generation, as the controller knows it.
    pub generation: u64,
}

/// A group's stored value: the messages that were folded into it.
pub type GroupValue = (u64, Vec<u64>);

/// What becomes of a group's messages of a claim that are not done (B7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They go back.
    Back,
    /// The first becomes a dead letter, the others go back.
    Dead,
    /// They go back, and the group is parked.
    Parked,
}

/// What became of a group of a claim: its messages up to a number are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The group.
    pub group: u64,
    /// The last that is done; absent: none.
    pub through: Option<u64>,
    /// What becomes of the others.
    pub rest: Rest,
}

/// A question.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields are the arguments of the call that the variant is named after")]
pub enum Ask {
    Send {
        queue: usize,
        entries: Vec<Entry>,
    },
    Receive {
        queue: usize,
        max: u32,
        visibility: Option<u64>,
        wait: u64,
        attempt: Option<u64>,
    },
    Delete {
        queue: usize,
        receipts: Vec<Receipt>,
    },
    Change {
        queue: usize,
        entries: Vec<(Receipt, u64)>,
    },
    OpenProducer {
        queue: usize,
        producer: u64,
        instance: u64,
    },
    Numbered {
        queue: usize,
        producer: u64,
        epoch: u64,
        first: u64,
        entries: Vec<Entry>,
    },
    Park {
        queue: usize,
        group: u64,
    },
    Unpark {
        queue: usize,
        group: Option<u64>,
    },
    Purge {
        queue: usize,
    },
    Delay {
        queue: usize,
        delay: u64,
    },
    Move {
        queue: usize,
        to: Option<usize>,
        rate: u32,
    },
    Peek {
        queue: usize,
    },
    Count {
        queue: usize,
    },
    Open {
        queue: usize,
        reader: u64,
        instance: u64,
        limit: Option<u64>,
    },
    Claim {
        reader: ReaderAt,
        number: u64,
        max: u32,
        wait: u64,
    },
    Take {
        reader: ReaderAt,
        number: u64,
        worker: u64,
        failed: bool,
    },
    Read {
        reader: ReaderAt,
        number: u64,
        epoch: u64,
    },
    Commit {
        reader: ReaderAt,
        number: u64,
        epoch: u64,
        id: u64,
        outcomes: Vec<Outcome>,
        values: Vec<GroupValue>,
        outputs: Vec<(usize, Entry)>,
    },
    Finish {
        queue: usize,
        id: u64,
        receipts: Vec<Receipt>,
        outputs: Vec<(usize, Entry)>,
    },
    Abandon {
        reader: ReaderAt,
        number: u64,
    },
    Values {
        reader: ReaderAt,
        group: u64,
    },
}

/// A send's success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The message.
    pub sequence: u64,
    /// It was there before (S6).
    pub duplicate: bool,
}

/// A message as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The message.
    pub sequence: u64,
    /// Its group.
    pub group: u64,
    /// Its body.
    pub body: u64,
    /// When the broker says it was sent.
    pub sent_at: u64,
    /// A dead letter's identity: the queue that it was sent to, and its number there (H9).
    pub origin: Option<(usize, u64)>,
}

/// A message as it was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The message.
    pub seen: Seen,
    /// The grant's epoch.
    pub epoch: u64,
    /// When it becomes visible again.
    pub visible_at: u64,
    /// How often it was received.
    pub receives: u32,
}

/// What a claim's number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the contract's (B6)")]
pub enum Claimed {
    Open { epoch: u64 },
    Empty,
    Committed { commit: u64 },
    Burnt,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are the replies of the call that the variant is named after")]
pub enum Answer {
    Sent(Vec<Result<Accepted, Refusal>>),
    Received(Vec<Delivered>),
    /// Whether it was gone before.
    Deleted(Vec<Result<bool, Refusal>>),
    Changed(Vec<Result<u64, Refusal>>),
    Purged(u64),
    Done,
    Producer {
        epoch: u64,
        last: u64,
    },
    /// The number of a move task.
    Moving(u64),
    Peeked(Vec<Seen>),
    Counted(u64),
    Opened {
        generation: u64,
        open: Vec<(u64, u64)>,
        last_number: u64,
    },
    Claimed(Claimed),
    Taken {
        epoch: u64,
    },
    Contents {
        values: Vec<GroupValue>,
        messages: Vec<Seen>,
    },
    Committed {
        commit: Option<u64>,
        outputs: Vec<Accepted>,
        repeated: bool,
    },
    Abandoned(Vec<u64>),
    Values(Vec<Vec<u64>>),
    /// The whole question was refused, durably; nothing happened.
    Refused(Refusal),
    /// The outcome is unknown (H4).
    Unavailable,
}
