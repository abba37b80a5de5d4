//! Bodies: JSON text, kept as bytes and parsed only by those whom it concerns.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::least::Least;

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

    /// Writes the least value of `T`: false, zero, nothing, the first variant. For tests that need some value.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Decode`] if `T` wants more of its parts than can be guessed, [`PayloadError::Encode`] if the
    /// value has no JSON form.
    pub fn least<T: Serialize + DeserializeOwned>() -> Result<Self, PayloadError> {
        Payload::least_that::<T>(|_| true)
    }

    /// Writes the least value of `T` that is `wanted`, among a few of its values. See [`least`](Payload::least).
    pub(crate) fn least_that<T: Serialize + DeserializeOwned>(
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Self, PayloadError> {
        let is_wanted = |value: T| match wanted(&value) {
            true => Ok(value),
            false => Err(serde::de::Error::custom("none of its least values will do")),
        };
        let mut values = Least::sources().map(|source| T::deserialize(source).and_then(is_wanted));
        let first =
            values.next().unwrap_or_else(|| Err(serde::de::Error::custom("there is no value to try")));
        let value = first.or_else(|error| values.find_map(Result::ok).ok_or(error));
        Payload::encode(&value.map_err(PayloadError::Decode)?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::num::NonZeroU8;
    use uuid::Uuid;

    fn least<T: Serialize + DeserializeOwned>() -> String {
        Payload::least::<T>().unwrap().as_text().to_owned()
    }

    #[derive(Serialize, Deserialize)]
    struct Order {
        id: Uuid,
        items: Vec<u8>,
        total: (i64, f32),
        note: Option<String>,
        by: BTreeMap<String, u8>,
        tags: [bool; 2],
    }

    #[derive(Serialize, Deserialize)]
    enum Shape {
        Round { radius: NonZeroU8 },
        Square(u8),
    }

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u8),
        Text(String),
    }

    #[derive(Serialize, Deserialize)]
    struct Endless(Box<Endless>);

    #[test]
    fn the_least_value_is_one_that_its_type_takes() {
        assert_eq!((least::<()>(), least::<u64>()), ("null".into(), "0".into()));
        assert_eq!((least::<String>(), least::<Option<u8>>()), (r#""""#.into(), "null".into()));
        assert_eq!((least::<char>(), least::<i128>()), (r#""a""#.into(), "0".into()));
        assert_eq!(least::<Shape>(), r#"{"Round":{"radius":1}}"#);
        assert_eq!((least::<Either>(), least::<serde_json::Value>()), (r#""""#.into(), "null".into()));
        let order = r#"{"id":"00000000-0000-0000-0000-000000000000","items":[],"total":[0,0.0],"note":null,"by":{},"tags":[false,false]}"#;
        assert_eq!(least::<Order>(), order);
        assert!(least::<(Shape, Either)>().contains("Round"));
    }

    #[test]
    fn the_least_value_that_will_do_is_found_among_a_few() {
        assert_eq!(Payload::least_that(|yes: &bool| *yes).unwrap().as_text(), "true");
        let square = |shape: &Shape| matches!(shape, Shape::Square(_));
        assert_eq!(Payload::least_that(square).unwrap().as_text(), r#"{"Square":0}"#);
        assert!(Payload::least_that(|number: &u8| *number > 100).is_err());
    }

    #[test]
    fn a_type_without_a_least_value_is_an_error() {
        let error = Payload::least::<Endless>().unwrap_err();
        assert!(error.to_string().contains("never ends"), "{error}");
    }
}
