//! What goes out: the engine's words to wire fields. Nothing is decided here.

use lockstep_engine::{
    Attributes, DeduplicationScope, GroupDelivery, RedriveAllow,
    reply::{Accepted, Claimed, OpenClaim, Origin},
    view::{MessageState, ProducerView, QueueView, ReaderView},
};
use lockstep_proto::v1;

use crate::handle::{
    AttributeValue, ClaimedBody, Delivery, Handle, MessageAttribute, MessageAttributes, Peeked, ReadValue, id_text,
    is_wanted,
};

fn seconds(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds / 1_000).unwrap_or(u32::MAX)
}

pub(super) fn queue(view: &QueueView) -> v1::QueueDescription {
    v1::QueueDescription {
        queue: view.name.to_string(),
        queue_generation: view.generation.0,
        attributes: Some(attributes_of_kind(view)),
        created_unix_ms: view.created_at.0,
        modified_unix_ms: view.modified_at.0,
        messages_available: view.available,
        messages_in_flight: view.in_flight,
        messages_claimed: view.claimed,
        groups: view.groups,
        groups_available: view.free_groups,
        groups_parked: view.parked_groups,
        deduplication_keys: view.deduplication_keys,
        last_sequence_number: if view.name.is_fifo() { view.last_sequence.0 } else { 0 },
        bytes: view.bytes,
        readers: view.readers,
        messages_delayed: view.delayed,
    }
}

/// A standard queue has no attributes of groups and deduplication (L8).
fn attributes_of_kind(view: &QueueView) -> v1::QueueAttributes {
    let all = attributes(&view.attributes);
    if view.name.is_fifo() {
        return all;
    }
    v1::QueueAttributes {
        group_delivery: None,
        content_based_deduplication: None,
        deduplication_scope: None,
        deduplication_window_seconds: None,
        ..all
    }
}

fn attributes(attributes: &Attributes) -> v1::QueueAttributes {
    let delivery = match attributes.delivery {
        GroupDelivery::Strict => v1::GroupDelivery::Strict,
        GroupDelivery::Prefix => v1::GroupDelivery::Prefix,
    };
    let scope = match attributes.scope {
        DeduplicationScope::Queue => v1::DeduplicationScope::Queue,
        DeduplicationScope::MessageGroup => v1::DeduplicationScope::MessageGroup,
    };
    v1::QueueAttributes {
        group_delivery: Some(delivery.into()),
        content_based_deduplication: Some(attributes.content_based),
        deduplication_scope: Some(scope.into()),
        deduplication_window_seconds: Some(seconds(attributes.window)),
        visibility_timeout_seconds: Some(seconds(attributes.visibility)),
        message_retention_seconds: Some(seconds(attributes.retention)),
        maximum_message_size_bytes: Some(attributes.max_message_size),
        receive_wait_seconds: Some(seconds(attributes.wait)),
        redrive_policy: attributes.redrive.as_ref().map(|policy| v1::RedrivePolicy {
            dead_letter_queue: policy.dead_letter_queue.to_string(),
            max_receive_count: policy.max_receives,
        }),
        redrive_allow_policy: Some(redrive_allow(&attributes.redrive_allow)),
        delay_seconds: Some(seconds(attributes.delay)),
    }
}

fn redrive_allow(allow: &RedriveAllow) -> v1::RedriveAllowPolicy {
    let (permission, source_queues) = match allow {
        RedriveAllow::AllowAll => (v1::RedrivePermission::AllowAll, Vec::new()),
        RedriveAllow::DenyAll => (v1::RedrivePermission::DenyAll, Vec::new()),
        RedriveAllow::ByQueue(sources) => {
            (v1::RedrivePermission::ByQueue, sources.iter().map(ToString::to_string).collect())
        }
    };
    v1::RedriveAllowPolicy { permission: permission.into(), source_queues }
}

/// The queue that a dead letter came from (R8).
fn source(origin: Option<&Origin>) -> String {
    origin.map(|origin| origin.source.to_string()).unwrap_or_default()
}

/// The number is shown of a FIFO queue's message alone (S12).
pub(super) fn accepted(handle: &Handle, accepted: &Accepted, fifo: bool) -> v1::Accepted {
    v1::Accepted {
        message_id: id_text(handle.message_id(accepted.generation, accepted.sequence)),
        sequence_number: if fifo { accepted.sequence.0 } else { 0 },
        duplicate: accepted.duplicate,
    }
}

/// The attributes that are asked for; all, when no name is given (R8).
fn attributes_of(attributes: &MessageAttributes, wanted: &[String]) -> Vec<v1::MessageAttribute> {
    use v1::message_attribute::Value;
    let shown = |it: &MessageAttribute| {
        let value = match &it.value {
            AttributeValue::Text(text) => Value::StringValue(text.clone()),
            AttributeValue::Binary(bytes) => Value::BinaryValue(bytes.clone()),
        };
        v1::MessageAttribute { name: it.name.clone(), data_type: it.data_type.clone(), value: Some(value) }
    };
    attributes.iter().filter(|it| wanted.is_empty() || is_wanted(wanted, &it.name)).map(shown).collect()
}

