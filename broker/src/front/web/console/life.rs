//! One message as the page gets it: what happened to it, why it is where it is, and its body, which nobody receives by
//! looking.

use axum::{
    extract::{Request, State},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockstep_engine::words::SequenceNumber;
use serde::Serialize;
use uuid::Uuid;

use super::{Answered, Console, Problem, Query, json, shown};
use crate::{
    handle::{AttributeValue, Fact, FactKind, Life, LifeOf, Peeked, explained, span},
    limits,
};

#[derive(Serialize)]
struct Message {
    seq: String,
    id: String,
    group: Option<String>,
    state: &'static str,
    sentence: String,
    rule: &'static str,
    life: Vec<Step>,
    complete: bool,
    now: u64,
}

/// Something that happened to it.
#[derive(Serialize)]
struct Step {
    at: u64,
    frame: Option<String>,
    kind: &'static str,
    who: Option<String>,
    text: String,
    rule: Option<&'static str>,
}

pub(super) async fn message(State(console): State<Console>, request: Request) -> Answered {
    let query = Query::of(request.uri())?;
    let queue = query.queue()?;
    let name = queue.name.to_string();
    let of = match (query.place("seq")?, query.given("id")) {
        (Some(number), _) => LifeOf::Number(SequenceNumber(number)),
        (None, Some(id)) => {
            let parsed = Uuid::parse_str(id);
            LifeOf::Id(parsed.map_err(|_| Problem::parameter("id", "it must be a message id, which is a UUID"))?)
        }
        (None, None) => return Err(Problem::parameter("seq", "name a message by seq or by id")),
    };
    let Life { sequence, id, explanation, facts, is_complete } = console.handle.life(queue, of).await?;
    let mut life: Vec<Step> = facts.iter().map(step).collect();
    // What is forgotten of its begin, the message itself still says.
    if let Some(sent_at) = explanation.sent_at.filter(|_| !is_complete) {
        let text = format!("stored as #{sequence}; what happened then is not remembered any more");
        let begin = Step { at: sent_at.0, frame: None, kind: "sent", who: None, text, rule: Some("S12") };
        life.insert(0, begin);
    }
    let group = explanation.group.clone().or_else(|| facts.iter().find_map(|fact| fact.group.clone()));
    json(&Message {
        seq: sequence.to_string(),
        id: id.to_string(),
        group: group.map(|group| group.to_string()),
        state: shown::state(explanation.reason),
        sentence: explained(&name, &explanation, false),
        rule: explanation.reason.rule(),
        life,
        complete: is_complete,
        now: explanation.at.0,
    })
}

fn step(fact: &Fact) -> Step {
    let (text, rule) = told(fact);
    Step {
        at: fact.at.0,
        frame: Some(fact.frame.to_string()),
        kind: shown::kind(fact.kind),
        who: shown::who(&fact.who),
        text,
        rule: Some(rule),
    }
}

/// What happened in a short sentence, and the rule that made it so.
fn told(fact: &Fact) -> (String, &'static str) {
    let number = fact.sequence.unwrap_or_default();
    let who = shown::who(&fact.who);
    let by = who.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
    let long = fact.until.map(|until| span(until.0.saturating_sub(fact.at.0)));
    let within = long.map(|long| format!(", for {long}")).unwrap_or_default();
    match fact.kind {
        FactKind::Sent => (format!("stored as #{number}"), "S12"),
        FactKind::TurnedAway => ("sent again and turned away: it is there already".to_owned(), "S6"),
        FactKind::Delayed => (format!("not visible yet{within}"), "O7"),
        FactKind::Elapsed => ("its delay elapsed: visible".to_owned(), "O7"),
        FactKind::Leased => (format!("taken{by}{within}"), "O3"),
        FactKind::Extended => (format!("its lease ends anew{within}"), "R5"),
        FactKind::Returned => ("given back: visible again".to_owned(), "O5"),
        FactKind::Lapsed => ("its lease lapsed: visible again".to_owned(), "R3"),
        FactKind::Deleted => ("deleted".to_owned(), "R4"),
        FactKind::Committed => (format!("committed{by}: finished once"), "B1"),
        FactKind::DeadLettered => {
            (format!("received too often: moved {} as a dead letter", who.unwrap_or_default()), "Q2")
        }
        FactKind::Moved => (format!("moved {}", who.unwrap_or_default()), "Q7"),
        FactKind::Expired => ("its retention ended".to_owned(), "R9"),
        FactKind::Purged => ("the queue was purged".to_owned(), "A3"),
        FactKind::Parked => ("its group was parked".to_owned(), "B7"),
        FactKind::Unparked => ("its group was unparked".to_owned(), "B7"),
    }
}

#[derive(Serialize)]
struct Peek {
    messages: Vec<Body>,
}

#[derive(Serialize)]
struct Body {
    seq: String,
    id: String,
    group: String,
    sent: u64,
    receives: u32,
    deduplication_id: String,
    /// Where it is UTF-8.
    text: Option<String>,
    /// Where it is not.
    base64: Option<String>,
    attributes: Vec<Attribute>,
}

#[derive(Serialize)]
struct Attribute {
    name: String,
    r#type: String,
    value: String,
}

pub(super) async fn peek(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    let query = Query::of(request.uri())?;
    let (queue, group) = (query.queue()?, query.optional_group("group")?);
    let after = SequenceNumber(query.place("after")?.unwrap_or(0));
    let max = query.number("max", limits::DEFAULT_PEEK as usize, limits::CONSOLE_PEEK)?;
    let peeked = console.handle.peek(queue, group, after, max, 0).await?;
    json(&Peek { messages: peeked.into_iter().map(body).collect() })
}

fn body(peeked: Peeked) -> Body {
    let attributes = peeked.attributes.iter().map(|attribute| Attribute {
        name: attribute.name.clone(),
        r#type: attribute.data_type.clone(),
        value: match &attribute.value {
            AttributeValue::Text(text) => text.clone(),
            AttributeValue::Binary(bytes) => STANDARD.encode(bytes),
        },
    });
    let attributes = attributes.collect();
    let text = std::str::from_utf8(&peeked.body).ok().map(str::to_owned);
    Body {
        seq: peeked.peeked.sequence.to_string(),
        id: peeked.message_id.to_string(),
        group: peeked.group,
        sent: peeked.peeked.sent_at.0,
        receives: peeked.peeked.receives,
        deduplication_id: peeked.deduplication_id,
        base64: text.is_none().then(|| STANDARD.encode(&peeked.body)),
        text,
        attributes,
    }
}
