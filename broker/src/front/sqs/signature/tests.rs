//! Signatures that another implementation of the algorithm made (botocore 1.44), and what must not pass.

use axum::http::{Request, request::Parts};

use super::*;

/// 2026-01-02T03:04:05Z, when all of them were signed.
const SIGNED_AT: u64 = 1_767_323_045;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const JSON: [(&str, &str); 4] = [
    ("content-type", "application/x-amz-json-1.0"),
    ("x-amz-target", "AmazonSQS.ListQueues"),
    ("x-amzn-query-mode", "true"),
    ("x-amz-date", "20260102T030405Z"),
];
const OF_JSON: &str = "content-type;host;x-amz-date;x-amz-target;x-amzn-query-mode";
const JSON_SIGNATURE: &str = "1f50a18fc317b35c0c747c0fcba02975f710650567c4a2cd19f5afba8bcd03f3";
const PRESIGNED: &str = "/000000000000/q.fifo?Action=ReceiveMessage&Version=2012-11-05&AttributeName=All&\
    WaitTimeSeconds=20&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Fus-east-1%2Fsqs%2F\
    aws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&\
    X-Amz-Signature=d217ac11bc7f3d4280f339fb8e4a27f5c8040ae7ed7dca1bdf11c954a928f8a1";

fn credentials() -> Credentials {
    let text = format!(
        "[a]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {SECRET}\naws_account_id = 123456789012\n"
    );
    Credentials::parse(&text).expect("credentials")
}

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let request = Request::builder().method(method).uri(uri);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).expect("a request").into_parts().0
}

fn authorization(region: &str, signed: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/{region}/sqs/aws4_request, SignedHeaders={signed}, \
         Signature={signature}"
    )
}

fn judged_at(seconds: u64, head: &Parts, body: &str) -> Result<Signer, Fault> {
    check(&credentials(), head, body.as_bytes(), Timestamp(seconds * 1_000))
}

fn judged(head: &Parts, body: &str) -> Result<Signer, Fault> {
    judged_at(SIGNED_AT, head, body)
}

/// The request of most tests, with headers before and after those of `JSON`.
fn json(host: &str, authorization: &str, more: &[(&str, &str)]) -> Parts {
    let headers = [&[("host", host), ("authorization", authorization)][..], &JSON, more].concat();
    head("POST", "/", &headers)
}

fn good() -> Parts {
    json("127.0.0.1:9324", &authorization("eu-west-1", OF_JSON, JSON_SIGNATURE), &[])
}

#[test]
fn what_another_implementation_signed_is_accepted() {
    let signer = judged(&good(), "{}").expect("signed");
    assert_eq!((signer.key.as_str(), signer.region.as_str()), ("AKIDEXAMPLE", "eu-west-1"));
    assert_eq!(signer.account, Account::parse("123456789012").ok());
    let signed = "ec46be1f1f4d948fbcda185c14212fe9c6068bf52493dd23bb3b9c3b25d465d6";
    let unicode = json("localhost:9324", &authorization("eu-west-1", OF_JSON, signed), &[]);
    judged(&unicode, "{\"QueueName\":\"ü\"}").expect("a body beyond ASCII");
    let signed = "337b1bc550a2f34c432b3d349981f52b1dd88a84b6098fc59ce5dae60aa81919";
    let authorized = authorization("eu-west-1", &format!("{OF_JSON};x-custom"), signed);
    for custom in ["  a   b  c ", "a b c"] {
        judged(&json("127.0.0.1:9324", &authorized, &[("x-custom", custom)]), "{}").expect("spaces are folded");
    }
    let signed = "c75ca9bda781eaded62ca9333dd2b0e737ec2adf8f070522d001329dba4ae45f";
    let authorized = authorization("eu-west-1", OF_JSON, signed);
    judged(&json("broker.example", &authorized, &[]), "{}").expect("without the port of https");
    let authority = [&[("authorization", authorized.as_str())][..], &JSON].concat();
    judged(&head("POST", "https://broker.example/", &authority), "{}").expect("HTTP/2 names the host in the URI");
}

