//! Sending, receiving and finishing messages, one at a time.

use serde::{Deserialize, Serialize};

use super::{Blob, Pairs, Text, Utf8};

/// An attribute's value as a sender gives it. Lists are in the model and never were allowed (L7).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeIn<'a> {
    #[serde(borrow)]
    pub(crate) data_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) string_value: Option<Text<'a>>,
    pub(crate) binary_value: Option<Blob>,
    #[serde(borrow)]
    pub(crate) string_list_values: Option<Vec<Text<'a>>>,
    pub(crate) binary_list_values: Option<Vec<Blob>>,
}

/// Attributes by name.
pub(crate) type AttributesIn<'a> = Pairs<Text<'a>, AttributeIn<'a>>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SendMessage<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SendMessageAnswer {
    #[serde(rename = "MD5OfMessageBody")]
    pub(crate) md5_of_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    pub(crate) md5_of_attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    pub(crate) md5_of_system_attributes: Option<String>,
    pub(crate) message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence_number: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceiveMessage<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
    /// What `message_system_attribute_names` was called before.
    #[serde(borrow)]
    pub(crate) attribute_names: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(crate) message_system_attribute_names: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(crate) message_attribute_names: Option<Vec<Text<'a>>>,
    pub(crate) max_number_of_messages: Option<i64>,
    pub(crate) visibility_timeout: Option<i64>,
    pub(crate) wait_time_seconds: Option<i64>,
    #[serde(borrow)]
    pub(crate) receive_request_attempt_id: Option<Text<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceiveMessageAnswer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) messages: Vec<Message>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Message {
    pub(crate) message_id: String,
    pub(crate) receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    pub(crate) md5_of_body: String,
    pub(crate) body: Utf8,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub(crate) attributes: Pairs<&'static str, String>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    pub(crate) md5_of_message_attributes: Option<String>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub(crate) message_attributes: Pairs<String, AttributeOut>,
}

/// An attribute's value as a receiver gets it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) string_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) binary_value: Option<Blob>,
    pub(crate) data_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteMessage<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) receipt_handle: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChangeMessageVisibility<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) receipt_handle: Option<Text<'a>>,
    pub(crate) visibility_timeout: Option<i64>,
}
