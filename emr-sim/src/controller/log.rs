//! The controller's memory: the events of the cluster machine, durable before anybody is answered. They lie in frames of
//! `lockstep-journal` in a directory of their own; a checkpoint is the distilled state. What events mean is not known here.

use std::path::PathBuf;
use std::time::Duration;

use lockstep_journal::{
    Frame, FrameNumber, Journal, MAX_SLICE_BYTES, MemoryJournal, Replayed, SegmentsJournal, SegmentsOptions,
};

use crate::blocking::blocking;
use crate::cluster::{Event, Fleet, check};

/// A checkpoint after so many frames: a replay reads no more than that, and older frames go.
const CHECKPOINT_AFTER: u64 = 1_000;

/// Small segments: a controller writes little, and two of them are taken ahead.
const SEGMENT_BYTES: u64 = 4 << 20;

/// Where the events are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPlace {
    /// In this directory, which is made at the first event.
    Directory(PathBuf),
    /// Nowhere: gone with the process.
    Memory,
}

/// The log cannot be read or written. After a failed append the controller must end: what it knows may be ahead of the
/// disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log of the clusters: {0}")]
pub struct LogError(String);

fn fault(error: impl std::fmt::Display) -> LogError {
    LogError(error.to_string())
}

/// The open log.
pub(super) struct EventLog {
    place: LogPlace,
    /// Absent until the first event, and while its thread writes.
    writer: Option<Box<dyn Writer>>,
}

impl EventLog {
    /// Opens the log and replays it. A log that was never written leaves no trace on disk.
    pub(super) async fn open(place: LogPlace) -> Result<(Self, Fleet), LogError> {
        let exists = match &place {
            LogPlace::Directory(directory) => directory.exists(),
            LogPlace::Memory => false,
        };
        if !exists {
            return Ok((Self { place, writer: None }, Fleet::default()));
        }
        let at = place.clone();
        let (writer, fleet) = blocking(move || open(&at)).await?;
        Ok((Self { place, writer: Some(writer) }, fleet))
    }

    /// Makes events durable. `fleet` is the state with them: what a checkpoint is made of, when it is time for one.
    pub(super) async fn append(&mut self, events: &[Event], fleet: &Fleet) -> Result<(), LogError> {
        if events.is_empty() {
            return Ok(());
        }
        let lines = lines(events);
        let writer = self.writer.take();
        let place = self.place.clone();
        let mut writer = match writer {
            Some(writer) => writer,
            None => blocking(move || open(&place)).await?.0,
        };
        let distilled = writer.wants_checkpoint().then(|| self::lines(&fleet.distilled()));
        let (writer, appended) = blocking(move || {
            let appended = writer.append(lines, distilled);
            (writer, appended)
        })
        .await;
        self.writer = Some(writer);
        appended
    }
}

/// A journal of any kind.
trait Writer: Send {
    fn wants_checkpoint(&self) -> bool;
    fn append(&mut self, events: Vec<u8>, checkpoint: Option<Vec<u8>>) -> Result<(), LogError>;
}

fn open(place: &LogPlace) -> Result<(Box<dyn Writer>, Fleet), LogError> {
    match place {
        LogPlace::Memory => replayed(MemoryJournal::new()),
        LogPlace::Directory(directory) => {
            std::fs::create_dir_all(directory).map_err(fault)?;
            let options = SegmentsOptions {
                segment_bytes: SEGMENT_BYTES,
                stall_limit: Duration::from_secs(60),
                ..SegmentsOptions::default()
            };
            replayed(SegmentsJournal::open(directory, options).map_err(fault)?)
        }
    }
}

fn replayed<J: Journal>(journal: J) -> Result<(Box<dyn Writer>, Fleet), LogError> {
    let (mut fleet, mut slices, mut frames) = (Fleet::default(), Vec::new(), 0);
    for replayed in journal.replay() {
        match replayed.map_err(fault)? {
            Replayed::Slice(slice) => slices.extend_from_slice(&slice),
            Replayed::Frame(frame) => {
                // The checkpoint is whole once the first frame after it comes.
                evolve(&mut fleet, &std::mem::take(&mut slices))?;
                evolve(&mut fleet, &frame.events)?;
                frames += 1;
            }
        }
    }
    evolve(&mut fleet, &slices)?;
    check(&fleet).map_err(fault)?;
    Ok((Box::new(On { journal, frames }), fleet))
}

