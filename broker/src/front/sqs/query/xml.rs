//! Answers as XML (P2). The answer comes as a tree of the fields of the service's model; lists and maps get the names of
//! the wire and are flattened.

use serde_json::{Map, Value};

use super::names;
use crate::front::sqs::operations::Operation;

const NAMESPACE: &str = "http://queue.amazonaws.com/doc/2012-11-05/";
const PROLOGUE: &str = "<?xml version=\"1.0\"?>";

/// A success.
pub(super) fn answer(operation: Operation, answer: &Value, id: &str) -> String {
    let name = operation.name();
    let mut xml = format!("{PROLOGUE}<{name}Response xmlns=\"{NAMESPACE}\">");
    if has_result(operation) {
        value(&mut xml, name, &format!("{name}Result"), answer);
    }
    xml.push_str("<ResponseMetadata>");
    text(&mut xml, "RequestId", id);
    xml.push_str("</ResponseMetadata></");
    xml.push_str(name);
    xml.push_str("Response>");
    xml
}

/// A failure.
pub(super) fn refusal(actor: &str, code: &str, message: &str, id: &str) -> String {
    let mut xml = format!("{PROLOGUE}<ErrorResponse xmlns=\"{NAMESPACE}\"><Error>");
    text(&mut xml, "Type", actor);
    text(&mut xml, "Code", code);
    text(&mut xml, "Message", message);
    xml.push_str("<Detail/></Error>");
    text(&mut xml, "RequestId", id);
    xml.push_str("</ErrorResponse>");
    xml
}

/// Whether an answer has a result, be it an empty one. SDKs look for the element.
const fn has_result(operation: Operation) -> bool {
    match operation {
        Operation::AddPermission
        | Operation::ChangeMessageVisibility
        | Operation::DeleteMessage
        | Operation::DeleteQueue
        | Operation::PurgeQueue
        | Operation::RemovePermission
        | Operation::SetQueueAttributes
        | Operation::TagQueue
        | Operation::UntagQueue => false,
        Operation::CancelMessageMoveTask
        | Operation::ChangeMessageVisibilityBatch
        | Operation::CreateQueue
        | Operation::DeleteMessageBatch
        | Operation::GetQueueAttributes
        | Operation::GetQueueUrl
        | Operation::ListDeadLetterSourceQueues
        | Operation::ListMessageMoveTasks
        | Operation::ListQueueTags
        | Operation::ListQueues
        | Operation::ReceiveMessage
        | Operation::SendMessage
        | Operation::SendMessageBatch
        | Operation::StartMessageMoveTask => true,
    }
}

