//! A backup of a broker that serves, taken by the command while others send and delete; what a broker restored from it
//! still knows; and what the verb refuses (H9).

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use lockstep_client::{Client, QueueAttributes, Sent, v1};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    load::{JOURNALS, Load, flags},
    world::{BrokerProcess, ended, run},
};

const KEPT: &str = "kept.fifo";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

async fn send(client: &Client, id: &str) -> Sent {
    let entry = v1::SendEntry {
        message_group_id: "g".to_owned(),
        message_deduplication_id: id.to_owned(),
        body: id.to_owned().into(),
        ..v1::SendEntry::default()
    };
    let request = v1::SendRequest { queue: KEPT.to_owned(), entry: Some(entry), ..v1::SendRequest::default() };
    client.send(request).await.unwrap()
}

async fn receive(client: &Client) -> Vec<v1::Delivery> {
    let visibility_timeout_seconds = Some(3_600);
    let request = v1::ReceiveRequest {
        queue: KEPT.to_owned(),
        max_messages: 1,
        visibility_timeout_seconds,
        ..v1::ReceiveRequest::default()
    };
    client.receive(request).await.unwrap()
}

/// Takes a backup by the command, from a thread of its own.
async fn backup(endpoint: &str, file: &Path) -> (i32, String, String) {
    let file = file.to_str().unwrap();
    let arguments = ["--endpoint", endpoint, "--json", "journal", "backup", file].map(str::to_owned);
    let take = move || ended(&run(&arguments.each_ref().map(String::as_str)));
    tokio::task::spawn_blocking(take).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_broker_that_serves_holds_what_was_answered_before_it() {
    for journal in JOURNALS {
        let folder = tempfile::tempdir().unwrap();
        let [data, file, restored] = ["data", "live.backup", "restored"].map(|name| folder.path().join(name));
        let [file_text, restored_text] = [&file, &restored].map(|path| path.to_str().unwrap());
        let broker = BrokerProcess::start_with(&data, &flags(journal));
        let client = Client::connect(&broker.endpoint).await.unwrap();
        client.create_queue(KEPT, QueueAttributes::default()).await.unwrap();
        let first = send(&client, "1").await;
        send(&client, "2").await;
        let held = receive(&client).await;
        let load = Load::default();
        let mut tasks = load.start(&broker.endpoint, &mut fastrand::Rng::with_seed(9), 300).await;
        let before = load.until_now();
        let (code, out, err) = backup(&broker.endpoint, &file).await;
        assert_eq!(code, 0, "{out}{err}");
        let saved = parsed(&out);
        let late = send(&client, "3").await;
        load.more(&tasks, 200).await;
        let (code, _, err) = backup(&broker.endpoint, &file).await;
        assert!(code == 4 && err.contains("exists already"), "never written over: {code} {err}");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!file.with_added_extension("partial").exists());
        tasks.shutdown().await;
        load.check("while it was saved");
        assert_eq!(broker.terminate(), Some(0));

        let other = if journal == "sled" { "segments" } else { "sled" };
        let restore = ["journal", "restore", file_text, restored_text, "--journal", other, "--json"];
        let (code, out, err) = ended(&run(&restore));
        assert_eq!(code, 0, "{out}{err}");
        assert_eq!(parsed(&out)["last_frame"], saved["last_frame"]);
        assert_ne!(parsed(&out)["journal"], saved["journal"], "another identity");
        let (code, out, err) = ended(&run(&["journal", "check", restored_text]));
        assert_eq!(code, 0, "{out}{err}");
        let broker = BrokerProcess::start(&restored);
        let story = format!("a backup of {journal}, restored on {other}");
        before.saved_before(&load).judge(&broker.endpoint, &story).await;
        // Keys, leases and receipt handles came along; what was sent after it was not there, and can be sent again.
        let client = Client::connect(&broker.endpoint).await.unwrap();
        let again = send(&client, "1").await;
        assert!(again.duplicate && again.sequence_number == first.sequence_number, "{story}: {again:?}");
        assert!(receive(&client).await.is_empty(), "{story}: its group is held");
        client.delete(KEPT, &held[0].receipt_handle).await.unwrap();
        assert_eq!(&receive(&client).await[0].body[..], b"2");
        let again = send(&client, "3").await;
        assert!(!again.duplicate && again.sequence_number == late.sequence_number, "{story}: {again:?}");
        assert_eq!(broker.terminate(), Some(0));
    }
}

#[test]
fn a_backup_needs_a_broker_the_right_and_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let hash = |token: &str| Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    std::fs::write(path("tokens"), format!("boss {}\nviewer {} read,send,receive\n", hash("b"), hash("v"))).unwrap();
    let broker = BrokerProcess::start_with(&folder.path().join("data"), &["--tokens", &path("tokens")]);
    let take = |endpoint: &str, token: &str, file: &str| {
        let global = ["--endpoint", endpoint, "--patience", "1", "--token", token];
        ended(&run(&[&global[..], &["journal", "backup", file]].concat()))
    };
    let (code, _, err) = take("http://127.0.0.1:9", "b", &path("day.backup"));
    assert!(code == 3 && err.contains("cannot reach the broker"), "{code} {err}");
    let (code, _, err) = take(&broker.endpoint, "v", &path("day.backup"));
    assert!(code == 4 && err.contains("viewer") && err.contains("admin"), "{code} {err}");
    let (code, _, err) = take(&broker.endpoint, "b", &path("nowhere/day.backup"));
    assert!(code == 4 && err.contains("nowhere"), "{code} {err}");
    // A device that is always full, under the name of what is not whole yet.
    std::os::unix::fs::symlink("/dev/full", path("day.backup.partial")).unwrap();
    let (code, _, err) = take(&broker.endpoint, "b", &path("day.backup"));
    assert!(code == 4 && err.contains("No space left"), "{code} {err}");
    let mut there: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    there.sort_unstable();
    assert_eq!(there, ["data", "tokens"], "nothing that could be taken for a backup");
    // What ended early holds nothing: the next one is taken.
    let (code, out, err) = take(&broker.endpoint, "b", &path("day.backup"));
    assert_eq!(code, 0, "{out}{err}");
    let (code, _, err) = ended(&run(&["journal", "backup"]));
    assert!(code == 2 && err.contains("FILE"), "{code} {err}");
    assert_eq!(broker.terminate(), Some(0));
}
