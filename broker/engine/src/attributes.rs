//! The attributes of a queue: their defaults, their ranges, and how a change is checked (L2, L4, H11, Q1, Q5). Whether a
//! dead-letter queue exists is judged where the state is known, not here.

mod aws;

pub use aws::{AwsAttributes, AwsChanges, ThroughputLimit};

use crate::{Rejected, limits, words::QueueName};

/// How a queue hands out the messages of a group; fixed at creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupDelivery {
    /// One consumer holds a group at a time, deletes go in order, claims and Commit are allowed.
    Strict,
    /// Exactly what SQS does (O3, O6).
    Prefix,
}

/// Where an equal deduplication id is a duplicate; fixed at creation (S7, S8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeduplicationScope {
    /// In the whole queue.
    Queue,
    /// Only in the same message group.
    MessageGroup,
}

/// Where messages go that were received too often (Q1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedrivePolicy {
    /// The queue they go to, by name: a queue deleted and made anew under it is meant again.
    pub dead_letter_queue: QueueName,
    /// How often a message may be received, 1 to 1,000; the receive after that moves it (Q2).
    pub max_receives: u32,
}

/// Which queues may name this one as their dead-letter queue (Q5); judged when they do so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RedriveAllow {
    /// Every queue.
    #[default]
    AllowAll,
    /// No queue.
    DenyAll,
    /// At most 10 queues.
    ByQueue(Vec<QueueName>),
}

impl RedriveAllow {
    /// Whether a queue may name this one.
    #[must_use]
    pub fn allows(&self, source: &QueueName) -> bool {
        match self {
            Self::AllowAll => true,
            Self::DenyAll => false,
            Self::ByQueue(sources) => sources.contains(source),
        }
    }
}

/// What becomes of an attribute that a queue need not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// This is its value from now on.
    Set(T),
    /// There is none from now on.
    Remove,
}

impl<T: Clone> Change<T> {
    /// The value after a change, if there is one.
    fn apply(change: Option<&Self>, base: Option<&T>) -> Option<T> {
        match change {
            Some(Self::Set(value)) => Some(value.clone()),
            Some(Self::Remove) => None,
            None => base.cloned(),
        }
    }
}

/// What becomes of a redrive policy.
pub type RedriveChange = Change<RedrivePolicy>;

/// The attributes of a queue. Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// How groups are handed out.
    pub delivery: GroupDelivery,
    /// Whether a message without a deduplication id gets the SHA-256 of its body as one (S2, S3).
    pub content_based: bool,
    /// Where an equal id is a duplicate (S7).
    pub scope: DeduplicationScope,
    /// How long an id is remembered, from its first accepted send (S4, H11).
    pub window: u64,
    /// How long a delivery is hidden unless the receive says otherwise (L4).
    pub visibility: u64,
    /// How long a message is kept (L4, R9).
    pub retention: u64,
    /// The largest message (L2).
    pub max_message_size: u32,
    /// How long a receive waits unless it says otherwise (R1).
    pub wait: u64,
    /// Where messages go that were received too often (Q1); absent: they stay.
    pub redrive: Option<RedrivePolicy>,
    /// Which queues may name this one as their dead-letter queue (Q5).
    pub redrive_allow: RedriveAllow,
    /// How long a new message stays hidden (L4, S11).
    pub delay: u64,
    /// What only SQS callers see.
    pub aws: AwsAttributes,
}

impl Attributes {
    /// The deduplication scope as SQS callers are told it (S8).
    #[must_use]
    pub fn shown_scope(&self) -> DeduplicationScope {
        self.aws.shown_scope.unwrap_or(self.scope)
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            delivery: GroupDelivery::Strict,
            content_based: false,
            scope: DeduplicationScope::Queue,
            window: limits::MIN_WINDOW,
            visibility: limits::DEFAULT_VISIBILITY,
            retention: limits::DEFAULT_RETENTION,
            max_message_size: limits::MAX_MESSAGE_SIZE,
            wait: 0,
            redrive: None,
            redrive_allow: RedriveAllow::AllowAll,
            delay: 0,
            aws: AwsAttributes::default(),
        }
    }
}

/// What a caller gave explicitly; an absent attribute stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeChanges {
    /// See [`Attributes::delivery`].
    pub delivery: Option<GroupDelivery>,
    /// See [`Attributes::content_based`].
    pub content_based: Option<bool>,
    /// See [`Attributes::scope`].
    pub scope: Option<DeduplicationScope>,
    /// See [`Attributes::window`].
    pub window: Option<u64>,
    /// See [`Attributes::visibility`].
    pub visibility: Option<u64>,
    /// See [`Attributes::retention`].
    pub retention: Option<u64>,
    /// See [`Attributes::max_message_size`].
    pub max_message_size: Option<u32>,
    /// See [`Attributes::wait`].
    pub wait: Option<u64>,
    /// See [`Attributes::redrive`].
    pub redrive: Option<RedriveChange>,
    /// See [`Attributes::redrive_allow`].
    pub redrive_allow: Option<RedriveAllow>,
    /// See [`Attributes::delay`].
    pub delay: Option<u64>,
    /// See [`Attributes::aws`].
    pub aws: AwsChanges,
}

