//! An SQS standard queue: the standard queue of our own broker, really run. At least once, best-effort order, no keys (B5).

use std::time::Duration;

use lockstep_client::{Client, Consumer, Message, QueueAttributes};

use super::{Answer, Count, Failures};
use crate::dialogue::Turn;

/// So long a received message is hidden.
const LEASE: Duration = Duration::from_secs(30);

/// Runs it on a broker whose clock `advance` moves; its queue is made anew.
///
/// # Errors
/// The broker's.
pub async fn run(
    client: &Client,
    queue: &str,
    (turns, failures): (&[Turn], &Failures),
    mut advance: impl AsyncFnMut(Duration) -> anyhow::Result<()>,
) -> anyhow::Result<Answer> {
    let attributes = QueueAttributes { visibility_timeout: Some(LEASE), ..QueueAttributes::default() };
    client.create_queue(queue, attributes).await?;
    let producer = client.producer(queue).build();
    let mut sent = 0;
    for (place, turn) in turns.iter().enumerate() {
        // The answer is lost to the one who wrote this: it sends once more.
        let tries = 1 + u64::from(failures.answers_lost.contains(&place));
        for _ in 0..tries {
            producer.send(Message::new(turn.conversation.as_str(), place.to_string())).await?;
        }
        sent += tries;
    }
    let consumer = client.consumer(queue).max_messages(5).wait(Duration::ZERO).build();
    let mut processed = Vec::new();
    let died = take(&consumer, &mut processed, Some(failures.dies_at)).await?;
    if died {
        // Another consumer goes on with what is not hidden; what the dead one held comes when its lease has lapsed.
        take(&consumer, &mut processed, None).await?;
        advance(LEASE + Duration::from_secs(1)).await?;
        take(&consumer, &mut processed, None).await?;
    }
    client.delete_queue(queue, None).await?;
    Ok(Answer {
        name: "SQS standard queue",
        real: true,
        good_for: "Nearly any rate, where work may be done twice and in any order.",
        falls_short: "At least once, and order as it comes: a repeated send is a second message, and what a dead consumer held comes again, behind later ones.",
        proof: Count::of(turns, sent, &processed),
    })
}

/// Takes what is there; true when the consumer died over one that it had processed.
async fn take(consumer: &Consumer, processed: &mut Vec<usize>, dies_at: Option<usize>) -> anyhow::Result<bool> {
    loop {
        let batch = consumer.receive().await?;
        if batch.is_empty() {
            return Ok(false);
        }
        for delivery in batch {
            let place = std::str::from_utf8(&delivery.body)?.parse()?;
            processed.push(place);
            if dies_at == Some(place) {
                return Ok(true);
            }
            delivery.delete().await?;
        }
    }
}
