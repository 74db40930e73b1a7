//! Forms that nobody of ours wrote: reading one ends in a request or in a fault that says where. What every operation
//! makes of a good form is told over sockets.

use lockstep_fuzz::{changed, tries};

use super::{read, xml};
use crate::front::sqs::{
    model::{
        Text,
        batches::{Batch, ChangeEntry, SendEntry},
        messages::{ReceiveMessage, SendMessage},
        queues::CreateQueue,
        tags::{TagQueue, UntagQueue},
    },
    operations::Operation,
};

const FORMS: [&str; 6] = [
    "Action=SendMessage&QueueUrl=http%3A%2F%2Fh%2F000000000000%2Fq&MessageBody=a+b%26%C3%9F&DelaySeconds=7&\
     MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=Binary&MessageAttribute.1.Value.BinaryValue=AP8%3D",
    "Action=SendMessageBatch&SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=m&\
     SendMessageBatchRequestEntry.10.Id=c&SendMessageBatchRequestEntry.2.Id=b&\
     SendMessageBatchRequestEntry.2.MessageAttribute.1.Name=n&\
     SendMessageBatchRequestEntry.2.MessageAttribute.1.Value.StringListValue.1=x",
    "Action=CreateQueue&QueueName=q&Attribute.1.Name=A&Attribute.1.Value=1&Tag.1.Key=k&Tag.1.Value=&Version=2012-11-05",
    "Action=ReceiveMessage&AttributeName=All&MessageAttributeName.2=b&MessageAttributeName.1=a&MaxNumberOfMessages=10",
    "Action=ChangeMessageVisibilityBatch&ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout=3",
    "Action=UntagQueue&TagKey.1=a&TagKey.7=b&Attribute.Name=x&Attribute.Value=y",
];

#[test]
fn p2_a_form_becomes_what_json_would() {
    let send: SendMessage<'_> = read(FORMS[0].as_bytes()).expect("a request");
    assert_eq!(send.queue_url.as_deref(), Some("http://h/000000000000/q"));
    assert_eq!((send.message_body.as_deref(), send.delay_seconds), (Some("a b&ß"), Some(7)));
    let (name, value) = &send.message_attributes.expect("attributes").0[0];
    assert_eq!((&**name, value.data_type.as_deref()), ("n", Some("Binary")));
    assert_eq!(value.binary_value.as_ref().map(|it| &it.0[..]), Some(&b"\0\xff"[..]));
    let batch: Batch<'_, SendEntry<'_>> = read(FORMS[1].as_bytes()).expect("a request");
    let entries = batch.entries.expect("entries");
    let ids: Vec<_> = entries.iter().filter_map(|entry| entry.id.as_deref()).collect();
    assert_eq!(ids, ["a", "b", "c"], "in the order of their numbers");
    let (_, value) = &entries[1].message_attributes.as_ref().expect("attributes").0[0];
    assert_eq!(value.string_list_values.as_ref().map(Vec::len), Some(1));
    let create: CreateQueue<'_> = read(FORMS[2].as_bytes()).expect("a request");
    assert_eq!((create.attributes.map(|it| it.0.len()), create.tags.map(|it| it.0.len())), (Some(1), Some(1)));
    let receive: ReceiveMessage<'_> = read(FORMS[3].as_bytes()).expect("a request");
    let names = |names: Option<Vec<Text<'_>>>| names.unwrap_or_default().iter().map(|it| it.to_string()).collect();
    let (system, own): (Vec<_>, Vec<_>) = (names(receive.attribute_names), names(receive.message_attribute_names));
    assert_eq!((system, own), (vec!["All".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
    let batch: Batch<'_, ChangeEntry<'_>> = read(FORMS[4].as_bytes()).expect("a request");
    assert_eq!(batch.entries.expect("entries")[0].visibility_timeout, Some(3));
    let untag: UntagQueue<'_> = read(FORMS[5].as_bytes()).expect("a request");
    assert_eq!(untag.tag_keys.map(|keys| keys.len()), Some(2));
}

#[test]
fn p2_any_form_is_a_request_or_a_fault() {
    for mut chance in tries(5_000) {
        let form = changed(&mut chance, &FORMS);
        let faults = [
            read::<SendMessage<'_>>(&form).err(),
            read::<Batch<'_, SendEntry<'_>>>(&form).err(),
            read::<CreateQueue<'_>>(&form).err(),
            read::<ReceiveMessage<'_>>(&form).err(),
            read::<Batch<'_, ChangeEntry<'_>>>(&form).err(),
            read::<TagQueue<'_>>(&form).err(),
            read::<UntagQueue<'_>>(&form).err(),
        ];
        for fault in faults.into_iter().flatten() {
            assert!(fault.to_string().contains(" is malformed: "), "{fault}");
        }
        let text = serde_json::json!({ "QueueUrl": String::from_utf8_lossy(&form) });
        let xml = xml::answer(Operation::CreateQueue, &text, "id");
        let inner = xml.split_once("<QueueUrl>").and_then(|(_, rest)| rest.split_once("</QueueUrl>")).expect("there").0;
        assert!(!inner.contains(['<', '>', '"', '\r', '\0', '\u{1F}', '\u{FFFF}']), "{inner}");
    }
}
