//! The attributes that only SQS callers see, in both directions. As they are by default they are not written at all.

use lockstep_engine::{
    AwsAttributes, DeduplicationScope, ThroughputLimit,
    words::{KmsKey, Policy},
};
use lockstep_proto::storage as wire;

use super::words::{Fault, word};

pub(super) fn attributes(aws: &AwsAttributes) -> Option<wire::AwsAttributes> {
    let written = || wire::AwsAttributes {
        policy: aws.policy.as_ref().map(ToString::to_string),
        kms_key: aws.kms_key.as_ref().map(ToString::to_string),
        kms_reuse_ms: aws.kms_reuse,
        unmanaged_sse: !aws.managed_sse,
        throughput_per_group: match aws.throughput {
            ThroughputLimit::PerQueue => false,
            ThroughputLimit::PerMessageGroup => true,
        },
        shown_scope: match aws.shown_scope {
            None => wire::DeduplicationScope::Unspecified.into(),
            Some(DeduplicationScope::Queue) => wire::DeduplicationScope::Queue.into(),
            Some(DeduplicationScope::MessageGroup) => wire::DeduplicationScope::MessageGroup.into(),
        },
    };
    (*aws != AwsAttributes::default()).then(written)
}

pub(super) fn read_attributes(aws: Option<&wire::AwsAttributes>) -> Result<AwsAttributes, Fault> {
    let Some(aws) = aws else { return Ok(AwsAttributes::default()) };
    let shown_scope = match wire::DeduplicationScope::try_from(aws.shown_scope) {
        Ok(wire::DeduplicationScope::Unspecified) => None,
        Ok(wire::DeduplicationScope::Queue) => Some(DeduplicationScope::Queue),
        Ok(wire::DeduplicationScope::MessageGroup) => Some(DeduplicationScope::MessageGroup),
        Err(_) => return Err(format!("unknown shown scope {}", aws.shown_scope)),
    };
    let throughput =
        if aws.throughput_per_group { ThroughputLimit::PerMessageGroup } else { ThroughputLimit::PerQueue };
    Ok(AwsAttributes {
        policy: word(aws.policy.as_deref().map(Policy::parse).transpose())?,
        kms_key: word(aws.kms_key.as_deref().map(KmsKey::parse).transpose())?,
        kms_reuse: aws.kms_reuse_ms,
        managed_sse: !aws.unmanaged_sse,
        throughput,
        shown_scope,
    })
}
