//! Fault plans: trouble on purpose, for the tests of those who use the broker. A plan is a list of rules; each counts
//! what it matches and strikes by that count and the seed, so that the same calls in the same order meet the same
//! faults. What a fault does to a call is the front's affair; here it is decided when one strikes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prost::Message as _;

/// When a rule strikes, by the number of the match: 1 is the first since the process started.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// Each match with this probability, above 0 and at most 1.
    Probability(f64),
    /// Every so many matches, at least 1.
    Every(u64),
    /// These matches.
    At(Vec<u64>),
}

/// What is done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// It is not carried out; `UNAVAILABLE`.
    Unavailable,
    /// It is not carried out; `RESOURCE_EXHAUSTED`.
    Throttle,
    /// It waits before it is carried out.
    Delay(Duration),
    /// It is carried out, and its answer is lost: `UNAVAILABLE`.
    DropAnswer,
    /// It is carried out and never answered; the call ends when its caller gives up.
    NeverAnswer,
    /// It is carried out twice and answered once, with the second answer.
    Repeat,
    /// Its deliveries are given back before the receiver hears of them: their receipt handles are dead.
    ExpireLease,
}

/// Where the process may be ended, as by SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// A frame is made and not yet at the journal.
    BeforeAppend,
    /// A frame is durable and nobody was answered.
    AfterAppend,
    /// A slice of a checkpoint is made and not stored; earlier slices of it may be.
    Checkpoint,
    /// The journal was replayed and nothing is served yet.
    Recovery,
}

impl CrashPoint {
    /// Every point, with its name in plans.
    pub const ALL: [(&str, Self); 4] = [
        ("before_append", Self::BeforeAppend),
        ("after_append", Self::AfterAppend),
        ("checkpoint", Self::Checkpoint),
        ("recovery", Self::Recovery),
    ];
}

impl CallFault {
    /// Whether it can be done to an operation: only deliveries have leases to end, and an answer that streams cannot be
    /// kept and repeated, unless each request of the stream has its own.
    #[must_use]
    pub fn suits(self, operation: &Operation) -> bool {
        match self {
            Self::Unavailable | Self::Throttle | Self::Delay(_) => true,
            Self::DropAnswer | Self::NeverAnswer | Self::Repeat => {
                !operation.streams || is_struck_by_request(&operation.name)
            }
            Self::ExpireLease => matches!(operation.name.as_str(), "Receive" | "Consume"),
        }
    }
}

/// Whether the requests of one call are many, and each of them is a match of its own.
pub(crate) fn is_struck_by_request(operation: &str) -> bool {
    matches!(operation, "Produce" | "Consume")
}

/// A call that a plan can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Such as `Send`.
    pub name: String,
    /// Its service, such as `Messages`.
    pub service: String,
    /// Whether requests or answers of one call are many.
    pub streams: bool,
}

/// Every operation of the public API, as it is described on the wire.
///
/// # Panics
/// Never: the descriptors were compiled with this program.
#[must_use]
pub fn operations() -> Vec<Operation> {
    let files = prost_types::FileDescriptorSet::decode(lockstep_proto::DESCRIPTORS);
    let files = files.expect("the descriptors were compiled with this program").file;
    // The workers of clusters are a guest's.
    let ours = files.into_iter().filter(|file| file.package() == "lockstep.v1");
    let services = ours.flat_map(|file| file.service);
    let operation = |service: &str, method: prost_types::MethodDescriptorProto| Operation {
        name: method.name().to_owned(),
        service: service.to_owned(),
        streams: method.client_streaming() || method.server_streaming(),
    };
    services
        .flat_map(|service| {
            let name = service.name().to_owned();
            service.method.into_iter().map(move |method| operation(&name, method)).collect::<Vec<_>>()
        })
        .collect()
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultAction {
    /// To calls of these operations.
    Call(CallFault, Vec<String>),
    /// To the process.
    Crash(CrashPoint),
}

/// One rule of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    /// What the log calls it.
    pub name: String,
    /// When it strikes.
    pub trigger: Trigger,
    /// What it does.
    pub action: FaultAction,
}

struct Counted {
    rule: FaultRule,
    matches: AtomicU64,
}

/// A plan under way. Clones share the counts.
#[derive(Clone)]
pub struct Faults {
    rules: Arc<[Counted]>,
    seed: u64,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rules.iter().map(|counted| &counted.rule)).finish()
    }
}

impl Faults {
    /// A plan that strikes by this seed.
    #[must_use]
    pub fn new(rules: Vec<FaultRule>, seed: u64) -> Self {
        let counted = |rule| Counted { rule, matches: AtomicU64::new(0) };
        Self { rules: rules.into_iter().map(counted).collect(), seed }
    }

