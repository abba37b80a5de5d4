//! Counts the statements and the write commits of this process, whoever wrote the code that makes them.
//!
//! sqlx reports each statement as an event, and this module listens. A write commit is a statement that wrote a
//! row outside a transaction block, or a `COMMIT` of a block in which one did. Which block a statement
//! belongs to is known by the task that runs it. So floor and framework are counted in the same way, and neither
//! has to count for us. `pg_stat_database.xact_commit` would count reads too, and autovacuum's work.
//!
//! The server's own count stands beside it in the table: the number of transaction ids it gave away. Postgres
//! gives one to each transaction that writes, and to no other; a savepoint that writes costs one more.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::task;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

/// Statements and write commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) statements: u64,
    pub(crate) commits: u64,
}

impl Counts {
    /// The counts of this process since [`count`] was called.
    pub(crate) fn now() -> Counts {
        tally().counts
    }

    /// What came after `earlier`.
    pub(crate) fn since(self, earlier: Counts) -> Counts {
        Counts { statements: self.statements - earlier.statements, commits: self.commits - earlier.commits }
    }
}

/// Begins to count.
///
/// # Errors
///
/// If the process has a listener for events already.
pub(crate) fn count() -> Result<()> {
    tracing::subscriber::set_global_default(Listener).context("cannot count statements")
}

fn tally() -> std::sync::MutexGuard<'static, Tally> {
    static TALLY: OnceLock<Mutex<Tally>> = OnceLock::new();
    let tally = TALLY.get_or_init(Mutex::default);
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Tally {
    counts: Counts,
    /// The tasks inside a transaction block, and whether they have written in it.
    blocks: HashMap<Option<task::Id>, bool>,
}

impl Tally {
    fn note(&mut self, task: Option<task::Id>, sql: &str, rows: u64) {
        self.counts.statements += 1;
        match kind(sql) {
            Kind::Begin => {
                self.blocks.insert(task, false);
            }
            Kind::Commit => self.counts.commits += u64::from(self.blocks.remove(&task) == Some(true)),
            Kind::Rollback => {
                self.blocks.remove(&task);
            }
            Kind::Write if rows > 0 => match self.blocks.get_mut(&task) {
                Some(wrote) => *wrote = true,
                None => self.counts.commits += 1,
            },
            Kind::Write | Kind::Other => {}
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Begin,
    Commit,
    Rollback,
    Write,
    Other,
}

fn kind(sql: &str) -> Kind {
    let mut words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let mut words = words.by_ref().filter(|word| !word.is_empty());
    let is = |word: &str, names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    let Some(first) = words.next() else {
        return Kind::Other;
    };
    if is(first, &["BEGIN", "START"]) {
        Kind::Begin
    } else if is(first, &["COMMIT", "END"]) {
        Kind::Commit
    } else if is(first, &["ROLLBACK"]) && !words.any(|word| is(word, &["TO"])) {
        Kind::Rollback
    } else if is(first, WRITES) || (is(first, &["WITH"]) && words.any(|word| is(word, WRITES))) {
        Kind::Write
    } else {
        Kind::Other
    }
}

const WRITES: &[&str] = &["INSERT", "UPDATE", "DELETE", "MERGE"];

/// Listens to the events of sqlx and to nothing else.
struct Listener;

impl Subscriber for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, event: &Event<'_>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        tally().note(task::try_id(), statement.text(), statement.rows);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// What sqlx says of a statement: a short one is the summary, a longer one is given in full beside its first words.
#[derive(Default)]
struct Statement {
    summary: String,
    full: String,
    rows: u64,
}

impl Statement {
    fn text(&self) -> &str {
        if self.full.is_empty() { &self.summary } else { &self.full }
    }
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => self.summary.push_str(value),
            "db.statement" => self.full.push_str(value),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_affected" {
            self.rows = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(statements: &[&str]) -> Counts {
        let mut tally = Tally::default();
        for sql in statements {
            tally.note(None, sql, 1);
        }
        tally.counts
    }

    fn counts(statements: u64, commits: u64) -> Counts {
        Counts { statements, commits }
    }

    #[test]
    fn a_statement_that_writes_is_a_commit_of_its_own() {
        let sql = "\n\nWITH a AS (\n INSERT INTO t VALUES (1) RETURNING 1) SELECT count(*) FROM a\n";
        assert_eq!(counted(&[sql, "delete from t"]), counts(2, 2));
        assert_eq!(counted(&["SELECT 1", "WITH a AS (SELECT 1) SELECT * FROM a"]), counts(2, 0));
    }

    #[test]
    fn a_write_that_met_no_row_is_no_commit() {
        let mut tally = Tally::default();
        tally.note(None, "UPDATE t SET a = 1 WHERE due", 0);
        assert_eq!(tally.counts, counts(1, 0));
    }

    #[test]
    fn a_transaction_is_one_commit_if_it_wrote() {
        let block = ["BEGIN", "SAVEPOINT a", "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "COMMIT"];
        assert_eq!(counted(&block), counts(5, 1));
        assert_eq!(counted(&["BEGIN", "SELECT updated_at FROM t", "COMMIT"]), counts(3, 0));
        assert_eq!(counted(&["BEGIN", "INSERT INTO t", "ROLLBACK"]), counts(3, 0));
        assert_eq!(counted(&["BEGIN", "INSERT INTO t", "ROLLBACK TO SAVEPOINT a", "COMMIT"]), counts(4, 1));
    }
}
