//! The life of one run of a mapper: started in a process group of its own, fed, read, judged by its exit, killed with all
//! its children when it hangs or writes too much. What its lines mean is `lines`.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::Runner;

/// Of stderr only the last bytes are kept.
const STDERR_BYTES: usize = 64 * 1024;

/// When the program has ended, what it wrote is there at once; children of it that keep its pipes open get so long.
const DRAINING: Duration = Duration::from_secs(2);

/// A run that ended with exit code 0.
pub(super) struct Ran {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// How, in words.
    pub(super) ended: &'static str,
}

/// A run that counts for nothing.
pub(super) struct Failed {
    pub(super) why: String,
    pub(super) stderr: Vec<u8>,
}

/// Runs the program over its input.
pub(super) async fn run(runner: &Runner, input: Vec<u8>) -> Result<Ran, Failed> {
    let mut child = match start(runner) {
        Ok(child) => child,
        Err(error) => {
            let why = format!("cannot be started: {error}");
            return Err(Failed { why, stderr: Vec::new() });
        }
    };
    let stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    let mut stdout = child.stdout.take().expect("stdout was asked to be a pipe");
    let mut stderr = child.stderr.take().expect("stderr was asked to be a pipe");
    let group = Group(child.id());
    let (mut said, mut tail) = (Vec::new(), Vec::new());
    let outcome = {
        let reading = read_all(&mut stdout, &mut said, runner.limits.output_bytes);
        let listening = read_tail(&mut stderr, &mut tail);
        // Too much output ends the reading at once; stderr is read beside it, whatever it says.
        let listening = async {
            listening.await;
            Ok(())
        };
        let all = async { tokio::try_join!(reading, listening).map(drop) };
        course(runner, &mut child, group, feed(stdin, input), all).await
    };
    match outcome {
        Ok(()) => Ok(Ran { stdout: said, stderr: tail, ended: "exit code 0" }),
        Err(why) => Err(Failed { why, stderr: tail }),
    }
}

fn start(runner: &Runner) -> std::io::Result<Child> {
    let words = [runner.mapper.program()].into_iter().chain(runner.mapper.arguments().iter().map(String::as_str));
    let mut words = runner.guard.iter().map(String::as_str).chain(words);
    let mut command = Command::new(words.next().expect("a mapper has a program"));
    command.args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // Settings and secrets of this program are not meant for the user's.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LOCKSTEP_")) {
        command.env_remove(name);
    }
    #[cfg(unix)]
    command.process_group(0);
    command.spawn()
}

/// Waits for the end of the program and of its output, whatever comes first of that and the limits.
async fn course(
    runner: &Runner,
    child: &mut Child,
    mut group: Group,
    feeding: impl Future<Output = std::io::Result<()>>,
    reading: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    let limit = Duration::from_secs(runner.limits.seconds);
    let deadline = tokio::time::sleep(limit);
    tokio::pin!(feeding, reading, deadline);
    let (mut fed, mut read) = (None, None);
    let status = loop {
        tokio::select! {
            biased;
            outcome = &mut reading, if read.is_none() => {
                // Too much output: the rest is not waited for.
                outcome?;
                read = Some(());
            }
            outcome = &mut feeding, if fed.is_none() => fed = Some(outcome),
            status = child.wait() => break status.map_err(|error| format!("cannot be waited for: {error}"))?,
            () = &mut deadline => {
                return Err(format!("hung: it was killed after {} s, its time limit", runner.limits.seconds));
            }
        }
    };
    if read.is_none() {
        match tokio::time::timeout(DRAINING, &mut reading).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(format!("{}, but children of it keep its output open", told(status))),
        }
    }
    group.has_ended();
    if !status.success() {
        return Err(told(status));
    }
    match fed {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) | None => Err("exit code 0, but it had not read all of its input".to_owned()),
    }
}

fn told(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    }
}

async fn feed(mut stdin: tokio::process::ChildStdin, input: Vec<u8>) -> std::io::Result<()> {
    stdin.write_all(&input).await
}

async fn read_all(from: &mut (impl AsyncRead + Unpin), to: &mut Vec<u8>, limit: u64) -> Result<(), String> {
    let error = |error: std::io::Error| format!("its output cannot be read: {error}");
    from.take(limit).read_to_end(to).await.map_err(error)?;
    let mut more = [0; 1];
    match from.read(&mut more).await.map_err(error)? {
        0 => Ok(()),
        _ => Err(format!("wrote more than {limit} bytes, its limit, and was killed")),
    }
}

/// Keeps the last bytes; a pipe that breaks has nothing more to say.
async fn read_tail(from: &mut (impl AsyncRead + Unpin), to: &mut Vec<u8>) {
    let mut chunk = vec![0; 8 * 1024];
    while let Ok(read) = from.read(&mut chunk).await {
        if read == 0 {
            return;
        }
        to.extend_from_slice(&chunk[..read]);
        if to.len() > 2 * STDERR_BYTES {
            to.drain(..to.len() - STDERR_BYTES);
        }
    }
}

/// The process group of a run. Dropped before the run has ended in order, it kills every process in it.
struct Group(Option<u32>);

impl Group {
    /// The program has ended and nobody keeps its pipes: the group's number may belong to others from now on.
    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It fails only when nobody is left in the group.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{Mapper, StepLimits};

    fn runner(script: &str, seconds: u64) -> Runner {
        Runner {
            mapper: Mapper::new(vec!["sh".into(), "-c".into(), script.into()]).unwrap(),
            limits: StepLimits { seconds, output_bytes: 100_000 },
            guard: Vec::new(),
            out: "unused".into(),
            log: "unused".into(),
        }
    }

    async fn fails(script: &str, seconds: u64) -> Failed {
        run(&runner(script, seconds), b"{}\n".repeat(100_000)).await.err().unwrap()
    }

    #[tokio::test]
    async fn what_goes_in_comes_out() {
        let ran = run(&runner("cat; echo done >&2", 60), b"hello\n".to_vec()).await.ok().unwrap();
        assert_eq!((ran.stdout, ran.stderr), (b"hello\n".to_vec(), b"done\n".to_vec()));
    }

    #[tokio::test]
    async fn an_exit_code_or_a_signal_fails_the_run_and_stderr_is_kept() {
        let failed = fails("cat >/dev/null; echo why >&2; exit 3", 60).await;
        assert_eq!((failed.why.as_str(), failed.stderr.as_slice()), ("exit code 3", &b"why\n"[..]));
        let failed = fails("kill -9 $$", 60).await;
        assert!(failed.why.starts_with("signal: 9"), "{}", failed.why);
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let failed = fails(&script, 1).await;
        assert!(failed.why.contains("hung") && failed.why.contains("1 s"), "{}", failed.why);
        let child = std::fs::read_to_string(file).unwrap();
        let status = std::path::PathBuf::from(format!("/proc/{}/stat", child.trim()));
        let gone = || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z "));
        let began = std::time::Instant::now();
        while !gone() {
            assert!(began.elapsed() < Duration::from_secs(30), "the child {child} lives on");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn too_much_output_unread_input_and_left_children_fail_the_run() {
        assert!(fails("cat >/dev/null; yes", 60).await.why.contains("more than 100000 bytes"));
        assert!(fails("true", 60).await.why.contains("not read all"));
        assert!(fails("cat >/dev/null; sleep 1000 &", 60).await.why.contains("keep its output open"));
        let mut absent = runner("", 1);
        absent.mapper = Mapper::new(vec!["./no/such/program".into()]).unwrap();
        assert!(run(&absent, Vec::new()).await.err().unwrap().why.contains("cannot be started"));
    }
}
