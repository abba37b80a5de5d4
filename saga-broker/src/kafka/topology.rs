//! Declaring: topics, and the topics of their dead letters.

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use saga_core::id::Destination;
use saga_core::port::TransportError;

use super::client::{Aside, Logs};
use super::config::KafkaConfig;
use super::error::{declare_error, transport_error};

/// Creates the topics that do not exist, and refuses those that would lose messages.
///
/// What exists is only looked at, so a service whose topics were made for it needs no right to create any.
pub(super) async fn declare(config: &KafkaConfig, live: &[Destination]) -> Result<(), TransportError> {
    if live.is_empty() {
        return Ok(());
    }
    let declaring = Declaring::new(config).map_err(|error| transport_error(&error))?;
    let dead: Vec<Destination> = live.iter().map(Destination::dead_letters).collect();
    let topics = live.iter().map(|topic| live_topic(config, topic));
    let topics: Vec<NewTopic<'_>> =
        topics.chain(dead.iter().map(|topic| dead_topic(config, topic))).collect();
    let missing = declaring.missing(&topics).await?;
    declaring.create(missing).await
}

fn live_topic<'a>(config: &KafkaConfig, name: &'a Destination) -> NewTopic<'a> {
    NewTopic::new(name.as_str(), config.partitions.into(), replication(config))
}

/// Dead letters are few, and read by people, in one order. A copy has more headers than what it is a copy of.
fn dead_topic<'a>(config: &KafkaConfig, name: &'a Destination) -> NewTopic<'a> {
    NewTopic::new(name.as_str(), 1, replication(config)).set("max.message.bytes", DEAD_BYTES_MAX)
}

fn replication(config: &KafkaConfig) -> TopicReplication<'static> {
    TopicReplication::Fixed(config.replication.map_or(BROKERS_DEFAULT, i32::from))
}

struct Declaring {
    admin: Aside<AdminClient<Logs>>,
    options: AdminOptions,
}

impl Declaring {
    fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let admin = Aside::new(config.admin().create_with_context(Logs)?);
        let within = Some(config.deadline / CALLS);
        let options = AdminOptions::new().request_timeout(within).operation_timeout(within);
        Ok(Declaring { admin, options })
    }

    /// The topics that do not exist, or that this client may not look at.
    ///
    /// The client library passes over the broker's error for one topic, and describes it as having no properties.
    async fn missing<'t>(&self, topics: &'t [NewTopic<'t>]) -> Result<Vec<&'t NewTopic<'t>>, TransportError> {
        let named: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic.name)).collect();
        let described = self.admin.describe_configs(&named, &self.options).await;
        let described = described.map_err(|error| transport_error(&error))?;
        let existing: Vec<_> =
            described.into_iter().flatten().filter(|topic| !topic.entries.is_empty()).collect();
        existing.iter().try_for_each(refuse_if_compacted)?;
        let exists = |topic: &&NewTopic<'_>| existing.iter().any(|found| name(found) == topic.name);
        Ok(topics.iter().filter(|topic| !exists(topic)).collect())
    }

    async fn create(&self, topics: Vec<&NewTopic<'_>>) -> Result<(), TransportError> {
        if topics.is_empty() {
            return Ok(());
        }
        let created = self.admin.create_topics(topics, &self.options).await;
        for result in created.map_err(|error| transport_error(&error))? {
            match result {
                // Another process may have been faster.
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(declare_error(&topic, code)),
            }
        }
        Ok(())
    }
}

/// A compacted topic forgets all but the last message of a saga.
fn refuse_if_compacted(topic: &ConfigResource) -> Result<(), TransportError> {
    let policy = topic.get("cleanup.policy").and_then(|entry| entry.value.as_deref());
    if policy.is_some_and(|policy| policy.contains("compact")) {
        let name = name(topic);
        let why = format!("the topic {name} is compacted (cleanup.policy), so it would lose messages");
        return Err(TransportError::Permanent(why));
    }
    Ok(())
}

fn name(topic: &ConfigResource) -> &str {
    match &topic.specifier {
        OwnedResourceSpecifier::Topic(name) => name,
        OwnedResourceSpecifier::Group(_) | OwnedResourceSpecifier::Broker(_) => "",
    }
}

const BROKERS_DEFAULT: i32 = -1;

/// Sixteen times the brokers' default for a message.
const DEAD_BYTES_MAX: &str = "16777216";

/// Topics are described, then the missing are created; both together within the deadline.
const CALLS: u32 = 2;
