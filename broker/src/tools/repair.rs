//! Makes of a damaged journal one that starts: everything from the first frame on that cannot be read is cut, messages
//! and values whose bodies are damaged are removed, each by its name (H6, H7). First it is said, then it is done; the
//! store as it was is kept.

use std::path::{Path, PathBuf};

use lockstep_engine::{
    Engine, Event,
    event::{BurnCause, Restored, ValueChanged},
    words::{ContentDigest, Label, Position, QueueGeneration, SequenceNumber},
};
use lockstep_journal::{FrameNumber, Journal, JournalId, NewStore, OpenError, Replayed, StoreKind};

use super::{
    ToolError, kind_of,
    past::{Contents, Holder, Needed, read},
    rebuild::build,
};
use crate::{
    codec::decode_frame,
    recovery::{Follow, RecoveryError, recover},
    start::{OnJournal, open_journal, salvage_journal},
};

/// What is wrong with a journal and what a repair does about it; nothing was done yet.
#[derive(Debug)]
pub struct Repair {
    directory: PathBuf,
    kind: StoreKind,
    engine: Engine,
    identity: JournalId,
    /// The last frame that stays.
    pub last: u64,
    /// Why everything after it goes.
    pub cut: Option<String>,
    /// Each message or value that goes because its body is damaged, with the reason.
    pub removed: Vec<String>,
    /// Claims that are burnt, because a message of theirs goes; their other messages are given back.
    pub burnt: Vec<String>,
}

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// Where the store as it was is kept.
    pub kept: PathBuf,
    /// The identity from now on: another one where frames were cut, so that whoever was ahead notices (B9).
    pub journal: String,
}

/// Looks at a journal that may be damaged and says what a repair would do. Where it starts as it is, it is started once;
/// else nothing is changed.
///
/// # Errors
/// [`ToolError::Lost`] where the checkpoint itself is damaged or no frame is left; [`ToolError::Recovery`] where another
/// version wrote it, which is no damage.
pub fn plan_repair(directory: &Path) -> Result<Repair, ToolError> {
    let kind = kind_of(directory)?;
    let plan = |cut| Plan { directory, kind, cut };
    let doubt = match open_journal(directory, kind, plan(None)) {
        Ok(Err(ToolError::Recovery(
            doubt @ (RecoveryError::Unreadable { .. } | RecoveryError::Gap { .. } | RecoveryError::BodyMissing { .. }),
        ))) => doubt.to_string(),
        Ok(planned) => return planned,
        Err(OpenError::Damaged { place, problem }) => format!("{place}: {problem}"),
        Err(error) => return Err(error.into()),
    };
    salvage_journal(directory, kind, plan(Some(doubt)))?
}

struct Plan<'a> {
    directory: &'a Path,
    kind: StoreKind,
    cut: Option<String>,
}

impl OnJournal for Plan<'_> {
    type Out = Result<Repair, ToolError>;

    fn run<J: Journal>(self, journal: J) -> Self::Out {
        let Self { directory, kind, cut } = self;
        let (mut engine, last) = match cut {
            None => {
                let recovered = recover(&journal, Follow::No)?;
                (recovered.engine, recovered.last_frame.unwrap_or(0))
            }
            Some(_) => prefix(&journal)?,
        };
        let needed = Needed::of(&engine);
        let reader = journal.reader();
        let read = |(position, holder): (&Position, &Holder)| {
            read(&reader, *position).err().map(|error| (holder.clone(), format!("{}: {error}", needed.name(holder))))
        };
        let (bad, removed): (Vec<Holder>, Vec<String>) = needed.bodies.iter().filter_map(read).unzip();
        if let Some(at) = bad.iter().position(|holder| *holder == Holder::Other) {
            return Err(ToolError::Lost(removed[at].clone()));
        }
        let burnt = remove(&mut engine, &bad);
        engine.check().map_err(ToolError::Lost)?;
        let identity = journal.identity();
        if cut.is_none() {
            journal.close().map_err(|error| ToolError::Lost(error.to_string()))?;
        }
        Ok(Repair { directory: directory.to_owned(), kind, engine, identity, last, cut, removed, burnt })
    }
}

