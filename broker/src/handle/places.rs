//! Bodies by their owners. An answer names a body's place; until the body is fetched it may have been moved, or its
//! owner may be gone and its frame with it. Then the engine is asked again (H6).

use bytes::Bytes;
use lockstep_engine::words::{BodyOwner, BodyRef, QueueGeneration};
use lockstep_proto::storage::StoredMessage;

use super::Handle;
use crate::{
    bodies::{Fetched, Unread},
    codec,
    failure::Failure,
};

/// How often a body that is gone from its place is looked for again. Each time it was moved meanwhile.
const ATTEMPTS: u32 = 4;

/// A body that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) queue: QueueGeneration,
    pub(super) owner: BodyOwner,
    pub(super) body: BodyRef,
}

/// The bytes of a body, or why they cannot be read.
pub(super) type Found = Result<Bytes, String>;

impl Handle {
    /// The bodies, in their order; `None` where the owner is gone.
    ///
    /// # Errors
    /// Those of every read.
    pub(super) async fn fetch(&self, mut wanted: Vec<Wanted>) -> Result<Vec<Option<Found>>, Failure> {
        let mut found: Vec<Option<Fetched>> = self.bodies.fetch(places(&wanted)).await.into_iter().map(Some).collect();
        for _ in 1..ATTEMPTS {
            let gone = |fetched: &Option<Fetched>| matches!(fetched, Some(Err(Unread::Gone(_))));
            let again: Vec<usize> = (0..found.len()).filter(|index| gone(&found[*index])).collect();
            if again.is_empty() {
                break;
            }
            let owners: Vec<_> = again.iter().map(|index| wanted[*index].clone()).collect();
            let now = self
                .read(move |engine, _| Ok(owners.iter().map(|it| engine.body(it.queue, &it.owner)).collect::<Vec<_>>()))
                .await?;
            let mut moved = Vec::new();
            for (index, body) in again.into_iter().zip(now) {
                match body {
                    None => found[index] = None,
                    Some(body) if body.position != wanted[index].body.position => {
                        wanted[index].body = body;
                        moved.push(index);
                    }
                    // It is named and not there: that is damage.
                    Some(_) => {}
                }
            }
            if moved.is_empty() {
                break;
            }
            let places = moved.iter().map(|index| wanted[*index].body.position).collect();
            for (index, fetched) in moved.into_iter().zip(self.bodies.fetch(places).await) {
                found[index] = Some(fetched);
            }
        }
        // A journal that closed meanwhile damaged nothing: the answer is lost, like any that a stop overtakes (H4).
        if found.iter().any(|fetched| matches!(fetched, Some(Err(Unread::Closed(_))))) {
            return Err(self.unavailable());
        }
        Ok(found.into_iter().map(|fetched| fetched.map(|fetched| fetched.map_err(Unread::into_fault))).collect())
    }
}

fn places(wanted: &[Wanted]) -> Vec<lockstep_engine::words::Position> {
    wanted.iter().map(|wanted| wanted.body.position).collect()
}

/// A stored message out of a body's bytes.
pub(super) fn stored_message(found: Found) -> Result<StoredMessage, String> {
    codec::decode_message(found?).map_err(|error| error.to_string())
}
