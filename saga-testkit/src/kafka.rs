//! A proxy in front of Kafka, which tells its clients itself where to connect to.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::TcpProxy;

/// A [`TcpProxy`] to one Kafka broker on this machine.
///
/// A client asks the broker where the brokers are, and connects there, past any proxy. So behind the proxy the
/// broker's address is replaced by the proxy's in all that the broker answers. The broker must advertise itself as
/// `127.0.0.1`, as the one of `scripts/services` does.
///
/// # Example: a client that stays behind the proxy
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let proxy = saga_testkit::KafkaProxy::to("127.0.0.1:9092".parse().unwrap()).await?;
/// let bootstrap = proxy.tcp().address().to_string();
/// // ... a client of `bootstrap`
/// proxy.tcp().cut_all();
/// # Ok(())
/// # }
/// ```
pub struct KafkaProxy {
    tcp: TcpProxy,
    accepting: JoinHandle<()>,
}

impl KafkaProxy {
    /// Starts a proxy to a broker.
    ///
    /// # Errors
    ///
    /// Those of binding a port.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn to(broker: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let tcp = TcpProxy::to(listener.local_addr()?.to_string()).await?;
        let accepting = tokio::spawn(accept(listener, broker, tcp.address()));
        Ok(KafkaProxy { tcp, accepting })
    }

    /// What clients connect to, and what can be cut and stalled.
    pub fn tcp(&self) -> &TcpProxy {
        &self.tcp
    }
}

impl Drop for KafkaProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, broker: SocketAddr, proxy: SocketAddr) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(serve(client, broker, proxy));
    }
}

/// Forwards one connection until one of its ends is closed.
async fn serve(client: TcpStream, broker: SocketAddr, proxy: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(broker).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    tokio::select! {
        ended = copy(&mut from_client, &mut to_server) => ended.map(drop),
        ended = answers(from_server, to_client, broker, proxy) => ended,
    }
}

/// Copies the broker's answers, each of which has its length before it.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    broker: SocketAddr,
    proxy: SocketAddr,
) -> io::Result<()> {
    let (broker, proxy) = (advertised(broker), advertised(proxy));
    loop {
        let length = from.read_u32().await?;
        let mut answer = vec![0; length as usize];
        from.read_exact(&mut answer).await?;
        replace(&mut answer, &broker, &proxy);
        to.write_u32(length).await?;
        to.write_all(&answer).await?;
    }
}

fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    for at in 0..bytes.len().saturating_sub(old.len() - 1) {
        if bytes[at..].starts_with(old) {
            bytes[at..at + new.len()].copy_from_slice(new);
        }
    }
}

/// An address as every version of the protocol writes it: the host's text, then the port in four bytes.
fn advertised(address: SocketAddr) -> Vec<u8> {
    let mut bytes = address.ip().to_string().into_bytes();
    bytes.extend(u32::from(address.port()).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_brokers_address_becomes_the_proxys_in_every_answer() {
        let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = broker.local_addr().unwrap();
        let proxy = KafkaProxy::to(address).await.unwrap();
        let mut client = TcpStream::connect(proxy.tcp().address()).await.unwrap();
        let (mut server, _) = broker.accept().await.unwrap();
        for filler in [0, 7] {
            let answer = [vec![b'1'; filler], advertised(address), vec![b'1'; filler]].concat();
            server.write_u32(answer.len() as u32).await.unwrap();
            server.write_all(&answer).await.unwrap();
            let mut read = vec![0; client.read_u32().await.unwrap() as usize];
            client.read_exact(&mut read).await.unwrap();
            let expected = [vec![b'1'; filler], advertised(proxy.tcp().address()), vec![b'1'; filler]];
            assert_eq!(read, expected.concat());
        }
    }
}
