//! TagQueue, UntagQueue and ListQueueTags (L12).

use lockstep_engine::{
    command,
    words::{TagKey, TagValue, Tags},
};

use super::{Answered, plain};
use crate::front::sqs::{
    Services,
    caller::Caller,
    errors::{Code, SqsError},
    model::{
        Nothing, OfQueue, Pairs, Text,
        tags::{ListQueueTagsAnswer, TagQueue, UntagQueue},
    },
};

/// Tags that were given; a key that is there twice has its last value, as in any map.
pub(super) fn tags(given: Pairs<Text<'_>, Text<'_>>) -> Answered<Tags> {
    let refused = |error: lockstep_engine::words::WordError| {
        SqsError::new(Code::InvalidParameterValue, format!("Value for parameter Tags is invalid. Reason: {error}."))
    };
    let tag = |(key, value): (Text<'_>, Text<'_>)| {
        Ok((TagKey::parse(&key).map_err(refused)?, TagValue::parse(&value).map_err(refused)?))
    };
    given.0.into_iter().map(tag).collect()
}

pub(super) async fn tag_queue(services: &Services, caller: &Caller, request: TagQueue<'_>) -> Answered<Nothing> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let given = request.tags.filter(|tags| !tags.is_empty()).ok_or_else(|| SqsError::missing("Tags"))?;
    let tags = tags(given)?;
    services.handle.tag_queue(command::TagQueue { queue, tags }).await.map_err(|it| plain(&it))?;
    Ok(Nothing {})
}

pub(super) async fn untag_queue(services: &Services, caller: &Caller, request: UntagQueue<'_>) -> Answered<Nothing> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let given = request.tag_keys.filter(|keys| !keys.is_empty()).ok_or_else(|| SqsError::missing("TagKeys"))?;
    // A key that could not be one is on no queue.
    let keys = given.iter().filter_map(|key| TagKey::parse(key).ok()).collect();
    services.handle.untag_queue(command::UntagQueue { queue, keys }).await.map_err(|it| plain(&it))?;
    Ok(Nothing {})
}

pub(super) async fn list_queue_tags(
    services: &Services,
    caller: &Caller,
    request: OfQueue<'_>,
) -> Answered<ListQueueTagsAnswer> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let tags = services.handle.queue_tags(queue).await.map_err(|it| plain(&it))?;
    let tags = tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    Ok(ListQueueTagsAnswer { tags: Pairs(tags) })
}
