//! The rules of the contract, one story each: the rule's number stands in the story's name, and the recorded cases of
//! the real service are told to the letter.

mod attempts;
mod aws;
mod claims;
mod commits;
mod dead_letters;
mod delays;
mod explain;
mod limits;
mod order;
mod parking;
mod receipts;
mod redrive;
mod sends;
mod sessions;
mod standard;
mod strict;
mod tags;
mod time;
mod window;
mod world;
