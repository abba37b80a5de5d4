//! What can be configured, with defaults that suit most services.

use std::fmt;
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use saga_core::policy::Backoff;
use saga_core::port::{BODY_BYTES_MAX, PUBLISH_DEADLINE, TransportError};

/// How to reach RabbitMQ and how to use it.
///
/// # Example: a service with its own name and a shorter deadline
///
/// ```
/// use std::time::Duration;
/// use saga_broker::rabbitmq::RabbitMqConfig;
///
/// # fn main() -> Result<(), saga_core::port::TransportError> {
/// let config = RabbitMqConfig::new("amqp://guest:guest@localhost:5672/%2f")?
///     .name("inventory")
///     .deadline(Duration::from_secs(5));
/// # let _ = config;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RabbitMqConfig {
    pub(super) uri: AMQPUri,
    pub(super) name: String,
    pub(super) publish_channels: usize,
    pub(super) deadline: Duration,
    pub(super) delivery_limit: u32,
    pub(super) body_bytes_max: usize,
    pub(super) backoff: Backoff,
}

impl RabbitMqConfig {
    /// Takes a URL such as `amqp://user:password@host:5672/%2f`, where `%2f` is the virtual host `/`.
    ///
    /// A heartbeat of ten seconds is asked for unless the URL names one (`?heartbeat=30`).
    ///
    /// # Errors
    ///
    /// [`TransportError::Permanent`] if the URL is malformed, or asks for TLS, which this build does not have.
    pub fn new(url: &str) -> Result<Self, TransportError> {
        let mut uri: AMQPUri = url
            .parse()
            .map_err(|error| TransportError::Permanent(format!("the AMQP URL is malformed: {error}")))?;
        if uri.scheme == AMQPScheme::AMQPS {
            // Without TLS support the client library would go on in plain text.
            return Err(TransportError::Permanent("amqps needs TLS, which is not built in".into()));
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(RabbitMqConfig {
            uri,
            name: "saga".into(),
            publish_channels: PUBLISH_CHANNELS,
            deadline: PUBLISH_DEADLINE,
            delivery_limit: DELIVERY_LIMIT,
            body_bytes_max: BODY_BYTES_MAX,
            backoff: Backoff::new(RECONNECT_FIRST, RECONNECT_MAX),
        })
    }

    /// What the connections are called in RabbitMQ's lists. Name the service here.
    pub fn name(self, name: impl Into<String>) -> Self {
        RabbitMqConfig { name: name.into(), ..self }
    }

    /// How many batches may wait for their confirms at once. Four by default, at least one.
    pub fn publish_channels(self, publish_channels: usize) -> Self {
        let publish_channels = publish_channels.max(1);
        RabbitMqConfig { publish_channels, ..self }
    }

    /// How long one call may take: connecting, declaring, publishing with its confirms, settling.
    ///
    /// A batch whose confirms take longer counts as unknown, and its connection is dropped.
    pub fn deadline(self, deadline: Duration) -> Self {
        RabbitMqConfig { deadline, ..self }
    }

    /// How often the broker delivers a message before it moves it to the dead letters by itself.
    ///
    /// Keep it far above the attempts of the sagas, because their own count decides: RabbitMQ before 4.0 counts
    /// a lost connection as a delivery. It is an argument of the queue, so it must not change once queues exist.
    pub fn delivery_limit(self, delivery_limit: u32) -> Self {
        RabbitMqConfig { delivery_limit, ..self }
    }

    /// The largest body that is published, in bytes. Must stay below the broker's `max_message_size`.
    pub fn body_bytes_max(self, body_bytes_max: usize) -> Self {
        RabbitMqConfig { body_bytes_max, ..self }
    }

    /// The pauses between attempts to connect. They never end.
    pub fn backoff(self, backoff: Backoff) -> Self {
        RabbitMqConfig { backoff, ..self }
    }
}

/// Shows everything but the password.
impl fmt::Debug for RabbitMqConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.uri.authority;
        f.debug_struct("RabbitMqConfig")
            .field("host", &authority.host)
            .field("port", &authority.port)
            .field("user", &authority.userinfo.username)
            .field("vhost", &self.uri.vhost)
            .field("name", &self.name)
            .field("publish_channels", &self.publish_channels)
            .field("deadline", &self.deadline)
            .field("delivery_limit", &self.delivery_limit)
            .field("body_bytes_max", &self.body_bytes_max)
            .field("backoff", &self.backoff)
            .finish()
    }
}

/// A peer that vanished is noticed after two of these. RabbitMQ's own default of a minute is long for money.
const HEARTBEAT_SECONDS: u16 = 10;

/// One batch per channel is in flight; four hide the latency of a quorum write without crowding the broker.
const PUBLISH_CHANNELS: usize = 4;

/// One lost connection a second for eleven days: no outage gets there, an endless loop does.
const DELIVERY_LIMIT: u32 = 1_000_000;

/// A restarted node or a cut connection is back within this.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);

/// Long enough to spare a broker that is down, short enough to be back soon after it.
const RECONNECT_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_shown() {
        let config = RabbitMqConfig::new("amqp://user:canary@host:5672/%2f").unwrap();
        assert!(!format!("{config:?}").contains("canary"));
        let error = RabbitMqConfig::new("amqp://user:canary@host:port/%2f").unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
    }

    #[test]
    fn a_url_that_asks_for_tls_is_refused_and_not_sent_in_plain_text() {
        let error = RabbitMqConfig::new("amqps://user:password@host/%2f").unwrap_err();
        assert!(!error.is_temporary());
    }

    #[test]
    fn a_heartbeat_is_set_unless_the_url_names_one() {
        let heartbeat = |url| RabbitMqConfig::new(url).unwrap().uri.query.heartbeat;
        assert_eq!(heartbeat("amqp://host"), Some(10));
        assert_eq!(heartbeat("amqp://host/%2f?heartbeat=3"), Some(3));
    }
}
