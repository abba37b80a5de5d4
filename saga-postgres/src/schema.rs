//! The schema that the tables live in, and the one place where its name enters SQL.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// The name of the schema that holds the framework's tables: `saga` unless configured otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema(String);

impl Schema {
    /// Takes `name` if it is 1 to 48 lowercase letters, digits or underscores and begins with a letter.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] if it is not.
    pub fn new(name: impl Into<String>) -> Result<Self, SchemaError> {
        let name = name.into();
        let proper = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase());
        if begins_well && name.len() <= NAME_LENGTH_MAX && name.chars().all(proper) {
            Ok(Schema(name))
        } else {
            Err(SchemaError { name })
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as SQL wants it; quoted, because a proper name may still be a word of SQL's.
    pub(crate) fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }

    /// A statement written for the schema `saga`, for this one.
    pub(crate) fn sql(&self, statement: &'static str) -> SqlStr {
        if self.0 == DEFAULT_NAME {
            return statement.into_sql_str();
        }
        AssertSqlSafe(statement.replace("saga.", &format!("{}.", self.quoted()))).into_sql_str()
    }
}

impl Default for Schema {
    fn default() -> Self {
        Schema(DEFAULT_NAME.into())
    }
}

/// A schema's name was not a proper one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the schema name {name:?} is not 1 to 48 lowercase letters, digits or underscores, beginning with a letter"
)]
pub struct SchemaError {
    name: String,
}

/// The name that every statement and migration in this crate is written with.
const DEFAULT_NAME: &str = "saga";

/// Postgres allows 63 bytes; the rest is room for a suffix.
const NAME_LENGTH_MAX: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_need_care_in_sql_are_refused() {
        for bad in ["", "Saga", "1saga", "_saga", "a b", "a\"b", "a.b", "ä", &"x".repeat(49)] {
            assert!(Schema::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Schema::new("order_2").unwrap().quoted(), "\"order_2\"");
    }

    #[test]
    fn a_statement_is_rewritten_for_another_schema_only() {
        let text = "SELECT saga FROM saga.timer";
        assert_eq!(Schema::default().sql(text).as_str(), text);
        assert_eq!(Schema::new("mine").unwrap().sql(text).as_str(), "SELECT saga FROM \"mine\".timer");
    }
}
