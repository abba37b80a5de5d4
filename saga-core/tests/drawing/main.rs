//! Every construct of a definition is drawn, and so is what becomes of it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod definitions;
mod hostile;
mod sagas;
mod shop;
mod tale;
