//! Every limit of the shell in one table, with the rule it comes from. Sizes in bytes, times in milliseconds.
//! The engine's own limits are in `lockstep_engine::limits`.

/// Most attributes of a message (L7).
pub const MESSAGE_ATTRIBUTES: usize = 10;
/// Longest name, and longest type, of a message attribute (L7), in bytes.
pub const ATTRIBUTE_NAME: usize = 256;
/// Longest trace header, in bytes.
pub const TRACE_HEADER: usize = 1_024;
/// Most requests run in one turn.
pub const TURN_REQUESTS: usize = 1_024;
/// Bodies, ids and events of a turn at which no further request is begun; the next frame takes it (H1).
pub const TURN_BYTES: u64 = 1 << 20;
/// What events alone may take of a turn before no further request is begun, which may add as much again.
pub const TURN_EVENT_BYTES: u64 = 96 << 10;
/// The largest frame that a turn makes: bodies and events (H1).
pub const FRAME_BYTES: u64 = (1 << 20) + (256 << 10);
/// Most requests that wait for a turn; one more is turned away before anything was decided.
pub const QUEUED_REQUESTS: usize = 8_192;
/// Most bytes of bodies that wait for a turn, in KiB.
pub const QUEUED_KIB: u32 = 64 << 10;
/// What a request costs in that account beside its bodies.
pub const REQUEST_OVERHEAD: u64 = 512;
/// Most parked polls; one more is answered at once as if its wait had ended.
pub const WAITERS: usize = 20_000;
/// Most unanswered requests of a Produce stream; more are not read.
pub const PRODUCE_REQUESTS: usize = 1_024;
/// Most bytes of unanswered requests of a Produce stream; more are not read.
pub const PRODUCE_BYTES: usize = 4 << 20;
/// Most results of one message of a Produce stream, unless a single block has more.
pub const PRODUCE_RESULTS: usize = 1_000;
/// Most messages that a Consume stream may have been granted and not yet delivered.
pub const CONSUME_CREDIT: u32 = 10_000;
/// Most unanswered requests of a Consume stream; more are not read.
pub const CONSUME_REQUESTS: usize = 256;
/// Responses of a stream that may wait for a client that does not read.
pub const STREAM_RESPONSES: usize = 2;
/// Shortest time between two searches for parked polls whose callers went.
pub const SWEEP: u64 = 1_000;
/// Most bytes of one message that the gRPC door reads.
pub const GRPC_MESSAGE_BYTES: usize = 4 << 20;
/// Most connections of the gRPC door; the next is taken when one has gone.
pub const CONNECTIONS: usize = 4_096;
/// Pause after a connection could not be accepted.
pub const ACCEPT_PAUSE: u64 = 50;
/// How long a TLS handshake may take.
pub const HANDSHAKE: u64 = 10_000;
/// Most TLS handshakes under way; one more ends the oldest.
pub const HANDSHAKES: usize = 512;
/// Most concurrent calls of one HTTP/2 connection.
pub const GRPC_STREAMS: u32 = 1_024;
/// Bytes of one HTTP/2 stream that may wait to be read. Small on purpose: a stream is stopped by this window before the
/// account that h2 keeps of small unread frames, half of the connection's window, ends the whole connection.
pub const STREAM_WINDOW: u32 = 256 << 10;
/// Bytes of one HTTP/2 connection that may wait to be read.
pub const CONNECTION_WINDOW: u32 = 16 << 20;
/// Largest HTTP/2 frame that is read: a block of messages comes in few of them.
pub const HTTP2_FRAME: u32 = 64 << 10;
/// Bytes that a new connection must say soon: as many as HTTP/2 begins with. No request of HTTP/1.1 to a front is shorter.
pub const GREETING: usize = 24;
/// How long it has for them; one that says nothing would be kept for ever otherwise.
pub const GREETING_TIME: u64 = 30_000;
/// How often an idle connection is asked whether it lives.
pub const GRPC_KEEPALIVE: u64 = 20_000;
/// How long it may take to answer.
pub const GRPC_KEEPALIVE_TIMEOUT: u64 = 20_000;
/// Queues with figures of their own in `/metrics`; the rest is summed.
pub const SHOWN_QUEUES: usize = 500;
/// Readers with figures of their own there: those with the oldest open claims.
pub const SHOWN_READERS: usize = 200;
/// Queues, with their readers, that a scrape looks at in one turn: well below 2 ms.
pub const FIGURES_SCAN: usize = 2_000;
/// How often a draining broker looks whether every queue is empty.
pub const DRAIN_LOOK: u64 = 100;
/// How long `/healthz` waits for a turn before it calls the broker stuck.
pub const HEALTH: u64 = 2_000;
/// How long open calls get to end after a shutdown was asked for; connections still open then are dropped.
pub const DRAIN: u64 = 1_200;
/// Most bytes of one message of the ReadClaim stream, one message always fits (H1).
pub const CLAIM_CHUNK_BYTES: u64 = 1 << 20;
/// Most bytes of a ReadValues or Peek answer, one value or message always fits (H1).
pub const ANSWER_BYTES: u64 = 3 << 20;
/// Most entries of a page (L13).
pub const PAGE: u32 = 1_000;
/// Values of a ReadValues page unless the caller says otherwise.
pub const DEFAULT_VALUES: u32 = 100;
/// Messages of a peek unless the caller says otherwise.
pub const DEFAULT_PEEK: u32 = 10;
/// Groups, or sequence numbers, that an Explain looks at in one turn: well below 2 ms (B4).
pub const EXPLAIN_SCAN: usize = 4_096;
/// Held groups that an Explain of a queue lists unless the caller says otherwise.
pub const DEFAULT_EXPLAINED: u32 = 10;
/// Messages of a claim unless the caller says otherwise.
pub const DEFAULT_CLAIM_MESSAGES: u32 = 1_000;
/// Bytes of a claim unless the caller says otherwise.
pub const DEFAULT_CLAIM_BYTES: u64 = 1 << 20;
/// Longest sleep of the sequencer's timer: a suspended machine wakes up late by no more than this.
pub const LONGEST_SLEEP: u64 = 5_000;
/// Most bytes of bodies that are read a second only to know that they can be (H6).
pub const SCRUB_BYTES_A_SECOND: u64 = 4 << 20;
/// Most messages of which the bodies are read at once for that.
pub const SCRUB_MESSAGES: usize = 100;
/// Milliseconds between the end of a pass over all bodies and the next, unless the settings say otherwise.
pub const SCRUB_PAUSE: u64 = 3_600_000;
/// Cache of fresh bodies unless the settings say otherwise.
pub const CACHE_BYTES: u64 = 64 << 20;
/// Bytes of events that are worth a checkpoint, however small the last one was (H6).
pub const CHECKPOINT_FLOOR: u64 = 4 << 20;
/// Bytes of events that the follower may be behind before an append waits for it.
pub const FOLLOWER_LAG: u64 = 16 << 20;
/// How long the follower waits for a frame before it looks around.
pub const FOLLOWER_PAUSE: u64 = 1_000;
/// The same while frames may go: then one is made for them, so that a drained disk is empty in seconds.
pub const RELEASE_PAUSE: u64 = 100;
/// Most feeds of the console at once.
pub const FEEDS: usize = 64;
/// Most lanes of a window.
pub const LANES: usize = 200;
/// Most dots of a lane.
pub const DOTS: usize = 200;
/// Most dots of all lanes of a window together: a look at them is well below 2 ms.
pub const WINDOW_MESSAGES: usize = 8_192;
/// Queues that a feed tells of.
pub const FEED_QUEUES: usize = 500;
/// Facts of one message of a feed; the rest is counted.
pub const FEED_FACTS: usize = 200;
/// Shortest time between two messages of a feed.
pub const FEED_PAUSE: u64 = 50;
/// So much longer for each feed that is open: all together look at windows no more than 200 times a second.
pub const FEED_SHARE: u64 = 5;
/// Bytes of diffs that a feed sends in a second on the long run.
pub const FEED_BYTES_A_SECOND: u64 = 1 << 20;
/// Shortest time between two looks at all queues, and at a window that is searched for.
pub const FEED_QUEUES_PAUSE: u64 = 500;
/// A feed that has nothing to say says that it lives, so often.
pub const FEED_HEARTBEAT: u64 = 5_000;
/// How long a feed waits for a page that reads nothing.
pub const FEED_PATIENCE: u64 = 30_000;
/// Most bytes of the body of a write of the console.
pub const CONSOLE_BODY: usize = 256 << 10;
/// How long it may take to arrive.
pub const CONSOLE_BODY_TIME: u64 = 10_000;
/// Such bodies that are read at once.
pub const CONSOLE_WRITES: usize = 16;
/// Most messages of a peek of the console.
pub const CONSOLE_PEEK: usize = 100;
/// Short looks after which a search for groups shows what it has.
pub const FIND_LOOKS: usize = 32;
/// Facts that are remembered for those who watch: some 6 MB.
pub const RECENT_FACTS: usize = 65_536;
/// Facts a second that are told while nobody watches, once as many as are remembered were told.
pub const UNWATCHED_FACTS: f64 = 4_096.0;
/// Sends of one turn that were turned away and are noted there one by one.
pub const RECENT_TURNED_AWAY: usize = 256;
/// Most bytes of one chunk of a backup (H9).
pub const BACKUP_CHUNK: usize = 1 << 20;
/// How long a backup waits for its caller to take a chunk: nothing of the journal is given back meanwhile.
pub const BACKUP_PATIENCE: u64 = 30_000;
/// How often the follower looks which frames are still needed while as many bytes of events come as are worth a
/// checkpoint.
pub const LOOKS_PER_FLOOR: u64 = 4;
/// It does not look before so many bytes of events came for each body that is named.
pub const LOOK_BYTES_PER_BODY: u64 = 16;
/// It looks at least so often while anything happens.
pub const LOOK_PAUSE: u64 = 5_000;
/// Most frames that are released with one append.
pub const RELEASED_FRAMES: usize = 256;
/// Bytes of released frames at which no further one goes with the same append.
pub const RELEASED_BYTES: u64 = 16 << 20;
/// Bytes of bodies that one request moves to the present frame (H6).
pub const MOVED_BYTES: u64 = 128 << 10;
/// Frames that follow each other are judged together, so many times the checkpoint's floor in bytes.
pub const MOVE_GROUP_FLOORS: u64 = 4;
/// Bytes that a checkpoint would give back are worth one when they are so many times its floor.
pub const IDLE_FLOORS: u64 = 16;
/// Nothing is moved while the journal holds less than so many times the checkpoint's floor.
pub const MOVE_FLOORS: u64 = 16;
/// Nothing is moved while at least one in so many stored bytes is named.
pub const MOVE_SHARE: u64 = 4;
/// Free bytes of the disk at which sends and outputs stop (H5).
pub const SEND_RESERVE: u64 = 64 << 20;
/// Free bytes of the disk at which deletes, claims and commits stop too (H5).
pub const FINISH_RESERVE: u64 = 16 << 20;
/// A checkpoint is begun, and sends are taken, while so many times its likely size is free: on sled it takes more than
/// its bytes (H5).
pub const CHECKPOINT_ROOM: u64 = 2;
/// Stored bytes at which sends stop on sled, which keeps its data in memory once or twice (design §4).
pub const SLED_BACKLOG: u64 = 2 << 30;
/// The longest way that time is moved in one call under a manual clock: 400 days.
pub const LONGEST_JOURNEY: u64 = 400 * DAY;
/// How far ahead of the present a deadline keeps a manual clock running, unless the caller says otherwise: the longest
/// visibility timeout (L4).
pub const IDLE_WITHIN: u64 = DAY / 2;
/// How far a manual clock runs at most unless the caller says otherwise: the longest retention (L4).
pub const IDLE_AT_MOST: u64 = 14 * DAY;
/// A day.
const DAY: u64 = 24 * 60 * 60 * 1_000;
/// Most outputs, or deliveries, of a commit.
pub const COMMIT_ENTRIES: usize = 1_000;
/// Most changed values of a commit.
pub const COMMIT_VALUES: usize = 4_000;
/// Most bytes of a request of the SQS door: a message of 1 MiB, each byte of it escaped as JSON or as a form does.
pub const SQS_REQUEST_BYTES: usize = 4 << 20;
/// Seconds by which the time of a signature may differ from the broker's.
pub const SIGNATURE_SKEW: u64 = 900;
/// Longest time in seconds for which a presigned URL may count: 7 days.
pub const PRESIGNED: u64 = 604_800;
/// Most bytes that all requests of the SQS door may take while they are read and answered.
pub const SQS_BODIES: usize = 48 << 20;
/// So many bytes of each are not counted, so that small requests pass whatever large ones do.
pub const SQS_FREE_BYTES: usize = 16 << 10;
/// How long such a request may take to arrive whole.
pub const SQS_REQUEST_TIME: u64 = 30_000;
/// Most parameters of a request that is a form: a batch of ten messages with ten attributes each has some 400.
pub const SQS_FORM_PARAMETERS: usize = 2_000;
