//! Brokers and commands as real processes, for the stories beside this file.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// The command under test, without settings from outside.
pub(crate) fn lockstep(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOCKSTEP_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    command
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    lockstep(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The exit code of a run, with what it said.
pub(crate) fn ended(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// A broker process.
pub(crate) struct BrokerProcess {
    child: Child,
    pub(crate) endpoint: String,
}

impl BrokerProcess {
    /// Starts a broker on a data directory and waits until it listens.
    pub(crate) fn start(data: &Path) -> Self {
        let mut child = Self::spawn(data);
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let endpoint = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("not ready: {line:?}"));
        Self { endpoint: endpoint.to_owned(), child }
    }

    /// Starts a broker without waiting for it.
    pub(crate) fn spawn(data: &Path) -> Child {
        let data = data.to_str().unwrap();
        let mut command = lockstep(&["serve", "--listen", "127.0.0.1:0", "--data", data]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// SIGKILL, in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; how it ended.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        // A test that failed must not leave its broker behind; one that ended it has nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
