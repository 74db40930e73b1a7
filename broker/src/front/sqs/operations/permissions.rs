//! AddPermission and RemovePermission: statements of the queue's policy (L12). The policy is kept and shown; Lockstep asks
//! none whether a call may pass.

use lockstep_engine::{
    Rejected,
    command::{QueueRef, ReplacePolicy},
    words::Policy,
};
use serde_json::{Map, Value, json};

use super::{Answered, plain, required};
use crate::{
    failure::Failure,
    front::sqs::{
        Services,
        addresses::is_account,
        caller::Caller,
        errors::{Code, SqsError},
        model::{
            Nothing, Text,
            permissions::{AddPermission, RemovePermission},
        },
    },
};

/// Most statements of a policy (L12).
const STATEMENTS: usize = 20;
/// Most actions of a statement (L12).
const ACTIONS: usize = 7;
/// Most accounts of a statement (L12).
const PRINCIPALS: usize = 50;
/// How often a policy that somebody else changed meanwhile is read again.
const ATTEMPTS: u32 = 8;
/// What an owner may let others do.
const SHARED: [&str; 11] = [
    "*",
    "SendMessage",
    "ReceiveMessage",
    "DeleteMessage",
    "ChangeMessageVisibility",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "ListQueueTags",
    "PurgeQueue",
    "ListMessageMoveTasks",
];

pub(super) async fn add_permission(
    services: &Services,
    caller: &Caller,
    request: AddPermission<'_>,
) -> Answered<Nothing> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let label = label(&request.label)?;
    let accounts = listed(request.accounts, "AWSAccountIds", PRINCIPALS)?;
    let actions = listed(request.actions, "Actions", ACTIONS)?;
    if let Some(account) = accounts.iter().find(|account| !is_account(account)) {
        return Err(SqsError::value(&**account, "PrincipalId", "Unable to verify."));
    }
    if let Some(action) = actions.iter().find(|action| !SHARED.contains(&&***action)) {
        let reason = "Only the queue owner is allowed to invoke this action.";
        return Err(SqsError::value(format!("SQS:{}", &**action), "ActionName", reason));
    }
    let arn = caller.arn(&queue.name);
    let principals = accounts.iter().map(|account| format!("arn:aws:iam::{}:root", &**account)).collect();
    let actions = actions.iter().map(|action| format!("SQS:{}", &**action)).collect();
    let statement = json!({ "Sid": label, "Effect": "Allow", "Principal": { "AWS": one_or_all(principals) },
        "Action": one_or_all(actions), "Resource": arn });
    change(services, queue, &arn, |statements| {
        if statements.iter().any(|known| known["Sid"] == *label) {
            return Err(SqsError::value(label, "Label", "Already exists."));
        }
        if statements.len() >= STATEMENTS {
            let text = format!("A policy has at most {STATEMENTS} statements.");
            return Err(SqsError::new(Code::OverLimit, text));
        }
        statements.push(statement.clone());
        Ok(())
    })
    .await
}

pub(super) async fn remove_permission(
    services: &Services,
    caller: &Caller,
    request: RemovePermission<'_>,
) -> Answered<Nothing> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let label = label(&request.label)?;
    let arn = caller.arn(&queue.name);
    change(services, queue, &arn, |statements| {
        let before = statements.len();
        statements.retain(|known| known["Sid"] != *label);
        if statements.len() == before { Err(SqsError::value(label, "Label", "can't find label.")) } else { Ok(()) }
    })
    .await
}

/// At most 80 letters, digits, hyphens and underscores (L12).
fn label<'a>(given: &'a Option<Text<'_>>) -> Answered<&'a str> {
    let label = required(given, "Label")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if label.len() <= 80 && label.bytes().all(allowed) {
        return Ok(label);
    }
    let reason = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.";
    Err(SqsError::value(label, "Label", reason))
}

/// A list that must not be empty, and no longer than `most`.
fn listed<'a>(given: Option<Vec<Text<'a>>>, name: &str, most: usize) -> Answered<Vec<Text<'a>>> {
    let list = given.filter(|list| !list.is_empty()).ok_or_else(|| SqsError::missing(name))?;
    if list.len() <= most {
        return Ok(list);
    }
    let text = format!("A statement has at most {most} {name}; {} were given.", list.len());
    Err(SqsError::new(Code::OverLimit, text))
}

/// A list of one is written without its brackets.
fn one_or_all(mut list: Vec<String>) -> Value {
    if list.len() == 1 { Value::String(list.remove(0)) } else { list.into() }
}

/// Changes the statements of a policy, again and again while somebody else changes it.
async fn change(
    services: &Services,
    queue: QueueRef,
    arn: &str,
    change: impl Fn(&mut Vec<Value>) -> Answered<()> + Sync,
) -> Answered<Nothing> {
    for attempt in 1.. {
        let view = services.handle.describe_queue(queue.clone()).await.map_err(|it| plain(&it))?;
        let seen = view.attributes.aws.policy;
        let mut document = document(seen.as_ref().map(Policy::as_str), arn);
        let mut statements = match document.remove("Statement") {
            Some(Value::Array(statements)) => statements,
            Some(only) => vec![only],
            None => Vec::new(),
        };
        change(&mut statements)?;
        let policy = policy(document, statements)?;
        let replace = ReplacePolicy { queue: queue.clone(), seen, policy };
        match services.handle.replace_policy(replace).await {
            Ok(()) => break,
            Err(Failure::Rejected(Rejected::PolicyChanged)) if attempt < ATTEMPTS => {}
            Err(failure) => return Err(plain(&failure)),
        }
    }
    Ok(Nothing {})
}

/// The policy as it is, or a new one.
fn document(policy: Option<&str>, arn: &str) -> Map<String, Value> {
    let known = policy.and_then(|policy| serde_json::from_str(policy).ok());
    known.unwrap_or_else(|| {
        let id = format!("{arn}/SQSDefaultPolicy");
        Map::from_iter([("Version".to_owned(), json!("2008-10-17")), ("Id".to_owned(), json!(id))])
    })
}

/// The policy with these statements; none without one.
fn policy(mut document: Map<String, Value>, statements: Vec<Value>) -> Answered<Option<Policy>> {
    if statements.is_empty() {
        return Ok(None);
    }
    document.insert("Statement".to_owned(), statements.into());
    let policy = Policy::parse(&Value::Object(document).to_string());
    let text = "The policy would be longer than 8192 bytes.";
    policy.map(Some).map_err(|_| SqsError::new(Code::OverLimit, text))
}
