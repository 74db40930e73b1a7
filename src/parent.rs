//! How a child of the pipeline learns that its parent has gone: it holds the writing end of a pipe whose reading end
//! only the parent has. When that end closes, however the parent ended, the child ends too.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};

/// Ends this process as soon as nobody can read its stdout any more.
pub(crate) fn end_with_stdout() {
    when_stdout_closes(|| std::process::exit(3));
}

/// Calls `end` as soon as nobody can read this process's stdout any more.
pub(crate) fn when_stdout_closes(end: impl Fn() + Send + 'static) {
    std::thread::spawn(move || {
        let stdout = std::io::stdout();
        let fd = stdout.as_fd();
        loop {
            let mut fds = [PollFd::new(&fd, PollFlags::empty())];
            // No event is asked for: only the error that a closed pipe raises can end the wait.
            match poll(&mut fds, None) {
                Ok(_) if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => end(),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => end(),
            }
        }
    });
}