impl AttributeChanges {
    /// The attributes after this change.
    #[must_use]
    pub fn applied_to(&self, base: &Attributes) -> Attributes {
        Attributes {
            delivery: self.delivery.unwrap_or(base.delivery),
            content_based: self.content_based.unwrap_or(base.content_based),
            scope: self.scope.unwrap_or(base.scope),
            window: self.window.unwrap_or(base.window),
            visibility: self.visibility.unwrap_or(base.visibility),
            retention: self.retention.unwrap_or(base.retention),
            max_message_size: self.max_message_size.unwrap_or(base.max_message_size),
            wait: self.wait.unwrap_or(base.wait),
            redrive: Change::apply(self.redrive.as_ref(), base.redrive.as_ref()),
            redrive_allow: self.redrive_allow.clone().unwrap_or_else(|| base.redrive_allow.clone()),
            delay: self.delay.unwrap_or(base.delay),
            aws: self.aws.applied_to(&base.aws, self.scope.unwrap_or(base.scope)),
        }
    }

    /// Checks every given value against its range (L2, L4, H11).
    ///
    /// # Errors
    /// [`Rejected::AttributeInvalid`] names the attribute and its range.
    pub fn check(&self) -> Result<(), Rejected> {
        let range = |given: Option<u64>, low: u64, high: u64, attribute, rule| match given {
            Some(value) if value < low || value > high => Err(Rejected::AttributeInvalid { attribute, rule }),
            Some(_) | None => Ok(()),
        };
        range(self.window, limits::MIN_WINDOW, limits::MAX_WINDOW, "DeduplicationWindow", "300 s to 14 days (H11)")?;
        range(self.visibility, 0, limits::VISIBILITY, "VisibilityTimeout", "0 to 43200 s (L4)")?;
        range(
            self.retention,
            limits::MIN_RETENTION,
            limits::MAX_RETENTION,
            "MessageRetentionPeriod",
            "60 to 1209600 s (L4)",
        )?;
        range(
            self.max_message_size.map(u64::from),
            limits::MIN_MESSAGE_SIZE.into(),
            limits::MAX_MESSAGE_SIZE.into(),
            "MaximumMessageSize",
            "1024 to 1048576 bytes (L2)",
        )?;
        range(self.wait, 0, limits::WAIT, "ReceiveMessageWaitTimeSeconds", "0 to 20 s (R1)")?;
        let max_receives = match &self.redrive {
            Some(RedriveChange::Set(policy)) => Some(policy.max_receives.into()),
            Some(RedriveChange::Remove) | None => None,
        };
        let most = limits::MAX_RECEIVES.into();
        range(max_receives, 1, most, "RedrivePolicy", "a maxReceiveCount of 1 to 1000 (Q1)")?;
        let sources = match &self.redrive_allow {
            Some(RedriveAllow::ByQueue(sources)) => Some(sources.len() as u64),
            Some(RedriveAllow::AllowAll | RedriveAllow::DenyAll) | None => None,
        };
        let most = limits::REDRIVE_SOURCES as u64;
        range(sources, 1, most, "RedriveAllowPolicy", "1 to 10 source queues with byQueue (Q5)")?;
        range(self.delay, 0, limits::DELAY, "DelaySeconds", "0 to 900 s (L4)")?;
        self.aws.check()
    }

    /// The first given attribute that differs from what is there (A1), or from what was fixed at creation.
    #[must_use]
    pub fn first_difference(&self, current: &Attributes) -> Option<&'static str> {
        let wanted = self.applied_to(current);
        // Who is shown a scope of its own compares with what is shown (S8).
        let scope_differs = match self.aws.shown_scope {
            Some(shown) => shown != current.shown_scope(),
            None => wanted.scope != current.scope,
        };
        [
            ("GroupDelivery", wanted.delivery != current.delivery),
            ("ContentBasedDeduplication", wanted.content_based != current.content_based),
            ("DeduplicationScope", scope_differs),
            ("DeduplicationWindow", wanted.window != current.window),
            ("VisibilityTimeout", wanted.visibility != current.visibility),
            ("MessageRetentionPeriod", wanted.retention != current.retention),
            ("MaximumMessageSize", wanted.max_message_size != current.max_message_size),
            ("ReceiveMessageWaitTimeSeconds", wanted.wait != current.wait),
            ("RedrivePolicy", wanted.redrive != current.redrive),
            ("RedriveAllowPolicy", wanted.redrive_allow != current.redrive_allow),
            ("DelaySeconds", wanted.delay != current.delay),
        ]
        .into_iter()
        .chain(self.aws.differences(&wanted.aws, &current.aws))
        .find_map(|(name, differs)| differs.then_some(name))
    }
}
