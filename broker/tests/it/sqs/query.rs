//! The query protocol (P2): a form in, XML out, on the same port and over the same operations. What the operations do is
//! told in JSON, beside this; here every one of them is asked once, and what is peculiar to the protocol.

use std::fmt::Write as _;

use super::{Answer, Http};
use crate::support::{Served, memory};

const HEAD: &str = "Host: broker.test:9324\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\
    Authorization: AWS4-HMAC-SHA256 Credential=123456789012/20260101/eu-west-1/sqs/aws4_request, \
    SignedHeaders=host, Signature=0\r\n";
const URL: &str = "http://broker.test:9324/123456789012/q.fifo";
const NONE: [&str; 0] = [];

/// What must not be a part of a form as it is.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => encoded.push(byte.into()),
            b' ' => encoded.push('+'),
            byte => write!(encoded, "%{byte:02X}").expect("written"),
        }
    }
    encoded
}

/// A form of names and values.
pub(super) fn form(action: &str, fields: &[(&str, &str)]) -> String {
    let mut form = format!("Action={action}&Version=2012-11-05");
    for (name, value) in fields {
        write!(form, "&{name}={}", encoded(value)).expect("written");
    }
    form
}

/// What stands within every element of that name, with what XML escapes.
pub(super) fn all<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1);
    parts.map(|part| part.split(&close).next().expect("a part")).collect()
}

/// What stands within the only element of that name.
#[track_caller]
pub(super) fn only<'a>(xml: &'a str, name: &str) -> &'a str {
    let [only] = all(xml, name)[..] else { panic!("no only {name}: {xml}") };
    only
}

/// Status, code and text of a refusal.
#[track_caller]
pub(super) fn refused(answer: &Answer) -> (u16, String, String) {
    assert_eq!(answer.headers["content-type"], "text/xml");
    let xml = &answer.text;
    let head =
        "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><Error><Type>";
    assert!(xml.starts_with(head) && xml.contains("<Detail/></Error><RequestId>"), "{xml}");
    assert_eq!(only(xml, "RequestId"), answer.headers["x-amzn-requestid"]);
    (answer.status, only(xml, "Code").to_owned(), only(xml, "Message").to_owned())
}

/// A refusal that the sender has to mend.
fn refusal(code: &str, text: &str) -> (u16, String, String) {
    (400, code.to_owned(), text.to_owned())
}

/// A broker, and a client of the old kind.
pub(super) struct Old {
    served: Served,
    pub(super) http: Http,
}

impl Old {
    pub(super) async fn start() -> Self {
        let served = Served::start(&memory()).await;
        let http = Http::to(&served).await;
        Self { served, http }
    }

    pub(super) async fn raw(&mut self, path: &str, form: &[u8]) -> Answer {
        self.http.ask(&format!("POST {path}"), HEAD, form).await
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.http.ask(&format!("GET {path}"), "Host: broker.test:9324\r\n", b"").await
    }

