//! Dead-letter queues: who uses them, and the tasks that bring messages back.

use serde::{Deserialize, Serialize};

use super::Text;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListDeadLetterSourceQueues<'a> {
    #[serde(borrow)]
    pub(crate) queue_url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) next_token: Option<Text<'a>>,
    pub(crate) max_results: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListDeadLetterSourceQueuesAnswer {
    /// In lower case, unlike that of ListQueues; and there even when it is empty.
    #[serde(rename = "queueUrls")]
    pub(crate) queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StartMessageMoveTask<'a> {
    #[serde(borrow)]
    pub(crate) source_arn: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) destination_arn: Option<Text<'a>>,
    pub(crate) max_number_of_messages_per_second: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StartMessageMoveTaskAnswer {
    pub(crate) task_handle: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CancelMessageMoveTask<'a> {
    #[serde(borrow)]
    pub(crate) task_handle: Option<Text<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CancelMessageMoveTaskAnswer {
    pub(crate) approximate_number_of_messages_moved: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListMessageMoveTasks<'a> {
    #[serde(borrow)]
    pub(crate) source_arn: Option<Text<'a>>,
    pub(crate) max_results: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListMessageMoveTasksAnswer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) results: Vec<MoveTask>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MoveTask {
    /// Only of a running task (Q7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task_handle: Option<String>,
    pub(crate) status: &'static str,
    pub(crate) source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) destination_arn: Option<String>,
    pub(crate) max_number_of_messages_per_second: u32,
    pub(crate) approximate_number_of_messages_moved: u64,
    pub(crate) approximate_number_of_messages_to_move: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure_reason: Option<&'static str>,
    /// In milliseconds.
    pub(crate) started_timestamp: u64,
}
