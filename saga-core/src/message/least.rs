//! The least value of a type: false, zero, nothing, the first variant. For tests that need some reply, whatever it is.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// A source that has an answer to whatever a type asks for, and always the least one.
///
/// A type may want more of a text or a number than its kind says: a UUID, a number that is not zero. So there are
/// several sources, which differ in what they give for those. They also differ in what they choose: no or
/// yes, and the variant of an enum.
#[derive(Clone, Copy)]
pub(super) struct Least {
    text: &'static str,
    number: u64,
    /// No or yes, and which variant.
    choice: usize,
    any: Any,
    depth_left: usize,
}

/// What is given to a type that takes whatever comes.
#[derive(Clone, Copy)]
enum Any {
    Nothing,
    Map,
    Text,
    Number,
}

impl Least {
    /// Every source, the least one first.
    pub(super) fn sources() -> impl Iterator<Item = Least> {
        let anys = [Any::Nothing, Any::Map, Any::Text, Any::Number];
        let least = Least { text: "", number: 0, choice: 0, any: Any::Nothing, depth_left: DEPTH_MAX };
        let choices = (0..CHOICES).map(move |choice| Least { choice, ..least });
        let anys = choices.flat_map(move |source| anys.map(|any| Least { any, ..source }));
        let texts = anys.flat_map(|source| TEXTS.map(|text| Least { text, ..source }));
        texts.flat_map(|source| [0, 1].map(|number| Least { number, ..source }))
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1);
        let depth_left = depth_left.ok_or_else(|| E::custom("the type has no least value, it never ends"))?;
        Ok(Least { depth_left, ..self })
    }
}

// The visitor of any number takes any other that fits.
macro_rules! numbers {
    ($($method:ident)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            visitor.visit_u64(self.number)
        })+
    };
}

impl<'de> Deserializer<'de> for Least {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.any {
            Any::Nothing => visitor.visit_unit(),
            Any::Map => visitor.visit_map(Fields { names: &[], source: self }),
            Any::Text => visitor.visit_str(self.text),
            Any::Number => visitor.visit_u64(self.number),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_bool(self.choice > 0)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_char('a')
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_str(self.text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_str(self.text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self.deeper()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Items { left: 0, source: self })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(Items { left: len, source: self.deeper()? })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(Fields { names: &[], source: self })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_map(Fields { names, source: self.deeper()? })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let name = variants.get(self.choice).or(variants.first());
        let name = name.ok_or_else(|| Self::Error::custom("the enum has no variants"))?;
        visitor.visit_enum(Variant { name, source: self.deeper()? })
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }
    forward_to_deserialize_any! { bytes byte_buf identifier ignored_any }
}

/// A sequence of least values.
struct Items {
    left: usize,
    source: Least,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return Ok(None),
        }
        seed.deserialize(self.source).map(Some)
    }
}

/// A struct's fields, each with its least value.
struct Fields {
    names: &'static [&'static str],
    source: Least,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        match self.names.split_first() {
            Some((name, rest)) => {
                self.names = rest;
                seed.deserialize(StrDeserializer::new(name)).map(Some)
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        seed.deserialize(self.source)
    }
}

/// A variant of an enum.
struct Variant {
    name: &'static str,
    source: Least,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = serde_json::Error;
    type Variant = Least;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Least), Self::Error> {
        Ok((seed.deserialize(StrDeserializer::new(self.name))?, self.source))
    }
}

impl<'de> VariantAccess<'de> for Least {
    type Error = serde_json::Error;

    fn unit_variant(self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Self::Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_map(Fields { names, source: self })
    }
}

/// What types that are written as text commonly want it to be.
const TEXTS: [&str; 6] =
    ["", "0", "a", "00000000-0000-0000-0000-000000000000", "1970-01-01T00:00:00Z", "1970-01-01"];

/// A type that is nested deeper than this has itself inside, with no way out.
const DEPTH_MAX: usize = 32;

/// How many variants of an enum are tried. A yes and a no are rarely farther apart.
const CHOICES: usize = 8;
