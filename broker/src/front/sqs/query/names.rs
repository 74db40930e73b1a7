//! The names that lists and maps have on the wire of the query protocol, beside those of the service's model, by which
//! requests and answers are typed. Lists are flattened there: an element has the name, and the list none.

use std::borrow::Cow;

/// What a field is called on the wire. Entries of batches are called after their operation.
pub(super) fn wire<'a>(field: &'a str, operation: &str) -> Cow<'a, str> {
    Cow::Borrowed(match field {
        "AWSAccountIds" => "AWSAccountId",
        "Actions" => "ActionName",
        "AttributeNames" => "AttributeName",
        "Attributes" => "Attribute",
        "BinaryListValues" => "BinaryListValue",
        "Entries" => return Cow::Owned(format!("{operation}RequestEntry")),
        "Failed" => "BatchResultErrorEntry",
        "MessageAttributeNames" => "MessageAttributeName",
        "MessageAttributes" => "MessageAttribute",
        "MessageSystemAttributeNames" => "MessageSystemAttributeName",
        "MessageSystemAttributes" => "MessageSystemAttribute",
        "Messages" => "Message",
        "QueueUrls" | "queueUrls" => "QueueUrl",
        "Results" => "ListMessageMoveTasksResultEntry",
        "StringListValues" => "StringListValue",
        "Successful" => return Cow::Owned(format!("{operation}ResultEntry")),
        "TagKeys" => "TagKey",
        "Tags" | "tags" => "Tag",
        _ => field,
    })
}

/// Whether a field of an answer is a map.
pub(super) fn is_map(field: &str) -> bool {
    matches!(field, "Attributes" | "MessageAttributes" | "Tags")
}

/// What key and value of a map's entries are called; `wire` is the map's own name on the wire.
pub(super) fn pair(wire: &str) -> (&'static str, &'static str) {
    if wire == "Tag" { ("Key", "Value") } else { ("Name", "Value") }
}
