//! What a page is shown of a lab: one JSON object, made of what the director, the ledger and the pool know. It decides
//! nothing and asks nobody.

use lockstep_emr_sim::pool::Progress;
use serde_json::{Value, json};

use crate::{
    class::Aside,
    director::{Director, Phase},
    ledger::Ledger,
    lessons,
    report::Report,
    stage::{Stage, conversations},
};

/// So many of the last published lines are shown.
const LINES: usize = 24;

/// Everything.
pub(crate) fn state(lab: &Director, aside: &Aside, seed: u64) -> Value {
    let stage = &lab.stage;
    let scenario = stage.scenario();
    let (at, phase) = lab.at();
    let proof = lab.proof();
    let names: Vec<_> = lessons::all().iter().map(|one| json!({ "name": one.name, "title": one.title })).collect();
    // What is right is told when the step has shown it.
    let steps = scenario.steps.iter().enumerate().map(|(number, step)| {
        let told = number < at || number == at && matches!(phase, Phase::Met | Phase::Over);
        let card = step.card.as_ref().map(|card| {
            let right = told.then_some(card.right);
            let answer = told.then_some(card.answer);
            json!({ "question": card.question, "choices": card.choices, "right": right, "answer": answer })
        });
        json!({ "title": step.title, "see": step.see, "card": card })
    });
    json!({
        "scenario": { "name": scenario.name, "title": scenario.title, "shows": scenario.shows, "learnt": scenario.learnt,
            "keys": scenario.keys, "lease": scenario.lease, "steps": steps.collect::<Vec<_>>() },
        "scenarios": names,
        "seed": seed,
        "command": Report::command(scenario.name, seed),
        "step": at,
        "phase": phase,
        "aside": aside,
        "elapsed": stage.elapsed() / 1_000,
        "broker": stage.broker(),
        "proof": proof,
        "equal": proof.is_equal(),
        "verdict": lab.verdict(),
        "told": lab.verdict().map(ToString::to_string),
        "facts": lab.facts(),
        "conversations": spoken(stage),
        "workers": workers(stage),
        "lines": last_lines(&stage.ledger),
        "commits": stage.ledger.commits(),
        "refusal": stage.progress().refused.1,
    })
}

fn spoken(stage: &Stage) -> Vec<Value> {
    let of = |name: &&str| {
        let turns = stage.script.iter().filter(|turn| turn.conversation == *name);
        let turns = turns.map(|turn| {
            let life = stage.ledger.life(&turn.conversation, turn.turn);
            let answered = life.sequence_number.is_some();
            json!({
                "turn": turn.turn, "sender": turn.sender, "text": turn.text, "tries": life.tries,
                "received": life.tries > 0, "on_disk": answered || life.on_disk, "answered": answered,
                "known": life.known, "processed": life.processed, "committed": life.committed, "aside": life.aside,
            })
        });
        json!({ "name": name, "turns": turns.collect::<Vec<_>>() })
    };
    conversations().iter().map(of).collect()
}

fn workers(stage: &Stage) -> Vec<Value> {
    let Progress { worker_pids, .. } = stage.progress();
    let frozen = stage.frozen();
    let present: Vec<u32> = worker_pids.values().flatten().copied().collect();
    let placed = worker_pids.iter().map(|(place, pid)| (Some(*place), *pid));
    let lost = frozen.iter().filter(|pid| !present.contains(pid)).map(|pid| (None, Some(*pid)));
    let worker = |(place, pid): (Option<usize>, Option<u32>)| {
        let doing = pid.and_then(|pid| stage.ledger.doing(pid));
        let state = match pid {
            None => "starts",
            Some(pid) if frozen.contains(&pid) => "stands still",
            Some(_) if doing.is_some() => "works",
            Some(_) => "waits",
        };
        json!({ "place": place, "pid": pid, "state": state, "doing": doing })
    };
    placed.chain(lost).map(worker).collect()
}

fn last_lines(ledger: &Ledger) -> Vec<Value> {
    let lines = ledger.lines();
    let first = lines.len().saturating_sub(LINES);
    let line = |line: &crate::mapper::Line| json!({ "group": line.group, "turn": line.turn, "text": line.text });
    lines[first..].iter().map(line).collect()
}
