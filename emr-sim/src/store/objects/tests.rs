//! What only a store can get wrong: other runs that write at the same time, answers that are lost, conditions that nobody
//! minds.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use object_store::memory::InMemory;

use super::*;

pub(in crate::store) fn in_memory(prefix: &str) -> Objects {
    Objects::new(Arc::new(InMemory::new()), prefix, Path::new("s3://bucket/place"))
}

const FILE: &str = "manifest.jsonl";

fn create(store: &Objects) -> Box<dyn Growing> {
    store.grow(FILE, Begin::Create(b"header\n".to_vec())).unwrap()
}

fn reopen(store: &Objects) -> Box<dyn Growing> {
    let seen = store.read(FILE).unwrap().unwrap();
    let good = seen.len();
    store.grow(FILE, Begin::From { seen, good }).unwrap()
}

fn append(manifest: &mut Box<dyn Growing>, lines: &str) -> Result<(), SinkError> {
    manifest.write(lines.as_bytes())?;
    manifest.sync()
}

fn text(store: &Objects) -> String {
    String::from_utf8(store.read(FILE).unwrap().unwrap()).unwrap()
}

#[test]
fn a_controller_that_comes_back_finds_its_lines_and_takes_none_away() {
    let store = in_memory("p");
    let mut old = create(&store);
    append(&mut old, "1\n").unwrap();
    let mut new = reopen(&store);
    append(&mut new, "2\n3\n4\n").unwrap();
    // It writes what the broker recorded, as the other one did: line by line its own are there.
    append(&mut old, "2\n").unwrap();
    assert_eq!(text(&store), "header\n1\n2\n3\n4\n");
    append(&mut old, "3\n4\n5\n").unwrap();
    assert_eq!(text(&store), "header\n1\n2\n3\n4\n5\n");
    append(&mut new, "5\n6\n").unwrap();
    assert_eq!(text(&store), "header\n1\n2\n3\n4\n5\n6\n", "and the new one goes on");
}

#[test]
fn other_lines_than_ours_end_a_run_that_changes_nothing() {
    let store = in_memory("p");
    let mut old = create(&store);
    append(&mut reopen(&store), "other\n").unwrap();
    let error = append(&mut old, "1\n").unwrap_err().to_string();
    assert!(error.contains("another run") && error.contains("s3://bucket/place/manifest.jsonl"), "{error}");
    assert_eq!(text(&store), "header\nother\n");
}

#[test]
fn a_manifest_that_is_gone_is_not_made_again() {
    let store = in_memory("p");
    let mut manifest = create(&store);
    store.remove("", &[FILE.to_owned()]).unwrap();
    let error = append(&mut manifest, "1\n").unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::NotFound, "{error}");
    assert_eq!(store.read(FILE).unwrap(), None);
}

#[test]
fn one_of_two_runs_makes_the_manifest() {
    let store = in_memory("p");
    drop(create(&store));
    drop(create(&store));
    let error = store.grow(FILE, Begin::Create(b"another\n".to_vec())).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists, "the same one is ours: the answer was lost; {error}");
    assert_eq!(text(&store), "header\n");
}

#[test]
fn a_manifest_that_changed_since_it_was_judged_is_not_cut() {
    let store = in_memory("p");
    append(&mut create(&store), "1\nbad\n").unwrap();
    let (seen, good) = (text(&store).into_bytes(), b"header\n1\n".len());
    append(&mut reopen(&store), "more\n").unwrap();
    let late = store.grow(FILE, Begin::From { seen, good });
    assert!(late.is_ok_and(|mut late| append(&mut late, "2\n").is_err()));
    assert_eq!(text(&store), "header\n1\nbad\nmore\n");
}

#[test]
fn a_put_whose_answer_was_lost_is_known_again() {
    let store = in_memory("p");
    for _ in 0..2 {
        store.put_new("j/a", &Bytes::from_static(b"the same")).unwrap();
    }
    assert!(store.put_new("j/a", &Bytes::from_static(b"not the same")).is_err());
}

#[test]
fn a_store_that_minds_conditions_is_left_as_it_was() {
    let store = in_memory("p");
    assert!(store.minds_conditions().unwrap() && store.lock().unwrap().is_some());
    let key = Key::parse("p").unwrap();
    let inner = Arc::clone(&store.store);
    let left = wait(async move { inner.list_with_delimiter(Some(&key)).await }).unwrap();
    assert_eq!(left.objects, []);
}

/// A store that says yes to everything, whatever its condition.
fn careless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            reader.take(length).read_to_end(&mut Vec::new()).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).unwrap();
        }
    });
    endpoint
}

#[test]
fn a_store_that_minds_no_condition_is_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = AmazonS3Builder::new().with_bucket_name("bucket").with_endpoint(careless()).with_allow_http(true);
    let builder = builder.with_config(AmazonS3ConfigKey::DisableBulkDelete, "true");
    let store = builder.with_access_key_id("x").with_secret_access_key("x").with_region("us-east-1").build().unwrap();
    let store = Objects::new(Arc::new(store), "p", Path::new("s3://bucket/p"));
    let error = store.lock().unwrap_err().to_string();
    assert!(error.contains("s3://bucket/p") && error.contains("If-Match"), "{error}");
}