pub(super) fn delivery(delivery: Delivery, wanted: &[String]) -> v1::Delivery {
    let delivered = delivery.delivered;
    v1::Delivery {
        message_id: id_text(delivery.message_id),
        message_group_id: delivery.place.0,
        message_deduplication_id: delivery.deduplication_id,
        sequence_number: delivery.place.1.unwrap_or_default().0,
        body: delivery.body,
        receipt_handle: delivery.receipt_handle,
        epoch: delivered.epoch.0,
        receive_count: delivered.receives,
        sent_unix_ms: delivered.sent_at.0,
        first_received_unix_ms: delivered.first_received_at.0,
        visible_unix_ms: delivered.visible_at.0,
        dead_letter_source: source(delivered.origin.as_ref()),
        attributes: attributes_of(&delivery.attributes, wanted),
        aws_trace_header: delivery.trace_header,
    }
}

pub(super) fn peeked(message: Peeked) -> v1::PeekedMessage {
    let peeked = message.peeked;
    let (state, visible_unix_ms, reader) = match peeked.state {
        MessageState::Available => (v1::MessageState::Available, None, String::new()),
        MessageState::Parked => (v1::MessageState::Parked, None, String::new()),
        MessageState::Blocked => (v1::MessageState::Blocked, None, String::new()),
        MessageState::InFlight(until) => (v1::MessageState::InFlight, Some(until.0), String::new()),
        MessageState::Delayed(until) => (v1::MessageState::Delayed, Some(until.0), String::new()),
        MessageState::Claimed(reader) => (v1::MessageState::Claimed, None, reader.to_string()),
    };
    v1::PeekedMessage {
        message_id: id_text(message.message_id),
        message_group_id: message.group,
        message_deduplication_id: message.deduplication_id,
        sequence_number: peeked.sequence.0,
        body: message.body,
        receive_count: peeked.receives,
        sent_unix_ms: peeked.sent_at.0,
        state: state.into(),
        visible_unix_ms,
        reader,
        dead_letter_source: source(peeked.origin.as_ref()),
        attributes: attributes_of(&message.attributes, &[]),
        aws_trace_header: message.trace_header,
    }
}

pub(super) fn producer(view: &ProducerView) -> v1::ProducerDescription {
    v1::ProducerDescription {
        producer: view.name.to_string(),
        epoch: view.epoch.0,
        instance: view.instance.to_string(),
        last_number: view.last.0,
        opened_unix_ms: view.opened_at.0,
        queue_generation: view.queue.0,
    }
}

pub(super) fn open_claim(claim: OpenClaim) -> v1::OpenClaim {
    v1::OpenClaim {
        number: claim.number.0,
        epoch: claim.epoch.0,
        worker: claim.worker.map(|worker| worker.to_string()).unwrap_or_default(),
        messages: claim.messages,
        groups: claim.groups,
        bytes: claim.bytes,
        opened_unix_ms: claim.opened_at.0,
    }
}

pub(super) fn claimed(claimed: Claimed) -> v1::ClaimResponse {
    use v1::claim_response::Outcome;
    let outcome = match claimed {
        Claimed::Open(claim) => Outcome::Open(open_claim(claim)),
        Claimed::Empty => Outcome::Empty(v1::ClaimEmpty {}),
        Claimed::Committed(commit) => Outcome::Committed(v1::ClaimCommitted { commit_number: commit.0 }),
        Claimed::Burnt => Outcome::Burnt(v1::ClaimBurnt {}),
    };
    v1::ClaimResponse { outcome: Some(outcome) }
}

pub(super) fn value(value: ReadValue) -> v1::StoredValue {
    v1::StoredValue {
        message_group_id: value.group.map(|group| group.to_string()),
        key: value.key.to_string(),
        value: value.value,
    }
}

pub(super) fn claimed_message(message: ClaimedBody) -> v1::ClaimedMessage {
    let claimed = message.claimed;
    v1::ClaimedMessage {
        message_id: id_text(message.message_id),
        message_group_id: claimed.group.to_string(),
        message_deduplication_id: message.deduplication_id,
        sequence_number: claimed.sequence.0,
        body: message.body,
        receive_count: claimed.receives,
        sent_unix_ms: claimed.sent_at.0,
        dead_letter_source: source(claimed.origin.as_ref()),
        attributes: attributes_of(&message.attributes, &[]),
        aws_trace_header: message.trace_header,
    }
}

pub(super) fn reader(view: ReaderView) -> v1::ReaderDescription {
    v1::ReaderDescription {
        reader: view.name.to_string(),
        reader_id: view.id.0,
        reader_generation: view.generation.0,
        instance: view.instance.to_string(),
        open_claims: view.open.into_iter().map(open_claim).collect(),
        last_committed: view.last_committed.0,
        last_number: view.last_number.0,
        commits: view.commits.0,
        values: view.values,
        value_bytes: view.value_bytes,
        claim_limit_seconds: view.claim_limit.map(seconds),
        queue_generation: view.queue.0,
    }
}
