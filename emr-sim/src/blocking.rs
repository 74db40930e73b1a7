//! The way from async code to the disk: a thread that may wait. Nothing else lives here.

/// Runs `work` where waiting for the disk holds up nobody. When the caller is dropped the work still ends by itself.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only a runtime that is shutting down cancels such a task, and it drops its caller as well.
        Err(_) => std::future::pending().await,
    }
}
