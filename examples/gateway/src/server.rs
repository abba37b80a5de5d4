//! The gateway: somebody else's system, which knows nothing of sagas. It does keep two promises: a key is charged once,
//! and a key that was voided is not charged any more.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request to charge a card, or to void the charge with this key.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// The idempotency key.
    pub key: String,
    /// How much.
    pub cents: u64,
}

/// What the gateway remembers of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What is charged.
    pub cents: u64,
    /// How often that was asked for.
    pub requests: u32,
    /// Whether the charge was voided, or will never be made.
    pub voided: bool,
}

/// A gateway that runs, until it is dropped.
pub struct Gateway {
    /// Where it listens.
    pub address: SocketAddr,
    books: Books,
    serving: JoinHandle<io::Result<()>>,
}

#[derive(Clone, Default)]
struct Books(Arc<Mutex<HashMap<String, Account>>>);

impl Gateway {
    /// Starts a gateway on a free port.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, books) = (listener.local_addr()?, Books::default());
        let router = Router::new().route("/charges", post(charge)).route("/voids", post(void));
        let serving = tokio::spawn(axum::serve(listener, router.with_state(books.clone())).into_future());
        Ok(Gateway { address, books, serving })
    }

    /// Every key that it was asked about.
    pub fn accounts(&self) -> HashMap<String, Account> {
        self.books.lock().clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges a key that is new, and says again what it said for one that is not.
    fn charge(&self, request: &Request) -> StatusCode {
        let mut accounts = self.lock();
        let account = accounts.entry(request.key.clone()).or_default();
        if account.voided {
            return StatusCode::GONE;
        }
        if request.cents > CREDIT_LIMIT {
            return StatusCode::PAYMENT_REQUIRED;
        }
        account.cents = request.cents;
        StatusCode::OK
    }

    fn ask(&self, key: &str) -> u32 {
        let mut accounts = self.lock();
        let account = accounts.entry(key.to_owned()).or_default();
        account.requests += 1;
        account.requests
    }
}

/// Answers the first request of most keys badly, and the next ones as it should.
async fn charge(State(books): State<Books>, Json(request): Json<Request>) -> StatusCode {
    let first = books.ask(&request.key) == 1;
    match request.cents % 4 {
        // It charges, and its answer comes when nobody waits for it any more.
        1 if first => {
            let charged = books.charge(&request);
            tokio::time::sleep(LATE).await;
            charged
        }
        // It does not answer, and charges when everybody has gone.
        2 if first => {
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                books.charge(&request)
            });
            std::future::pending().await
        }
        // It charges, and says that it could not.
        3 if first => {
            books.charge(&request);
            StatusCode::BAD_GATEWAY
        }
        _ => books.charge(&request),
    }
}

async fn void(State(books): State<Books>, Json(request): Json<Request>) -> StatusCode {
    let mut accounts = books.lock();
    let account = accounts.entry(request.key).or_default();
    (account.cents, account.voided) = (0, true);
    StatusCode::OK
}

/// More is declined.
pub const CREDIT_LIMIT: u64 = 10_000;

/// Longer than the payment service waits for an answer.
const LATE: Duration = Duration::from_secs(2);
