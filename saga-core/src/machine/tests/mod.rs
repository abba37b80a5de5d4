//! The machine's proof: every cell of State x Event, the rules one by one, and random sagas over a bad network.

mod case;
mod contract;

mod cancel;
mod conditions;
mod deadline;
mod drawing;
mod groups;
mod items;
mod network;
mod notifications;
mod panics;
mod parking;
mod participants;
mod pauses;
mod properties;
mod signals;
mod stored;
mod sub_sagas;
mod table;
mod topology;
mod unknown;
mod upgrades;
