//! Just enough of an HTTP client for demonstrations and tests: one request, one connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Talks to one service.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    service: SocketAddr,
}

/// What the service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON, or null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl Client {
    /// A client of the service at this address.
    pub const fn of(service: SocketAddr) -> Self {
        Client { service }
    }

    /// Fetches what is at `path`.
    ///
    /// # Errors
    ///
    /// Those of the connection, and one if the answer takes too long or is no HTTP.
    pub async fn get(&self, path: &str) -> io::Result<Answer> {
        self.call(format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.service)).await
    }

    /// Posts JSON to `path`, with a key by which a repeated request is recognised, unless that is empty.
    ///
    /// # Errors
    ///
    /// As [`get`](Client::get). Whether the service has carried the request out is then unknown.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> io::Result<Answer> {
        let (service, body) = (self.service, body.to_string());
        let key = if key.is_empty() { String::new() } else { format!("idempotency-key: {key}\r\n") };
        let length = body.len();
        self.call(format!(
            "POST {path} HTTP/1.1\r\nhost: {service}\r\nconnection: close\r\n{key}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    async fn call(&self, request: String) -> io::Result<Answer> {
        let calling = async {
            let mut connection = TcpStream::connect(self.service).await?;
            connection.write_all(request.as_bytes()).await?;
            let mut response = String::new();
            connection.read_to_string(&mut response).await?;
            read(&response).ok_or_else(|| io::Error::other("the answer is no HTTP"))
        };
        tokio::time::timeout(PATIENCE, calling).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn read(response: &str) -> Option<Answer> {
    let (head, body) = response.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.into() })
}

/// Longer than any answer of a healthy service takes.
const PATIENCE: Duration = Duration::from_secs(10);
