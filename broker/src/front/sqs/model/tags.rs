//! Tags of queues.

use serde::{Deserialize, Serialize};

use super::{Pairs, Text};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagQueue<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) tags: Option<Pairs<Text<'a>, Text<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UntagQueue<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) tag_keys: Option<Vec<Text<'a>>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListQueueTagsAnswer {
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub(crate) tags: Pairs<String, String>,
}
