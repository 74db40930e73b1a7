//! How move tasks change, and how messages go back as new ones (Q6, Q7). Whether they should is `decide`'s.

use crate::{
    event::MoveTaskFact,
    state::{
        State,
        message::{Arrival, Hold},
    },
    words::{QueueGeneration, SequenceNumber, TaskNumber, Timestamp},
};

impl State {
    /// `None`: the queue, the task or a message is not there.
    pub(super) fn move_task(&mut self, queue: QueueGeneration, number: TaskNumber, fact: &MoveTaskFact) -> Option<()> {
        match fact {
            MoveTaskFact::Started(task) => self.queues.get_mut(&queue)?.move_tasks.push(task.clone()),
            MoveTaskFact::Moved { to, at, messages } => {
                self.queues.get_mut(&queue)?.move_tasks.get_mut(number)?.moved += messages.len() as u64;
                self.move_on(queue, *to, *at, messages)?;
            }
            MoveTaskFact::Advanced { looked_through, passed_over, next_at } => {
                let task = self.queues.get_mut(&queue)?.move_tasks.get_mut(number)?;
                task.looked_through = *looked_through;
                task.passed_over = *passed_over;
                task.next_at = *next_at;
            }
            MoveTaskFact::Ended { at, end } => {
                self.queues.get_mut(&queue)?.move_tasks.get_mut(number)?.ended = Some((*at, *end));
            }
        }
        Some(())
    }

    /// A message that goes back is a new one: only its group and its body, which stays where it lies, are the same (Q7).
    fn move_on(
        &mut self,
        queue: QueueGeneration,
        to: QueueGeneration,
        at: Timestamp,
        messages: &[(SequenceNumber, SequenceNumber)],
    ) -> Option<()> {
        for (from, place) in messages {
            let source = self.queues.get_mut(&queue)?;
            let group = source.group_of(source.messages.get(*from)?).clone();
            let before = source.remove(*from)?;
            let target = self.queues.get_mut(&to)?;
            target.last_sequence = target.last_sequence.max(*place);
            target.push(*place, &group, Arrival::new(before.body, at, Hold::Free));
        }
        Some(())
    }
}
