//! A small executor: tasks that are polled one at a time, in an order that the caller's chance decides. Nothing of the
//! broker is known here.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Notes that a task wants to be polled.
#[derive(Debug)]
pub(crate) struct Flag {
    number: usize,
    raised: AtomicBool,
    line: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.raised.swap(true, Ordering::Relaxed) {
            self.line.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
        }
    }
}

/// All tasks of a run. Number 0 is the broker's sequencer, which its owner polls.
pub(crate) struct Tasks {
    work: Vec<Option<Work>>,
    flags: Vec<Arc<Flag>>,
    wakers: Vec<Waker>,
    line: Arc<Mutex<Vec<usize>>>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        let mut tasks = Self { work: Vec::new(), flags: Vec::new(), wakers: Vec::new(), line: Arc::default() };
        tasks.spawn(Box::pin(async {}));
        tasks.work[0] = None;
        tasks
    }

    /// Adds a task; it is ready at once.
    pub(crate) fn spawn(&mut self, work: Work) {
        let number = self.work.len();
        let flag = Arc::new(Flag { number, raised: AtomicBool::new(false), line: Arc::clone(&self.line) });
        self.wakers.push(Waker::from(Arc::clone(&flag)));
        self.flags.push(flag);
        self.work.push(Some(work));
        self.wakers[number].wake_by_ref();
    }

    /// How many are ready.
    pub(crate) fn ready(&self) -> usize {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes one of those that are ready.
    pub(crate) fn take(&self, index: usize) -> usize {
        let number = self.line.lock().unwrap_or_else(PoisonError::into_inner).swap_remove(index);
        self.flags[number].raised.store(false, Ordering::Relaxed);
        number
    }

    /// The waker of a task.
    pub(crate) fn waker(&self, number: usize) -> &Waker {
        &self.wakers[number]
    }

    /// Polls a task.
    pub(crate) fn poll(&mut self, number: usize) {
        let Some(mut work) = self.work[number].take() else { return };
        let mut context = Context::from_waker(&self.wakers[number]);
        if work.as_mut().poll(&mut context).is_pending() {
            self.work[number] = Some(work);
        }
    }

    /// How many have not come to their end.
    pub(crate) fn unfinished(&self) -> usize {
        self.work.iter().filter(|work| work.is_some()).count()
    }
}
