//! Where the outcomes of things that were asked together are told: written by whoever carries them, read by who asked.
//! They share one place, so that a thousand of them cost one allocation and few locks.

use std::{
    collections::VecDeque,
    iter::Peekable,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

/// The outcomes of what was asked together. They have one reader. `None` where nobody can tell it any more.
#[derive(Debug)]
pub(crate) struct Outcomes<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    slots: Vec<Slot<T>>,
    /// Who waits, and for which of them.
    reader: Option<(usize, Waker)>,
}

#[derive(Debug)]
enum Slot<T> {
    Open,
    Known(Option<T>),
    Taken,
}

impl<T> Outcomes<T> {
    pub(crate) fn of(many: usize) -> Arc<Self> {
        let slots = std::iter::repeat_with(|| Slot::Open).take(many).collect();
        Arc::new(Outcomes(Mutex::new(State { slots, reader: None })))
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().expect("no code panics while it holds the outcomes")
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().slots.len()
    }

    /// Waits for the one at `index`.
    pub(crate) fn poll_one(&self, index: usize, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.lock();
        match std::mem::replace(&mut state.slots[index], Slot::Taken) {
            Slot::Known(outcome) => Poll::Ready(outcome),
            Slot::Open => {
                state.slots[index] = Slot::Open;
                state.reader = Some((index, context.waker().clone()));
                Poll::Pending
            }
            // It was told before.
            Slot::Taken => Poll::Ready(None),
        }
    }

    /// Waits for the one at `*from`, and takes it with those behind it that are known too.
    pub(crate) fn poll_from(
        &self,
        from: &mut usize,
        into: &mut VecDeque<Option<T>>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut state = self.lock();
        let first = *from;
        while let Some(slot @ Slot::Known(_)) = state.slots.get_mut(*from) {
            if let Slot::Known(outcome) = std::mem::replace(slot, Slot::Taken) {
                into.push_back(outcome);
            }
            *from += 1;
        }
        if *from > first || *from == state.slots.len() {
            return Poll::Ready(());
        }
        state.reader = Some((first, context.waker().clone()));
        Poll::Pending
    }

    /// Waits for all.
    pub(crate) async fn all(&self) -> VecDeque<Option<T>> {
        let many = self.len();
        let (mut from, mut all) = (0, VecDeque::with_capacity(many));
        while from < many {
            std::future::poll_fn(|context| self.poll_from(&mut from, &mut all, context)).await;
        }
        all
    }
}

/// The duty to tell one outcome. Left undone, it tells that nobody can any more.
#[derive(Debug)]
pub(crate) struct Promise<T> {
    /// Unset once it is told.
    outcomes: Option<Arc<Outcomes<T>>>,
    index: usize,
}

impl<T> Promise<T> {
    pub(crate) fn new(outcomes: &Arc<Outcomes<T>>, index: usize) -> Self {
        Promise { outcomes: Some(Arc::clone(outcomes)), index }
    }

    /// Tells outcomes in turn; those of what was asked together under one lock.
    pub(crate) fn tell_all(told: impl Iterator<Item = (Promise<T>, T)>) {
        let mut told = told.peekable();
        while let Some((mut promise, outcome)) = told.next() {
            let Some(outcomes) = promise.outcomes.take() else { continue };
            if let Some(reader) = tell_together(&outcomes, promise.index, Some(outcome), &mut told) {
                reader.wake();
            }
        }
    }

    pub(crate) fn tell(self, outcome: T) {
        Promise::tell_all(std::iter::once((self, outcome)));
    }
}

/// Tells one outcome, and those that follow of the same place; who is to be woken for it.
fn tell_together<T>(
    outcomes: &Arc<Outcomes<T>>,
    index: usize,
    outcome: Option<T>,
    rest: &mut Peekable<impl Iterator<Item = (Promise<T>, T)>>,
) -> Option<Waker> {
    let mut state = outcomes.lock();
    state.slots[index] = Slot::Known(outcome);
    let together =
        |(promise, _): &(Promise<T>, T)| promise.outcomes.as_ref().is_some_and(|it| Arc::ptr_eq(it, outcomes));
    while let Some((mut promise, outcome)) = rest.next_if(together) {
        promise.outcomes = None;
        state.slots[promise.index] = Slot::Known(Some(outcome));
    }
    let due = state.reader.as_ref().is_some_and(|(index, _)| matches!(state.slots[*index], Slot::Known(_)));
    if due { state.reader.take().map(|(_, waker)| waker) } else { None }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if let Some(outcomes) = self.outcomes.take()
            && let Some(reader) = tell_together(&outcomes, self.index, None, &mut std::iter::empty().peekable())
        {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(outcomes: &Outcomes<u32>, from: &mut usize) -> Option<Vec<Option<u32>>> {
        let mut into = VecDeque::new();
        let polled = outcomes.poll_from(from, &mut into, &mut Context::from_waker(Waker::noop()));
        polled.is_ready().then(|| into.into())
    }

    #[test]
    fn what_is_known_is_taken_in_order_and_once() {
        let outcomes = Outcomes::of(4);
        let mut promises: Vec<_> = (0..4).map(|index| Promise::new(&outcomes, index)).collect();
        let mut from = 0;
        promises.remove(1).tell(11);
        assert_eq!(known(&outcomes, &mut from), None, "the first is open");
        Promise::tell_all(promises.drain(..2).zip([10, 12]));
        assert_eq!(known(&outcomes, &mut from), Some(vec![Some(10), Some(11), Some(12)]));
        assert_eq!(known(&outcomes, &mut from), None);
        drop(promises);
        assert_eq!(known(&outcomes, &mut from), Some(vec![None]), "a promise that is broken is told");
        assert_eq!(known(&outcomes, &mut from), Some(Vec::new()), "that was all");
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_what_is_told() {
        let outcomes = Outcomes::of(2);
        let promises: Vec<_> = (0..2).map(|index| Promise::new(&outcomes, index)).collect();
        let waiting = tokio::spawn(async move { outcomes.all().await });
        for (promise, told) in promises.into_iter().zip([1, 2]).rev() {
            tokio::task::yield_now().await;
            promise.tell(told);
        }
        assert_eq!(waiting.await.unwrap(), [Some(1), Some(2)]);
    }
}
