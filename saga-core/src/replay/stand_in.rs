//! Stand-ins: values of the same form as those that are hidden.

use std::collections::{HashMap, HashSet};

use serde_json::{Number, Value};

use crate::message::Payload;

/// What stands for what. Equal values have equal stand-ins, and different ones different, so that keys keep apart and
/// references meet.
pub(super) struct StandIns<'a> {
    keep: &'a [&'a str],
    texts: Pairs,
    numbers: Pairs,
}

/// Values, and what stands for each.
#[derive(Default)]
struct Pairs {
    of: HashMap<String, String>,
    taken: HashSet<String>,
}

impl<'a> StandIns<'a> {
    /// Stand-ins for all values but those of the fields named so.
    pub(super) fn keeping(keep: &'a [&'a str]) -> Self {
        StandIns { keep, texts: Pairs::default(), numbers: Pairs::default() }
    }

    /// A body; if it has no fields, it goes by the name that it has in its event.
    pub(super) fn payload(&mut self, name: &str, payload: &Payload) -> Payload {
        let hidden = match payload.decode::<Value>() {
            Ok(value) if !value.is_object() && !value.is_array() && self.keep.contains(&name) => {
                return payload.clone();
            }
            Ok(value) => self.value(value).to_string(),
            Err(_) => self.text(payload.as_text()),
        };
        Payload::from_bytes(hidden.into()).unwrap_or_default()
    }

    /// The value of a field.
    pub(super) fn field(&mut self, name: &str, text: &str) -> String {
        if self.keep.contains(&name) { text.to_owned() } else { self.text(text) }
    }

    /// What stands for the key of an item, if that was among the values.
    pub(super) fn key(&self, key: &str) -> Option<&String> {
        self.texts.of.get(key).or_else(|| self.numbers.of.get(key))
    }

    fn value(&mut self, value: Value) -> Value {
        match value {
            Value::Null | Value::Bool(_) => value,
            Value::Number(number) => Value::Number(self.number(number)),
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.value(value)).collect(),
            Value::Object(fields) => {
                let hidden =
                    fields.into_iter().map(|(name, value)| match self.keep.contains(&name.as_str()) {
                        true => (name, value),
                        false => (name, self.value(value)),
                    });
                hidden.collect()
            }
        }
    }

    fn text(&mut self, text: &str) -> String {
        // A time remains one, if its letters stay.
        let is_time = text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().filter(|c| c.is_alphabetic()).all(|c| "TZ".contains(c));
        self.texts.stand_in(text, |c| c.is_numeric() || c.is_alphabetic() && !is_time, |_| true)
    }

    /// Zero stays: it says that there is none.
    fn number(&mut self, number: Number) -> Number {
        if number.as_f64() == Some(0.0) {
            return number;
        }
        let is_like = |other: &Number| other.is_f64() == number.is_f64() && other.is_i64() == number.is_i64();
        let is_number = |text: &str| text.parse().is_ok_and(|other| is_like(&other));
        let hidden = self.numbers.stand_in(&number.to_string(), |c| c.is_ascii_digit(), is_number);
        hidden.parse().unwrap_or(number)
    }
}

impl Pairs {
    /// What stands for `value`: the first text of its form that is free and will do. Signs and spaces stay.
    fn stand_in(
        &mut self,
        value: &str,
        changes: impl Fn(char) -> bool,
        will_do: impl Fn(&str) -> bool,
    ) -> String {
        if !value.chars().any(&changes) {
            return value.to_owned();
        }
        if let Some(known) = self.of.get(value) {
            return known.clone();
        }
        let mut form = Form::of(value, changes);
        let mut stand_in = form.text();
        while self.taken.contains(&stand_in) || !will_do(&stand_in) {
            form.count();
            stand_in = form.text();
        }
        self.of.insert(value.to_owned(), stand_in.clone());
        self.taken.insert(stand_in.clone());
        stand_in
    }
}

/// A text that counts through all texts of its form, like an odometer.
struct Form {
    places: Vec<Place>,
}

/// A character, and those that it turns through, if it turns.
struct Place {
    shown: char,
    wheel: &'static str,
}

