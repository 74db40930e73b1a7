//! The flags of `serve` for the console, and the link that opens it. The token is a secret of those who start the broker:
//! it is said on stderr and stands behind the `#` of the link, which no browser sends anywhere.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};
use lockstep_broker::{ConsoleMode, ConsoleSettings};

use crate::exit::Refused;

/// Flags of `serve` for the console.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConsoleArgs {
    /// The console, a page at / (docs/console.md): it may write for who opens its link, only look, or not be there.
    #[arg(long, default_value = "on", value_name = "MODE")]
    console: ConsoleKind,
    /// A file with the token that writes through the console need. Default: another one for each run.
    #[arg(long, value_name = "FILE")]
    console_token: Option<PathBuf>,
    /// A name under which browsers may reach the console, beside localhost and addresses. May be repeated.
    #[arg(long, value_name = "NAME")]
    console_host: Vec<String>,
}

/// What the console may do.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum ConsoleKind {
    /// Look, and write with the token of its link.
    On,
    /// Look.
    ReadOnly,
    /// There is none.
    Off,
}

impl ConsoleArgs {
    /// As the broker takes them.
    pub(crate) fn settings(&self) -> anyhow::Result<ConsoleSettings> {
        let mode = match self.console {
            ConsoleKind::On => ConsoleMode::On,
            ConsoleKind::ReadOnly => ConsoleMode::ReadOnly,
            ConsoleKind::Off => ConsoleMode::Off,
        };
        let token = match &self.console_token {
            Some(path) => {
                let faulty = |what: String| Refused(format!("--console-token {}: {what}", path.display()));
                let text = std::fs::read_to_string(path).map_err(|error| faulty(error.to_string()))?;
                token(&text).map_err(faulty)?
            }
            None => ConsoleSettings::random_token(),
        };
        Ok(ConsoleSettings { mode, token: Some(token), hosts: self.console_host.clone() })
    }
}

/// The token of a file: one word that a link can carry.
fn token(text: &str) -> Result<String, String> {
    let token = text.trim();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (16..=256).contains(&token.len()) && token.bytes().all(is_plain) {
        return Ok(token.to_owned());
    }
    Err("it must hold one token of 16 to 256 letters, digits, hyphens, dots and underscores".to_owned())
}

/// What opens the console, if there is one.
pub(crate) fn link(settings: &ConsoleSettings, scheme: &str, address: SocketAddr) -> Option<String> {
    let ip = match address.ip() {
        any if any.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    let page = format!("{scheme}://{}/", SocketAddr::new(ip, address.port()));
    match (settings.mode, &settings.token) {
        (ConsoleMode::Off, _) => None,
        (ConsoleMode::On, Some(token)) => Some(format!("{page}#token={token}")),
        (ConsoleMode::On | ConsoleMode::ReadOnly, _) => Some(page),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_word_that_a_link_can_carry() {
        assert_eq!(token(" 0123456789-abc_DEF. \n").as_deref(), Ok("0123456789-abc_DEF."));
        for bad in ["", "short", "0123456789 0123456789", "0123456789#0123456789", &"x".repeat(257)] {
            assert!(token(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_link_carries_the_token_where_it_counts() {
        let at = |mode, address: &str| {
            let settings = ConsoleSettings { mode, token: Some("t".into()), hosts: Vec::new() };
            link(&settings, "http", address.parse().expect("an address"))
        };
        assert_eq!(at(ConsoleMode::On, "0.0.0.0:9"), Some("http://127.0.0.1:9/#token=t".into()));
        assert_eq!(at(ConsoleMode::ReadOnly, "[::1]:9"), Some("http://[::1]:9/".into()));
        assert_eq!(at(ConsoleMode::Off, "127.0.0.1:9"), None);
    }
}
