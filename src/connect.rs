//! How a verb reaches the broker: the endpoint and the patience of the global flags.

use std::{path::Path, time::Duration};

use lockstep_client::{Client, RetryPolicy};

use crate::{cli::Global, exit::Usage};

/// A client whose calls are tried again, with the same key, for as long as `--patience` says.
pub(crate) async fn connect(global: &Global) -> anyhow::Result<Client> {
    let retry = RetryPolicy { time_limit: Duration::from_secs(global.patience), ..RetryPolicy::default() };
    let mut builder = Client::builder(global.endpoint.as_str()).retry(retry);
    if let Some(path) = &global.tls_ca {
        builder = builder.tls_ca(pem(path)?);
    }
    if let (Some(certificate), Some(key)) = (&global.tls_cert, &global.tls_key) {
        builder = builder.tls_identity(pem(certificate)?, pem(key)?);
    }
    if let Some(token) = &global.token {
        builder = builder.token(token);
    }
    Ok(builder.connect().await?)
}

fn pem(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| Usage(format!("cannot read {}: {error}", path.display())).into())
}
