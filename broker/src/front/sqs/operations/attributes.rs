//! The attributes of queues as SQS has them: texts by name, to the engine's changes and from its view (L4, L8, L9, Q1,
//! Q5). The engine judges ranges; a text that is no value at all is refused here.

use lockstep_engine::{
    AttributeChanges, Change, DeduplicationScope, GroupDelivery, RedriveAllow, RedriveChange, RedrivePolicy,
    ThroughputLimit,
    view::QueueView,
    words::{KmsKey, Policy, QueueName, WordError},
};
use serde::{Deserialize, Serialize};

use super::Answered;
use crate::front::sqs::{
    addresses::name_of_arn,
    caller::Caller,
    errors::{Code, SqsError, attribute_value, unknown_attribute},
    model::{Pairs, Text},
};

type Given<'a> = Pairs<Text<'a>, Text<'a>>;

/// The tag by which CreateQueue chooses how groups are handed out; SQS has no attribute for it.
const DELIVERY_TAG: &str = "lockstep:GroupDelivery";

/// Every attribute that GetQueueAttributes knows (L9).
const NAMES: [&str; 22] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "ContentBasedDeduplication",
    "CreatedTimestamp",
    "DeduplicationScope",
    "DelaySeconds",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "LastModifiedTimestamp",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "Policy",
    "QueueArn",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
    "All",
];

fn get<'a>(given: &'a Given<'_>, name: &str) -> Option<&'a str> {
    given.0.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
}

/// Whether a FIFO queue is asked for.
pub(super) fn says_fifo(given: &Given<'_>) -> bool {
    get(given, "FifoQueue").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The redrive policy as it was given, for texts that repeat it.
pub(super) fn redrive_text<'a>(given: &'a Given<'_>) -> &'a str {
    get(given, "RedrivePolicy").unwrap_or_default()
}

/// What a queue is made with; how its groups are handed out, where the tag says it.
pub(super) fn at_creation(name: &QueueName, given: Given<'_>, tags: &Option<Given<'_>>) -> Answered<AttributeChanges> {
    let changes = changes(name, given, true)?;
    let delivery = match tags.as_ref().and_then(|tags| get(tags, DELIVERY_TAG)) {
        _ if !name.is_fifo() => None,
        None => None,
        Some("prefix") => Some(GroupDelivery::Prefix),
        Some("strict") => Some(GroupDelivery::Strict),
        Some(other) => {
            let reason = "The tag lockstep:GroupDelivery is strict or prefix.";
            return Err(SqsError::value(other, "Tags", reason));
        }
    };
    Ok(AttributeChanges { delivery, ..changes })
}

/// What was given, as changes. The scope counts only `at_creation`; later it changes what is shown (S8).
pub(super) fn changes(name: &QueueName, given: Given<'_>, at_creation: bool) -> Answered<AttributeChanges> {
    let mut changes = AttributeChanges::default();
    for (attribute, value) in given.0 {
        change(&mut changes, name, &attribute, &value)?;
    }
    // A queue that is there is compared with what it shows.
    changes.aws.shown_scope = changes.scope;
    if !at_creation {
        changes.scope = None;
    }
    Ok(changes)
}

fn change(changes: &mut AttributeChanges, queue: &QueueName, attribute: &str, value: &str) -> Answered<()> {
    let number = || value.trim().parse::<u32>().map_err(|_| attribute_value(attribute));
    let milliseconds = || -> Answered<_> { Ok(Some(u64::from(number()?) * 1_000)) };
    match attribute {
        "VisibilityTimeout" => changes.visibility = milliseconds()?,
        "MessageRetentionPeriod" => changes.retention = milliseconds()?,
        "DelaySeconds" => changes.delay = milliseconds()?,
        "ReceiveMessageWaitTimeSeconds" => changes.wait = milliseconds()?,
        "MaximumMessageSize" => changes.max_message_size = Some(number()?),
        "RedrivePolicy" => changes.redrive = Some(redrive(value)?),
        "RedriveAllowPolicy" => changes.redrive_allow = Some(redrive_allow(value)?),
        // A standard queue does not know the following (L8).
        "FifoQueue" | "ContentBasedDeduplication" | "DeduplicationScope" | "FifoThroughputLimit"
            if !queue.is_fifo() =>
        {
            return Err(unknown_attribute(attribute));
        }
        "FifoQueue" if flag(attribute, value)? => {}
        "FifoQueue" => {
            let text = "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.";
            return Err(SqsError::new(Code::InvalidAttributeValue, text));
        }
        "ContentBasedDeduplication" => changes.content_based = Some(flag(attribute, value)?),
        "DeduplicationScope" => {
            changes.scope = Some(match value {
                "queue" => DeduplicationScope::Queue,
                "messageGroup" => DeduplicationScope::MessageGroup,
                _ => return Err(attribute_value(attribute)),
            });
        }
        "FifoThroughputLimit" => {
            changes.aws.throughput = Some(match value {
                "perQueue" => ThroughputLimit::PerQueue,
                "perMessageGroupId" => ThroughputLimit::PerMessageGroup,
                _ => return Err(attribute_value(attribute)),
            });
        }
        "SqsManagedSseEnabled" => changes.aws.managed_sse = Some(flag(attribute, value)?),
        "KmsDataKeyReusePeriodSeconds" => changes.aws.kms_reuse = milliseconds()?,
        "KmsMasterKeyId" => changes.aws.kms_key = Some(text(attribute, value, KmsKey::parse)?),
        "Policy" => changes.aws.policy = Some(text(attribute, value, Policy::parse)?),
        _ => return Err(unknown_attribute(attribute)),
    }
    Ok(())
}

/// A text that is kept; an empty one removes it.
fn text<T>(attribute: &str, value: &str, parse: impl Fn(&str) -> Result<T, WordError>) -> Answered<Change<T>> {
    if value.is_empty() {
        return Ok(Change::Remove);
    }
    parse(value).map(Change::Set).map_err(|_| attribute_value(attribute))
}

fn flag(attribute: &str, value: &str) -> Answered<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(attribute_value(attribute)),
    }
}