/// The state as far as the journal can be read, and its last frame.
fn prefix<J: Journal>(journal: &J) -> Result<(Engine, u64), ToolError> {
    let mut engine = Engine::new();
    let mut last = journal.checkpointed().map_or(0, |frame| frame.0);
    for replayed in journal.replay() {
        match replayed {
            Ok(Replayed::Slice(slice)) => {
                let events = decode_frame(last, slice).map_err(RecoveryError::Undecodable)?;
                events.iter().for_each(|event| engine.evolve(event));
            }
            Ok(Replayed::Frame(frame)) => {
                let events = decode_frame(frame.number.0, frame.events).map_err(RecoveryError::Undecodable)?;
                events.iter().for_each(|event| engine.evolve(event));
                last = frame.number.0;
            }
            Err(error) if error.place().is_slice() => return Err(ToolError::Lost(error.to_string())),
            Err(_) => break,
        }
    }
    if last == 0 {
        return Err(ToolError::Lost("not even its first frame can be read".to_owned()));
    }
    Ok((engine, last))
}

/// Takes out whatever hangs on these bodies; the claims that had to end for it, in words.
fn remove(engine: &mut Engine, bad: &[Holder]) -> Vec<String> {
    let message = |holder: &Holder| match holder {
        Holder::Message { queue, sequence, .. } => Some((*queue, *sequence)),
        Holder::Value { .. } | Holder::Other => None,
    };
    let messages: Vec<(QueueGeneration, SequenceNumber)> = bad.iter().filter_map(message).collect();
    let (mut events, mut burnt) = (Vec::new(), Vec::new());
    for event in engine.distilled() {
        if let Event::Restored(piece) = event
            && let Restored::Claim { queue, reader, number, messages: claimed, .. } = *piece
            && claimed.iter().any(|sequence| messages.contains(&(queue, *sequence)))
        {
            burnt.push(format!("claim {} of reader {} in queue {}", number.0, reader.0, queue.0));
            events.push(Event::ClaimBurnt { queue, reader, number, cause: BurnCause::Abandoned });
        }
    }
    events.extend(
        messages.iter().map(|(queue, sequence)| Event::MessagesExpired { queue: *queue, messages: vec![*sequence] }),
    );
    events.extend(bad.iter().enumerate().filter_map(|(index, holder)| lost_value(index, holder)));
    events.iter().for_each(|event| engine.evolve(event));
    burnt
}

/// The event that removes a stored value.
fn lost_value(index: usize, holder: &Holder) -> Option<Event> {
    let Holder::Value { queue, reader, group, key } = holder else { return None };
    Some(Event::ValuesCommitted {
        queue: *queue,
        reader: *reader,
        id: Label::parse(&format!("repair-{index}")).expect("a short word is a label"),
        digest: ContentDigest([0; 16]),
        outputs: Vec::new(),
        values: vec![ValueChanged { group: group.clone(), key: key.clone(), body: None }],
    })
}

impl Repair {
    /// Whether there is anything to do.
    #[must_use]
    pub const fn is_needed(&self) -> bool {
        self.cut.is_some() || !self.removed.is_empty()
    }

    /// Does it. The store as it was stays beside the new one under a name of its own.
    ///
    /// # Errors
    /// [`ToolError`]: the system refuses. Where the exchange had begun, both stores are in the directory.
    pub fn carry_out(self) -> Result<Repaired, ToolError> {
        let Self { directory, kind, engine, identity, last, cut, .. } = self;
        let journal = if cut.is_some() { JournalId::random() } else { identity };
        let contents = Contents::of(&engine, journal, FrameNumber(last));
        let kept = free_name(&directory, kind);
        let work = Rebuild { directory: &directory, kind, contents: &contents };
        let store = match cut {
            Some(_) => salvage_journal(&directory, kind, work)??,
            None => open_journal(&directory, kind, work)??,
        };
        store.switch(Some(&kept))?;
        Ok(Repaired { kept, journal: journal.to_string() })
    }
}

/// A name for the damaged store that is not taken.
fn free_name(directory: &Path, kind: StoreKind) -> PathBuf {
    let mut names = (1_u32..).map(|number| directory.join(format!("{kind}.damaged-{number}")));
    names.find(|path| !path.exists()).unwrap_or_else(|| directory.join("damaged"))
}

struct Rebuild<'a> {
    directory: &'a Path,
    kind: StoreKind,
    contents: &'a Contents,
}

impl OnJournal for Rebuild<'_> {
    type Out = Result<NewStore, ToolError>;

    fn run<J: Journal>(self, journal: J) -> Self::Out {
        build(self.directory, self.kind, self.contents, &journal.reader()).map(|(store, _)| store)
    }
}
