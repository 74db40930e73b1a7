//! Forms that are none, or that say more than a request can: refused with a text that says where, on a connection that
//! lives on (P2, P3).

use std::fmt::Write as _;

use super::query::{Old, all, form, only, refused};

const QUEUE: (&str, &str) = ("QueueUrl", "q");

#[tokio::test]
async fn p2_what_cannot_be_read_is_refused_and_says_where() {
    let mut old = Old::start().await;
    old.create("q").await;
    let many = (0..2_000).fold(String::new(), |mut form, number| {
        write!(form, "&x{number}=1").expect("written");
        form
    });
    let deep = "x.".repeat(100_000);
    let entry = "SendMessageBatchRequestEntry";
    for (form, at) in [
        (
            "Action=ListQueues&Action=ListQueues".to_owned(),
            "The parameter Action is malformed: a parameter is given twice.",
        ),
        ("Action=SendMessage&QueueUrl=q&QueueUrl=q&MessageBody=m".to_owned(), "parameter QueueUrl is malformed"),
        ("Action=SendMessage&QueueUrl=q&Queue%55rl=q".to_owned(), "parameter QueueUrl is malformed"),
        ("Action=SendMessage&MessageBody=%".to_owned(), "parameter MessageBody is malformed: a % is not followed"),
        ("Action=SendMessage&MessageBody=%4".to_owned(), "MessageBody"),
        ("Action=SendMessage&MessageBody=%+4".to_owned(), "MessageBody"),
        ("Action=SendMessage&MessageBody=%zz".to_owned(), "MessageBody"),
        ("Action=SendMessage&MessageBody=%FF".to_owned(), "parameter MessageBody is malformed: it is no UTF-8."),
        ("Action=SendMessage&%FF=1".to_owned(), "The form is malformed: it is no UTF-8."),
        ("Action=%C3".to_owned(), "parameter Action is malformed: it is no UTF-8."),
        ("Action=SendMessage&MessageBody.1=m".to_owned(), "parameter MessageBody is malformed: a text is expected"),
        ("Action=SendMessage&MessageBody=m&MessageBody.x=n".to_owned(), "MessageBody"),
        (
            "Action=ReceiveMessage&MaxNumberOfMessages=many".to_owned(),
            "MaxNumberOfMessages is malformed: a whole number",
        ),
        ("Action=ReceiveMessage&MaxNumberOfMessages=1.0".to_owned(), "MaxNumberOfMessages"),
        ("Action=ReceiveMessage&MaxNumberOfMessages=".to_owned(), "MaxNumberOfMessages"),
        ("Action=ReceiveMessage&MaxNumberOfMessages=9999999999999999999999".to_owned(), "MaxNumberOfMessages"),
        (
            "Action=ReceiveMessage&AttributeName.x=All".to_owned(),
            "AttributeName.x is malformed: its elements are numbered",
        ),
        ("Action=ReceiveMessage&AttributeName.0=All".to_owned(), "AttributeName.0"),
        ("Action=ReceiveMessage&AttributeName.01=All".to_owned(), "AttributeName.01"),
        ("Action=ReceiveMessage&AttributeName.-1=All".to_owned(), "AttributeName.-1"),
        ("Action=ReceiveMessage&AttributeName.1000000000=All".to_owned(), "AttributeName.1000000000"),
        ("Action=ReceiveMessage&AttributeName.1.x=All".to_owned(), "AttributeName.1 is malformed: a text is expected"),
        ("Action=ReceiveMessage&AttributeName.=All".to_owned(), "AttributeName"),
        (
            "Action=ReceiveMessage&AttributeName.1=All&AttributeName=All".to_owned(),
            "AttributeName is malformed: it is a list",
        ),
        (
            "Action=CreateQueue&Attribute.1.Name=DelaySeconds".to_owned(),
            "Attribute.1.Value is malformed: it is missing.",
        ),
        ("Action=CreateQueue&Attribute.1.Value=1".to_owned(), "Attribute.1.Name is malformed: it is missing."),
        ("Action=CreateQueue&Attribute=1".to_owned(), "Attribute.1.Name"),
        ("Action=CreateQueue&Attribute.1.Name.x=a&Attribute.1.Value=1".to_owned(), "Attribute.1.Name"),
        (
            "Action=SendMessage&MessageAttribute.1.Name=a&MessageAttribute.1.Value=b".to_owned(),
            "MessageAttribute.1.Value",
        ),
        (
            "Action=SendMessage&MessageAttribute.1.Name=a&MessageAttribute.1.Value.BinaryValue=!".to_owned(),
            "MessageAttribute.1.Value.BinaryValue is malformed: no base64",
        ),
        (format!("Action=SendMessageBatch&{entry}.2.DelaySeconds=x"), "SendMessageBatchRequestEntry.2.DelaySeconds"),
        (format!("Action=SendMessageBatch&{entry}=x"), "SendMessageBatchRequestEntry.1 is malformed: a structure"),
        (format!("Action=ListQueues{many}"), "The form is malformed: it has more than 2000 parameters."),
        (format!("Action=ListQueues&{deep}=1"), "a parameter's name has more than 8 parts."),
    ] {
        let answer = old.raw("/", form.as_bytes()).await;
        let (status, code, text) = refused(&answer);
        assert_eq!((status, code.as_str()), (400, "MalformedInput"), "{at}");
        assert!(text.contains(at) && text.len() < 400, "{at}: {text}");
        assert_eq!(only(&answer.text, "Type"), "Sender");
    }
    let answer = old.raw("/", b"Action=SendMessage&QueueUrl=q&MessageBody=\xFF").await;
    assert_eq!(refused(&answer).1, "MalformedInput", "bytes as they are");
    assert_eq!(all(&old.ok("ReceiveMessage", &[QUEUE]).await, "Message").len(), 0, "nothing of it was sent");
    old.stop().await;
}

