//! `lockstep clock`: tells and moves the time of a broker under a manual clock, for tests (H2).

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{cli::Global, connect::connect, output::instant};

/// Flags of `clock`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "A DURATION is a number and a unit (ms, s, m, h, d), or several of them: 1500ms, 30s, 1h30m, 4d.

Examples:
  lockstep serve --clock manual --journal memory   a broker whose time stands still
  lockstep clock now
  lockstep clock advance 30s                       every lease of 30 s lapses, in order
  lockstep clock run-until-idle --within 5m        on until nothing is due within five minutes"
)]
pub(crate) struct ClockArgs {
    #[command(subcommand)]
    verb: ClockVerb,
}

#[derive(Subcommand, Clone, Debug)]
enum ClockVerb {
    /// Tell the broker's time.
    Now,
    /// Make sure that time stands still; a manual clock starts so.
    Freeze,
    /// Move time on. Ends when everything due by then is settled on disk.
    Advance {
        /// How far.
        #[arg(value_name = "DURATION", value_parser = duration)]
        by: Duration,
    },
    /// Move time on from deadline to deadline, until nothing is due soon.
    RunUntilIdle {
        /// Stop when no lease, delay, key or retention ends within so long. Default: 12h.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        within: Option<Duration>,
        /// Move time by no more. Default: 14d.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        at_most: Option<Duration>,
    },
}

/// A clock, as `--json` shows it.
#[derive(Serialize)]
struct ClockShown {
    now_unix_ms: u64,
    now: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_due_unix_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<bool>,
}

impl ClockShown {
    fn new(now_unix_ms: u64) -> Self {
        Self { now_unix_ms, now: instant(now_unix_ms), next_due_unix_ms: None, idle: None }
    }

    fn text(&self) -> String {
        let due = self.next_due_unix_ms.map_or_else(String::new, |due| format!("  next due {}", instant(due)));
        let busy = if self.idle == Some(false) { "  not idle yet" } else { "" };
        format!("{}{due}{busy}", self.now)
    }
}

/// Runs one of the clock verbs.
pub(crate) async fn run(args: ClockArgs, global: &Global) -> anyhow::Result<()> {
    let client = connect(global).await?;
    let shown = match args.verb {
        ClockVerb::Now => ClockShown::new(client.clock_now().await?),
        ClockVerb::Freeze => ClockShown::new(client.freeze_clock().await?),
        ClockVerb::Advance { by } => {
            let moved = client.advance_clock(by).await?;
            ClockShown { next_due_unix_ms: moved.next_due_unix_ms, ..ClockShown::new(moved.now_unix_ms) }
        }
        ClockVerb::RunUntilIdle { within, at_most } => {
            let ran = client.run_clock_until_idle(within, at_most).await?;
            let (next_due_unix_ms, idle) = (ran.next_due_unix_ms, Some(ran.idle));
            ClockShown { next_due_unix_ms, idle, ..ClockShown::new(ran.now_unix_ms) }
        }
    };
    global.output().result(&shown, || shown.text())
}

/// `90s`, `1h30m`, `1500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let malformed =
        || format!("{text:?} is no duration; write a number and one of ms, s, m, h, d, such as 30s or 1h30m");
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(malformed)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(malformed()),
        };
        let number: u64 = number.parse().map_err(|_| malformed())?;
        total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(malformed)?;
        rest = after;
    }
    if text.is_empty() { Err(malformed()) } else { Ok(Duration::from_millis(total)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_units() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in ["", "30", "s", "-1s", "1.5s", "1 s", "1w", "99999999999999999999s", "999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
