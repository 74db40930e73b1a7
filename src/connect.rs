//! How a verb reaches the broker: the endpoint, the patience and what the broker wants to see, by the global flags.

use std::{path::Path, time::Duration};

use lockstep_client::{Client, ClientBuilder, RetryPolicy};

use crate::{cli::Global, exit::Usage};

/// A client whose calls are tried again, with the same key, for as long as `--patience` says.
pub(crate) async fn connect(global: &Global) -> anyhow::Result<Client> {
    Ok(builder(global, &global.endpoint)?.connect().await?)
}

/// The same to be made, to any endpoint.
pub(crate) fn builder(global: &Global, endpoint: &str) -> anyhow::Result<ClientBuilder> {
    let mut builder = trusting(global, endpoint)?;
    if let (Some(certificate), Some(key)) = (&global.tls_cert, &global.tls_key) {
        builder = builder.tls_identity(pem(certificate)?, pem(key)?);
    }
    Ok(builder)
}

/// The same without a certificate of its own: those of the flags may be a server's.
pub(crate) fn trusting(global: &Global, endpoint: &str) -> anyhow::Result<ClientBuilder> {
    let retry = RetryPolicy { time_limit: Duration::from_secs(global.patience), ..RetryPolicy::default() };
    let mut builder = Client::builder(endpoint).retry(retry);
    if let Some(path) = &global.tls_ca {
        builder = builder.tls_ca(pem(path)?);
    }
    if let Some(token) = &global.token {
        builder = builder.token(token);
    }
    Ok(builder)
}

fn pem(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| Usage(format!("cannot read {}: {error}", path.display())).into())
}