/// A number, also where it is written as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Count {
    Number(i64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedriveIn {
    dead_letter_target_arn: Option<String>,
    max_receive_count: Option<Count>,
}

/// A redrive policy; an empty text removes it (Q1).
fn redrive(value: &str) -> Answered<RedriveChange> {
    if value.is_empty() {
        return Ok(RedriveChange::Remove);
    }
    let invalid = |reason: &str| SqsError::value(value, "RedrivePolicy", reason);
    let given: RedriveIn =
        serde_json::from_str(value).map_err(|_| invalid("Redrive policy is not a valid JSON map."))?;
    let missing = |key: &str| invalid(&format!("Redrive policy does not contain mandatory attribute: {key}."));
    let arn = given.dead_letter_target_arn.ok_or_else(|| missing("deadLetterTargetArn"))?;
    let count = given.max_receive_count.ok_or_else(|| missing("maxReceiveCount"))?;
    let (max_receives, text) = match count {
        Count::Number(number) => (u32::try_from(number).ok(), number.to_string()),
        Count::Text(text) => (text.parse().ok(), text),
    };
    let max_receives = max_receives.filter(|count| (1..=1_000).contains(count)).ok_or_else(|| {
        invalid(&format!("Invalid value for maxReceiveCount: {text}, valid values are from 1 to 1000 both inclusive."))
    })?;
    let dead_letter_queue = name_of_arn(&arn).ok_or_else(|| invalid("Invalid value for deadLetterTargetArn."))?;
    Ok(RedriveChange::Set(RedrivePolicy { dead_letter_queue, max_receives }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RedriveOut {
    dead_letter_target_arn: String,
    max_receive_count: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct RedriveAllowPolicy {
    redrive_permission: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_queue_arns: Option<Vec<String>>,
}

/// Which queues may name this one (Q5); an empty text allows all.
fn redrive_allow(value: &str) -> Answered<RedriveAllow> {
    if value.is_empty() {
        return Ok(RedriveAllow::AllowAll);
    }
    let invalid = |reason: &str| SqsError::value(value, "RedriveAllowPolicy", reason);
    let given: RedriveAllowPolicy = serde_json::from_str(value)
        .map_err(|_| invalid("Redrive allow policy is not a valid JSON map with a redrivePermission."))?;
    let none_named = || {
        let reason = "sourceQueueArns is for the redrivePermission byQueue alone.";
        given.source_queue_arns.is_none().then_some(()).ok_or_else(|| invalid(reason))
    };
    match given.redrive_permission.as_str() {
        "allowAll" => none_named().map(|()| RedriveAllow::AllowAll),
        "denyAll" => none_named().map(|()| RedriveAllow::DenyAll),
        "byQueue" => {
            let arns = given.source_queue_arns.as_deref().unwrap_or_default();
            if !(1..=10).contains(&arns.len()) {
                return Err(invalid("byQueue needs 1 to 10 sourceQueueArns."));
            }
            let names: Option<_> = arns.iter().map(|arn| name_of_arn(arn)).collect();
            names.map(RedriveAllow::ByQueue).ok_or_else(|| invalid("Invalid value in sourceQueueArns."))
        }
        _ => Err(invalid("redrivePermission is allowAll, denyAll or byQueue.")),
    }
}

/// The attributes that were asked for.
pub(super) struct Wanted<'a>(&'a [Text<'a>]);

impl Wanted<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|wanted| &**wanted == name || &**wanted == "All")
    }
}

/// The names of attributes, each of which must be one; none given is none wanted (L9).
pub(super) fn wanted<'a>(names: &'a [Text<'a>]) -> Answered<Wanted<'a>> {
    match names.iter().find(|name| !NAMES.contains(&&***name)) {
        Some(unknown) => Err(SqsError::new(Code::InvalidAttributeName, format!("Unknown Attribute {}.", &**unknown))),
        None => Ok(Wanted(names)),
    }
}

/// All attributes of a queue (L9). Times of the queue in seconds.
pub(super) fn shown(caller: &Caller, view: &QueueView) -> Vec<(&'static str, String)> {
    let attributes = &view.attributes;
    let seconds = |milliseconds: u64| (milliseconds / 1_000).to_string();
    let mut shown = vec![
        ("QueueArn", caller.arn(&view.name)),
        // What a claim holds is not visible, whatever holds it.
        ("ApproximateNumberOfMessages", view.available.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", (view.in_flight + view.claimed).to_string()),
        ("ApproximateNumberOfMessagesDelayed", view.delayed.to_string()),
        ("CreatedTimestamp", seconds(view.created_at.0)),
        ("LastModifiedTimestamp", seconds(view.modified_at.0)),
        ("VisibilityTimeout", seconds(attributes.visibility)),
        ("MaximumMessageSize", attributes.max_message_size.to_string()),
        ("MessageRetentionPeriod", seconds(attributes.retention)),
        ("DelaySeconds", seconds(attributes.delay)),
        ("ReceiveMessageWaitTimeSeconds", seconds(attributes.wait)),
        ("SqsManagedSseEnabled", attributes.aws.managed_sse.to_string()),
    ];
    if view.name.is_fifo() {
        let scope = match attributes.shown_scope() {
            DeduplicationScope::Queue => "queue",
            DeduplicationScope::MessageGroup => "messageGroup",
        };
        let limit = match attributes.aws.throughput {
            ThroughputLimit::PerQueue => "perQueue",
            ThroughputLimit::PerMessageGroup => "perMessageGroupId",
        };
        shown.extend([
            ("FifoQueue", "true".to_owned()),
            ("ContentBasedDeduplication", attributes.content_based.to_string()),
            ("DeduplicationScope", scope.to_owned()),
            ("FifoThroughputLimit", limit.to_owned()),
        ]);
    }
    if let Some(policy) = &attributes.redrive {
        let dead_letter_target_arn = caller.arn(&policy.dead_letter_queue);
        let policy = RedriveOut { dead_letter_target_arn, max_receive_count: policy.max_receives };
        shown.push(("RedrivePolicy", serde_json::to_string(&policy).expect("texts and numbers")));
    }
    let aws = &attributes.aws;
    shown.extend(aws.policy.as_ref().map(|policy| ("Policy", policy.to_string())));
    shown.extend(aws.kms_key.as_ref().map(|key| ("KmsMasterKeyId", key.to_string())));
    let reuse = aws.kms_reuse.map(seconds).or_else(|| aws.kms_key.as_ref().map(|_| "300".to_owned()));
    shown.extend(reuse.map(|period| ("KmsDataKeyReusePeriodSeconds", period)));
    shown.extend(allow_shown(caller, &attributes.redrive_allow).map(|policy| ("RedriveAllowPolicy", policy)));
    shown
}

/// A redrive allow policy that is not the default.
fn allow_shown(caller: &Caller, allow: &RedriveAllow) -> Option<String> {
    let (permission, source_queue_arns) = match allow {
        RedriveAllow::AllowAll => return None,
        RedriveAllow::DenyAll => ("denyAll", None),
        RedriveAllow::ByQueue(names) => ("byQueue", Some(names.iter().map(|name| caller.arn(name)).collect())),
    };
    let policy = RedriveAllowPolicy { redrive_permission: permission.to_owned(), source_queue_arns };
    Some(serde_json::to_string(&policy).expect("texts"))
}
