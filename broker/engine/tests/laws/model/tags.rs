//! The model of tags: a list of pairs, of which the newest with a key counts (L12).

use lockstep_engine::{
    Engine, Rejected,
    command::{QueueRef, TagQueue, UntagQueue},
    words::{TagKey, TagValue, Tags},
};

use super::{Model, Queue, ensure};

const MOST: usize = 50;

/// Puts tags over those that are there.
pub(super) fn tagged(mut known: Vec<(TagKey, TagValue)>, new: &Tags) -> Result<Vec<(TagKey, TagValue)>, Rejected> {
    for (key, value) in new {
        known.retain(|(other, _)| other != key);
        known.push((key.clone(), value.clone()));
    }
    let tags = known.len();
    if tags > MOST { Err(Rejected::TooManyTags { tags }) } else { Ok(known) }
}

impl Model {
    pub(crate) fn tag(&mut self, command: &TagQueue) -> Result<(), Rejected> {
        let place = self.find(&command.queue)?;
        self.queues[place].tags = tagged(self.queues[place].tags.clone(), &command.tags)?;
        Ok(())
    }

    pub(crate) fn untag(&mut self, command: &UntagQueue) -> Result<(), Rejected> {
        let place = self.find(&command.queue)?;
        self.queues[place].tags.retain(|(key, _)| !command.keys.contains(key));
        Ok(())
    }
}

pub(super) fn compare(engine: &Engine, queue: &Queue, name: &QueueRef) -> Result<(), String> {
    let seen = engine.tags(name).map_err(|rejected| rejected.to_string())?;
    let tags: Tags = queue.tags.iter().cloned().collect();
    ensure!(seen == tags, "tags are {seen:?}, the model has {tags:?}");
    Ok(())
}
