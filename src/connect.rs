//! How a verb reaches the broker: the endpoint and the patience of the global flags.

use std::time::Duration;

use lockstep_client::{Client, RetryPolicy};

use crate::cli::Global;

/// A client whose calls are tried again, with the same key, for as long as `--patience` says.
pub(crate) async fn connect(global: &Global) -> anyhow::Result<Client> {
    let retry = RetryPolicy { time_limit: Duration::from_secs(global.patience), ..RetryPolicy::default() };
    Ok(Client::builder(global.endpoint.as_str()).retry(retry).connect().await?)
}
