//! Attributes that a queue has for callers of the SQS wire alone: kept and shown, and no behaviour hangs on them (L8, L9,
//! L12, S8). What a policy says is not read here: Lockstep asks no policy whether a call may pass.

use super::{Change, DeduplicationScope};
use crate::{
    Rejected, limits,
    words::{KmsKey, Policy},
};

/// What throughput is counted by (L8). Lockstep has no quotas (H12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThroughputLimit {
    /// The whole queue.
    #[default]
    PerQueue,
    /// Each message group; only with a scope of the message group.
    PerMessageGroup,
}

/// The attributes that only SQS callers see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsAttributes {
    /// Who may call, as a JSON text (L12).
    pub policy: Option<Policy>,
    /// The key that messages are said to be encrypted with. They are not (L9).
    pub kms_key: Option<KmsKey>,
    /// How long a data key is used again, in milliseconds (L9).
    pub kms_reuse: Option<u64>,
    /// Whether keys of the service's own are said to be used (L9).
    pub managed_sse: bool,
    /// See [`ThroughputLimit`].
    pub throughput: ThroughputLimit,
    /// The deduplication scope as it was set since the creation, where that differs from the one that counts (S8).
    pub shown_scope: Option<DeduplicationScope>,
}

impl Default for AwsAttributes {
    fn default() -> Self {
        Self {
            policy: None,
            kms_key: None,
            kms_reuse: None,
            managed_sse: true,
            throughput: ThroughputLimit::PerQueue,
            shown_scope: None,
        }
    }
}

/// What a caller gave explicitly of them; an absent one stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsChanges {
    /// See [`AwsAttributes::policy`].
    pub policy: Option<Change<Policy>>,
    /// See [`AwsAttributes::kms_key`]. A key ends the managed encryption, because a queue has one kind of it at a time.
    pub kms_key: Option<Change<KmsKey>>,
    /// See [`AwsAttributes::kms_reuse`].
    pub kms_reuse: Option<u64>,
    /// See [`AwsAttributes::managed_sse`]. Turning it on removes the key, for the same reason.
    pub managed_sse: Option<bool>,
    /// See [`AwsAttributes::throughput`].
    pub throughput: Option<ThroughputLimit>,
    /// The scope as it is to be shown from now on; what is a duplicate stays as the queue was created (S8).
    pub shown_scope: Option<DeduplicationScope>,
}

impl AwsChanges {
    /// The attributes after this change, in a queue whose scope is `scope`.
    pub(super) fn applied_to(&self, base: &AwsAttributes, scope: DeduplicationScope) -> AwsAttributes {
        let has_key = matches!(self.kms_key, Some(Change::Set(_)));
        let base_key = base.kms_key.as_ref().filter(|_| self.managed_sse != Some(true));
        AwsAttributes {
            policy: Change::apply(self.policy.as_ref(), base.policy.as_ref()),
            kms_key: Change::apply(self.kms_key.as_ref(), base_key),
            kms_reuse: self.kms_reuse.or(base.kms_reuse),
            managed_sse: self.managed_sse.unwrap_or(base.managed_sse && !has_key),
            throughput: self.throughput.unwrap_or(base.throughput),
            shown_scope: self.shown_scope.or(base.shown_scope).filter(|shown| *shown != scope),
        }
    }

    /// Checks every given value against its range.
    pub(super) fn check(&self) -> Result<(), Rejected> {
        if matches!(self.kms_key, Some(Change::Set(_))) && self.managed_sse == Some(true) {
            let rule = "one kind of encryption at a time: a key, or SqsManagedSseEnabled (L9)";
            return Err(Rejected::AttributeInvalid { attribute: "SqsManagedSseEnabled", rule });
        }
        match self.kms_reuse {
            Some(period) if !(limits::MIN_KMS_REUSE..=limits::MAX_KMS_REUSE).contains(&period) => {
                let (attribute, rule) = ("KmsDataKeyReusePeriodSeconds", "60 to 86400 s (L9)");
                Err(Rejected::AttributeInvalid { attribute, rule })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What differs from what is there, by name.
    pub(super) fn differences(&self, wanted: &AwsAttributes, current: &AwsAttributes) -> [(&'static str, bool); 5] {
        [
            ("Policy", wanted.policy != current.policy),
            ("KmsMasterKeyId", wanted.kms_key != current.kms_key),
            ("KmsDataKeyReusePeriodSeconds", wanted.kms_reuse != current.kms_reuse),
            ("SqsManagedSseEnabled", wanted.managed_sse != current.managed_sse),
            ("FifoThroughputLimit", wanted.throughput != current.throughput),
        ]
    }
}
