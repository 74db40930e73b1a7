//! How producer sessions change (B3). `None`: the event names something that does not exist.

use crate::{
    event::NumberUsed,
    state::State,
    words::{Epoch, Label, QueueGeneration, SendNumber, Timestamp},
};

impl State {
    pub(super) fn open_producer(
        &mut self,
        queue: QueueGeneration,
        producer: &Label,
        epoch: Epoch,
        instance: &Label,
        at: Timestamp,
    ) -> Option<()> {
        let queue = self.queues.get_mut(&queue)?;
        queue.last_epoch = queue.last_epoch.max(epoch);
        queue.producers.open(producer, epoch, instance, at);
        Some(())
    }

    pub(super) fn use_numbers(
        &mut self,
        queue: QueueGeneration,
        epoch: Epoch,
        first: SendNumber,
        uses: &[NumberUsed],
    ) -> Option<()> {
        let producer = self.queues.get_mut(&queue)?.producers.by_epoch_mut(epoch)?;
        if first != producer.last.next() {
            return None;
        }
        uses.iter().for_each(|used| producer.note(*used));
        Some(())
    }
}
