//! The client's laws, most held against a broker that is the test itself: every call arrives as a value, and the test
//! answers, refuses or loses it. Sessions and streams meet a real one. Real sockets; nothing here waits by sleeping.

mod calls;
mod consumer;
mod fake;
mod fence;
mod producer;
mod producer_laws;
mod reader;
mod session_laws;
mod streams;
