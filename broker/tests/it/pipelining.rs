//! One frame at the journal, one behind it applied and held (H4); the rest gathers and becomes one frame.

use std::sync::{
    Mutex,
    mpsc::{Receiver, Sender, channel},
};

use lockstep_broker::{Broker, Receipts, limits};
use lockstep_journal::{
    AppendError, Frame, FrameNumber, Journal, JournalId, KeptFrame, MemoryJournal, MemoryReader, ReadError, Replayed,
};
use tokio::sync::mpsc as waiting;

use crate::support::{Pending, create, glance, memory, message, queue};

const Q: &str = "q.fifo";

/// A journal whose appends begin and end when the test says so.
struct Gated {
    inner: MemoryJournal,
    begun: waiting::UnboundedSender<(u64, usize, u64)>,
    go: Mutex<Receiver<()>>,
}

impl Journal for Gated {
    type Reader = MemoryReader;

    fn identity(&self) -> JournalId {
        self.inner.identity()
    }

    fn last(&self) -> Option<FrameNumber> {
        self.inner.last()
    }

    fn checkpointed(&self) -> Option<FrameNumber> {
        self.inner.checkpointed()
    }

    fn append(&mut self, number: FrameNumber, frame: &Frame, release: &[FrameNumber]) -> Result<(), AppendError> {
        let bytes = frame.events.len() + frame.bodies.iter().map(bytes::Bytes::len).sum::<usize>();
        self.begun.send((number.0, frame.bodies.len(), bytes as u64)).expect("the test watches");
        self.go.lock().expect("one user").recv().expect("the test lets it go on");
        self.inner.append(number, frame, release)
    }

    fn checkpoint(&mut self, covers: FrameNumber, slice: &[u8], last: bool) -> Result<(), AppendError> {
        self.inner.checkpoint(covers, slice, last)
    }

    fn reader(&self) -> MemoryReader {
        self.inner.reader()
    }

    fn replay(&self) -> impl Iterator<Item = Result<Replayed, ReadError>> {
        self.inner.replay()
    }

    fn kept(&self) -> impl Iterator<Item = Result<KeptFrame, ReadError>> {
        self.inner.kept()
    }

    fn stored_bytes(&self) -> u64 {
        self.inner.stored_bytes()
    }

    fn close(self) -> Result<(), AppendError> {
        self.inner.close()
    }
}

struct Gates {
    broker: Broker,
    begun: waiting::UnboundedReceiver<(u64, usize, u64)>,
    go: Sender<()>,
}

/// A broker with a queue, whose journal is idle.
async fn gated() -> Gates {
    let (begun_in, begun) = waiting::unbounded_channel();
    let (go, gone) = channel();
    let journal = Gated { inner: MemoryJournal::new(), begun: begun_in, go: Mutex::new(gone) };
    let receipts = Receipts::ephemeral().expect("a key");
    let broker = Broker::start_on(journal, receipts, None, None, &memory()).expect("it starts");
    let mut gates = Gates { broker, begun, go };
    gates.go.send(()).expect("the journal waits");
    create(gates.broker.handle(), Q).await;
    assert_eq!(gates.begun.recv().await.expect("begun").0, 1);
    gates
}

fn sending<'a>(broker: &'a Broker, id: &str, body: &str) -> Pending<'a, Result<bool, String>> {
    let message = message("g", id, body.to_owned());
    Box::pin(async move {
        let outcomes = broker.handle().send(queue(Q), vec![message]).await.map_err(|failure| failure.to_string())?;
        outcomes[0].as_ref().map(|accepted| accepted.duplicate).map_err(ToString::to_string)
    })
}

