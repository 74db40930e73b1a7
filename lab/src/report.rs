//! What came of a scenario, for people who were not there: as JSON, and as a page of HTML that needs nothing else. All
//! text is escaped; nothing is computed here.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    director::Verdict,
    lesson::{Facts, Scenario},
};

/// A report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario.
    pub scenario: Scenario,
    /// Its seed.
    pub seed: u64,
    /// The command that does the same again.
    pub command: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen of the processes.
    pub facts: Facts,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Report {
    /// The command of a scenario.
    #[must_use]
    pub fn command(scenario: &str, seed: u64) -> String {
        format!("lockstep lab --scenario {scenario} --seed {seed} --headless")
    }

    /// As a page.
    #[must_use]
    pub fn html(&self) -> String {
        let Self { scenario, verdict, facts, .. } = self;
        let mut page = String::new();
        let title = format!("Lockstep lab: {}", scenario.title);
        let style = "body{font:18px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}\
            table{border-collapse:collapse}td,th{border:1px solid;padding:.2rem .8rem;text-align:left}td{font-variant-numeric:tabular-nums}\
            code{overflow-wrap:anywhere}";
        let _ = write!(
            page,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{style}</style></head><body>\n<h1>{0}</h1>\n<p>{1}</p>\n<p><strong>{2}</strong></p>\n",
            escaped(&title),
            escaped(scenario.shows),
            escaped(&verdict.to_string())
        );
        let _ =
            writeln!(page, "<p>Done again by <code>{}</code> (took {} ms).</p>", escaped(&self.command), self.took_ms);
        page.push_str("<h2>Proof table</h2>\n<p>Counted outside of the broker: from the producers' logs and the published files.</p>\n<table>\n");
        for (name, value) in rows(verdict) {
            let _ = writeln!(page, "<tr><th>{}</th><td><code>{}</code></td></tr>", escaped(name), escaped(&value));
        }
        page.push_str("</table>\n<h2>What was done</h2>\n<ol>\n");
        for step in &scenario.steps {
            let _ = write!(page, "<li><strong>{}</strong> {}", escaped(step.title), escaped(step.see));
            if let Some(card) = &step.card {
                let _ = write!(page, "<p>Predict first: {}</p><ul>", escaped(card.question));
                for (place, choice) in card.choices.iter().enumerate() {
                    let mark = if place == card.right { "\u{2713} " } else { "" };
                    let _ = write!(page, "<li>{mark}{}</li>", escaped(choice));
                }
                let _ = write!(page, "</ul><p>{}</p>", escaped(card.answer));
            }
            page.push_str("</li>\n");
        }
        let _ = write!(
            page,
            "</ol>\n<p>Seen: the broker was started {} times, workers killed {}, leases lapsed {}, commits refused {}.</p>\n<p>{}</p>\n</body></html>\n",
            facts.broker_lives,
            facts.worker_deaths,
            facts.given_up,
            facts.refused,
            escaped(scenario.learnt)
        );
        page
    }
}

/// The rows of the table.
#[must_use]
pub fn rows(verdict: &Verdict) -> Vec<(&'static str, String)> {
    let proof = &verdict.proof;
    let mut rows: Vec<(&'static str, String)> = [
        ("sent", proof.sent),
        ("without an answer", proof.unanswered),
        ("accepted", proof.accepted),
        ("turned away", proof.turned_away),
        ("stored", proof.stored),
        ("processed", proof.processed),
        ("committed", proof.committed),
        ("dead-lettered", proof.dead_lettered),
        ("lost", proof.lost),
        ("duplicated", proof.duplicated),
        ("out of order", proof.out_of_order),
    ]
    .map(|(name, count)| (name, count.to_string()))
    .into();
    rows.push(("SHA-256, senders", proof.sender_sha256.clone()));
    rows.push(("SHA-256, output", proof.processor_sha256.clone()));
    if let Some(beside) = verdict.beside {
        rows.push(("beside, ids alone: accepted", beside.accepted.to_string()));
        rows.push(("beside, ids alone: read", beside.read.to_string()));
        rows.push(("beside, ids alone: duplicated", beside.duplicated.to_string()));
    }
    rows
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::Proof, lessons};

    #[test]
    fn nothing_that_is_said_becomes_markup() {
        let proof = Proof { violation: Some("<script>alert(1)</script> & \"more\"".into()), ..Proof::default() };
        let why = proof.violation.clone();
        let verdict = Verdict { ok: false, proof, beside: None, why };
        let scenario = lessons::named("order").expect("there is one");
        let command = Report::command("order", 7);
        let page = Report { scenario, seed: 7, command, verdict, facts: Facts::default(), took_ms: 1 }.html();
        assert!(
            !page.contains("<script>") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;more&quot;")
        );
    }
}