    /// Says in the log what is going to be done to this broker.
    pub fn announce(&self) {
        tracing::warn!(seed = self.seed, rules = self.rules.len(), "faults are injected on purpose (--faults)");
        for Counted { rule, .. } in self.rules.iter() {
            tracing::warn!(rule = rule.name, trigger = ?rule.trigger, action = ?rule.action, "a fault to come");
        }
    }

    /// What is done to a call of `operation`, such as `Send`, or to one request of a stream: the faults of every rule that strikes, in their order.
    pub(crate) fn on_call(&self, operation: &str) -> Vec<CallFault> {
        self.struck(|action| match action {
            FaultAction::Call(fault, operations) => {
                operations.iter().any(|meant| meant == operation).then_some((*fault, operation))
            }
            FaultAction::Crash(_) => None,
        })
    }

    /// Ends the process here, if a rule says so. Nothing is flushed and nobody is told.
    pub(crate) fn pass(&self, point: CrashPoint) {
        let name = CrashPoint::ALL.iter().find(|(_, known)| *known == point).map_or("", |(name, _)| name);
        let struck = self.struck(|action| match action {
            FaultAction::Crash(at) => (*at == point).then_some((point, name)),
            FaultAction::Call(..) => None,
        });
        if !struck.is_empty() {
            std::process::abort();
        }
    }

    fn struck<'a, T: fmt::Debug>(&self, matches: impl Fn(&FaultAction) -> Option<(T, &'a str)>) -> Vec<T> {
        let mut struck = Vec::new();
        for (index, counted) in self.rules.iter().enumerate() {
            let Some((what, place)) = matches(&counted.rule.action) else { continue };
            let number = counted.matches.fetch_add(1, Ordering::Relaxed) + 1;
            if strikes(&counted.rule.trigger, self.seed, index as u64, number) {
                tracing::warn!(rule = counted.rule.name, place, number, fault = ?what, "a fault is injected");
                struck.push(what);
            }
        }
        struck
    }
}

/// By the number of the match alone, so that other rules and other calls change nothing.
fn strikes(trigger: &Trigger, seed: u64, rule: u64, number: u64) -> bool {
    match trigger {
        Trigger::Every(every) => number.is_multiple_of(*every),
        Trigger::At(numbers) => numbers.contains(&number),
        Trigger::Probability(probability) => {
            let chance = mixed(mixed(mixed(seed) ^ rule) ^ number) >> 11;
            // 53 bits: exactly what a double holds.
            #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double")]
            let chance = chance as f64 / (1_u64 << 53) as f64;
            chance < *probability
        }
    }
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
const fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(trigger: Trigger, operations: &[&str]) -> FaultRule {
        let operations = operations.iter().map(|name| (*name).to_owned()).collect();
        FaultRule { name: "r".into(), trigger, action: FaultAction::Call(CallFault::DropAnswer, operations) }
    }

    fn numbers(rule: FaultRule, seed: u64, calls: u64) -> Vec<u64> {
        let faults = Faults::new(vec![rule], seed);
        (1..=calls).filter(|_| !faults.on_call("Send").is_empty()).collect()
    }

    #[test]
    fn a_rule_strikes_by_the_count_of_its_matches() {
        assert_eq!(numbers(call(Trigger::Every(3), &["Send"]), 1, 9), [3, 6, 9]);
        assert_eq!(numbers(call(Trigger::At(vec![2, 5]), &["Send"]), 1, 9), [2, 5]);
        assert_eq!(numbers(call(Trigger::Every(1), &["Delete"]), 1, 9), [0_u64; 0]);
    }

    #[test]
    fn chance_is_the_seeds() {
        let some = |seed| numbers(call(Trigger::Probability(0.2), &["Send"]), seed, 1_000);
        assert_eq!(some(7), some(7));
        assert_ne!(some(7), some(8));
        assert!((150..250).contains(&some(7).len()), "{}", some(7).len());
        assert_eq!(numbers(call(Trigger::Probability(1.0), &["Send"]), 1, 5).len(), 5);
    }

    #[test]
    fn a_plan_can_name_what_is_on_the_wire() {
        let all = operations();
        let named = |name: &str| all.iter().find(|operation| operation.name == name).expect("an operation");
        assert_eq!((named("Send").service.as_str(), named("Send").streams), ("Messages", false));
        assert!(named("ReadClaim").streams && !CallFault::Repeat.suits(named("ReadClaim")));
        assert!(CallFault::ExpireLease.suits(named("Receive")) && !CallFault::ExpireLease.suits(named("Send")));
        assert!(CallFault::Repeat.suits(named("Produce")) && CallFault::DropAnswer.suits(named("Consume")));
    }
}
