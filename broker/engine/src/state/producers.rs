//! The producer sessions of a queue: who may send under which epoch, and what became of the newest numbers (B3).

use std::collections::{BTreeMap, VecDeque};

use crate::{
    event::NumberUsed,
    limits,
    words::{Epoch, Label, SendNumber, Timestamp},
};

/// One session.
#[derive(Debug, PartialEq)]
pub(crate) struct Producer {
    pub(crate) epoch: Epoch,
    pub(crate) instance: Label,
    pub(crate) opened_at: Timestamp,
    /// The highest number used.
    pub(crate) last: SendNumber,
    /// What became of the newest numbers, up to `last`.
    pub(crate) uses: VecDeque<NumberUsed>,
}

impl Producer {
    pub(crate) fn new(epoch: Epoch, instance: Label, opened_at: Timestamp) -> Self {
        Self { epoch, instance, opened_at, last: SendNumber(0), uses: VecDeque::new() }
    }

    /// What became of a used number, while it is kept.
    pub(crate) fn kept(&self, number: SendNumber) -> Option<&NumberUsed> {
        let back = usize::try_from(self.last.0.checked_sub(number.0)?).ok()?;
        self.uses.len().checked_sub(back + 1).and_then(|index| self.uses.get(index))
    }

    /// Uses the next number.
    pub(crate) fn note(&mut self, used: NumberUsed) {
        self.last = self.last.next();
        self.uses.push_back(used);
        if self.uses.len() > limits::KEPT_NUMBERS {
            self.uses.pop_front();
        }
    }
}

/// The sessions by name, and the names by their present epochs, which the events carry.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Producers {
    by_name: BTreeMap<Label, Producer>,
    names: BTreeMap<Epoch, Label>,
}

impl Producers {
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn get(&self, name: &Label) -> Option<&Producer> {
        self.by_name.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Label, &Producer)> {
        self.by_name.iter()
    }

    pub(crate) fn by_epoch_mut(&mut self, epoch: Epoch) -> Option<&mut Producer> {
        self.by_name.get_mut(self.names.get(&epoch)?)
    }

    /// A new session, or a known one in new hands: its numbers go on.
    pub(crate) fn open(&mut self, name: &Label, epoch: Epoch, instance: &Label, at: Timestamp) {
        match self.by_name.get_mut(name) {
            Some(producer) => {
                self.names.remove(&producer.epoch);
                producer.epoch = epoch;
                producer.instance = instance.clone();
                producer.opened_at = at;
            }
            None => {
                self.by_name.insert(name.clone(), Producer::new(epoch, instance.clone(), at));
            }
        }
        self.names.insert(epoch, name.clone());
    }

    pub(crate) fn forget(&mut self, epoch: Epoch) -> Option<()> {
        let name = self.names.remove(&epoch)?;
        self.by_name.remove(&name).map(drop)
    }

    /// Whether names and epochs belong together.
    pub(crate) fn check(&self, newest: Epoch) -> Result<(), String> {
        for (name, producer) in &self.by_name {
            if self.names.get(&producer.epoch) != Some(name) || producer.epoch > newest {
                return Err(format!("producer {name} has a foreign epoch {}", producer.epoch));
            }
            let wanted = limits::KEPT_NUMBERS.min(usize::try_from(producer.last.0).unwrap_or(usize::MAX));
            if producer.uses.len() != wanted {
                return Err(format!("producer {name} keeps {} numbers of {}", producer.uses.len(), producer.last));
            }
        }
        if self.names.len() != self.by_name.len() {
            return Err(format!("{} epochs for {} producers", self.names.len(), self.by_name.len()));
        }
        Ok(())
    }
}
