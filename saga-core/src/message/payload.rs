//! Bodies: JSON text, kept as bytes and parsed only by those whom it concerns.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A body: UTF-8 text, by convention JSON. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Payload(Bytes);

impl Payload {
    /// Takes bytes as they came.
    ///
    /// # Errors
    ///
    /// [`PayloadError::NotText`] if they are not UTF-8.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, PayloadError> {
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(Payload(bytes)),
            Err(error) => Err(PayloadError::NotText(error)),
        }
    }

    /// Writes `value` as JSON.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Encode`] if `value` has no JSON form (a map whose keys are not text, say).
    pub fn encode<T: Serialize>(value: &T) -> Result<Self, PayloadError> {
        serde_json::to_vec(value).map(|json| Payload(json.into())).map_err(PayloadError::Encode)
    }

    /// Reads the body as a `T`.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Decode`] if it is not JSON, or not that of a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        serde_json::from_slice(&self.0).map_err(PayloadError::Decode)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The text.
    pub fn as_text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Payload {
    /// Shows the size only: bodies hold what customers would not like to read in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_text())
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Payload::from_bytes(text.into()).map_err(D::Error::custom)
    }
}

/// A body could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The body is not UTF-8 text.
    #[error("the body is not UTF-8 text")]
    NotText(#[source] std::str::Utf8Error),
    /// The value has no JSON form.
    #[error("the value cannot be written as JSON: {0}")]
    Encode(#[source] serde_json::Error),
    /// The body is not what it was taken for.
    #[error("the body cannot be read: {0}")]
    Decode(#[source] serde_json::Error),
}
