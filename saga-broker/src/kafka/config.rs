//! What can be configured, with defaults that suit most services.

use std::fmt;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use saga_core::port::{BODY_BYTES_MAX, PUBLISH_DEADLINE};

/// How to reach Kafka and how to use it.
///
/// # Example: a service with its own name and a shorter deadline
///
/// ```
/// use std::time::Duration;
/// use saga_broker::kafka::KafkaConfig;
///
/// let config = KafkaConfig::new("localhost:9092,localhost:9093")
///     .name("inventory")
///     .deadline(Duration::from_secs(5))
///     .property("compression.type", "lz4");
/// # let _ = config;
/// ```
#[derive(Clone)]
pub struct KafkaConfig {
    pub(super) brokers: String,
    pub(super) name: String,
    pub(super) deadline: Duration,
    pub(super) session_timeout: Duration,
    pub(super) poll_interval_max: Duration,
    pub(super) partitions: u16,
    pub(super) replication: Option<u16>,
    pub(super) body_bytes_max: usize,
    pub(super) properties: Vec<(String, String)>,
}

impl KafkaConfig {
    /// Takes the addresses of some brokers, `host:port` with commas between; the others are found through them.
    pub fn new(brokers: impl Into<String>) -> Self {
        KafkaConfig {
            brokers: brokers.into(),
            name: "saga".into(),
            deadline: PUBLISH_DEADLINE,
            session_timeout: SESSION_TIMEOUT,
            poll_interval_max: POLL_INTERVAL_MAX,
            partitions: PARTITIONS,
            replication: None,
            body_bytes_max: BODY_BYTES_MAX,
            properties: Vec::new(),
        }
    }

    /// What the clients are called in Kafka's logs and quotas (`client.id`). Name the service here.
    pub fn name(self, name: impl Into<String>) -> Self {
        KafkaConfig { name: name.into(), ..self }
    }

    /// How long one call may take: publishing with its confirms, declaring, closing. At least two seconds.
    ///
    /// A message whose confirm takes longer counts as unknown.
    pub fn deadline(self, deadline: Duration) -> Self {
        KafkaConfig { deadline: deadline.max(DEADLINE_MIN), ..self }
    }

    /// How long a process may be silent before its partitions go to others (`session.timeout.ms`).
    ///
    /// Ten seconds by default, a fraction of the library's own, because the sagas of a killed process wait that long.
    /// Brokers allow six seconds and more.
    pub fn session_timeout(self, session_timeout: Duration) -> Self {
        KafkaConfig { session_timeout, ..self }
    }

    /// How long the reading thread may be stuck before its partitions go to others (`max.poll.interval.ms`).
    ///
    /// One minute by default. It never waits for a handler, so a slow handler needs no longer interval.
    pub fn poll_interval_max(self, poll_interval_max: Duration) -> Self {
        KafkaConfig { poll_interval_max, ..self }
    }

    /// How many partitions a declared topic has, and so how many processes can share its messages. Eight by default.
    ///
    /// Topics that exist are left as they are. Dead letters have one partition.
    pub fn partitions(self, partitions: u16) -> Self {
        KafkaConfig { partitions: partitions.max(1), ..self }
    }

    /// How many copies of a declared topic the cluster keeps. The brokers' own default if it is not set.
    pub fn replication(self, replication: u16) -> Self {
        KafkaConfig { replication: Some(replication), ..self }
    }

    /// The largest body that is published, in bytes. Must stay below the topics' `max.message.bytes`.
    pub fn body_bytes_max(self, body_bytes_max: usize) -> Self {
        KafkaConfig { body_bytes_max, ..self }
    }

