//! Signed calls over real sockets: who may call, what the access key says of them, and what a changed request comes to.
//! The signatures here are made by a few lines of the test's own.

use hmac::{Hmac, KeyInit as _, Mac as _};
use lockstep_broker::{Account, BrokerSettings, Credentials, Security, SqsSettings, Tokens};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Answer, Http};
use crate::support::{Served, memory};

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "a/secret+of=ours";

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mac: Hmac<Sha256> = Hmac::new_from_slice(key).expect("any length");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The present instant as AWS writes it.
fn now() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (mut year, mut left) = (1970, days);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while left >= 365 + u64::from(is_leap(year)) {
        left -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 0;
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{:02}{:02}T{hour:02}{minute:02}{second:02}Z", month + 1, left + 1)
}

/// The headers of a call that is signed with a key and a secret.
fn signed(key: &str, secret: &str, operation: &str, body: &str) -> String {
    let (at, target) = (now(), format!("AmazonSQS.{operation}"));
    let scope = format!("{}/eu-west-1/sqs/aws4_request", &at[..8]);
    let names = "host;x-amz-date;x-amz-target";
    let canonical = format!(
        "POST\n/\n\nhost:broker.test\nx-amz-date:{at}\nx-amz-target:{target}\n\n{names}\n{}",
        hex(&Sha256::digest(body))
    );
    let text = format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let first = format!("AWS4{secret}").into_bytes();
    let key_of_day = scope.split('/').fold(first, |key, part| mac(&key, part));
    let signature = hex(&mac(&key_of_day, &text));
    format!(
        "Host: broker.test\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Date: {at}\r\nX-Amz-Target: {target}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}\r\n"
    )
}

async fn call(http: &mut Http, key: &str, secret: &str, operation: &str, body: &str) -> Answer {
    http.ask("POST /", &signed(key, secret, operation, body), body.as_bytes()).await
}

fn settings() -> BrokerSettings {
    let text = format!(
        "[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n\
         [shop]\naws_access_key_id = SHOP\naws_secret_access_key = shop\naws_account_id = 111122223333\n\
         lockstep_rights = send,read\n"
    );
    let credentials = Some(Credentials::parse(&text).expect("credentials"));
    let sqs = SqsSettings { account: Account::parse("999988887777").expect("an account"), ..SqsSettings::default() };
    BrokerSettings { security: Security { credentials, ..Security::default() }, sqs, ..memory() }
}

#[tokio::test]
async fn p7_a_signed_call_has_the_account_and_the_rights_of_its_access_key() {
    let served = Served::start(&settings()).await;
    let mut http = Http::to(&served).await;
    let made = call(&mut http, KEY, SECRET, "CreateQueue", r#"{"QueueName":"plain"}"#).await;
    assert_eq!(made.json(), json!({ "QueueUrl": "http://broker.test/999988887777/plain" }), "{made:?}");
    let named = call(&mut http, "SHOP", "shop", "GetQueueUrl", r#"{"QueueName":"plain"}"#).await;
    assert_eq!(named.json(), json!({ "QueueUrl": "http://broker.test/111122223333/plain" }), "{named:?}");
    let sent = r#"{"QueueUrl":"plain","MessageBody":"gr\u00fc\u00dfe \u2713"}"#;
    assert_eq!(call(&mut http, "SHOP", "shop", "SendMessage", sent).await.status, 200);
    let refused = call(&mut http, "SHOP", "shop", "ReceiveMessage", r#"{"QueueUrl":"plain"}"#).await.refused();
    assert_eq!((refused.0, refused.1.as_str()), (403, "AccessDeniedException"));
    let received = call(&mut http, KEY, SECRET, "ReceiveMessage", r#"{"QueueUrl":"plain"}"#).await;
    assert_eq!(received.json()["Messages"][0]["Body"], "gr\u{fc}\u{df}e \u{2713}", "{received:?}");
}

#[tokio::test]
async fn what_is_not_signed_by_one_of_the_access_keys_is_refused_and_changes_nothing() {
    let served = Served::start(&settings()).await;
    let mut http = Http::to(&served).await;
    let body = r#"{"QueueName":"plain"}"#;
    let good = signed(KEY, SECRET, "CreateQueue", body);
    let unsigned =
        "Host: broker.test\r\nX-Amz-Target: AmazonSQS.CreateQueue\r\nContent-Type: application/x-amz-json-1.0\r\n";
    let old = good.replace("X-Amz-Date: 2", "X-Amz-Date: 1");
    let calls = [
        (unsigned.to_owned(), body, 403, "MissingAuthenticationTokenException"),
        (signed("OTHER", SECRET, "CreateQueue", body), body, 403, "UnrecognizedClientException"),
        (signed(KEY, "another", "CreateQueue", body), body, 403, "InvalidSignatureException"),
        (good.clone(), r#"{"QueueName":"other"}"#, 403, "InvalidSignatureException"),
        (good.replace("CreateQueue", "ListQueues"), body, 403, "InvalidSignatureException"),
        (good.replace("broker.test", "evil.test"), body, 403, "InvalidSignatureException"),
        (old, body, 403, "InvalidSignatureException"),
        (format!("{good}X-Amz-Security-Token: t\r\n"), body, 403, "ExpiredTokenException"),
        (good.replace("AWS4-HMAC-SHA256", "Bearer"), body, 400, "IncompleteSignatureException"),
    ];
    for (headers, body, status, shape) in calls {
        let answer = http.ask("POST /", &headers, body.as_bytes()).await;
        let refused = answer.refused();
        assert_eq!((refused.0, refused.1.as_str()), (status, shape), "{headers}: {}", refused.2);
        assert!(!answer.text.contains(SECRET));
        let code = answer.headers.get("x-amzn-query-error").expect("the code of the query protocol");
        assert!(code.ends_with(";Sender"), "{code}");
    }
    let none = call(&mut http, KEY, SECRET, "ListQueues", "{}").await;
    assert_eq!(none.json().get("QueueUrls"), None, "nothing was made: {none:?}");
    assert_eq!(http.ask("POST /", &good, body.as_bytes()).await.status, 200, "it was good as it was");
}

#[tokio::test]
async fn credentials_open_the_door_that_tokens_close() {
    let tokens = Tokens::parse(&format!("all {}\n", hex(&Sha256::digest("token")))).expect("tokens");
    let mut settings = settings();
    settings.security.tokens = Some(tokens);
    let served = Served::start(&settings).await;
    let mut http = Http::to(&served).await;
    assert_eq!(call(&mut http, KEY, SECRET, "ListQueues", "{}").await.status, 200);
    settings.security.credentials = None;
    let served = Served::start(&settings).await;
    let mut http = Http::to(&served).await;
    let refused = call(&mut http, KEY, SECRET, "ListQueues", "{}").await.refused();
    assert_eq!((refused.0, refused.1.as_str()), (403, "UnrecognizedClientException"));
}
