//! What all clients of librdkafka share: where their logs and errors go, and how they end.

use std::ops::Deref;
use std::thread;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::KafkaError;

use super::metric;

/// Sends a client's logs and errors to `tracing`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logs;

impl ClientContext for Logs {
    fn log(&self, level: Level, facility: &str, message: &str) {
        match level {
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(facility, "librdkafka: {message}");
            }
            Level::Warning => tracing::warn!(facility, "librdkafka: {message}"),
            Level::Notice | Level::Info => tracing::info!(facility, "librdkafka: {message}"),
            Level::Debug => tracing::debug!(facility, "librdkafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        metric::client_error();
        tracing::warn!(%error, reason, "a client of Kafka reports an error");
    }
}

/// A client that is dropped on a thread of its own, because librdkafka's clients block until they are closed.
pub(super) struct Aside<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Aside<T> {
    pub(super) fn new(client: T) -> Self {
        Aside(Some(client))
    }
}

impl<T: Send + 'static> Deref for Aside<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is taken only when it is dropped")
    }
}

impl<T: Send + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        let client = self.0.take();
        // Where no thread can be had, the client is dropped with the closure, here.
        let _ = thread::Builder::new().spawn(move || drop(client));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Blocks when it is dropped, until it is told to go on.
    struct Blocks(mpsc::Receiver<()>, mpsc::Sender<bool>);

    impl Drop for Blocks {
        fn drop(&mut self) {
            let told = self.0.recv_timeout(Duration::from_secs(5)).is_ok();
            let _ = self.1.send(told);
        }
    }

    #[test]
    fn dropping_a_client_does_not_wait_for_its_end() {
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        drop(Aside::new(Blocks(told, end)));
        tell.send(()).unwrap();
        assert!(ended.recv().unwrap(), "it was waited for");
    }
}
