//! Compaction of a published output: killed at any point it is the old one or the new one, every commit still proves
//! itself by its own digest, and the pool goes on behind it.

use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;

use lockstep_emr_sim::compact::{CompactError, compact, compact_with};
use lockstep_emr_sim::crash::{CrashPoint, CrashPoints};
use lockstep_emr_sim::format::Format;
use lockstep_emr_sim::job::JobKind;
use lockstep_emr_sim::manifest::{Output, OutputError, OutputLock};
use lockstep_emr_sim::step::OnPoison;

use crate::fake::FakeBroker;
use crate::world::{conversations, open, settings};

/// Publishes messages as many small files; answers the broker.
async fn publish(broker: &FakeBroker, out: &Path, format: Format, messages: &[(String, Vec<u8>)]) {
    for (group, body) in messages {
        broker.send(group, body);
    }
    let mut settings = settings(out, JobKind::ReplyPairs);
    settings.step.format = format;
    // With this policy every commit has inputs as well.
    settings.step.on_poison = OnPoison::Park;
    let (pool, handle) = open(broker, settings).await.unwrap();
    handle.no_more_messages();
    pool.run().await.unwrap();
}

/// All that a reader sees: lines and inputs, commit by commit.
fn seen(out: &Path) -> Vec<(Vec<u8>, String)> {
    let output = Output::open(out).unwrap();
    let one = |file: Result<lockstep_emr_sim::manifest::VerifiedFile, OutputError>| {
        let file = file.unwrap();
        let inputs = output.inputs(&file.line).unwrap().unwrap();
        (file.bytes, format!("{inputs:?}"))
    };
    output.verified_files().map(one).collect()
}

fn files(out: &Path) -> usize {
    let folder = out.join(Output::open(out).unwrap().header().identity().folder());
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_files_become_few_and_nothing_else_changes() {
    for format in Format::ALL.into_iter().filter(|format| format.is_built_in()) {
        let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
        publish(&broker, out.path(), format, &conversations(3, 100, false)).await;
        let (before, manifest) = (seen(out.path()), std::fs::read(out.path().join("manifest.jsonl")).unwrap());
        let many = before.len();
        let done = compact(out.path(), 1 << 20).unwrap();
        assert_eq!((done.commits as usize, done.files_before as usize, done.files_after), (many, many, 1));
        assert_eq!((seen(out.path()), files(out.path())), (before, 2), "one of lines, one of inputs");
        assert_eq!(std::fs::read(out.path().join("manifest.jsonl")).unwrap(), manifest, "the promise is untouched");
        // The pool goes on behind it, and so does the next compaction.
        let more = conversations(4, 50, false);
        publish(&broker, out.path(), format, &more).await;
        let before = seen(out.path());
        assert!(before.len() > many);
        compact(out.path(), 1 << 20).unwrap();
        assert_eq!((seen(out.path()), files(out.path())), (before.clone(), 2));
        compact(out.path(), 4_000).unwrap();
        assert_eq!(seen(out.path()), before, "another size makes other files");
        assert_eq!(Output::open(out.path()).unwrap().join().unwrap().files as usize, before.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_it_is_the_old_output_or_the_new_one() {
    for format in [Format::Gzip, Format::Parquet].into_iter().filter(|format| format.is_built_in()) {
        killed_at_any_point(format).await;
    }
}

async fn killed_at_any_point(format: Format) {
    let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
    publish(&broker, out.path(), format, &conversations(5, 120, false)).await;
    let before = seen(out.path());
    let all = [CrashPoint::CompactFile, CrashPoint::CompactList, CrashPoint::CompactRemove];
    let mut killed = std::collections::BTreeSet::new();
    // How often a point is passed depends on how the pool cut its claims; the first time there always is.
    let passes = all.into_iter().flat_map(|point| (0..12).map(move |pass| (point, pass)));
    for (at, (point, pass)) in passes.enumerate() {
        // Another size each time, so that there is always something to do.
        let size = 1_000 + (at as u64 * 517) % 6_000;
        let left = std::sync::atomic::AtomicU64::new(pass);
        let crash = CrashPoints::new(move |here, _| {
            here == point && left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err()
        });
        let ended = compact_with(out.path(), size, &crash);
        assert_eq!(seen(out.path()), before, "killed at {point:?}, pass {pass}");
        match ended {
            Err(CompactError::Killed(_)) => drop(killed.insert(point)),
            Ok(_) => assert!(pass > 0, "{point:?} was not passed"),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(killed.into_iter().collect::<Vec<_>>(), all);
    compact(out.path(), 1 << 20).unwrap();
    assert_eq!((seen(out.path()), files(out.path())), (before, 2), "the leftovers of the dead are gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_a_joined_file_is_found_and_a_folder_in_use_is_refused() {
    for format in [Format::JsonLines, Format::Parquet].into_iter().filter(|format| format.is_built_in()) {
        let (broker, out) = (FakeBroker::new(), tempfile::tempdir().unwrap());
        assert!(matches!(compact(out.path(), 1 << 20), Err(CompactError::Output(OutputError::NoManifest { .. }))));
        publish(&broker, out.path(), format, &conversations(6, 40, false)).await;
        let lock = OutputLock::take(out.path()).unwrap();
        assert!(compact(out.path(), 1 << 20).unwrap_err().to_string().contains("in use"));
        drop(lock);
        compact(out.path(), 1 << 20).unwrap();
        let output = Output::open(out.path()).unwrap();
        let folder = out.path().join(output.header().identity().folder());
        let joined = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let joined = joined.filter(|path| path.extension().unwrap() == format.name()).collect::<Vec<_>>();
        let mut bytes = std::fs::read(&joined[0]).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&joined[0], bytes).unwrap();
        let (damaged, commits) =
            (output.verified_files().filter(Result::is_err).count(), output.published_files().len());
        // Plain lines prove themselves commit by commit; a Parquet file is not read at all when it is not whole.
        assert_eq!(damaged, if format == Format::Parquet { commits } else { 1 }, "{format}");
    }
}
