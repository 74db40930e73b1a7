//! Workers by hand, on the wire: `door` is the cluster's side of a call, [`worker`] the worker's, `reach` the proof that
//! both see the same output folder. The call carries the lines of [`crate::protocol`]; who gets which claim is the pool's.

mod door;
mod reach;
pub mod worker;

use std::time::Duration;

pub use door::router;

/// How often each side says that it is there.
const BEAT: Duration = Duration::from_secs(1);

/// Who hears nothing for so long ends the call: the other side hangs, or the network between them does.
const SILENCE: Duration = Duration::from_secs(10);
