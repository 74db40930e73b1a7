//! The lab: a classroom on real processes. A broker, producers and a pool of workers run as children; a scenario strikes
//! them; a proof table, counted outside of the broker, tells what became of every message.
//!
//! - [`lesson`] is what a scenario is, as plain data, and [`lessons`] are the five that there are;
//! - [`stage`] starts the processes and strikes them, [`wire`] is the network that loses answers;
//! - [`producer`] and [`mapper`] are what two of the kinds of children run;
//! - [`ledger`] is the proof, from files that producers and workers wrote;
//! - [`answers`] are the other answers of the exam question, under the same failures;
//! - [`director`] walks through a scenario, for a page or for a terminal; [`report`] tells what came of it;
//! - [`class`] is a lesson with its teacher, [`server`] its page.
//!
//! Nothing here knows the broker but as a client does.

pub mod answers;
pub mod class;
pub mod dialogue;
pub mod director;
pub mod ledger;
pub mod lesson;
pub mod lessons;
pub mod mapper;
pub mod producer;
pub mod report;
pub mod server;
mod shown;
pub mod stage;
pub mod wire;