    /// Sets any property of librdkafka, for all clients: security, compression,
    /// `partition.assignment.strategy` (`range` by default), buffers.
    ///
    /// Those that delivery hangs on (acknowledgements, idempotence, commits, where a new group begins) stay as they
    /// are. A name that the library does not know shows as an error of the first call that needs a client.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// The properties of a client that publishes.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            // Long enough for a batch that is published to become one request. Without it the first message of a batch
            // travels alone, and the client's thread wakes for each: half as much CPU again.
            .set("linger.ms", "0.5")
            // The hash that Java clients use: one saga, one partition, whatever the participant's language.
            .set("partitioner", "murmur2_random");
        self.apply(&mut config);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // The library looks for overdue messages once a second; with that the call keeps its own deadline.
            .set("delivery.timeout.ms", millis(self.deadline - OVERDUE_SCAN))
            // A body is measured before it gets here; what else is large is a dead letter, and must fit.
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            // A topic that is missing for longer than this is reported; the default equals no report at all.
            .set("topic.metadata.propagation.max.ms", "2000");
        config
    }

    /// The properties of a client that reads for `group`.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", millis(self.session_timeout))
            .set("heartbeat.interval.ms", millis(self.session_timeout / HEARTBEATS))
            .set("max.poll.interval.ms", millis(self.poll_interval_max))
            // Prefetched messages are memory; these are enough to keep a reader busy.
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384")
            // How long a full prefetch queue is left alone; the default of a second stalls a fast reader.
            .set("fetch.queue.backoff.ms", "10");
        self.apply(&mut config);
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A new group begins with what was sent before it existed; anything else loses messages.
            .set("auto.offset.reset", "earliest");
        config
    }

    /// The properties of a client that creates topics.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.client();
        self.apply(&mut config);
        config
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", &self.name)
            // A broker that is back is found within a second; the default backs off to ten.
            .set("reconnect.backoff.max.ms", "1000")
            // A network that has fallen silent is noticed so soon; the default waits for a minute.
            .set("socket.timeout.ms", millis(self.deadline))
            .set("socket.keepalive.enable", "true");
        config
    }

    fn apply(&self, config: &mut ClientConfig) {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers).set("allow.auto.create.topics", "false");
    }
}

/// Shows the names of the properties, not their values: one may be a password.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let properties: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("name", &self.name)
            .field("deadline", &self.deadline)
            .field("session_timeout", &self.session_timeout)
            .field("poll_interval_max", &self.poll_interval_max)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("body_bytes_max", &self.body_bytes_max)
            .field("properties", &properties)
            .finish()
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// The sagas of a killed process wait this long for another to take its partitions.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// Two may be lost before the session ends.
const HEARTBEATS: u32 = 3;

/// Far above the longest that the reading thread is away from its client: a commit while partitions are revoked.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Eight processes can share a service's work, more than most have; and a partition costs every broker little.
/// It can be raised later on the brokers: a saga then moves to another partition, and only its order suffers.
const PARTITIONS: u16 = 8;

const OVERDUE_SCAN: Duration = Duration::from_secs(1);
const DEADLINE_MIN: Duration = Duration::from_secs(2);

/// A dead letter must fit whatever its topic took, plus the headers that say why.
const RECORD_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_properties_are_not_shown() {
        let config = KafkaConfig::new("localhost:9092").property("sasl.password", "canary");
        let shown = format!("{config:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("canary"), "{shown}");
    }

    #[test]
    fn what_delivery_hangs_on_cannot_be_configured_away() {
        let config = KafkaConfig::new("localhost:9092")
            .property("acks", "1")
            .property("enable.idempotence", "false")
            .property("enable.auto.commit", "true")
            .property("enable.auto.offset.store", "true")
            .property("auto.offset.reset", "latest")
            .property("allow.auto.create.topics", "true");
        let (producer, consumer) = (config.producer(), config.consumer("group"));
        assert_eq!(producer.get("acks"), Some("all"));
        assert_eq!(producer.get("enable.idempotence"), Some("true"));
        assert_eq!(producer.get("allow.auto.create.topics"), Some("false"));
        assert_eq!(consumer.get("enable.auto.commit"), Some("false"));
        assert_eq!(consumer.get("enable.auto.offset.store"), Some("false"));
        assert_eq!(consumer.get("auto.offset.reset"), Some("earliest"));
    }

    #[test]
    fn what_only_speed_hangs_on_can_be_configured() {
        let config = KafkaConfig::new("localhost:9092")
            .property("linger.ms", "5")
            .property("partition.assignment.strategy", "cooperative-sticky");
        assert_eq!(config.producer().get("linger.ms"), Some("5"));
        assert_eq!(config.consumer("group").get("partition.assignment.strategy"), Some("cooperative-sticky"));
    }
}
