//! The notice that sagas have ended, by which participants learn which fence rows they may forget.

use bytes::Bytes;

use super::reader::{DecodeError, Reader};
use super::{KIND_END_NOTICE, WIRE_VERSION, header};
use crate::id::{Destination, MessageId, SagaId};
use crate::message::{Envelope, Headers};

/// Says that sagas have ended, to a participant that may have rows of them.
///
/// Nobody answers it, and it changes no saga: one that is lost leaves rows where they are, one that comes twice or for
/// rows that do not exist does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndNotice {
    /// The sagas: at least one, and at most [`SAGAS_MAX`](EndNotice::SAGAS_MAX).
    sagas: Vec<SagaId>,
}

impl EndNotice {
    /// How many sagas share a notice: with 39 bytes each, far below what every broker takes.
    pub const SAGAS_MAX: usize = 1_000;

    /// As many notices as it takes for these sagas.
    pub fn of(sagas: &[SagaId]) -> impl Iterator<Item = EndNotice> {
        sagas.chunks(Self::SAGAS_MAX).map(|sagas| EndNotice { sagas: sagas.to_vec() })
    }

    /// The sagas that have ended.
    pub fn sagas(&self) -> &[SagaId] {
        &self.sagas
    }

    /// Writes the notice as an envelope to `participant`. It has its first saga's key, and its id from that.
    pub fn encode(&self, participant: Destination) -> Envelope {
        let first = self.sagas[0];
        let mut headers = Headers::with_capacity(2);
        headers.insert(header::WIRE, WIRE_VERSION);
        headers.insert(header::KIND, KIND_END_NOTICE);
        // Ids have a JSON form.
        let body = serde_json::to_vec(&self.sagas).map(Bytes::from).unwrap_or_default();
        Envelope { id: MessageId::end_notice(first), destination: participant, key: first, headers, body }
    }

    /// Whether an envelope says that it is a notice of this kind.
    pub fn is_one(envelope: &Envelope) -> bool {
        envelope.headers.value(header::KIND) == Some(KIND_END_NOTICE)
    }

    /// Reads a notice from an envelope.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the header or body that is missing or wrong.
    pub fn decode(envelope: &Envelope) -> Result<Self, DecodeError> {
        let sagas: Vec<SagaId> = Reader::open(envelope, &[KIND_END_NOTICE])?.body()?.decode()?;
        match sagas.len() {
            1..=Self::SAGAS_MAX => Ok(EndNotice { sagas }),
            count => Err(DecodeError::Sagas(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::message::CommandMessage;

    fn sagas(count: u128) -> Vec<SagaId> {
        (1..=count).map(|id| SagaId::from_uuid(Uuid::from_u128(id))).collect()
    }

    fn inventory() -> Destination {
        Destination::new("inventory").unwrap()
    }

    #[test]
    fn a_notice_comes_back_as_it_was_sent_and_is_no_command() {
        let notice = EndNotice::of(&sagas(3)).next().unwrap();
        let sent = notice.encode(inventory());
        assert!(EndNotice::is_one(&sent));
        assert_eq!(EndNotice::decode(&sent).unwrap(), notice);
        assert!(CommandMessage::decode(&sent).is_err());
    }

    #[test]
    fn many_sagas_share_as_few_notices_as_they_can() {
        let sizes: Vec<usize> = EndNotice::of(&sagas(2_001)).map(|notice| notice.sagas().len()).collect();
        assert_eq!(sizes, [1_000, 1_000, 1]);
        assert_eq!(EndNotice::of(&[]).count(), 0);
    }

    #[test]
    fn a_notice_of_no_saga_or_of_too_many_is_refused() {
        let sent = EndNotice::of(&sagas(1)).next().unwrap().encode(inventory());
        for count in [0, 1_001] {
            let body = serde_json::to_vec(&sagas(count)).unwrap().into();
            let error = EndNotice::decode(&Envelope { body, ..sent.clone() }).unwrap_err();
            assert!(matches!(error, DecodeError::Sagas(_)), "{error}");
        }
    }
}