/// Events as JSON, one a line.
fn lines(events: &[Event]) -> Vec<u8> {
    let mut lines = Vec::new();
    for event in events {
        serde_json::to_writer(&mut lines, event).expect("events are always JSON");
        lines.push(b'\n');
    }
    lines
}

fn evolve(fleet: &mut Fleet, lines: &[u8]) -> Result<(), LogError> {
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Event = serde_json::from_slice(line).map_err(fault)?;
        fleet.evolve(&event);
    }
    Ok(())
}

struct On<J> {
    journal: J,
    /// Frames since the last checkpoint.
    frames: u64,
}

impl<J: Journal> Writer for On<J> {
    fn wants_checkpoint(&self) -> bool {
        self.frames + 1 >= CHECKPOINT_AFTER
    }

    fn append(&mut self, events: Vec<u8>, checkpoint: Option<Vec<u8>>) -> Result<(), LogError> {
        let release: Vec<FrameNumber> = match self.frames {
            // The first frame after a checkpoint lets the older ones go.
            0 => {
                self.journal.kept().map(|kept| kept.map(|kept| kept.number)).collect::<Result<_, _>>().map_err(fault)?
            }
            _ => Vec::new(),
        };
        let number = FrameNumber::after(self.journal.last());
        let frame = Frame { events: events.into(), bodies: Vec::new() };
        self.journal.append(number, &frame, &release).map_err(fault)?;
        self.frames += 1;
        let Some(checkpoint) = checkpoint else { return Ok(()) };
        let slices = checkpoint.chunks(MAX_SLICE_BYTES);
        let last = slices.len();
        for (place, slice) in slices.enumerate() {
            self.journal.checkpoint(number, slice, place + 1 == last).map_err(fault)?;
        }
        self.frames = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Chance, Command, GroupSpec, JobFlow, Profile, Role, apply};

    fn flow() -> Command {
        let (market, instance_type) = ("ON_DEMAND".to_owned(), "m5.xlarge".to_owned());
        let master = GroupSpec { name: String::new(), role: Role::Master, market, instance_type, count: 1 };
        let flow = JobFlow {
            profile: Profile { name: "n".into(), ..Profile::default() },
            groups: vec![master],
            steps: Vec::new(),
            keep_alive: true,
            protected: false,
            concurrency: 1,
            idle_timeout: None,
            scaling: None,
        };
        Command::RunJobFlow { flow: Box::new(flow), chance: Chance(1) }
    }

    #[tokio::test]
    async fn events_survive_their_log_and_a_log_without_events_leaves_no_trace() {
        let data = tempfile::tempdir().unwrap();
        let place = LogPlace::Directory(data.path().join("emr"));
        let (log, _) = EventLog::open(place.clone()).await.unwrap();
        drop(log);
        assert!(!data.path().join("emr").exists());
        let (mut log, mut fleet) = EventLog::open(place.clone()).await.unwrap();
        let (events, _) = apply(&mut fleet, &flow(), 7);
        log.append(&events, &fleet).await.unwrap();
        drop(log);
        let (_, replayed) = EventLog::open(place).await.unwrap();
        assert_eq!(replayed, fleet);
    }

    #[tokio::test]
    async fn checkpoints_let_old_frames_go_and_change_nothing() {
        let data = tempfile::tempdir().unwrap();
        let place = LogPlace::Directory(data.path().join("emr"));
        let (mut log, mut fleet) = EventLog::open(place.clone()).await.unwrap();
        let (events, _) = apply(&mut fleet, &flow(), 7);
        log.append(&events, &fleet).await.unwrap();
        let cluster = fleet.clusters().next().unwrap().id.clone();
        for turn in 0..CHECKPOINT_AFTER + 5 {
            let command = Command::SetProtection { clusters: vec![cluster.clone()], on: turn % 2 == 0 };
            let (events, _) = apply(&mut fleet, &command, 8);
            log.append(&events, &fleet).await.unwrap();
        }
        drop(log);
        let (log, replayed) = EventLog::open(place).await.unwrap();
        assert_eq!(replayed, fleet);
        assert!(log.writer.is_some_and(|writer| !writer.wants_checkpoint()));
    }
}
