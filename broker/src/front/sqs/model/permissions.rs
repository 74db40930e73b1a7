//! Who may call: statements of a queue's policy by their labels.

use serde::Deserialize;

use super::Text;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddPermission<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) label: Option<Text<'a>>,
    #[serde(borrow, rename = "AWSAccountIds")]
    pub(crate) accounts: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(crate) actions: Option<Vec<Text<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RemovePermission<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) label: Option<Text<'a>>,
}
