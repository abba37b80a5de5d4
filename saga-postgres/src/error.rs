//! What Postgres's errors mean: the one place where SQLSTATEs are read.

use saga_core::port::StoreError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Why a call failed, in the words that this crate acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing happened: the server could not be reached, or is busy, restarting or a standby.
    Unavailable(String),
    /// Nothing happened, and only because of what others did at the same time: a deadlock, a serialization failure.
    Collision(String),
    /// Nothing happened: another transaction that is open holds what was waited for.
    Blocked(String),
    /// The answer was lost, so it may have happened or not.
    Lost(String),
    /// Nothing happened, because of a value: one that breaks a constraint, or that its column cannot hold.
    Data(String),
    /// Nothing happened, and never will: a missing table, a missing right.
    Permanent(String),
}

impl Failure {
    /// Whether the connection that it happened on may be used again.
    pub(crate) fn spares_connection(&self) -> bool {
        matches!(self, Failure::Collision(_) | Failure::Blocked(_) | Failure::Data(_))
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => of_server(database.downcast_ref()),
            sqlx::Error::Configuration(_)
            | sqlx::Error::InvalidArgument(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_) => Failure::Permanent(error.to_string()),
            _ => Failure::Lost(error.to_string()),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(why) | Failure::Collision(why) | Failure::Blocked(why) => {
                StoreError::Unavailable(why)
            }
            Failure::Lost(why) => StoreError::Ambiguous(why),
            Failure::Data(why) | Failure::Permanent(why) => StoreError::Rejected(why),
        }
    }
}

/// A failure of a call that has no effect unless it succeeds: what was lost did not happen.
pub(crate) fn without_effect(failure: Failure) -> Failure {
    match failure {
        Failure::Lost(why) => Failure::Unavailable(why),
        other => other,
    }
}

/// A failure of the attempt to connect.
pub(crate) fn of_connecting(error: sqlx::Error) -> Failure {
    match Failure::from(error) {
        // Class 28 and 3D, and a configuration that makes no sense.
        Failure::Permanent(why) => Failure::Permanent(why),
        Failure::Unavailable(why) | Failure::Collision(why) | Failure::Blocked(why) => {
            Failure::Unavailable(why)
        }
        Failure::Lost(why) | Failure::Data(why) => Failure::Unavailable(why),
    }
}

fn of_server(error: &PgDatabaseError) -> Failure {
    let why = describe(error);
    // The session ended. A statement that waits for a synchronous standby has committed when this arrives.
    if matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)
        && !is_refusal_to_connect(error.code())
    {
        return Failure::Lost(why);
    }
    of_sqlstate(error.code(), why)
}

/// The table of SQLSTATEs. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn of_sqlstate(code: &str, why: String) -> Failure {
    match code {
        "08007" | "40003" => Failure::Lost(why), // transaction resolution, statement completion unknown
        "25006" => Failure::Unavailable(why),    // read-only transaction: the server became a standby
        "25P02" => Failure::Permanent(why),      // a statement failed before this one, and nobody rolled back
        "54000" => Failure::Data(why),           // program limit exceeded: an index row or an array too large
        "55P03" => Failure::Blocked(why),        // lock not available
        _ => match code.get(..2) {
            Some("22" | "23") => Failure::Data(why), // data exception, integrity constraint violation
            Some("40") => Failure::Collision(why),   // transaction rollback
            // connection exception, insufficient resources, operator intervention, system error
            Some("08" | "53" | "57" | "58") => Failure::Unavailable(why),
            _ => Failure::Permanent(why),
        },
    }
}

/// FATAL, but nothing was under way: wrong credentials, unknown database, too many connections, still starting.
fn is_refusal_to_connect(code: &str) -> bool {
    matches!(code.get(..2), Some("28" | "3D" | "53")) || code == "57P03"
}

fn describe(error: &PgDatabaseError) -> String {
    let code = error.code();
    let message = error.message();
    match (error.table(), error.constraint()) {
        (Some(table), Some(constraint)) => {
            format!("{message} (table {table}, {constraint}, SQLSTATE {code})")
        }
        (None, _) | (_, None) => format!("{message} (SQLSTATE {code})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlstate_means_what_the_table_says() {
        let kind = |code| of_sqlstate(code, String::new());
        let none = String::new;
        for data in ["22021", "22P05", "23502", "23505", "23514", "54000"] {
            assert_eq!(kind(data), Failure::Data(none()), "{data}");
        }
        for collision in ["40001", "40P01"] {
            assert_eq!(kind(collision), Failure::Collision(none()), "{collision}");
        }
        assert_eq!(kind("55P03"), Failure::Blocked(none()));
        for unavailable in ["08006", "25006", "53300", "57014", "57P03", "58030"] {
            assert_eq!(kind(unavailable), Failure::Unavailable(none()), "{unavailable}");
        }
        for lost in ["08007", "40003"] {
            assert_eq!(kind(lost), Failure::Lost(none()), "{lost}");
        }
        for permanent in ["25P02", "28P01", "3D000", "42P01", "42501", "XX000", ""] {
            assert_eq!(kind(permanent), Failure::Permanent(none()), "{permanent}");
        }
    }
}
