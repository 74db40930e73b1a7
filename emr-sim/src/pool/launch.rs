//! How a worker comes to life: as a process of its own, or as a test wants it. Only the start, the pipes and the end of a
//! worker; what is said over the pipes is `protocol`.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::worker::WorkerSettings;

/// A worker that was started.
pub struct Launched {
    /// Its process id, where it has one.
    pub pid: Option<u32>,
    /// Assignments go here; its end ends the worker.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Reports come from here; its end is the worker's.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Kills the worker at once; harmless after its end.
    pub kill: Box<dyn Fn() + Send + Sync>,
    /// How the worker ended, in words.
    pub ended: Pin<Box<dyn Future<Output = String> + Send>>,
}

/// Starts workers.
pub trait WorkerLauncher: Send + Sync + 'static {
    /// Starts one worker; called in a tokio runtime.
    ///
    /// # Errors
    /// That of the operating system; the pool tries again a few times.
    fn launch(&self, settings: &WorkerSettings) -> io::Result<Launched>;

    /// Starts the worker of a place, where places differ.
    ///
    /// # Errors
    /// As [`WorkerLauncher::launch`].
    fn launch_at(&self, place: usize, settings: &WorkerSettings) -> io::Result<Launched> {
        let _ = place;
        self.launch(settings)
    }

    /// Whether a worker that ends unasked is followed by another one at its place. Where not, the place goes with it.
    fn comes_again(&self, place: usize) -> bool {
        let _ = place;
        true
    }
}

/// Starts workers as processes: `program arguments… <worker settings as JSON>`. Their stderr is the caller's, unless a file is named.
#[derive(Clone)]
pub struct ProcessLauncher {
    program: PathBuf,
    arguments: Vec<OsString>,
    stderr: Option<PathBuf>,
    environment: Vec<(String, OsString)>,
}

impl std::fmt::Debug for ProcessLauncher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The environment may hold secrets.
        f.debug_struct("ProcessLauncher").field("program", &self.program).finish_non_exhaustive()
    }
}

impl ProcessLauncher {
    /// Workers run `program` with `arguments` before their settings.
    #[must_use]
    pub fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { program, arguments, stderr: None, environment: Vec::new() }
    }

    /// Adds to the workers' environment: secrets, which an argument would show to every user of the machine.
    #[must_use]
    pub fn with_environment(self, environment: Vec<(String, OsString)>) -> Self {
        Self { environment, ..self }
    }

    /// What the workers say on stderr is appended to this file.
    #[must_use]
    pub fn with_stderr(self, file: PathBuf) -> Self {
        Self { stderr: Some(file), ..self }
    }
}

impl ProcessLauncher {
    fn stderr(&self) -> io::Result<Stdio> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        self.stderr.as_ref().map_or(Ok(Stdio::inherit()), |path| open(path).map(Stdio::from))
    }
}

impl WorkerLauncher for ProcessLauncher {
    fn launch(&self, settings: &WorkerSettings) -> io::Result<Launched> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(settings.to_argument());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(self.stderr()?).kill_on_drop(true);
        // Ctrl-C on a terminal goes to the whole process group; workers end by their stdin instead, in good order.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        let pid = child.id();
        let stdin = child.stdin.take().expect("stdin was asked to be a pipe");
        let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
        let (kill, killed) = mpsc::unbounded_channel();
        let waiting = tokio::spawn(wait(child, killed));
        Ok(Launched {
            pid,
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            kill: Box::new(move || {
                // A send that fails finds the worker ended already.
                let _ = kill.send(());
            }),
            ended: Box::pin(async move { waiting.await.unwrap_or_else(|_| "nobody saw it end".to_owned()) }),
        })
    }
}

/// Owns the child, so that it is killed only while it is ours to kill, and is always reaped.
async fn wait(mut child: Child, mut killed: mpsc::UnboundedReceiver<()>) -> String {
    let status = tokio::select! {
        status = child.wait() => status,
        Some(()) = killed.recv() => {
            // It fails only when the child ended by itself just now.
            let _ = child.start_kill();
            child.wait().await
        }
    };
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, BufReader};

    use super::*;
    use crate::identity::Identity;
    use crate::job::JobKind;
    use crate::step::StepSpec;

    fn settings() -> WorkerSettings {
        WorkerSettings {
            endpoint: "http://127.0.0.1:1".into(),
            queue: "q.fifo".into(),
            reader: "pool".into(),
            reader_generation: 1,
            identity: Identity { journal_id: "j".into(), queue_generation: 1, reader_id: 1 },
            step: StepSpec::new(JobKind::Transcript.into(), "out".into()),
            max_receives: 0,
            guard: Vec::new(),
            worker: "w0".into(),
            patience_seconds: 1,
        }
    }

    /// A process that says its settings and ends with its stdin.
    fn launch() -> Launched {
        let script = "printf '%s\\n' \"$0\"; cat > /dev/null";
        let launcher = ProcessLauncher::new("/bin/sh".into(), vec!["-c".into(), script.into()]);
        launcher.launch(&settings()).unwrap()
    }

    #[tokio::test]
    async fn a_process_gets_its_settings_as_one_argument_and_ends_with_its_stdin() {
        let launched = launch();
        let said = BufReader::new(launched.stdout).lines().next_line().await.unwrap().unwrap();
        assert_eq!(WorkerSettings::from_argument(&said), Ok(settings()));
        assert!(launched.pid.is_some());
        drop(launched.stdin);
        assert_eq!(launched.ended.await, "exit status: 0");
    }

    #[tokio::test]
    async fn a_process_is_killed_through_its_handle_and_reaped() {
        let launched = launch();
        (launched.kill)();
        assert!(launched.ended.await.starts_with("signal: 9"));
        (launched.kill)();
    }
}
