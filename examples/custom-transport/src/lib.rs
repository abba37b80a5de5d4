//! A transport over files: a destination is a directory, a message is a file in it.
//!
//! Publishing writes a file under another name and renames it, so nobody sees half a message. A reader takes a message
//! by locking its file, and settles it by removing the file. When the reader dies, the system drops the lock, and the
//! message comes again: that is all an at-least-once transport needs. It passes the conformance suite in
//! `tests/conformance.rs`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use saga_core::id::Destination;
use saga_core::message::Envelope;
use saga_core::port::{
    BODY_BYTES_MAX, Capabilities, DEAD_REASON, Delivery, IdSource, PublishError, RandomIds, SettleError,
    Settlement, Settler, SubscribeOptions, Subscription, Token, Transport, TransportError,
};
use tokio::sync::watch;

/// Messages as files below one directory, for processes of one machine.
pub struct Directory {
    root: PathBuf,
    closed: watch::Sender<bool>,
}

impl Directory {
    /// The transport over the directory `root`, which is created where it does not exist.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Directory { root: root.into(), closed: watch::Sender::new(false) }
    }

    fn write(&self, envelope: &Envelope) -> Result<(), PublishError> {
        if envelope.body.len() > BODY_BYTES_MAX {
            return Err(PublishError::Permanent(format!("a body has at most {BODY_BYTES_MAX} bytes")));
        }
        if *self.closed.borrow() {
            return Err(PublishError::Unreachable("this transport is closed".into()));
        }
        let place = self.root.join(envelope.destination.as_str());
        write_whole(&place, envelope).map_err(|error| PublishError::Temporary(error.to_string()))
    }
}

#[async_trait]
impl Transport for Directory {
    fn name(&self) -> &'static str {
        "directory"
    }

    /// No topics: all readers of a directory share its messages, whatever their group.
    fn capabilities(&self) -> Capabilities {
        Capabilities::least(BODY_BYTES_MAX).reports_unroutable()
    }

    async fn declare(&self, destinations: &[Destination]) -> Result<(), TransportError> {
        let mut places =
            destinations.iter().flat_map(|destination| [destination.clone(), destination.dead_letters()]);
        places.try_for_each(|place| fs::create_dir_all(self.root.join(place.as_str()))).map_err(unavailable)
    }

    async fn publish(&self, batch: &[Envelope]) -> Vec<Result<(), PublishError>> {
        batch.iter().map(|envelope| self.write(envelope)).collect()
    }

    async fn subscribe(&self, options: SubscribeOptions) -> Result<Box<dyn Subscription>, TransportError> {
        let taken =
            Taken { claims: Mutex::default(), dead: self.root.join(options.source.dead_letters().as_str()) };
        let place = self.root.join(options.source.as_str());
        let closed = self.closed.subscribe();
        Ok(Box::new(Reader { place, in_flight_max: options.in_flight_max, taken: Arc::new(taken), closed }))
    }

    async fn close(&self) {
        self.closed.send_replace(true);
    }
}

/// One reader of one directory.
struct Reader {
    place: PathBuf,
    in_flight_max: usize,
    taken: Arc<Taken>,
    closed: watch::Receiver<bool>,
}

impl Reader {
    /// Takes what is there and nobody else has, oldest first.
    fn take(&self, max: usize) -> io::Result<Vec<Delivery>> {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&self.place)?.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let mut claims = self.taken.claims();
        let room = max.min(self.in_flight_max - claims.len());
        let found = paths.into_iter().filter_map(claim).take(room);
        Ok(found
            .map(|(envelope, claim)| {
                let id = claims.last_key_value().map_or(0, |(last, _)| last + 1);
                claims.insert(id, claim);
                // A file does not tell whether somebody had it before, and when in doubt the answer is yes.
                Delivery { envelope, redelivered: true, token: Token { generation: 0, id } }
            })
            .collect())
    }
}

#[async_trait]
impl Subscription for Reader {
    async fn receive(&mut self, max: usize) -> Result<Vec<Delivery>, TransportError> {
        loop {
            if *self.closed.borrow() {
                self.taken.claims().clear();
                return Err(TransportError::Temporary("this transport is closed".into()));
            }
            let deliveries = self.take(max).map_err(unavailable)?;
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            // The pause ends early when the transport is closed or dropped.
            let _ = tokio::time::timeout(PAUSE, self.closed.wait_for(|closed| *closed)).await;
        }
    }

    fn settler(&self) -> Arc<dyn Settler> {
        self.taken.clone()
    }
}

impl Drop for Reader {
    /// Gives back what is out: the settler may outlive the reader.
    fn drop(&mut self) {
        self.taken.claims().clear();
    }
}

/// The files that one reader has locked, and where its dead letters go. Dropping a file drops its lock.
struct Taken {
    claims: Mutex<BTreeMap<u64, (File, PathBuf)>>,
    dead: PathBuf,
}

impl Taken {
    fn claims(&self) -> MutexGuard<'_, BTreeMap<u64, (File, PathBuf)>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle_one(&self, token: Token, settlement: &Settlement) -> Result<(), SettleError> {
        let (_lock, path) = self.claims().remove(&token.id).ok_or(SettleError::Lost)?;
        let settled = match settlement {
            Settlement::Release => Ok(()),
            Settlement::Ack => fs::remove_file(&path),
            Settlement::DeadLetter { reason } => self.bury(path, reason),
        };
        settled.map_err(|error| SettleError::Failed(error.to_string()))
    }

    /// Writes the message to the dead letters with the reason, and only then removes it.
    fn bury(&self, path: PathBuf, reason: &str) -> io::Result<()> {
        let mut envelope: Envelope = serde_json::from_slice(&fs::read(&path)?)?;
        envelope.headers.insert(DEAD_REASON, reason);
        write_whole(&self.dead, &envelope)?;
        fs::remove_file(path)
    }
}

#[async_trait]
impl Settler for Taken {
    async fn settle(&self, batch: &[(Token, Settlement)]) -> Vec<Result<(), SettleError>> {
        batch.iter().map(|(token, settlement)| self.settle_one(*token, settlement)).collect()
    }
}

/// Writes a message as a file that is seen whole or not at all. Names are in the order of time.
fn write_whole(place: &std::path::Path, envelope: &Envelope) -> io::Result<()> {
    let name = RandomIds.uuid().simple().to_string();
    let unseen = place.join(format!("{name}.part"));
    fs::write(&unseen, serde_json::to_vec(envelope)?)?;
    fs::rename(unseen, place.join(name))
}

/// Locks a message's file and reads it; `None` if it is not whole yet, or somebody else has it.
fn claim(path: PathBuf) -> Option<(Envelope, (File, PathBuf))> {
    let lock = File::open(&path).ok().filter(|_| path.extension().is_none())?;
    lock.try_lock().ok()?;
    // Whoever had the lock before may have settled the message; then its file has no name any more.
    let envelope =
        (lock.metadata().ok()?.nlink() > 0).then(|| serde_json::from_reader(io::BufReader::new(&lock)))?;
    Some((envelope.ok()?, (lock, path)))
}

fn unavailable(error: io::Error) -> TransportError {
    TransportError::Temporary(error.to_string())
}

/// How often an empty directory is looked at.
const PAUSE: Duration = Duration::from_millis(10);
