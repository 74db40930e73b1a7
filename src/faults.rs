//! `serve --faults PLAN.json`: reads a fault plan and says what is wrong with one, by its place and with what would be
//! right. What a fault does is the broker's affair; docs/faults.md describes plans.

use std::{path::Path, time::Duration};

use lockstep_broker::{CallFault, CrashPoint, FaultAction, FaultRule, Faults, Operation, Trigger, operations};
use serde::Deserialize;

use crate::exit::Usage;

/// The longest delay, in milliseconds.
const LONGEST_DELAY: u64 = 600_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanText {
    rules: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    name: Option<String>,
    operations: Option<Vec<String>>,
    probability: Option<f64>,
    every: Option<u64>,
    at: Option<Vec<u64>>,
    action: ActionText,
    delay_ms: Option<u64>,
    point: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum ActionText {
    Unavailable,
    Throttle,
    Delay,
    DropAnswer,
    NeverAnswer,
    Repeat,
    ExpireLease,
    Crash,
}

/// Reads a plan.
///
/// # Errors
/// [`Usage`] names the file, the place in it and the values that are known.
pub(crate) fn read(path: &Path, seed: u64) -> anyhow::Result<Faults> {
    let faulty = |what: String| Usage(format!("--faults {}: {what}; docs/faults.md describes plans", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| faulty(error.to_string()))?;
    let rules = parse(&text).map_err(faulty)?;
    Ok(Faults::new(rules, seed))
}

fn parse(text: &str) -> Result<Vec<FaultRule>, String> {
    let plan: PlanText = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let known = operations();
    let rules = plan.rules.into_iter().enumerate();
    rules.map(|(index, text)| rule(index, text, &known).map_err(|what| format!("rules[{index}].{what}"))).collect()
}

fn rule(index: usize, text: RuleText, known: &[Operation]) -> Result<FaultRule, String> {
    let trigger = trigger(&text)?;
    if text.delay_ms.is_some() != (text.action == ActionText::Delay) {
        return Err("delay_ms goes with the action \"delay\", and only with it".to_owned());
    }
    if text.point.is_some() != (text.action == ActionText::Crash) {
        return Err("point goes with the action \"crash\", and only with it".to_owned());
    }
    let fault = match text.action {
        ActionText::Unavailable => CallFault::Unavailable,
        ActionText::Throttle => CallFault::Throttle,
        ActionText::Delay => CallFault::Delay(delay(text.delay_ms.unwrap_or_default())?),
        ActionText::DropAnswer => CallFault::DropAnswer,
        ActionText::NeverAnswer => CallFault::NeverAnswer,
        ActionText::Repeat => CallFault::Repeat,
        ActionText::ExpireLease => CallFault::ExpireLease,
        ActionText::Crash => {
            if text.operations.is_some() {
                return Err("operations: a crash has a point, not operations".to_owned());
            }
            let action = FaultAction::Crash(point(&text.point.unwrap_or_default())?);
            return Ok(FaultRule { name: text.name.unwrap_or_else(|| format!("rules[{index}]")), trigger, action });
        }
    };
    let action = FaultAction::Call(fault, meant(fault, text.operations, known)?);
    Ok(FaultRule { name: text.name.unwrap_or_else(|| format!("rules[{index}]")), trigger, action })
}

fn trigger(text: &RuleText) -> Result<Trigger, String> {
    match (text.probability, text.every, &text.at) {
        (Some(chance), None, None) if chance > 0.0 && chance <= 1.0 => Ok(Trigger::Probability(chance)),
        (Some(chance), None, None) => Err(format!("probability is {chance}; it must be above 0 and at most 1")),
        (None, Some(0), None) => Err("every is 0; it must be at least 1".to_owned()),
        (None, Some(every), None) => Ok(Trigger::Every(every)),
        (None, None, Some(at)) if at.is_empty() || at.contains(&0) => {
            Err("at must name matches, of which the first is 1".to_owned())
        }
        (None, None, Some(at)) => Ok(Trigger::At(at.clone())),
        _ => Err("probability, every, at: a rule has exactly one of them".to_owned()),
    }
}

fn delay(milliseconds: u64) -> Result<Duration, String> {
    if (1..=LONGEST_DELAY).contains(&milliseconds) {
        Ok(Duration::from_millis(milliseconds))
    } else {
        Err(format!("delay_ms is {milliseconds}; it must be between 1 and {LONGEST_DELAY}"))
    }
}

fn point(name: &str) -> Result<CrashPoint, String> {
    let found = CrashPoint::ALL.iter().find(|(known, _)| *known == name).map(|(_, point)| *point);
    let names = || CrashPoint::ALL.map(|(known, _)| known).join(", ");
    found.ok_or_else(|| format!("point is {name:?}; known are {}", names()))
}

/// The operations of a rule. One that names none means every one that it suits, but for the clock's.
fn meant(fault: CallFault, named: Option<Vec<String>>, known: &[Operation]) -> Result<Vec<String>, String> {
    let names = |suits: &dyn Fn(&&Operation) -> bool| -> Vec<String> {
        known.iter().filter(suits).map(|operation| operation.name.clone()).collect()
    };
    let Some(named) = named else {
        return Ok(names(&|operation| fault.suits(operation) && operation.service != "Clock"));
    };
    if named.is_empty() {
        return Err("operations is empty; leave it out to mean every one".to_owned());
    }
    for name in &named {
        let operation = known.iter().find(|operation| operation.name == *name);
        let suits = |operation: &&Operation| fault.suits(operation);
        if operation.is_none() {
            return Err(format!("operations: there is no {name:?}; known are {}", names(&suits).join(", ")));
        }
        if !operation.is_some_and(|operation| fault.suits(operation)) {
            return Err(format!(
                "operations: this action cannot be done to {name}, only to {}",
                names(&suits).join(", ")
            ));
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_plan_is_one() {
        let rules = parse(include_str!("../docs/faults.example.json")).unwrap();
        assert_eq!(rules.len(), 6);
        assert_eq!(rules[0].name, "lost answers");
        assert_eq!(rules[5].action, FaultAction::Crash(CrashPoint::AfterAppend));
    }

    #[test]
    fn a_rule_without_operations_means_all_that_it_suits() {
        let rules = parse(r#"{"rules":[{"every":2,"action":"repeat"}]}"#).unwrap();
        let FaultAction::Call(CallFault::Repeat, meant) = &rules[0].action else { panic!("{rules:?}") };
        assert!(meant.iter().any(|name| name == "Send"));
        assert!(!meant.iter().any(|name| name == "ReadClaim" || name == "Advance"), "{meant:?}");
    }

    #[test]
    fn a_bad_plan_is_told_by_its_place_and_with_what_is_known() {
        let faults = |rule: &str| parse(&format!("{{\"rules\":[{{{rule}}}]}}")).unwrap_err();
        for (rule, words) in [
            (r#""every":1,"action":"explode""#, vec!["line 1", "explode", "drop_answer"]),
            (r#""evry":1,"action":"repeat""#, vec!["evry", "every", "line 1"]),
            (r#""action":"repeat""#, vec!["rules[0]", "probability, every, at"]),
            (r#""every":1,"at":[1],"action":"repeat""#, vec!["exactly one"]),
            (r#""probability":1.5,"action":"repeat""#, vec!["rules[0].probability is 1.5"]),
            (r#""every":0,"action":"repeat""#, vec!["every is 0"]),
            (r#""at":[0],"action":"repeat""#, vec!["at must name"]),
            (r#""every":1,"action":"repeat","operations":["Sned"]"#, vec!["Sned", "SendBatch"]),
            (r#""every":1,"action":"repeat","operations":["ReadClaim"]"#, vec!["ReadClaim", "only to"]),
            (r#""every":1,"action":"repeat","operations":[]"#, vec!["operations is empty"]),
            (r#""every":1,"action":"expire_lease","operations":["Send"]"#, vec!["only to Receive"]),
            (r#""every":1,"action":"delay""#, vec!["delay_ms goes with"]),
            (r#""every":1,"action":"delay","delay_ms":0"#, vec!["delay_ms is 0"]),
            (r#""every":1,"action":"crash","point":"nowhere""#, vec!["nowhere", "before_append"]),
            (r#""every":1,"action":"crash","point":"recovery","operations":["Send"]"#, vec!["not operations"]),
        ] {
            let told = faults(rule);
            assert!(words.iter().all(|word| told.contains(word)), "{rule}: {told}");
        }
        assert!(parse("{").unwrap_err().contains("line 1"));
    }

    #[test]
    fn any_text_is_a_plan_within_the_limits_or_is_told_what_is_wrong() {
        let valid = [
            include_str!("../docs/faults.example.json"),
            r#"{"rules":[{"every":2,"action":"repeat","operations":["Send","Delete"]},{"at":[1,9],"action":"throttle"}]}"#,
            r#"{"rules":[{"name":"n","probability":1e-3,"action":"delay","delay_ms":600000}]}"#,
            r#"{"rules":[{"every":3,"action":"crash","point":"recovery"}]}"#,
        ];
        let known = operations();
        for mut chance in lockstep_fuzz::tries(5_000) {
            let text = lockstep_fuzz::changed_text(&mut chance, &valid);
            match parse(&text) {
                Ok(rules) => {
                    for FaultRule { trigger, action, .. } in &rules {
                        let fires = match trigger {
                            Trigger::Probability(chance) => *chance > 0.0 && *chance <= 1.0,
                            Trigger::Every(every) => *every > 0,
                            Trigger::At(at) => !at.is_empty() && !at.contains(&0),
                        };
                        assert!(fires, "{trigger:?}");
                        let FaultAction::Call(fault, meant) = action else { continue };
                        let suits = |name: &String| known.iter().any(|it| it.name == *name && fault.suits(it));
                        assert!(!meant.is_empty() && meant.iter().all(suits), "{action:?}");
                    }
                    drop(Faults::new(rules, 1));
                }
                Err(told) => assert!(told.contains("line ") || told.starts_with("rules["), "{told}"),
            }
        }
    }
}