#[test]
fn odd_paths_repeated_keys_and_forms_are_signed_as_they_are_written() {
    let date = ("x-amz-date", "20260102T030405Z");
    let path = "/000000000000/caf%C3%A9/../q%20x//y.fifo?b=2&a=1&a=0&Action=GetQueueAttributes&x=%C3%BC%2F~";
    let signed = authorization(
        "eu-west-1",
        "host;x-amz-date",
        "bda6244e4ba86ece67bddcb664a459c4b93d8620fe775250ad4863c2b7cee8cc",
    );
    let headers = [("host", "h.example"), ("authorization", &signed), date];
    judged(&head("GET", path, &headers), "").expect("an odd path");
    for other in [path.replace("a=1&a=0", "a=1"), path.replace("x//y", "x//z"), path.replace("b=2", "b=3")] {
        let fault = judged(&head("GET", &other, &headers), "").expect_err("another request");
        assert!(matches!(fault, Fault::Mismatch(_)), "{other}: {fault:?}");
    }
    let signed = authorization(
        "eu-west-1",
        "content-type;host;x-amz-date",
        "5c73d9ad9fd19775c59a0daf6389561a9af0d22e834182afd98fb9a2094cc5b9",
    );
    let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    let headers = [("host", "127.0.0.1:9324"), ("authorization", &signed), form, date];
    let body = "Action=SendMessage&Version=2012-11-05&MessageBody=a%20b";
    judged(&head("POST", "/000000000000/q.fifo", &headers), body).expect("a form");
}

#[test]
fn a_presigned_url_counts_for_as_long_as_it_says() {
    let url = head("GET", PRESIGNED, &[("host", "127.0.0.1:9324")]);
    for late in [0, 1, 900] {
        assert_eq!(judged_at(SIGNED_AT + late, &url, "").expect("in time").region, "us-east-1");
    }
    assert_eq!(judged_at(SIGNED_AT + 901, &url, ""), Err(Fault::Expired));
    assert!(judged_at(SIGNED_AT - 900, &url, "").is_ok());
    assert!(matches!(judged_at(SIGNED_AT - 901, &url, ""), Err(Fault::Mismatch(_))));
    let unicode = "/000000000000/q.fifo?Action=SendMessage&MessageBody=gr%C3%BC%C3%9Fe%20%2B~%2F&MessageGroupId=g&\
        X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Fus-east-1%2Fsqs%2Faws4_request&\
        X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&\
        X-Amz-Signature=ee867a4347bc499ee15a176a74d8a0a236adb9111f77478343353a7e13f4c0ae";
    judged(&head("GET", unicode, &[("host", "127.0.0.1:9324")]), "").expect("beyond ASCII");
    judged(&head("GET", &unicode.replace("%20", "+"), &[("host", "127.0.0.1:9324")]), "").expect("a plus is a space");
    let longer = PRESIGNED.replace("Expires=900", "Expires=901");
    let fault = judged(&head("GET", &longer, &[("host", "127.0.0.1:9324")]), "").expect_err("changed");
    assert!(matches!(fault, Fault::Mismatch(_)), "{fault:?}");
    let body = judged(&url, "MessageBody=other").expect_err("a body that nobody signed");
    assert!(matches!(body, Fault::Mismatch(_)), "{body:?}");
}

#[test]
fn a_signature_counts_for_15_minutes_before_and_after() {
    for (now, good_) in
        [(SIGNED_AT - 901, false), (SIGNED_AT - 900, true), (SIGNED_AT + 900, true), (SIGNED_AT + 901, false)]
    {
        let judged = judged_at(now, &good(), "{}");
        assert_eq!(judged.is_ok(), good_, "{now}");
        assert!(judged.is_ok() || matches!(judged, Err(Fault::Mismatch(text)) if text.contains("15 min")));
    }
}

