//! Who may reach a broker: the flags of `serve` for TLS and tokens, and the refusal to be open to a network by mistake.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use lockstep_broker::{Credentials, Security, Tls, TlsFiles, Tokens};

use crate::{
    cli::Global,
    exit::{Refused, Usage},
    output::say,
};

/// Flags of `serve` for TLS and tokens; the broker's certificate is that of the flags of all verbs.
#[derive(Args, Clone, Debug)]
pub(crate) struct SecurityArgs {
    /// The authority of client certificates, in PEM; with it every connection needs one.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// The tokens that calls need, a line a token: NAME SHA256 and, where it has not all, its RIGHTS (docs/security.md).
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// The access keys that SQS calls are signed with, in a file like ~/.aws/credentials (docs/security.md).
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// Listen on a network without TLS or without asking who calls.
    #[arg(long)]
    insecure: bool,
}

impl SecurityArgs {
    /// Whether a connection needs a client's certificate.
    pub(crate) fn asks_for_certificates(&self) -> bool {
        self.client_ca.is_some()
    }
}

/// Reads what the flags name.
pub(crate) fn read(args: &SecurityArgs, global: &Global) -> anyhow::Result<Security> {
    let tls = match (&global.tls_cert, &global.tls_key) {
        (Some(certificate), Some(key)) => {
            let (certificate, key, client_ca) = (certificate.clone(), key.clone(), args.client_ca.clone());
            let files = TlsFiles { certificate, key, client_ca };
            Some(Tls::open(&files).map_err(|error| Refused(error.to_string()))?)
        }
        _ if args.client_ca.is_some() => {
            return Err(Usage("--client-ca is for TLS: say --tls-cert and --tls-key too".to_owned()).into());
        }
        _ => None,
    };
    let tokens = args.tokens.as_ref().map(|path| -> Result<Tokens, Refused> {
        let faulty = |what: String| Refused(format!("--tokens {}: {what}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| faulty(error.to_string()))?;
        Tokens::parse(&text).map_err(faulty)
    });
    let credentials = args.credentials.as_ref().map(|path| -> Result<Credentials, Refused> {
        let faulty = |what: String| Refused(format!("--credentials {}: {what}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| faulty(error.to_string()))?;
        Credentials::parse(&text).map_err(faulty)
    });
    Ok(Security { tls, tokens: tokens.transpose()?, credentials: credentials.transpose()? })
}

/// A broker on a network must have TLS and know who calls.
pub(crate) fn check(security: &Security, args: &SecurityArgs, address: SocketAddr) -> anyhow::Result<()> {
    let knows_callers = security.tokens.is_some() || args.client_ca.is_some();
    if address.ip().is_loopback() || (security.tls.is_some() && knows_callers) {
        return Ok(());
    }
    let lacks = match (security.tls.is_some(), knows_callers) {
        (true, _) => "it does not ask who calls (--tokens or --client-ca)",
        (false, true) => "it has no TLS (--tls-cert, --tls-key)",
        (false, false) => "it has no TLS (--tls-cert, --tls-key) and does not ask who calls (--tokens or --client-ca)",
    };
    if args.insecure {
        say(&format!("lockstep: WARNING: {address} can be reached from a network, and {lacks} (--insecure)"));
        return Ok(());
    }
    let text = format!(
        "{address} can be reached from a network, and {lacks}; `lockstep certs DIR` makes certificates, --insecure \
         says that it is meant so"
    );
    Err(Refused(text).into())
}
