//! Settings: a flag wins over the environment, the environment over the TOML file, the file over the default. Every
//! flag `--long-name` of every verb can be set as `LOCKSTEP_LONG_NAME`, and in the file as `long-name`, under a table
//! named like the verb (`[serve]`, `[queue.create]`) or at the top for the flags of all verbs.

use std::{ffi::OsString, path::PathBuf};

use anyhow::Context as _;
use clap::{Arg, Command};

use crate::exit::Usage;

/// The file that is read when no other is named, if it is there.
const DEFAULT_FILE: &str = "lockstep.toml";

/// Adds the environment and the settings file to a command.
pub(crate) fn configured(command: Command, arguments: &[OsString]) -> anyhow::Result<Command> {
    let command = with_environment(command);
    let Some((path, text)) = settings_file(arguments)? else { return Ok(command) };
    let table: toml::Table = text.parse().map_err(|error| Usage(format!("{}: {error}", path.display())))?;
    with_settings(command, &table).map_err(|what| Usage(format!("{}: {what}", path.display())).into())
}

fn settings_file(arguments: &[OsString]) -> anyhow::Result<Option<(PathBuf, String)>> {
    let named = named_file(arguments).or_else(|| std::env::var_os("LOCKSTEP_CONFIG"));
    let path = PathBuf::from(named.clone().unwrap_or_else(|| DEFAULT_FILE.into()));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| Usage(format!("cannot read the settings file {}", path.display()))),
    }
}

/// `--config FILE` has to be known before the real parse.
fn named_file(arguments: &[OsString]) -> Option<OsString> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        if text == "--" {
            return None;
        }
        if text == "--config" {
            return rest.next().cloned();
        }
        if let Some(file) = text.strip_prefix("--config=") {
            return Some(file.into());
        }
    }
    None
}

fn with_environment(command: Command) -> Command {
    let longs = longs(&command);
    let verbs: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let command = longs.into_iter().fold(command, |command, (id, long)| {
        let variable = format!("LOCKSTEP_{}", long.to_uppercase().replace('-', "_"));
        command.mut_arg(id, |arg| arg.env(variable).hide_env_values(true))
    });
    verbs.into_iter().fold(command, |command, verb| command.mut_subcommand(verb, with_environment))
}

fn with_settings(mut command: Command, table: &toml::Table) -> Result<Command, String> {
    for (key, value) in table {
        if let toml::Value::Table(inner) = value {
            if command.find_subcommand(key).is_none() {
                return Err(format!("there is no verb {key:?}"));
            }
            let mut result = Ok(());
            command = command.mut_subcommand(key, |verb| match with_settings(verb.clone(), inner) {
                Ok(verb) => verb,
                Err(what) => {
                    result = Err(what);
                    verb
                }
            });
            result?;
            continue;
        }
        let found = longs(&command).into_iter().find(|(_, long)| long == key);
        let (id, _) = found.ok_or_else(|| format!("there is no setting {key:?} here"))?;
        let text = setting_text(key, value)?;
        command = command.mut_arg(id, |arg| arg.default_value(text).required(false));
    }
    Ok(command)
}

fn setting_text(key: &str, value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(yes) => Ok(yes.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
            Err(format!("setting {key:?} must be a string, a number, true or false"))
        }
    }
}

/// The flags that can be set: those with a long name, without `--help`, `--version` and `--config` itself.
fn longs(command: &Command) -> Vec<(String, String)> {
    let named = |arg: &Arg| Some((arg.get_id().to_string(), arg.get_long()?.to_owned()));
    let set_elsewhere = ["help", "version", "config"];
    command.get_arguments().filter_map(named).filter(|(_, long)| !set_elsewhere.contains(&long.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction};

    fn command() -> Command {
        Command::new("x").arg(Arg::new("endpoint").long("endpoint")).subcommand(
            Command::new("serve")
                .arg(Arg::new("data").long("data").default_value("a"))
                .arg(Arg::new("accept").long("accept").action(ArgAction::SetTrue)),
        )
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let table: toml::Table = "[serve]\ndata = \"file\"\naccept = true".parse().unwrap();
        let command = with_settings(command(), &table).unwrap();
        let seen = |arguments: &[&str]| {
            let matches = command.clone().get_matches_from(arguments);
            let serve = matches.subcommand_matches("serve").unwrap().clone();
            (serve.get_one::<String>("data").unwrap().clone(), serve.get_flag("accept"))
        };
        assert_eq!(seen(&["x", "serve"]), ("file".to_owned(), true));
        assert_eq!(seen(&["x", "serve", "--data", "flag"]).0, "flag");
    }

    #[test]
    fn an_unknown_setting_is_named() {
        let table: toml::Table = "[serve]\ndta = \"file\"".parse().unwrap();
        assert!(with_settings(command(), &table).unwrap_err().contains("dta"));
    }
}