#[test]
fn another_request_than_was_signed_is_refused() {
    let signed = authorization("eu-west-1", OF_JSON, JSON_SIGNATURE);
    let differing = [
        (good(), "{ }"),
        (json("127.0.0.1:9325", &signed, &[]), "{}"),
        (json("127.0.0.1:9324", &signed.replace("eu-west-1", "eu-west-2"), &[]), "{}"),
        (json("127.0.0.1:9324", &signed.replace("1f50", "1f51"), &[]), "{}"),
        (json("127.0.0.1:9324", &signed.replace("1f50", ""), &[]), "{}"),
        (json("127.0.0.1:9324", &signed, &[("x-amz-target", "AmazonSQS.PurgeQueue")]), "{}"),
        (json("127.0.0.1:9324", &signed, &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]), "{}"),
        (json("127.0.0.1:9324", &authorization("eu-west-1", "host;x-amz-date", JSON_SIGNATURE), &[]), "{}"),
        (json("127.0.0.1:9324", &authorization("eu-west-1", "x-amz-date;x-amz-target", JSON_SIGNATURE), &[]), "{}"),
        (json("127.0.0.1:9324", &signed.replace("/sqs/", "/s3/"), &[]), "{}"),
        (json("127.0.0.1:9324", &signed.replace("/20260102/", "/20260103/"), &[]), "{}"),
        (head("PUT", "/", &[&[("host", "127.0.0.1:9324"), ("authorization", &signed)][..], &JSON].concat()), "{}"),
    ];
    for (head, body) in differing {
        let fault = judged(&head, body).expect_err("differs");
        assert!(matches!(fault, Fault::Mismatch(_)), "{head:?}: {fault:?}");
    }
}

#[test]
fn what_cannot_be_checked_is_refused_with_the_reason() {
    let good = authorization("eu-west-1", OF_JSON, JSON_SIGNATURE);
    let faults = |authorization: &str, more: &[(&str, &str)]| {
        judged(&json("127.0.0.1:9324", authorization, more), "{}").expect_err("faulty")
    };
    assert_eq!(judged(&head("POST", "/", &JSON), "{}"), Err(Fault::Missing));
    assert_eq!(faults(&good.replace("AKIDEXAMPLE", "AKIDOTHER"), &[]), Fault::UnknownKey);
    assert_eq!(faults(&good, &[("x-amz-security-token", "t")]), Fault::SessionToken);
    let second = faults(&good, &[("authorization", "Bearer t")]);
    assert!(matches!(second, Fault::Incomplete(ref text) if text.contains("more than one")), "{second:?}");
    for (authorization, words) in [
        ("Bearer t", "begin with AWS4"),
        ("AWS4-HMAC-SHA256", "begin with AWS4"),
        ("AWS4-ECDSA-P256-SHA256 Credential=x", "begin with AWS4"),
        ("AWS4-HMAC-SHA256 x", "'Credential'"),
        (&good.replace("Signature=", "S="), "'Signature'"),
        (&good.replace("SignedHeaders=", "Credential="), "'Credential'"),
        (&good.replace("/sqs", ""), "KEY/DAY"),
        (&good.replace("1f50", "1F50"), "lower-case"),
    ] {
        let fault = faults(authorization, &[]);
        assert!(matches!(fault, Fault::Incomplete(ref text) if text.contains(words)), "{authorization}: {fault:?}");
    }
    let host = [("host", "127.0.0.1:9324")];
    for (from, to) in [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("Expires=900", "Expires=0"),
        ("Expires=900", "Expires=604801"),
        ("Expires=900", "Expires=-1"),
        ("X-Amz-Date=20260102T030405Z&", ""),
        ("X-Amz-Expires=900", "X-Amz-Expires=900&X-Amz-Expires=901"),
        ("X-Amz-Signature", "X-Amz-Nothing"),
    ] {
        let fault = judged(&head("GET", &PRESIGNED.replace(from, to), &host), "").expect_err("faulty");
        assert!(matches!(fault, Fault::Incomplete(_)), "{to}: {fault:?}");
    }
    let token = format!("{PRESIGNED}&X-Amz-Security-Token=t");
    assert_eq!(judged(&head("GET", &token, &host), ""), Err(Fault::SessionToken));
}

#[test]
fn instants_are_those_of_the_calendar() {
    for (text, seconds) in [
        ("19700101T000000Z", Some(0)),
        ("20000229T235959Z", Some(951_868_799)),
        ("20260102T030405Z", Some(SIGNED_AT)),
        ("20281231T235960Z", Some(1_861_920_000)),
        ("20260102T030405", None),
        ("2026-01-02T03:04", None),
        ("20261302T030405Z", None),
        ("20260102T240405Z", None),
        ("2026010 T030405Z", None),
        ("\u{e9}0260102T03045Z", None),
    ] {
        assert_eq!(instant(text), seconds, "{text}");
    }
}
