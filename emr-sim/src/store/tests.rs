//! What every place for an output keeps to, told once and held against each of them; and what only a store can get wrong.

use std::io;
use std::sync::Arc;

use super::*;

/// Every kind of place, empty; with what keeps it alive.
fn places() -> Vec<(Arc<dyn Store>, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let place: Arc<dyn Store> = Arc::new(folder::Folder::new(folder.path()));
    #[cfg_attr(not(feature = "s3"), expect(unused_mut, reason = "there is one kind only"))]
    let mut places = vec![(place, Some(folder))];
    #[cfg(feature = "s3")]
    places.push((Arc::new(objects::tests::in_memory("some/prefix")), None));
    #[cfg(feature = "s3")]
    places.push((Arc::new(objects::tests::in_memory("")), None));
    places
}

fn put(store: &dyn Store, file: &str, bytes: &[u8]) -> Result<(), SinkError> {
    let mut draft = store.create(file)?;
    draft.write(bytes).map_err(SinkError::at("write", &store.path(file)))?;
    draft.finish()
}

#[test]
fn a_file_is_read_as_it_was_written_whole_and_in_parts() {
    for (store, _kept) in places() {
        store.prepare("j/1/2").unwrap();
        let mut draft = store.create("j/1/2/a.jsonl").unwrap();
        draft.write(b"one\n").unwrap();
        draft.write(b"two\n").unwrap();
        draft.finish().unwrap();
        assert_eq!(store.read("j/1/2/a.jsonl").unwrap().unwrap(), b"one\ntwo\n");
        assert_eq!(store.length("j/1/2/a.jsonl").unwrap(), Some(8));
        assert_eq!(store.read_part("j/1/2/a.jsonl", 4, 3).unwrap(), b"two");
        assert_eq!(store.read_part("j/1/2/a.jsonl", 4, 99).unwrap(), b"two\n", "a part ends where the file does");
        assert_eq!(store.read_part("j/1/2/a.jsonl", 4, 0).unwrap(), b"");
        put(&*store, "j/1/2/empty.jsonl", b"").unwrap();
        assert_eq!(store.length("j/1/2/empty.jsonl").unwrap(), Some(0));
    }
}

#[test]
fn a_name_is_taken_once() {
    for (store, _kept) in places() {
        store.prepare("j").unwrap();
        put(&*store, "j/a", b"first").unwrap();
        let error = put(&*store, "j/a", b"second").unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists, "{error}");
        assert!(error.to_string().starts_with("cannot create "), "{error}");
        assert_eq!(store.read("j/a").unwrap().unwrap(), b"first");
    }
}

#[test]
fn what_is_not_there_is_said_to_be_missing() {
    for (store, _kept) in places() {
        assert_eq!(store.read("j/a").unwrap(), None);
        assert_eq!(store.length("j/a").unwrap(), None);
        assert_eq!(store.list("j").unwrap(), Vec::<String>::new());
        for error in [store.need("j/a").unwrap_err(), store.read_part("j/a", 0, 1).unwrap_err()] {
            assert_eq!(error.source.kind(), io::ErrorKind::NotFound, "{error}");
            assert!(error.to_string().contains("j/a"), "{error}");
        }
    }
}

#[test]
fn a_folder_lists_its_own_files_and_loses_those_that_are_removed() {
    for (store, _kept) in places() {
        store.prepare("j/deep").unwrap();
        for file in ["j/a", "j/b", "j/deep/c"] {
            put(&*store, file, b"x").unwrap();
        }
        let listed = || {
            let mut names = store.list("j").unwrap();
            names.retain(|name| name != "deep");
            names.sort();
            names
        };
        assert_eq!(listed(), ["a", "b"]);
        assert_eq!(store.remove("j", &["a".to_owned()]).unwrap(), 1);
        assert_eq!(listed(), ["b"]);
        assert_eq!(store.read("j/deep/c").unwrap().unwrap(), b"x");
        // A store may not say that it was not there; it must not fail.
        store.remove("j", &["a".to_owned()]).unwrap();
    }
}

#[test]
fn notes_are_appended() {
    for (store, _kept) in places() {
        store.note("logs/mapper/a.stderr", b"one\n").unwrap();
        store.note("logs/mapper/a.stderr", b"two\n").unwrap();
        assert_eq!(store.read("logs/mapper/a.stderr").unwrap().unwrap(), b"one\ntwo\n");
    }
}

#[test]
fn a_manifest_grows_by_what_is_synced_and_goes_on_where_it_was() {
    for (store, _kept) in places() {
        let held = store.lock().unwrap().unwrap();
        let mut manifest = store.grow("m.jsonl", Begin::Create(b"header\n".to_vec())).unwrap();
        assert_eq!(store.read("m.jsonl").unwrap().unwrap(), b"header\n");
        manifest.write(b"li").unwrap();
        manifest.write(b"ne 1\n").unwrap();
        manifest.sync().unwrap();
        manifest.write(b"line 2\n").unwrap();
        manifest.sync().unwrap();
        let seen = store.read("m.jsonl").unwrap().unwrap();
        assert_eq!(seen, b"header\nline 1\nline 2\n");
        let good = seen.len() - b"line 2\n".len();
        let mut manifest = store.grow("m.jsonl", Begin::From { seen, good }).unwrap();
        manifest.write(b"line two\n").unwrap();
        manifest.sync().unwrap();
        assert_eq!(store.read("m.jsonl").unwrap().unwrap(), b"header\nline 1\nline two\n");
        drop(held);
    }
}
