//! A server that was started here, on loopback with a directory of its own, and is ended by its process id with its data.
//! What it is stands in the files of the peers.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// How long anybody waits for an answer before the run is given up.
const ANSWER: Duration = Duration::from_secs(30);

/// Ended when dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    data: PathBuf,
}

impl Server {
    /// Starts a command that is made for a free port and an empty directory, and waits until it can be connected to.
    pub(crate) fn start(directory: &Path, command: impl FnOnce(u16, &Path) -> Command) -> Result<Self> {
        // Free now; should somebody take it first, the server says so and ends.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let data = directory.join(format!("server-{port}"));
        fs::create_dir_all(&data)?;
        let mut command = command(port, &data);
        let log = fs::File::create(data.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let mut server = Self { child, port, data };
        let began = Instant::now();
        while server.connect().is_err() {
            if server.child.try_wait()?.is_some() || began.elapsed() > ANSWER {
                let log = fs::read_to_string(server.data.join("log")).unwrap_or_default();
                bail!("{:?} does not come up: {log}", command.get_program());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// The port on loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection of its own.
    pub(crate) fn connect(&self) -> Result<TcpStream> {
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER))?;
        Ok(socket)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, and a directory that stays is found by the script.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.data);
    }
}
