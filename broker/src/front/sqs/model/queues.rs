//! Making, finding, changing and removing queues.

use serde::{Deserialize, Serialize};

use super::{Pairs, Text};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateQueue<'a> {
    #[serde(borrow)]
    pub(crate) queue_name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) attributes: Option<Pairs<Text<'a>, Text<'a>>>,
    /// In lower case, unlike every other field.
    #[serde(borrow, rename = "tags", alias = "Tags")]
    pub(crate) tags: Option<Pairs<Text<'a>, Text<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetQueueUrl<'a> {
    #[serde(borrow)]
    pub(crate) queue_name: Option<Text<'a>>,
    #[serde(borrow, rename = "QueueOwnerAWSAccountId")]
    pub(crate) queue_owner: Option<Text<'a>>,
}

/// The answer of CreateQueue and GetQueueUrl.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueueUrlAnswer {
    pub(crate) queue_url: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListQueues<'a> {
    #[serde(borrow)]
    pub(crate) queue_name_prefix: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) next_token: Option<Text<'a>>,
    pub(crate) max_results: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListQueuesAnswer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetQueueAttributes<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) attribute_names: Option<Vec<Text<'a>>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetQueueAttributesAnswer {
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub(crate) attributes: Pairs<&'static str, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SetQueueAttributes<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) attributes: Option<Pairs<Text<'a>, Text<'a>>>,
}
