//! What a broker holds after hostile requests, looked at again as any client can: whatever was accepted is within the
//! contract's limits. They are written down here once more, from the contract and not from the code.

use std::ops::RangeInclusive;

use lockstep_proto::v1::{
    self, groups_client::GroupsClient, message_attribute::Value, messages_client::MessagesClient,
    producers_client::ProducersClient, queues_client::QueuesClient, readers_client::ReadersClient,
};
use tonic::transport::Channel;

const PAGE: u32 = 1_000;

/// A name of a queue (L1).
fn is_name(name: &str) -> bool {
    name.len() <= 80 && is_label(name.strip_suffix(".fifo").unwrap_or(name))
}

/// 1 to 80 letters, digits, hyphens and underscores (L1, B3, B6).
fn is_label(label: &str) -> bool {
    (1..=80).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// An id of a group or of a message (L5).
fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A text of the characters that a body may have (L6).
fn is_body(body: &[u8]) -> bool {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}');
    std::str::from_utf8(body).is_ok_and(|text| text.chars().all(allowed))
}

/// Looks at everything.
pub(super) async fn within_the_limits(channel: &Channel) {
    let list = v1::ListQueuesRequest { max_results: PAGE, ..<_>::default() };
    let listed = QueuesClient::new(channel.clone()).list_queues(list).await.expect("listed").into_inner();
    assert!(listed.next.is_empty(), "more queues than a try makes");
    for found in listed.queues {
        let queue = &found.queue;
        assert!(is_name(queue), "L1: {queue:?}");
        look_at_attributes(queue, found.attributes.unwrap_or_default());
        look_at_messages(channel, queue).await;
        look_at_names(channel, queue).await;
    }
}

fn look_at_attributes(queue: &str, found: v1::QueueAttributes) {
    let ranges: [(&str, Option<u32>, RangeInclusive<u32>); 6] = [
        ("L4 visibility", found.visibility_timeout_seconds, 0..=43_200),
        ("L4 retention", found.message_retention_seconds, 60..=1_209_600),
        ("L4 wait", found.receive_wait_seconds, 0..=20),
        ("L4 delay", found.delay_seconds, 0..=900),
        ("L2 size", found.maximum_message_size_bytes, 1_024..=1_048_576),
        ("S4 window", found.deduplication_window_seconds, 300..=1_209_600),
    ];
    for (rule, value, range) in ranges {
        assert!(value.is_none_or(|value| range.contains(&value)), "{rule} of {queue} is {value:?}");
    }
    if let Some(redrive) = found.redrive_policy {
        assert!(is_name(&redrive.dead_letter_queue) && redrive.dead_letter_queue != queue, "Q1: {redrive:?}");
        assert!((1..=1_000).contains(&redrive.max_receive_count), "Q1: {redrive:?}");
        let fifo = |name: &str| name.ends_with(".fifo");
        assert_eq!(fifo(&redrive.dead_letter_queue), fifo(queue), "Q1: of one kind");
    }
    if let Some(allow) = found.redrive_allow_policy {
        assert!(
            allow.source_queues.len() <= 10 && allow.source_queues.iter().all(|name| is_name(name)),
            "Q5: {allow:?}"
        );
    }
}

async fn look_at_messages(channel: &Channel, queue: &str) {
    let mut after_sequence_number = 0;
    loop {
        let peek = v1::PeekRequest { queue: queue.into(), max_messages: PAGE, after_sequence_number, ..<_>::default() };
        let page = MessagesClient::new(channel.clone()).peek(peek).await.expect("peeked").into_inner().messages;
        let Some(last) = page.last() else { return };
        assert!(last.sequence_number > after_sequence_number, "O1: numbers rise");
        after_sequence_number = last.sequence_number;
        page.iter().for_each(|message| look_at_message(queue, message));
    }
}

fn look_at_message(queue: &str, found: &v1::PeekedMessage) {
    let fifo = queue.ends_with(".fifo");
    assert!(is_id(&found.message_group_id) || !fifo && found.message_group_id.is_empty(), "L5: {found:?}");
    assert!(is_id(&found.message_deduplication_id) || found.message_deduplication_id.is_empty(), "L5: {found:?}");
    assert!(!found.body.is_empty() && is_body(&found.body), "L6: {found:?}");
    assert!(found.attributes.len() <= 10, "L7: {found:?}");
    let mut size = found.body.len();
    for v1::MessageAttribute { name, data_type, value } in &found.attributes {
        assert!((1..=256).contains(&name.len()) && !name.starts_with('.') && !name.ends_with('.'), "L7: {name:?}");
        let kind = data_type.split('.').next().expect("at least one part");
        assert!(["String", "Number", "Binary"].contains(&kind) && data_type.len() <= 256, "L7: {data_type:?}");
        let length = match value {
            Some(Value::StringValue(text)) => {
                assert!(kind != "Binary" && is_body(text.as_bytes()), "L7: {found:?}");
                text.len()
            }
            Some(Value::BinaryValue(bytes)) => {
                assert_eq!(kind, "Binary", "L7: {found:?}");
                bytes.len()
            }
            None => 0,
        };
        assert!(length > 0, "L7: {found:?}");
        size += name.len() + data_type.len() + length;
    }
    let mut names: Vec<_> = found.attributes.iter().map(|attribute| &attribute.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "L7: {found:?}");
    assert!(size <= 1 << 20 && found.aws_trace_header.len() <= 1_024, "L2: {size} bytes");
}

/// Tags, parked groups, producers and readers with their values.
async fn look_at_names(channel: &Channel, queue: &str) {
    let name = || queue.to_owned();
    let list = v1::ListQueueTagsRequest { queue: name() };
    let tags = QueuesClient::new(channel.clone()).list_queue_tags(list).await.expect("listed").into_inner().tags;
    let is_tag = |tag: &v1::Tag| (1..=128).contains(&tag.key.chars().count()) && tag.value.chars().count() <= 256;
    assert!(tags.len() <= 50 && tags.iter().all(is_tag), "L12: {tags:?}");
    if !queue.ends_with(".fifo") {
        return;
    }
    let list = v1::ListParkedGroupsRequest { queue: name(), ..<_>::default() };
    let parked = GroupsClient::new(channel.clone()).list_parked_groups(list).await.expect("listed").into_inner();
    assert!(parked.groups.iter().all(|group| is_id(&group.message_group_id)), "L5: {parked:?}");
    let list = v1::ListProducersRequest { queue: name(), ..<_>::default() };
    let producers = ProducersClient::new(channel.clone()).list_producers(list).await.expect("listed").into_inner();
    let labels = producers.producers.iter().flat_map(|found| [&found.producer, &found.instance]);
    assert!(labels.into_iter().all(|label| is_label(label)), "B3: {producers:?}");
    let mut readers = ReadersClient::new(channel.clone());
    let list = v1::ListReadersRequest { queue: name(), ..<_>::default() };
    for found in readers.list_readers(list).await.expect("listed").into_inner().readers {
        assert!(is_label(&found.reader) && is_label(&found.instance), "B6: {found:?}");
        let read = v1::ReadValuesRequest { queue: name(), reader: found.reader, max_results: PAGE, ..<_>::default() };
        for value in readers.read_values(read).await.expect("read").into_inner().values {
            assert!((1..=256).contains(&value.key.len()) && value.value.len() <= 64 << 10, "B1: {value:?}");
        }
    }
}
