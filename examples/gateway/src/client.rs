//! The gateway as the payment service sees it: two requests over HTTP.

use std::io;
use std::net::SocketAddr;

use saga_core::Outcome;
use saga_core::id::MessageId;
use saga_core::message::Fault;
use saga_core::runtime::{External, Handled, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Request;
use crate::shop::ChargeCard;

/// Calls the gateway at this address.
pub struct Client(pub SocketAddr);

/// The gateway's answer was neither yes nor no.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It could not be reached, or hung up.
    #[error("the gateway is away: {0}")]
    Away(#[from] io::Error),
    /// It says that something went wrong, and not what became of the request.
    #[error("the gateway answers {0:?}")]
    Unclear(String),
}

impl External<ChargeCard> for Client {
    async fn call(&self, command: ChargeCard, key: MessageId) -> Handled<ChargeCard> {
        let request = Request { key: key.to_string(), cents: command.cents };
        match self.post("/charges", &request).await?.as_str() {
            "200" => Ok(Reply::Done(())),
            "402" => Ok(Reply::Refused("the card is declined".into())),
            status => Err(ClientError::Unclear(status.to_owned()).into()),
        }
    }

    async fn undo(&self, key: MessageId, _: Outcome<()>) -> Result<(), Fault> {
        match self.post("/voids", &Request { key: key.to_string(), cents: 0 }).await?.as_str() {
            "200" => Ok(()),
            status => Err(ClientError::Unclear(status.to_owned()).into()),
        }
    }
}

impl Client {
    /// Posts a request on a connection of its own, and returns the status of the answer.
    async fn post(&self, path: &str, request: &Request) -> Result<String, ClientError> {
        let body = serde_json::to_string(request).map_err(io::Error::from)?;
        let mut connection = TcpStream::connect(self.0).await?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.0,
            body.len()
        );
        connection.write_all((head + &body).as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        Ok(status.to_owned())
    }
}