impl Form {
    fn of(value: &str, changes: impl Fn(char) -> bool) -> Self {
        // What may be hexadecimal, such as a UUID, stays so.
        let is_hex = value.chars().filter(|c| c.is_alphabetic()).all(|c| c.is_ascii_hexdigit());
        let place = |c: char| match changes(c) {
            true => Place::on(wheel(c, is_hex)),
            false => Place { shown: c, wheel: "" },
        };
        Form { places: value.chars().map(place).collect() }
    }

    fn text(&self) -> String {
        self.places.iter().map(|place| place.shown).collect()
    }

    /// Goes on by one. When all texts are through, those that are longer by one follow.
    fn count(&mut self) {
        for place in self.places.iter_mut().rev().filter(|place| !place.wheel.is_empty()) {
            if place.turn() {
                return;
            }
        }
        self.places.push(Place::on(DIGITS));
    }
}

impl Place {
    fn on(wheel: &'static str) -> Self {
        Place { shown: wheel.chars().next().unwrap_or_default(), wheel }
    }

    /// Turns to the next character. False if it is the first one again.
    fn turn(&mut self) -> bool {
        let next = self.wheel.chars().skip_while(|c| *c != self.shown).nth(1);
        *self = next.map_or(Place::on(self.wheel), |shown| Place { shown, ..*self });
        next.is_some()
    }
}

/// The characters that stand for one.
fn wheel(c: char, is_hex: bool) -> &'static str {
    match (c.is_numeric(), c.is_uppercase(), is_hex) {
        (true, _, _) => DIGITS,
        (false, true, true) => "ABCDEF",
        (false, true, false) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (false, false, true) => "abcdef",
        (false, false, false) => "abcdefghijklmnopqrstuvwxyz",
    }
}

/// Beginning with one, so that a date remains a date.
const DIGITS: &str = "1234567890";

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(keep: &[&str], text: &str) -> String {
        let payload = Payload::from_bytes(text.to_owned().into()).unwrap();
        StandIns::keeping(keep).payload("done", &payload).as_text().to_owned()
    }

    #[test]
    fn a_stand_in_has_the_form_of_what_it_hides() {
        let order = r#"{"by":"Ada Lovelace <ada@example.org>","id":"0192f8a1-7c3e-7000-b0ff-1234567890ab","on":"2026-11-22T22:10:00Z"}"#;
        let same_form = r#"{"by":"Aaa Aaaaaaaa <aaa@aaaaaaa.aaa>","id":"1111a1a1-1a1a-1111-a1aa-1111111111aa","on":"1111-11-11T11:11:11Z"}"#;
        assert_eq!(hidden(&[], order), same_form);
        assert_eq!(hidden(&[], r#"[true,null,"",0,0.0,-17,2.5]"#), r#"[true,null,"",0,0.0,-11,1.1]"#);
        assert_eq!(hidden(&[], "no JSON, Ada"), "aa AAAA, Aaa");
    }

    #[test]
    fn equal_values_stay_equal_and_different_ones_different() {
        assert_eq!(hidden(&[], r#"["pen","cup","pen","ink"]"#), r#"["aaa","aab","aaa","aac"]"#);
        assert_eq!(hidden(&[], "[23,24,23,230]"), "[11,12,11,111]");
        let digits: Vec<u8> = (1..=12).collect();
        let hidden: Vec<u8> = serde_json::from_str(&hidden(&[], &format!("{digits:?}"))).unwrap();
        assert_eq!(hidden.iter().collect::<HashSet<_>>().len(), 12, "{hidden:?}");
    }

    #[test]
    fn a_body_without_fields_goes_by_its_name_in_the_event() {
        assert_eq!(hidden(&["done"], r#""Ada""#), r#""Ada""#);
        assert_eq!(hidden(&["refused"], r#""Ada""#), r#""Aaa""#);
        assert_eq!(hidden(&["done"], r#"{"by":"Ada"}"#), r#"{"by":"Aaa"}"#);
    }

    #[test]
    fn a_field_that_is_kept_is_kept_wherever_it_is() {
        let order = r#"{"amount":600,"lines":[{"amount":7,"item":"pen"}]}"#;
        assert_eq!(hidden(&["amount"], order), r#"{"amount":600,"lines":[{"amount":7,"item":"aaa"}]}"#);
    }
}