    /// A call that succeeds; its result.
    pub(super) async fn ok(&mut self, action: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.raw("/", form(action, fields).as_bytes()).await;
        assert_eq!(answer.status, 200, "{action}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "text/xml");
        let head = format!("<{action}Response xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">");
        assert!(answer.text.starts_with(&format!("<?xml version=\"1.0\"?>{head}")), "{answer:?}");
        let metadata = only(&answer.text, "ResponseMetadata");
        assert_eq!(only(metadata, "RequestId"), answer.headers["x-amzn-requestid"]);
        let result = all(&answer.text, &format!("{action}Result"));
        result.first().map(|result| (*result).to_owned()).unwrap_or_default()
    }

    /// A call that is refused.
    pub(super) async fn no(&mut self, action: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
        refused(&self.raw("/", form(action, fields).as_bytes()).await)
    }

    pub(super) async fn create(&mut self, name: &str) -> String {
        let fifo = [
            ("QueueName", name),
            ("Attribute.1.Name", "FifoQueue"),
            ("Attribute.1.Value", "true"),
            ("Attribute.2.Name", "ContentBasedDeduplication"),
            ("Attribute.2.Value", "true"),
        ];
        let fields = if name.ends_with(".fifo") { &fifo[..] } else { &fifo[..1] };
        only(&self.ok("CreateQueue", fields).await, "QueueUrl").to_owned()
    }

    pub(super) async fn stop(self) {
        drop(self.http);
        self.served.stop().await.expect("a clean end");
    }
}

#[tokio::test]
async fn p2_a_message_there_and_back() {
    let mut old = Old::start().await;
    assert_eq!(old.create("q.fifo").await, URL, "P6: the host that the caller named");
    let sent = [
        ("QueueUrl", URL),
        ("MessageBody", "a<b> & \"c\"\r\n'ß+%"),
        ("MessageGroupId", "g"),
        ("MessageAttribute.1.Name", "Foo"),
        ("MessageAttribute.1.Value.DataType", "String"),
        ("MessageAttribute.1.Value.StringValue", "Bar"),
        ("MessageAttribute.2.Name", "bin"),
        ("MessageAttribute.2.Value.DataType", "Binary.png"),
        ("MessageAttribute.2.Value.BinaryValue", "AP8+"),
        ("MessageSystemAttribute.1.Name", "AWSTraceHeader"),
        ("MessageSystemAttribute.1.Value.DataType", "String"),
        ("MessageSystemAttribute.1.Value.StringValue", "Root=1"),
    ];
    let sent = old.ok("SendMessage", &sent).await;
    assert_eq!(only(&sent, "SequenceNumber").len(), 20);
    assert_eq!(only(&sent, "MD5OfMessageSystemAttributes").len(), 32);
    let wanted = [("QueueUrl", URL), ("AttributeName.1", "All"), ("MessageAttributeName.1", "Foo")];
    let received = old.ok("ReceiveMessage", &wanted).await;
    let message = only(&received, "Message");
    assert_eq!(only(message, "Body"), "a&lt;b&gt; &amp; &quot;c&quot;&#xD;\n'ß+%");
    assert_eq!(only(message, "MD5OfBody"), only(&sent, "MD5OfMessageBody"));
    assert_eq!(only(message, "MessageId"), only(&sent, "MessageId"));
    assert_eq!(only(message, "MD5OfMessageAttributes"), "ae7155c6026991b6d54b11589678bf9c");
    let foo = "<Name>Foo</Name><Value><StringValue>Bar</StringValue><DataType>String</DataType></Value>";
    assert_eq!(all(message, "MessageAttribute"), [foo]);
    let trace = "<Name>AWSTraceHeader</Name><Value>Root=1</Value>";
    assert!(all(message, "Attribute").contains(&trace), "{message}");
    let handle = only(message, "ReceiptHandle").to_owned();
    let change = [("QueueUrl", URL), ("ReceiptHandle", &handle), ("VisibilityTimeout", "0")];
    assert_eq!(old.ok("ChangeMessageVisibility", &change).await, "");
    let wanted = [("QueueUrl", URL), ("MessageAttributeName", "bin"), ("MaxNumberOfMessages", "10")];
    let again = old.ok("ReceiveMessage", &wanted).await;
    let bin = "<Name>bin</Name><Value><BinaryValue>AP8+</BinaryValue><DataType>Binary.png</DataType></Value>";
    assert_eq!(all(&again, "MessageAttribute"), [bin], "a list of one may be without a number");
    assert_eq!(all(&again, "Attribute"), NONE);
    let handle = only(&again, "ReceiptHandle").to_owned();
    assert_eq!(old.ok("DeleteMessage", &[("QueueUrl", URL), ("ReceiptHandle", &handle)]).await, "");
    assert_eq!(old.ok("ReceiveMessage", &[("QueueUrl", URL)]).await, "", "no messages are no element");
    old.stop().await;
}

#[tokio::test]
async fn p2_p4_batches() {
    let mut old = Old::start().await;
    old.create("q.fifo").await;
    let name = |number: usize, field: &str| format!("SendMessageBatchRequestEntry.{number}.{field}");
    let mut send = vec![("QueueUrl".to_owned(), URL.to_owned())];
    for number in 1..=10 {
        let body = if number == 4 { "\u{1}".to_owned() } else { number.to_string() };
        let of = |field: &str, value: &str| (name(number, field), value.to_owned());
        send.extend([of("Id", &format!("id{number}")), of("MessageBody", &body), of("MessageGroupId", "g")]);
        let attribute = |field: &str, value: &str| of(&format!("MessageAttribute.1.{field}"), value);
        send.extend([
            attribute("Name", "n"),
            attribute("Value.DataType", "Number"),
            attribute("Value.StringValue", "1"),
        ]);
    }
    let borrowed: Vec<_> = send.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let sent = old.ok("SendMessageBatch", &borrowed).await;
    let ids: Vec<_> = all(&sent, "SendMessageBatchResultEntry").into_iter().map(|it| only(it, "Id")).collect();
    assert_eq!(ids, ["id1", "id2", "id3", "id5", "id6", "id7", "id8", "id9", "id10"], "the tenth is not the second");
    let failed = only(&sent, "BatchResultErrorEntry");
    assert_eq!((only(failed, "Id"), only(failed, "Code")), ("id4", "InvalidMessageContents"));
    assert_eq!(only(failed, "SenderFault"), "true");
    let received = old.ok("ReceiveMessage", &[("QueueUrl", URL), ("MaxNumberOfMessages", "3")]).await;
    let handles = all(&received, "ReceiptHandle");
    let entry = |kind: &str, number: usize, field: &str| format!("{kind}BatchRequestEntry.{number}.{field}");
    let of = |kind: &str, number: usize, handle: &str| {
        let id = (entry(kind, number, "Id"), format!("id{number}"));
        [id, (entry(kind, number, "ReceiptHandle"), handle.to_owned())]
    };
    let batch = |kind: &str, handles: &[&str]| {
        let mut fields = vec![("QueueUrl".to_owned(), URL.to_owned())];
        fields.extend(handles.iter().enumerate().flat_map(|(at, handle)| of(kind, at + 1, handle)));
        fields
    };
    let mut change = batch("ChangeMessageVisibility", &[handles[2], "garbage"]);
    change.push((entry("ChangeMessageVisibility", 1, "VisibilityTimeout"), "60".to_owned()));
    change.push((entry("ChangeMessageVisibility", 2, "VisibilityTimeout"), "60".to_owned()));
    let change: Vec<_> = change.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let changed = old.ok("ChangeMessageVisibilityBatch", &change).await;
    assert_eq!(only(only(&changed, "ChangeMessageVisibilityBatchResultEntry"), "Id"), "id1");
    assert_eq!(only(only(&changed, "BatchResultErrorEntry"), "Code"), "ReceiptHandleIsInvalid");
    let delete = batch("DeleteMessage", &handles);
    let delete: Vec<_> = delete.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let deleted = old.ok("DeleteMessageBatch", &delete).await;
    assert_eq!(all(&deleted, "DeleteMessageBatchResultEntry").len(), 3);
    let empty = refusal(
        "AWS.SimpleQueueService.EmptyBatchRequest",
        "There should be at least one SendMessageBatchRequestEntry in the request.",
    );
    assert_eq!(old.no("SendMessageBatch", &[("QueueUrl", URL)]).await, empty);
    assert_eq!(old.no("SendMessageBatch", &[("QueueUrl", URL), ("Entries", "")]).await, empty, "as boto says it");
    old.stop().await;
}

#[tokio::test]
async fn p2_queues_tags_and_permissions() {
    let mut old = Old::start().await;
    for name in ["a", "b", "q.fifo"] {
        old.create(name).await;
    }
    let found = old.ok("GetQueueUrl", &[("QueueName", "q.fifo")]).await;
    assert_eq!(only(&found, "QueueUrl"), URL);
    let page = old.ok("ListQueues", &[("MaxResults", "2")]).await;
    assert_eq!((all(&page, "QueueUrl").len(), all(&page, "NextToken").len()), (2, 1));
    let next = [("MaxResults", "2"), ("NextToken", only(&page, "NextToken"))];
    let page = old.ok("ListQueues", &next).await;
    assert_eq!((all(&page, "QueueUrl"), all(&page, "NextToken").len()), (vec![URL], 0));
    assert_eq!(old.ok("ListQueues", &[("QueueNamePrefix", "none")]).await, "");
    let set = [
        ("QueueUrl", URL),
        ("Attribute.1.Name", "VisibilityTimeout"),
        ("Attribute.1.Value", "77"),
        ("Attribute.7.Name", "DelaySeconds"),
        ("Attribute.7.Value", "1"),
    ];
    assert_eq!(old.ok("SetQueueAttributes", &set).await, "");
    let set = [("QueueUrl", URL), ("Attribute.Name", "MessageRetentionPeriod"), ("Attribute.Value", "60")];
    old.ok("SetQueueAttributes", &set).await;
    let get = [
        ("QueueUrl", URL),
        ("AttributeName.1", "VisibilityTimeout"),
        ("AttributeName.2", "DelaySeconds"),
        ("AttributeName.3", "MessageRetentionPeriod"),
    ];
    let got = old.ok("GetQueueAttributes", &get).await;
    let mut values: Vec<_> =
        all(&got, "Attribute").into_iter().map(|it| (only(it, "Name"), only(it, "Value"))).collect();
    values.sort_unstable();
    assert_eq!(values, [("DelaySeconds", "1"), ("MessageRetentionPeriod", "60"), ("VisibilityTimeout", "77")]);
    assert_eq!(old.ok("GetQueueAttributes", &[("QueueUrl", URL)]).await, "");
    let tags =
        [("QueueUrl", URL), ("Tag.1.Key", "team"), ("Tag.1.Value", "<1>"), ("Tag.2.Key", "e"), ("Tag.2.Value", "")];
    assert_eq!(old.ok("TagQueue", &tags).await, "");
    let listed = old.ok("ListQueueTags", &[("QueueUrl", URL)]).await;
    let both = ["<Key>e</Key><Value></Value>", "<Key>team</Key><Value>&lt;1&gt;</Value>"];
    assert_eq!(all(&listed, "Tag"), both);
    assert_eq!(old.ok("UntagQueue", &[("QueueUrl", URL), ("TagKey.1", "team")]).await, "");
    assert_eq!(all(&old.ok("ListQueueTags", &[("QueueUrl", URL)]).await, "Tag"), both[..1]);
    let add = [
        ("QueueUrl", URL),
        ("Label", "l"),
        ("AWSAccountId.1", "111122223333"),
        ("AWSAccountId.2", "444455556666"),
        ("ActionName.1", "SendMessage"),
    ];
    assert_eq!(old.ok("AddPermission", &add).await, "");
    let policy = old.ok("GetQueueAttributes", &[("QueueUrl", URL), ("AttributeName.1", "Policy")]).await;
    assert!(policy.contains("&quot;arn:aws:iam::444455556666:root&quot;"), "{policy}");
    assert_eq!(old.ok("RemovePermission", &[("QueueUrl", URL), ("Label", "l")]).await, "");
    assert_eq!(old.ok("PurgeQueue", &[("QueueUrl", URL)]).await, "");
    assert_eq!(old.ok("DeleteQueue", &[("QueueUrl", URL)]).await, "");
    let gone = "The specified queue does not exist for this wsdl version.";
    let gone = refusal("AWS.SimpleQueueService.NonExistentQueue", gone);
    assert_eq!(old.no("GetQueueUrl", &[("QueueName", "q.fifo")]).await, gone);
    old.stop().await;
}

#[tokio::test]
async fn p2_dead_letters_and_their_way_back() {
    let mut old = Old::start().await;
    old.create("q.fifo").await;
    let dead = old.create("dead.fifo").await;
    let arn = "arn:aws:sqs:eu-west-1:123456789012:dead.fifo";
    let policy = format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":\"1\"}}");
    let set = [("QueueUrl", URL), ("Attribute.1.Name", "RedrivePolicy"), ("Attribute.1.Value", &policy)];
    old.ok("SetQueueAttributes", &set).await;
    let sources = old.ok("ListDeadLetterSourceQueues", &[("QueueUrl", &dead)]).await;
    assert_eq!(all(&sources, "QueueUrl"), [URL]);
    old.ok("SendMessage", &[("QueueUrl", URL), ("MessageBody", "m"), ("MessageGroupId", "g")]).await;
    let receive = [("QueueUrl", URL), ("VisibilityTimeout", "0")];
    assert_eq!(all(&old.ok("ReceiveMessage", &receive).await, "Message").len(), 1);
    assert_eq!(all(&old.ok("ReceiveMessage", &receive).await, "Message").len(), 0, "Q2");
    let start = [("SourceArn", arn), ("MaxNumberOfMessagesPerSecond", "1")];
    let started = old.ok("StartMessageMoveTask", &start).await;
    let handle = only(&started, "TaskHandle").to_owned();
    let tasks = old.ok("ListMessageMoveTasks", &[("SourceArn", arn), ("MaxResults", "10")]).await;
    let task = only(&tasks, "ListMessageMoveTasksResultEntry");
    assert_eq!((only(task, "SourceArn"), only(task, "MaxNumberOfMessagesPerSecond")), (arn, "1"));
    // Whether the only message was moved meanwhile is not for this protocol to say.
    let answer = old.raw("/", form("CancelMessageMoveTask", &[("TaskHandle", &handle)]).as_bytes()).await;
    if answer.status == 200 {
        let result = only(&answer.text, "CancelMessageMoveTaskResult");
        assert!(only(result, "ApproximateNumberOfMessagesMoved").parse::<u64>().is_ok(), "{answer:?}");
    } else {
        refused(&answer);
    }
    let gone = old.no("StartMessageMoveTask", &[("SourceArn", "arn:aws:sqs:r:1:none.fifo")]).await;
    assert_eq!((gone.0, gone.1.as_str()), (404, "ResourceNotFoundException"));
    old.stop().await;
}

#[tokio::test]
async fn p2_the_url_of_a_queue_names_it_and_can_be_looked_at() {
    let mut old = Old::start().await;
    old.create("q.fifo").await;
    old.create("other").await;
    let path = "/123456789012/q.fifo";
    let answer = old.get(&format!("{path}?Action=SendMessage&MessageBody=a+%26+b&MessageGroupId=g")).await;
    assert_eq!(only(&answer.text, "MD5OfMessageBody").len(), 32, "{answer:?}");
    let answer = old.get(&format!("{path}/?Action=ReceiveMessage&Version=2012-11-05")).await;
    assert_eq!(only(&answer.text, "Body"), "a &amp; b");
    let arn = "Action=GetQueueAttributes&AttributeName.1=QueueArn";
    let answer = old.raw(path, arn.as_bytes()).await;
    assert!(only(&answer.text, "Value").ends_with(":q.fifo"), "{answer:?}");
    let answer = old.get(&format!("{path}?{arn}&QueueUrl=http%3A%2F%2Fx%2F000000000000%2Fother")).await;
    assert!(only(&answer.text, "Value").ends_with(":other"), "the parameter counts: {answer:?}");
    let answer = old.raw(&format!("/?{arn}"), b"QueueUrl=other").await;
    assert!(only(&answer.text, "Value").ends_with(":other"), "a part in the address: {answer:?}");
    let answer = old.get(&format!("{path}?Action=GetQueueUrl&QueueName=other")).await;
    assert_eq!(only(&answer.text, "QueueUrl"), "http://broker.test:9324/000000000000/other");
    let answer = old.get("/?Action=ListQueues").await;
    assert_eq!(all(&answer.text, "QueueUrl").len(), 2);
    for action in ["CreateQueue", "ListQueues", "Nothing"] {
        let answer = old.get(&format!("{path}?Action={action}&QueueName=new")).await;
        let text = format!("The action {action} is not valid for this endpoint.");
        assert_eq!(refused(&answer), refusal("InvalidAction", &text));
    }
    let answer = old.get("/123456789012/gone?Action=ReceiveMessage").await;
    assert_eq!(refused(&answer).1, "AWS.SimpleQueueService.NonExistentQueue");
    for (first, body) in [
        (format!("GET {path}"), ""),
        (format!("GET {path}?Version=2012-11-05"), ""),
        (format!("GET {path}?Action="), ""),
        (format!("PUT {path}?Action=PurgeQueue"), ""),
        (format!("DELETE {path}?Action=DeleteQueue"), ""),
        ("POST /".to_owned(), "Version=2012-11-05"),
        ("POST /".to_owned(), ""),
    ] {
        let answer = old.http.ask(&first, HEAD, body.as_bytes()).await;
        assert_eq!((answer.status, answer.text.as_str()), (404, "<UnknownOperationException/>\n"), "{first}");
    }
    let link = "Host: localhost:9324\r\nUser-Agent: Mozilla/5.0\r\nSec-Fetch-Site: cross-site\r\n";
    let answer = old.http.ask(&format!("GET {path}?Action=PurgeQueue"), link, b"").await;
    assert_eq!(refused(&answer).1, "AccessDenied", "a picture on somebody's page");
    assert_eq!(old.get("/healthz").await.status, 200, "no queue's address");
    old.stop().await;
}
