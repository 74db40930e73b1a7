//! The same for up to ten messages at a time: entries have ids, and each succeeds or fails by itself (P4).

use serde::{Deserialize, Serialize};

use super::{Text, messages::AttributesIn};

/// A batch of any kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Batch<'a, E> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
    pub(crate) entries: Option<Vec<E>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SendEntry<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) message_body: Option<Text<'a>>,
    pub(crate) delay_seconds: Option<i64>,
    #[serde(borrow)]
    pub(crate) message_attributes: Option<AttributesIn<'a>>,
    #[serde(borrow)]
    pub(crate) message_system_attributes: Option<AttributesIn<'a>>,
    #[serde(borrow)]
    pub(crate) message_deduplication_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) message_group_id: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteEntry<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) receipt_handle: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChangeEntry<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) receipt_handle: Option<Text<'a>>,
    pub(crate) visibility_timeout: Option<i64>,
}

/// The answer of a batch of any kind; a list without entries is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchAnswer<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) successful: Vec<T>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) failed: Vec<FailedEntry>,
}

/// An entry that failed. Its code is that of the query protocol in every protocol.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FailedEntry {
    pub(crate) id: String,
    pub(crate) sender_fault: bool,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SentEntry {
    pub(crate) id: String,
    pub(crate) message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    pub(crate) md5_of_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    pub(crate) md5_of_attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    pub(crate) md5_of_system_attributes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence_number: Option<String>,
}

/// An entry of which there is nothing to say but that it succeeded.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DoneEntry {
    pub(crate) id: String,
}
