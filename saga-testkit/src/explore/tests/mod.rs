//! The explorer against a second model that leaves nothing out, against counts of others, and against broken machines.

mod broken;
mod counts;
mod entries;
mod external;
mod portrait;
mod reduction;
mod sub_sagas;
mod unreduced;
mod upgrades;
