//! Every limit of the engine in one table, with the rule it comes from. Sizes in bytes, times in milliseconds.

/// Longest queue name, reader name, instance id, commit id (L1, B6).
pub const LABEL_LENGTH: usize = 80;
/// Longest message group id and deduplication id (L5).
pub const ID_LENGTH: usize = 128;
/// Longest key of a stored value.
pub const VALUE_KEY_LENGTH: usize = 256;
/// Most entries of a batch (H1).
pub const BATCH_ENTRIES: usize = 1_000;
/// Most tags of a queue (L12).
pub const TAGS: usize = 50;
/// Longest key of a tag, in characters (L12).
pub const TAG_KEY_CHARACTERS: usize = 128;
/// Longest value of a tag, in characters; it may be empty (L12).
pub const TAG_VALUE_CHARACTERS: usize = 256;
/// Most bytes of bodies and ids in one request, and the largest message (H1, L2).
pub const REQUEST_BYTES: u64 = 1 << 20;
/// Longest policy of a queue, in bytes (L12).
pub const POLICY: usize = 8_192;
/// Longest id of a KMS key, which is a name that is shown again.
pub const KMS_KEY: usize = 2_048;
/// Shortest time for which a data key is used again (L9).
pub const MIN_KMS_REUSE: u64 = 60_000;
/// Longest (L9).
pub const MAX_KMS_REUSE: u64 = 86_400_000;
/// How long AWS wants between the deletion of a queue and a new one of its name, and between two purges (A2, A3).
pub const AWS_DISTANCE: u64 = 60_000;
/// Smallest value of the attribute `maximum_message_size_bytes` (L2).
pub const MIN_MESSAGE_SIZE: u32 = 1_024;
/// Largest, and default (L2).
pub const MAX_MESSAGE_SIZE: u32 = 1 << 20;
/// Most messages of one receive.
pub const RECEIVE_MESSAGES: u32 = 1_000;
/// Most bytes of bodies in a receive's answer; one message always fits (H1).
pub const RECEIVE_BYTES: u64 = 3 << 20;
/// Longest wait of a poll (R1).
pub const WAIT: u64 = 20_000;
/// Longest visibility timeout, also in all since the receive (L4, R6).
pub const VISIBILITY: u64 = 43_200_000;
/// Default visibility timeout (L4).
pub const DEFAULT_VISIBILITY: u64 = 30_000;
/// Longest delay of a message, and of a queue (L4).
pub const DELAY: u64 = 900_000;
/// Shortest retention (L4).
pub const MIN_RETENTION: u64 = 60_000;
/// Longest retention (L4).
pub const MAX_RETENTION: u64 = 1_209_600_000;
/// Default retention (L4).
pub const DEFAULT_RETENTION: u64 = 345_600_000;
/// Shortest deduplication window, and default (S4, H11).
pub const MIN_WINDOW: u64 = 300_000;
/// Longest deduplication window: 14 days (H11).
pub const MAX_WINDOW: u64 = 1_209_600_000;
/// Most messages in flight in a queue; at the cap a receive answers nothing (L10).
pub const IN_FLIGHT: u64 = 120_000;
/// Most groups of a claim (H1).
pub const CLAIM_GROUPS: usize = 1_000;
/// Most messages of a claim (H1).
pub const CLAIM_MESSAGES: u32 = 10_000;
/// Most bytes of bodies in a claim; one message always fits.
pub const CLAIM_BYTES: u64 = 64 << 20;
/// Most open claims of a reader (B6).
pub const OPEN_CLAIMS: usize = 64;
/// Largest stored value (B1).
pub const VALUE_BYTES: u32 = 64 << 10;
/// Most bytes of values of one reader (B1).
pub const READER_BYTES: u64 = 256 << 20;
/// Most readers of a queue.
pub const READERS: usize = 1_000;
/// Most producer sessions of a queue (B3).
pub const PRODUCERS: usize = 1_000;
/// The newest numbers of a session whose answers are kept (B3).
pub const KEPT_NUMBERS: usize = 1_000;
/// Outcomes kept below `last committed`, and commits of other targets kept in a queue (B1).
pub const KEPT_OUTCOMES: u64 = 1_000;
/// Most lapsed leases, or expired messages, settled in a turn (H3).
pub const SETTLED_IN_A_TURN: usize = 1_000;
/// Most deduplication keys freed by one event (H3).
pub const KEYS_FORGOTTEN_AT_ONCE: usize = 10_000;
/// How long an expired key may stay in memory, and how often a watermark may be written (H3).
pub const KEY_LINGER: u64 = 1_000;
/// How long a receive can be repeated under its attempt id (R7).
pub const ATTEMPT_WINDOW: u64 = 300_000;
/// Most attempts remembered in a queue; past it the oldest is forgotten, and its repeat is a receive like any other.
pub const ATTEMPTS: usize = 100_000;
/// Longest time without a journalled instant while a lease, key or claim limit lives (H2).
pub const TICK: u64 = 10_000;
/// A longer downtime that would expire messages must be accepted by hand (H2).
pub const TIME_JUMP: u64 = 86_400_000;
/// What a stored message costs beside its body, for the space account (H5).
pub const MESSAGE_OVERHEAD: u64 = 256;
/// Most receives that a redrive policy may grant before a message is a dead letter (Q1).
pub const MAX_RECEIVES: u32 = 1_000;
/// Most source queues that a redrive allow policy names (Q5).
pub const REDRIVE_SOURCES: usize = 10;
/// Most dead letters that one receive or claim moves; the next one goes on (H3).
pub const DEAD_LETTERS_AT_ONCE: usize = 1_000;
/// Most messages that a move task moves in a second, and the default (L13).
pub const MOVE_RATE: u32 = 500;
/// Most move tasks that run at a time, one for each queue (L13, Q6).
pub const MOVE_TASKS: usize = 100;
/// The longest that a move task runs (L13).
pub const MOVE_TASK: u64 = 129_600_000;
/// The newest move tasks of a queue that are kept to be listed (L13).
pub const MOVE_TASKS_KEPT: usize = 10;
/// Most parked groups of a queue (B7).
pub const PARKED_GROUPS: usize = 10_000;
/// Most groups that one command unparks; the caller asks again (H1).
pub const UNPARKED_AT_ONCE: usize = 1_000;
