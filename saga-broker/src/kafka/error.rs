//! What the client library's errors mean to a caller. One table, used by every room.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use saga_core::port::{PublishError, TransportError};

use super::metric;

/// Translates an error of connecting, declaring or consuming.
///
/// Temporary is the rule: a human can still mend a permission or a topic while this service keeps trying. Permanent
/// is what cannot come right without a human.
pub(super) fn transport_error(error: &KafkaError) -> TransportError {
    let misconfigured = matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_));
    let permanent = misconfigured || error.rdkafka_error_code().is_some_and(needs_a_human);
    if permanent {
        TransportError::Permanent(error.to_string())
    } else {
        TransportError::Temporary(error.to_string())
    }
}

/// Translates the answer to a topic's creation.
pub(super) fn declare_error(topic: &str, code: Code) -> TransportError {
    let why = format!("the topic {topic} cannot be created: {code}");
    if needs_a_human(code) { TransportError::Permanent(why) } else { TransportError::Temporary(why) }
}

fn needs_a_human(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::PolicyViolation
            | Code::UnsupportedFeature
    )
}

/// Translates the error of a message that never left this process: it is certainly not accepted.
pub(super) fn enqueue_error(topic: &str, error: &KafkaError) -> PublishError {
    match delivery_error(topic, error) {
        PublishError::Unknown(why) => PublishError::Unreachable(why),
        certain => certain,
    }
}

/// Translates the error of a message that was handed to the client library.
///
/// Unknown is the rule, because the library does not say whether a message that timed out was ever sent.
pub(super) fn delivery_error(topic: &str, error: &KafkaError) -> PublishError {
    let why = format!("{topic}: {error}");
    match error.rdkafka_error_code() {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            metric::unroutable();
            PublishError::Temporary(format!("unroutable, nobody has declared {topic}"))
        }
        Some(Code::NotEnoughReplicas | Code::TopicAuthorizationFailed) => PublishError::Temporary(why),
        // By this process, which closed the producer or made it anew.
        Some(Code::PurgeQueue) => PublishError::Unreachable(why),
        Some(Code::MessageSizeTooLarge | Code::InvalidTopic) => PublishError::Permanent(why),
        _ => PublishError::Unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(code: Code) -> PublishError {
        delivery_error("orders", &KafkaError::MessageProduction(code))
    }

    #[test]
    fn a_message_that_timed_out_may_have_been_written() {
        assert!(matches!(delivered(Code::MessageTimedOut), PublishError::Unknown(_)));
        assert!(matches!(delivered(Code::NotEnoughReplicasAfterAppend), PublishError::Unknown(_)));
        assert!(matches!(delivered(Code::PurgeInflight), PublishError::Unknown(_)));
    }

    #[test]
    fn a_message_that_never_left_was_certainly_not_accepted() {
        let full = enqueue_error("orders", &KafkaError::MessageProduction(Code::QueueFull));
        assert!(matches!(full, PublishError::Unreachable(_)));
        let large = enqueue_error("orders", &KafkaError::MessageProduction(Code::MessageSizeTooLarge));
        assert!(matches!(large, PublishError::Permanent(_)));
    }

    #[test]
    fn a_missing_topic_may_still_be_declared() {
        for code in [Code::UnknownTopic, Code::UnknownTopicOrPartition] {
            let error = delivered(code);
            assert!(matches!(&error, PublishError::Temporary(why) if why.contains("unroutable")), "{error}");
        }
    }

    #[test]
    fn what_needs_a_human_is_permanent() {
        assert!(!declare_error("orders", Code::InvalidTopic).is_temporary());
        assert!(declare_error("orders", Code::OperationTimedOut).is_temporary());
        assert!(
            !transport_error(&KafkaError::MessageConsumption(Code::GroupAuthorizationFailed)).is_temporary()
        );
        assert!(transport_error(&KafkaError::MessageConsumption(Code::AllBrokersDown)).is_temporary());
    }
}
