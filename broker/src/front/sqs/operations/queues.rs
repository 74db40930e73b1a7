//! Making, finding, changing, emptying and removing queues (A1, A3, L9, L13).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockstep_engine::{command, words::QueueName};

use super::{Answered, attributes, failure, plain, ranged, required};
use crate::{
    front::sqs::{
        Services, SqsSettings,
        caller::Caller,
        errors::{Code, SqsError},
        model::{
            Nothing, OfQueue, Pairs, Text,
            queues::{
                CreateQueue, GetQueueAttributes, GetQueueAttributesAnswer, GetQueueUrl, ListQueues, ListQueuesAnswer,
                QueueUrlAnswer, SetQueueAttributes,
            },
        },
        refusals::Named,
    },
    limits,
};

/// The queue's name as CreateQueue gives it (L1). The kind of a queue is in its name; the attribute must agree.
fn new_name(text: &str, fifo: bool) -> Answered<QueueName> {
    let name = QueueName::parse(text).ok().filter(|name| name.is_fifo() == fifo);
    name.ok_or_else(|| {
        let text = if fifo {
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with \
             .fifo suffix and be 1 to 80 in length"
        } else {
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        };
        SqsError::new(Code::InvalidParameterValue, text)
    })
}

pub(super) async fn create_queue(
    services: &Services,
    caller: &Caller,
    request: CreateQueue<'_>,
) -> Answered<QueueUrlAnswer> {
    let name = required(&request.queue_name, "QueueName")?;
    let given = request.attributes.unwrap_or_default();
    let name = new_name(name, attributes::says_fifo(&given))?;
    let policy = attributes::redrive_text(&given).to_owned();
    let attributes = attributes::at_creation(&name, given, &request.tags)?;
    let tags = super::tags::tags(request.tags.unwrap_or_default())?;
    let create = command::CreateQueue { name: name.clone(), attributes, tags };
    let SqsSettings { delivery, aws_timing: spaced, account: _ } = services.settings;
    let command = command::CreateSqsQueue { create, delivery, spaced };
    services.handle.create_sqs_queue(command).await.map_err(|it| failure(&it, Named::Redrive(&policy)))?;
    Ok(QueueUrlAnswer { queue_url: caller.queue_url(&name, None) })
}

pub(super) async fn get_queue_url(
    services: &Services,
    caller: &Caller,
    request: GetQueueUrl<'_>,
) -> Answered<QueueUrlAnswer> {
    required(&request.queue_name, "QueueName")?;
    let queue = caller.queue(request.queue_name.as_deref())?;
    let queue_url = caller.queue_url(&queue.name, request.queue_owner.as_deref());
    services.handle.describe_queue(queue).await.map_err(|it| plain(&it))?;
    Ok(QueueUrlAnswer { queue_url })
}

/// How many a page has, and whether there is a token for the next: only where a number was asked for (L13).
pub(super) fn page(max_results: Option<i64>) -> Answered<(usize, bool)> {
    let reason = "Must be between 1 and 1000, if provided.";
    let asked = ranged(max_results, 1, limits::PAGE.into(), "MaxResults", reason)?;
    let max = asked.unwrap_or(limits::PAGE.into());
    Ok((usize::try_from(max).expect("a page has at most 1,000"), asked.is_some()))
}

/// The name after which a page begins.
pub(super) fn after(token: Option<&Text<'_>>) -> Answered<String> {
    let Some(token) = token else { return Ok(String::new()) };
    let name = URL_SAFE_NO_PAD.decode(token.as_bytes()).ok().and_then(|name| String::from_utf8(name).ok());
    name.ok_or_else(|| SqsError::value(&**token, "NextToken", "It is not one that this operation gave."))
}

/// The token of the page after this one, if one more name than a page holds was found: that one is taken away.
pub(super) fn next(names: &mut Vec<QueueName>, max: usize, paged: bool) -> Option<String> {
    let more = names.len() > max;
    names.truncate(max);
    let last = names.last().filter(|_| more && paged)?;
    Some(URL_SAFE_NO_PAD.encode(last.as_str()))
}

pub(super) async fn list_queues(
    services: &Services,
    caller: &Caller,
    request: ListQueues<'_>,
) -> Answered<ListQueuesAnswer> {
    let (max, paged) = page(request.max_results)?;
    let after = after(request.next_token.as_ref())?;
    let prefix = request.queue_name_prefix.map(|prefix| prefix.0.into_owned()).unwrap_or_default();
    let views = services.handle.list_queues(prefix, after, max + 1).await.map_err(|it| plain(&it))?;
    let mut names: Vec<_> = views.into_iter().map(|view| view.name).collect();
    let next_token = next(&mut names, max, paged);
    Ok(ListQueuesAnswer { queue_urls: names.iter().map(|name| caller.queue_url(name, None)).collect(), next_token })
}

pub(super) async fn get_queue_attributes(
    services: &Services,
    caller: &Caller,
    request: GetQueueAttributes<'_>,
) -> Answered<GetQueueAttributesAnswer> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let names = request.attribute_names.unwrap_or_default();
    let wanted = attributes::wanted(&names)?;
    let view = services.handle.describe_queue(queue).await.map_err(|it| plain(&it))?;
    let shown = attributes::shown(caller, &view).into_iter().filter(|(name, _)| wanted.has(name));
    Ok(GetQueueAttributesAnswer { attributes: Pairs(shown.collect()) })
}

pub(super) async fn set_queue_attributes(
    services: &Services,
    caller: &Caller,
    request: SetQueueAttributes<'_>,
) -> Answered<Nothing> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let given = request.attributes.ok_or_else(|| SqsError::missing("Attributes"))?;
    let policy = attributes::redrive_text(&given).to_owned();
    let changes = attributes::changes(&queue.name, given, false)?;
    let changed = services.handle.set_queue_attributes(command::SetQueueAttributes { queue, changes }).await;
    changed.map_err(|it| failure(&it, Named::Redrive(&policy)))?;
    Ok(Nothing {})
}

pub(super) async fn purge_queue(services: &Services, caller: &Caller, request: OfQueue<'_>) -> Answered<Nothing> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let name = queue.name.to_string();
    let purge = command::PurgeQueue { queue };
    let command = command::PurgeSqsQueue { purge, spaced: services.settings.aws_timing };
    services.handle.purge_sqs_queue(command).await.map_err(|it| failure(&it, Named::Queue(&name)))?;
    Ok(Nothing {})
}

pub(super) async fn delete_queue(services: &Services, caller: &Caller, request: OfQueue<'_>) -> Answered<Nothing> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    services.handle.delete_queue(command::DeleteQueue { queue }).await.map_err(|it| plain(&it))?;
    Ok(Nothing {})
}
