//! What the client library's errors mean to a caller. One table, used by every room.

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use saga_core::port::TransportError;

/// Translates an error of connecting, declaring or consuming.
///
/// Temporary is the rule: a human can still mend a permission or a queue while this service keeps trying. Permanent
/// is what cannot come right without a human.
pub(super) fn transport_error(error: &lapin::Error) -> TransportError {
    if needs_a_human(error) {
        TransportError::Permanent(error.to_string())
    } else {
        TransportError::Temporary(error.to_string())
    }
}

/// Whether a message alone on its channel was refused for what it is: too large, or malformed.
pub(super) fn refuses_the_message(error: &lapin::Error) -> bool {
    matches!(soft(error), Some(AMQPSoftError::PRECONDITIONFAILED | AMQPSoftError::CONTENTTOOLARGE))
}

/// Whether something is not there, or we have no right to it; for a message that was published, the exchange that is its
/// topic. A human may mend either.
pub(super) fn is_out_of_reach(error: &lapin::Error) -> bool {
    matches!(soft(error), Some(AMQPSoftError::NOTFOUND | AMQPSoftError::ACCESSREFUSED))
}

/// Whether a declaration met a queue or an exchange of another kind.
pub(super) fn is_mismatch(error: &lapin::Error) -> bool {
    matches!(soft(error), Some(AMQPSoftError::PRECONDITIONFAILED))
}

/// A missing queue (404) is not among these: someone may declare it yet, and a quorum queue whose node is away
/// answers the same. Nor is 541, which RabbitMQ 3.10 gives to whoever consumes from a queue that is being declared.
fn needs_a_human(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(error) => matches!(
            error.kind(),
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
                | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::INVALIDPATH)
        ),
        ErrorKind::InvalidProtocolVersion(_) | ErrorKind::AuthProviderError(_) => true,
        _ => false,
    }
}

fn soft(error: &lapin::Error) -> Option<&AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::AMQPError;

    fn error(kind: impl Into<AMQPErrorKind>) -> lapin::Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), "as told by the broker".into())).into()
    }

    #[test]
    fn what_a_fresh_connection_may_mend_is_temporary() {
        for temporary in [
            error(AMQPHardError::INTERNALERROR),
            error(AMQPHardError::CONNECTIONFORCED),
            error(AMQPSoftError::NOTFOUND),
            std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into(),
        ] {
            assert!(transport_error(&temporary).is_temporary(), "{temporary}");
        }
    }

    #[test]
    fn what_needs_a_human_is_permanent_and_keeps_the_brokers_words() {
        for permanent in [
            error(AMQPSoftError::ACCESSREFUSED),
            error(AMQPSoftError::PRECONDITIONFAILED),
            error(AMQPHardError::NOTALLOWED),
        ] {
            let translated = transport_error(&permanent);
            assert!(!translated.is_temporary(), "{permanent}");
            assert!(translated.to_string().contains("as told by the broker"));
        }
    }
}
