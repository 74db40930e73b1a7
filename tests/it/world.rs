//! Brokers and commands as real processes, for the stories beside this file.

use std::{
    fs::File,
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
        Self::start_with(data, &[])
    }

    /// The same, with more flags.
    pub(crate) fn start_with(data: &Path, flags: &[&str]) -> Self {
        Self::spawn_with(data, flags).ready()
    }

    /// The same, with what it says on stderr in a file.
    pub(crate) fn start_logged(data: &Path, flags: &[&str], log: &Path) -> Self {
        Self::spawn(data, flags, File::create(log).unwrap().into()).ready()
    }

    /// The same at an address, with an environment.
    pub(crate) fn start_at(address: &str, data: &Path, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = lockstep(&["serve", "--listen", address, "--data", data.to_str().unwrap()]);
        prepare(&mut command);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        Self { child, endpoint: String::new() }.ready()
    }

    fn ready(mut self) -> Self {
        let mut line = String::new();
        BufReader::new(self.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let endpoint = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("not ready: {line:?}"));
        self.endpoint = endpoint.to_owned();
        self
    }

    /// Starts a broker without waiting for it.
    pub(crate) fn spawn_with(data: &Path, flags: &[&str]) -> Self {
        Self::spawn(data, flags, Stdio::inherit())
    }

    fn spawn(data: &Path, flags: &[&str], stderr: Stdio) -> Self {
        let mut command = lockstep(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
        let child = command.args(flags).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        Self { child, endpoint: String::new() }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        // One that ended by itself meanwhile has nothing to be told.
        let _ = kill_process(pid, signal);
    }

    /// Bytes of memory that it has.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    /// SIGKILL, in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGSTOP: it does nothing more, and does not know it.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGTERM, without waiting for its end.
    pub(crate) fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it ends by itself; how it ended.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// SIGTERM; how it ended.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.ask_to_stop();
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