#[tokio::test]
async fn p2_what_nobody_asks_for_is_nobodys() {
    let mut old = Old::start().await;
    old.create("q").await;
    for odd in [
        "&&Action=SendMessage&&QueueUrl=q&MessageBody=m&",
        "Unknown=1&Unknown.1.x=2&.=3&=4&x&Action=SendMessage&QueueUrl=q&MessageBody=m",
        "Action=SendMessage&QueueUrl=q&MessageBody=m&AWSAccessKeyId=x&SignatureMethod=HmacSHA256&Timestamp=1",
        "Action=SendMessage&QueueUrl=q&MessageBody=m&MessageAttribute=&MessageSystemAttribute=",
        "Action=SendMessage&Queue%55rl=q&Message%42ody=m",
    ] {
        let answer = old.raw("/", odd.as_bytes()).await;
        assert_eq!(answer.status, 200, "{odd}: {answer:?}");
    }
    let tagged =
        "Action=TagQueue&QueueUrl=q&Tag.999999999.Key=last&Tag.999999999.Value=9&Tag.7.Key=first&Tag.7.Value=7";
    assert_eq!(old.raw("/", tagged.as_bytes()).await.status, 200, "gaps are no elements");
    let tags = old.ok("ListQueueTags", &[QUEUE]).await;
    assert_eq!(all(&tags, "Key"), ["first", "last"]);
    old.stop().await;
}

#[tokio::test]
async fn p3_faults_have_the_codes_of_the_protocol() {
    let mut old = Old::start().await;
    old.create("q").await;
    let missing = |name: &str| {
        let text = format!("The request must contain the parameter {name}.");
        (400, "MissingParameter".to_owned(), text)
    };
    assert_eq!(old.no("SendMessage", &[QUEUE]).await, missing("MessageBody"));
    assert_eq!(old.no("SendMessage", &[("MessageBody", "m")]).await, missing("QueueUrl"));
    assert_eq!(old.no("GetQueueUrl", &[]).await, missing("QueueName"));
    for (action, fields, code) in [
        ("SendMessage", &[QUEUE, ("MessageBody", "\u{1}")][..], "InvalidMessageContents"),
        ("SendMessage", &[QUEUE, ("MessageBody", "m"), ("DelaySeconds", "901")], "InvalidParameterValue"),
        ("ReceiveMessage", &[QUEUE, ("MaxNumberOfMessages", "11")], "InvalidParameterValue"),
        ("DeleteMessage", &[QUEUE, ("ReceiptHandle", "<garbage>")], "ReceiptHandleIsInvalid"),
        ("GetQueueAttributes", &[QUEUE, ("AttributeName.1", "Nothing")], "InvalidAttributeName"),
        (
            "CreateQueue",
            &[("QueueName", "q"), ("Attribute.1.Name", "DelaySeconds"), ("Attribute.1.Value", "5")],
            "QueueAlreadyExists",
        ),
        (
            "SetQueueAttributes",
            &[QUEUE, ("Attribute.1.Name", "DelaySeconds"), ("Attribute.1.Value", "x")],
            "InvalidAttributeValue",
        ),
        (
            "DeleteMessageBatch",
            &[
                QUEUE,
                ("DeleteMessageBatchRequestEntry.1.Id", "a b"),
                ("DeleteMessageBatchRequestEntry.1.ReceiptHandle", "x"),
            ],
            "AWS.SimpleQueueService.InvalidBatchEntryId",
        ),
        (
            "DeleteMessageBatch",
            &[QUEUE, ("DeleteMessageBatchRequestEntry.1.Id", "a"), ("DeleteMessageBatchRequestEntry.2.Id", "a")],
            "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        ),
    ] {
        let refused = old.no(action, fields).await;
        assert_eq!((refused.0, refused.1.as_str()), (400, code), "{action} {fields:?}: {}", refused.2);
    }
    let garbage = old.no("DeleteMessage", &[QUEUE, ("ReceiptHandle", "<\"&")]).await.2;
    assert_eq!(garbage, "The input receipt handle &quot;&lt;&quot;&amp;&quot; is not a valid receipt handle.");
    let body = form("SendMessage", &[QUEUE, ("MessageBody", &"x".repeat((4 << 20) + 1))]);
    let answer = old.raw("/", body.as_bytes()).await;
    let (status, code, _) = refused(&answer);
    assert_eq!((status, code.as_str()), (413, "RequestEntityTooLarge"));
    old.stop().await;
}
