//! A TCP proxy whose connections can be cut and stalled, to stand between a client and its server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Listens on a free port of the loopback interface and forwards every connection to a target.
///
/// With it a test decides what a crash leaves open: [`stall`](Self::stall) the way to the client, let a commit or a
/// publish arrive, then [`cut_all`](Self::cut_all), and it has happened while its answer is lost. Stall the way to the
/// server instead, and it has not happened.
///
/// Dropping the proxy closes its port and its connections.
///
/// # Example: a connection is cut
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use saga_testkit::TcpProxy;
/// use tokio::io::AsyncReadExt;
///
/// let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
/// let proxy = TcpProxy::to(server.local_addr().unwrap().to_string()).await.unwrap();
/// let mut client = tokio::net::TcpStream::connect(proxy.address()).await.unwrap();
/// let (_kept, _) = server.accept().await.unwrap();
///
/// proxy.cut_all();
/// assert!(client.read_u8().await.is_err());
/// # });
/// ```
pub struct TcpProxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    forwarded: AtomicU64,
    open: AtomicU64,
}

/// A way through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// What the client sends.
    Server,
    /// What the server answers.
    Client,
}

impl TcpProxy {
    /// Starts a proxy to `target`, an address such as `127.0.0.1:5432`.
    ///
    /// # Errors
    ///
    /// Those of binding a port.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn to(target: impl Into<String>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mode, watched) = watch::channel(Mode::default());
        let counts = Arc::new(Counts::default());
        let accepting = tokio::spawn(accept(listener, target.into(), watched, counts.clone()));
        Ok(TcpProxy { address, mode, counts, accepting })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were forwarded so far; refused ones do not count.
    pub fn connections(&self) -> u64 {
        self.counts.forwarded.load(Ordering::Acquire)
    }

    /// Resets every connection that is open, and returns how many those are. New ones are forwarded, unless they are
    /// refused.
    pub fn cut_all(&self) -> u64 {
        let open = self.counts.open.load(Ordering::Acquire);
        self.mode.send_modify(|mode| mode.cuts += 1);
        open
    }

    /// Resets new connections as soon as they are made, as a server that is down would. Open ones stay.
    pub fn refuse(&self) {
        self.mode.send_modify(|mode| mode.refuses = true);
    }

    /// Forwards new connections again.
    pub fn allow(&self) {
        self.mode.send_modify(|mode| mode.refuses = false);
    }

    /// Holds back whatever goes that way, on every connection, until [`resume`](Self::resume). Nothing is lost,
    /// and to both ends it looks like a network that has gone silent.
    pub fn stall(&self, toward: Toward) {
        self.mode.send_modify(|mode| match toward {
            Toward::Server => mode.stalls_server = true,
            Toward::Client => mode.stalls_client = true,
        });
    }

    /// Lets both ways flow again.
    pub fn resume(&self) {
        self.mode.send_modify(|mode| {
            mode.stalls_server = false;
            mode.stalls_client = false;
        });
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What the proxy does at present; every connection watches it.
#[derive(Default)]
struct Mode {
    refuses: bool,
    stalls_server: bool,
    stalls_client: bool,
    /// Counted, so that a connection notices a cut however late it looks.
    cuts: u64,
}

impl Mode {
    fn stalls(&self, toward: Toward) -> bool {
        match toward {
            Toward::Server => self.stalls_server,
            Toward::Client => self.stalls_client,
        }
    }
}

async fn accept(listener: TcpListener, target: String, mode: watch::Receiver<Mode>, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    counts.open.fetch_add(1, Ordering::AcqRel);
                    let (target, mode, counts) = (target.clone(), mode.clone(), counts.clone());
                    connections.spawn(async move {
                        // However it ended, it is closed.
                        let _ = serve(client, target, mode, &counts).await;
                        counts.open.fetch_sub(1, Ordering::AcqRel);
                    });
                }
                // Out of file descriptors, most likely: some of them will be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Forwards one connection until both ends have closed it or it is cut. A target that is away resets it too.
async fn serve(
    mut client: TcpStream,
    target: String,
    mut mode: watch::Receiver<Mode>,
    counts: &Counts,
) -> io::Result<()> {
    let cuts = mode.borrow().cuts;
    if mode.borrow().refuses {
        return client.set_zero_linger();
    }
    let Ok(mut server) = TcpStream::connect(target).await else {
        return client.set_zero_linger();
    };
    counts.forwarded.fetch_add(1, Ordering::AcqRel);
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let flow = mode.clone();
    tokio::select! {
        // A cut comes first, so that what was stalled until then does not slip through if the stall ends with it.
        biased;
        _ = mode.wait_for(|mode| mode.cuts != cuts) => {
            client.set_zero_linger()?;
            server.set_zero_linger()
        }
        ended = forward(&mut client, &mut server, flow) => ended,
    }
}

async fn forward(
    client: &mut TcpStream,
    server: &mut TcpStream,
    mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::try_join!(
        pump(from_client, to_server, Toward::Server, mode.clone()),
        pump(from_server, to_client, Toward::Client, mode),
    )?;
    Ok(())
}

/// Copies one way. A stall is looked for between reading and writing, so it also holds what was read before it.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    toward: Toward,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        let flows = mode.wait_for(|mode| !mode.stalls(toward)).await;
        flows.map_err(io::Error::other)?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}

/// Some packets' worth; more is not faster on loopback.
const BUFFER_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy, and both ends of a connection through it.
    async fn connected() -> (TcpProxy, TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = TcpProxy::to(listener.local_addr().unwrap().to_string()).await.unwrap();
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (proxy, listener, client, server)
    }

    async fn stays_silent(stream: &mut TcpStream) -> bool {
        let waited = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
        waited.is_err()
    }

    #[tokio::test]
    async fn bytes_and_the_end_of_a_stream_pass_both_ways() {
        let (proxy, _listener, mut client, mut server) = connected().await;
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = Vec::new();
        server.read_to_end(&mut question).await.unwrap();
        assert_eq!(question, b"question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        assert_eq!(proxy.connections(), 1);
    }

    #[tokio::test]
    async fn a_cut_resets_both_ends_and_the_next_connection_works() {
        let (proxy, listener, mut client, mut server) = connected().await;
        assert_eq!(proxy.cut_all(), 1);
        let reset = |error: io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        assert!(reset(client.read_u8().await.unwrap_err()));
        assert!(reset(server.read_u8().await.unwrap_err()));

        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_u8(7).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), 7);
        assert_eq!(proxy.cut_all(), 1, "the first one is closed");
    }

    #[tokio::test]
    async fn a_refused_connection_is_reset_and_does_not_reach_the_server() {
        let (proxy, _listener, mut client, mut server) = connected().await;
        proxy.refuse();
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(refused.read_u8().await.is_err());
        assert_eq!(proxy.connections(), 1);
        client.write_u8(7).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), 7, "open connections stay");
    }

    #[tokio::test]
    async fn a_stalled_way_holds_its_bytes_and_the_other_one_flows() {
        let (proxy, _listener, mut client, mut server) = connected().await;
        proxy.stall(Toward::Client);
        server.write_u8(7).await.unwrap();
        assert!(stays_silent(&mut client).await);
        client.write_u8(8).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), 8);
        proxy.resume();
        assert_eq!(client.read_u8().await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_is_stalled_when_it_is_cut_never_arrives() {
        let (proxy, _listener, mut client, mut server) = connected().await;
        proxy.stall(Toward::Server);
        client.write_u8(7).await.unwrap();
        assert!(stays_silent(&mut server).await);
        proxy.cut_all();
        assert!(server.read_u8().await.is_err());
    }
}