fn fields(xml: &mut String, operation: &str, fields: &Map<String, Value>) {
    for (field, given) in fields {
        let name = names::wire(field, operation);
        match given {
            Value::Object(map) if names::is_map(field) => {
                for entry in map {
                    pair(xml, operation, &name, entry);
                }
            }
            Value::Array(list) => {
                for element in list {
                    value(xml, operation, &name, element);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                value(xml, operation, &name, given);
            }
        }
    }
}

/// An entry of a map.
fn pair(xml: &mut String, operation: &str, name: &str, (key, given): (&String, &Value)) {
    let (of_key, of_value) = names::pair(name);
    open(xml, name);
    text(xml, of_key, key);
    value(xml, operation, of_value, given);
    close(xml, name);
}

/// An element with whatever it holds.
fn value(xml: &mut String, operation: &str, name: &str, value: &Value) {
    match value {
        Value::String(given) => text(xml, name, given),
        Value::Bool(_) | Value::Number(_) => text(xml, name, &value.to_string()),
        Value::Object(inner) => {
            open(xml, name);
            fields(xml, operation, inner);
            close(xml, name);
        }
        // No answer has either here: what is absent is left out, and lists are flattened.
        Value::Null | Value::Array(_) => {}
    }
}

fn open(xml: &mut String, name: &str) {
    xml.push('<');
    xml.push_str(name);
    xml.push('>');
}

fn close(xml: &mut String, name: &str) {
    xml.push_str("</");
    xml.push_str(name);
    xml.push('>');
}

/// An element that holds a text.
fn text(xml: &mut String, name: &str, text: &str) {
    open(xml, name);
    escape(xml, text);
    close(xml, name);
}

/// A text as XML has it. A carriage return would be read as a line feed, so it is escaped; what XML cannot say at all
/// comes from gRPC alone (L6) and is said to be unreadable.
fn escape(xml: &mut String, text: &str) {
    let mut done = 0;
    for (at, character) in text.char_indices() {
        let escaped = match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\r' => "&#xD;",
            '\t' | '\n' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'.. => continue,
            '\0'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => "\u{FFFD}",
        };
        xml.push_str(&text[done..at]);
        xml.push_str(escaped);
        done = at + character.len_utf8();
    }
    xml.push_str(&text[done..]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn p2_every_kind_of_answer() {
        let receive = json!({ "Messages": [
            { "Body": "a<b>&\"\r\n\u{1}\u{FFFF}'ß", "Attributes": { "SenderId": "1" }, "MD5OfMessageAttributes": "5",
              "MessageAttributes": { "n": { "BinaryValue": "AA==", "DataType": "Binary" } } },
            { "Body": "" },
        ] });
        let xml = answer(Operation::ReceiveMessage, &receive, "id");
        let expected = "<?xml version=\"1.0\"?><ReceiveMessageResponse \
             xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><ReceiveMessageResult><Message>\
             <Body>a&lt;b&gt;&amp;&quot;&#xD;\n\u{FFFD}\u{FFFD}'ß</Body>\
             <Attribute><Name>SenderId</Name><Value>1</Value></Attribute>\
             <MD5OfMessageAttributes>5</MD5OfMessageAttributes><MessageAttribute><Name>n</Name><Value>\
             <BinaryValue>AA==</BinaryValue><DataType>Binary</DataType></Value></MessageAttribute></Message>\
             <Message><Body></Body></Message></ReceiveMessageResult>\
             <ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></ReceiveMessageResponse>";
        assert_eq!(xml, expected);
        let batch = json!({ "Successful": [{ "Id": "a" }], "Failed": [{ "Id": "b", "SenderFault": true }] });
        let xml = answer(Operation::DeleteMessageBatch, &batch, "id");
        let expected = "<DeleteMessageBatchResult><DeleteMessageBatchResultEntry><Id>a</Id>\
             </DeleteMessageBatchResultEntry><BatchResultErrorEntry><Id>b</Id><SenderFault>true</SenderFault>\
             </BatchResultErrorEntry></DeleteMessageBatchResult>";
        assert!(xml.contains(expected), "{xml}");
        let tags = answer(Operation::ListQueueTags, &json!({ "Tags": { "k": "v", "l": "" } }), "id");
        assert!(tags.contains("<Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value></Value></Tag>"));
        let none = answer(Operation::ListQueues, &json!({}), "id");
        assert!(none.contains("<ListQueuesResult></ListQueuesResult>"), "an empty result is there: {none}");
        assert!(!answer(Operation::TagQueue, &json!({}), "id").contains("Result"));
        let urls = answer(Operation::ListDeadLetterSourceQueues, &json!({ "queueUrls": ["u", "v"] }), "id");
        assert!(urls.contains("Result><QueueUrl>u</QueueUrl><QueueUrl>v</QueueUrl></"), "{urls}");
        let tasks = answer(Operation::ListMessageMoveTasks, &json!({ "Results": [{ "StartedTimestamp": 7 }] }), "id");
        let entry = "<ListMessageMoveTasksResultEntry><StartedTimestamp>7</StartedTimestamp></";
        assert!(tasks.contains(entry), "{tasks}");
    }
}
