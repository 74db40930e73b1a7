//! The move tasks of one dead-letter queue: at most one runs, and the newest that ended are kept to be listed (L13).

use std::collections::VecDeque;

use crate::{
    event::MoveTask,
    limits,
    words::{TaskNumber, Timestamp},
};

/// In the order of their numbers.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct MoveTasks(VecDeque<MoveTask>);

impl MoveTasks {
    /// The number that the next task gets. The newest task is always kept, so no number is used twice.
    pub(crate) fn next_number(&self) -> TaskNumber {
        self.0.back().map_or(TaskNumber(1), |newest| newest.number.next())
    }

    pub(crate) fn push(&mut self, task: MoveTask) {
        self.0.push_back(task);
        if self.0.len() > limits::MOVE_TASKS_KEPT {
            self.0.pop_front();
        }
    }

    pub(crate) fn get(&self, number: TaskNumber) -> Option<&MoveTask> {
        self.0.iter().find(|task| task.number == number)
    }

    pub(crate) fn get_mut(&mut self, number: TaskNumber) -> Option<&mut MoveTask> {
        self.0.iter_mut().find(|task| task.number == number)
    }

    /// The one that runs: always the newest.
    pub(crate) fn running(&self) -> Option<&MoveTask> {
        self.0.back().filter(|newest| newest.is_running())
    }

    /// When the one that runs goes on.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.running().map(|task| task.next_at)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &MoveTask> {
        self.0.iter()
    }

    /// What is always true of them.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.0.len() > limits::MOVE_TASKS_KEPT {
            return Err(format!("{} move tasks are kept", self.0.len()));
        }
        let numbers: Vec<_> = self.0.iter().map(|task| task.number.0).collect();
        if !numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
            return Err(format!("move tasks {numbers:?} are not dense"));
        }
        let earlier = self.0.iter().rev().skip(1).find(|task| task.is_running());
        earlier.map_or(Ok(()), |task| Err(format!("move task {} runs beside a later one", task.number)))
    }
}