#[tokio::test]
async fn answers_wait_for_their_frame_and_for_those_before_it() {
    let Gates { broker, mut begun, go } = gated().await;
    let mut first = sending(&broker, "1", "x");
    assert!(glance(&mut first).await.is_none());
    let (number, bodies, _) = begun.recv().await.expect("begun");
    assert_eq!((number, bodies), (2, 1), "the first frame is at the journal");
    let mut duplicate = sending(&broker, "1", "x");
    let mut others: Vec<_> = (2..100).map(|n| sending(&broker, &n.to_string(), "x")).collect();
    let mut read: Pending<'_, _> = Box::pin(broker.handle().describe_queue(queue(Q)));
    assert!(glance(&mut duplicate).await.is_none() && glance(&mut read).await.is_none());
    for other in &mut others {
        assert!(glance(other).await.is_none());
    }
    go.send(()).expect("the journal waits");
    assert_eq!(first.await, Ok(false));
    // Whatever was applied behind frame 2 is at the journal now, and held: its answers, reads and duplicates too.
    let (number, one_behind, _) = begun.recv().await.expect("begun");
    assert_eq!(number, 3);
    for other in &mut others {
        assert!(glance(other).await.is_none(), "an answer before its frame");
    }
    let mut bodies = one_behind;
    while bodies < others.len() {
        go.send(()).expect("the journal waits");
        let (number, more, _) = begun.recv().await.expect("begun");
        assert_eq!(number, 4, "all that waited is one frame");
        bodies += more;
    }
    go.send(()).expect("the journal waits");
    for other in others {
        assert_eq!(other.await, Ok(false));
    }
    assert_eq!(duplicate.await, Ok(true));
    assert!(read.await.is_ok_and(|view| view.available > 0));
    broker.stop().await.expect("a clean end");
    assert!(begun.recv().await.is_none(), "and nothing else was appended");
}

#[tokio::test]
async fn large_requests_are_split_over_frames_within_the_limit() {
    let Gates { broker, mut begun, go } = gated().await;
    let body = "x".repeat(300 << 10);
    let mut sends: Vec<_> = (0..20).map(|n| sending(&broker, &n.to_string(), &body)).collect();
    for send in &mut sends {
        assert!(glance(send).await.is_none());
    }
    (0..40).for_each(|_| go.send(()).expect("the journal waits"));
    for send in sends {
        assert_eq!(send.await, Ok(false));
    }
    broker.stop().await.expect("a clean end");
    let mut all = 0;
    while let Some((number, bodies, bytes)) = begun.recv().await {
        assert!(bytes <= limits::FRAME_BYTES, "frame {number} has {bytes} bytes (H1)");
        all += bodies;
    }
    assert_eq!(all, 20);
}

#[tokio::test]
async fn a_thousand_callers_share_few_frames() {
    let Gates { broker, mut begun, go } = gated().await;
    let mut sends: Vec<_> = (0..1_000).map(|n| sending(&broker, &n.to_string(), "x")).collect();
    for send in &mut sends {
        assert!(glance(send).await.is_none());
    }
    (0..1_000).for_each(|_| go.send(()).expect("the journal waits"));
    for send in sends {
        assert_eq!(send.await, Ok(false));
    }
    broker.stop().await.expect("a clean end");
    let mut frames = 0;
    while begun.recv().await.is_some() {
        frames += 1;
    }
    assert!(frames <= 100, "{frames} frames for 1,000 sends");
}

#[tokio::test]
async fn what_finds_no_place_in_the_line_is_turned_away_and_the_rest_is_answered() {
    let Gates { broker, begun, go } = gated().await;
    let mut turned_away = 0;
    let mut waiting = Vec::new();
    for n in 0..limits::QUEUED_REQUESTS + 3_000 {
        let mut send = sending(&broker, &n.to_string(), "x");
        match glance(&mut send).await {
            Some(answer) => {
                assert!(answer.expect_err("no place").contains("decided nothing"));
                turned_away += 1;
            }
            None => waiting.push(send),
        }
    }
    assert!(turned_away > 0);
    (0..1_000).for_each(|_| go.send(()).expect("the journal waits"));
    for send in waiting {
        assert_eq!(send.await, Ok(false));
    }
    broker.stop().await.expect("a clean end");
    drop(begun);
}
