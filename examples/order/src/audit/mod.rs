//! An audit of all three databases: whether every order ended as its saga says, and nothing was lost, doubled or kept.
//!
//! It reads tables only, and believes none of them: each is held against the others. Run it when nothing moves any
//! more; whatever is still under way is reported as well.
//!
//! ```text
//!  order      orders ◀──▶ instance ◀── replay ── journal ──▶ commands
//!                │            │                                 │
//!  payment,      ▼            ▼                                 ▼
//!  inventory   books ◀──▶  ledgers  ◀───────────────────────▶ fence
//! ```

mod evidence;
mod replay;
mod rules;

use std::fmt;

use saga_postgres::sqlx::{self, PgConnection};

/// The databases of the three services.
pub struct Databases {
    /// The order service's.
    pub order: PgConnection,
    /// The payment service's.
    pub payment: PgConnection,
    /// The inventory service's.
    pub inventory: PgConnection,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which rule is broken.
    pub rule: &'static str,
    /// Where, and how.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// Reads everything, and returns whatever must not be.
///
/// # Errors
///
/// Those of reading.
pub async fn audit(databases: &mut Databases) -> Result<Vec<Finding>, sqlx::Error> {
    let evidence = evidence::gather(databases).await?;
    Ok(rules::broken(&evidence))
}
