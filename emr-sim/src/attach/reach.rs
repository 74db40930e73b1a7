//! The proof that a worker by hand sees the output folder that its controller sees: it reads the manifest there, makes a
//! file beside it, and the controller finds the file. A folder that only has the same path, or was copied, does not pass;
//! what a worker wrote into such a one would be committed and nowhere to be found (B9).

use std::path::Path;

use crate::manifest::{FILE_NAME, Header};
use crate::sink::SinkError;
use crate::store;
use crate::worker::WorkerSettings;

const PREFIX: &str = ".reach-";

/// No header is longer, in bytes.
const HEADER_LIMIT: u64 = 1 << 20;

/// The worker's half: the name of a file that it has made. Blocks.
///
/// # Errors
/// What is not as it must be here, and what to do.
pub(super) fn prove(settings: &WorkerSettings) -> Result<String, String> {
    settings.step.check().map_err(|fault| format!("this machine cannot run the step: {fault}"))?;
    let out = &settings.step.output;
    let unlike = |why: String| {
        let out = out.display();
        format!(
            "the output folder {out} cannot be reached from here: {why}; a worker by hand needs the folder of the \
             step at the same path: mount it, or work on a machine that has it"
        )
    };
    let store = store::at(out).map_err(|error| unlike(error.to_string()))?;
    let begin = store.read_part(FILE_NAME, 0, HEADER_LIMIT).map_err(|error| unlike(error.to_string()))?;
    let line = begin.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let header = Header::parse(line).map_err(|why| unlike(format!("{FILE_NAME}: {why}")))?;
    if header.identity() != settings.identity {
        let (here, there) = (header.identity(), &settings.identity);
        return Err(unlike(format!("what is there is another output ({here}, not {there})")));
    }
    let file = format!("{PREFIX}{}", uuid::Uuid::new_v4().simple());
    let made = store.create(&file).and_then(|made| made.finish());
    made.map_err(|error| unlike(format!("cannot write into it: {error}")))?;
    Ok(file)
}

/// The controller's half: whether the file is in its folder; it is removed then. Blocks.
pub(super) fn seen(out: &Path, file: &str) -> bool {
    let letters = file.strip_prefix(PREFIX).unwrap_or_default();
    let ours = !letters.is_empty() && letters.bytes().all(|byte| byte.is_ascii_alphanumeric());
    ours && take_back(out, file).unwrap_or(false)
}

/// Removes such a file, and says whether it was there. Blocks.
///
/// # Errors
/// Those of the disk or the store.
pub(super) fn take_back(out: &Path, file: &str) -> Result<bool, SinkError> {
    let store = store::at(out)?;
    let there = store.length(file)?.is_some();
    Ok(there && store.remove("", &[file.to_owned()])? == 1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::identity::Identity;
    use crate::job::JobKind;
    use crate::manifest::RunFacts;
    use crate::step::StepSpec;

    fn settings(out: &Path) -> WorkerSettings {
        WorkerSettings {
            endpoint: "http://127.0.0.1:1".into(),
            queue: "q.fifo".into(),
            reader: "pool".into(),
            reader_generation: 1,
            identity: Identity { journal_id: "j".into(), queue_generation: 1, reader_id: 1 },
            step: StepSpec::new(JobKind::Transcript.into(), out.to_owned()),
            max_receives: 0,
            guard: Vec::new(),
            worker: "w0".into(),
            patience_seconds: 1,
        }
    }

    fn manifest(out: &Path, of: &WorkerSettings) {
        let facts = RunFacts {
            queue: of.queue.clone(),
            reader: of.reader.clone(),
            task: of.step.task.clone(),
            format: of.step.format,
            run: serde_json::json!({}),
        };
        let mut line = Header::new(&of.identity, &facts).to_bytes();
        line.push(b'\n');
        fs::write(out.join(FILE_NAME), line).unwrap();
    }

    #[test]
    fn the_same_folder_is_proven_once() {
        let out = tempfile::tempdir().unwrap();
        let settings = settings(out.path());
        manifest(out.path(), &settings);
        let file = prove(&settings).unwrap();
        assert!(seen(out.path(), &file));
        assert!(!seen(out.path(), &file), "it is gone");
    }

    #[test]
    fn a_copy_an_empty_folder_and_another_output_do_not_pass() {
        let (out, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let there = settings(copy.path());
        assert!(prove(&there).unwrap_err().contains("mount it"));
        manifest(copy.path(), &there);
        let file = prove(&there).unwrap();
        assert!(!seen(out.path(), &file), "the controller's folder does not have it");
        let mut other = there;
        other.identity.reader_id = 2;
        assert!(prove(&other).unwrap_err().contains("another output"));
        assert!(!seen(out.path(), "../manifest.jsonl") && !seen(out.path(), FILE_NAME) && !seen(out.path(), PREFIX));
    }

    #[test]
    fn a_mapper_that_is_not_here_is_named() {
        let out = tempfile::tempdir().unwrap();
        let mut settings = settings(out.path());
        manifest(out.path(), &settings);
        settings.step.task = crate::step::Task::Mapper("/no/such/mapper".parse().unwrap());
        assert!(prove(&settings).unwrap_err().contains("/no/such/mapper"));
    }
}
