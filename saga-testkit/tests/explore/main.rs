//! The explorer finds what is wrong with a saga, shows the shortest way to it, and finds nothing where nothing is.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

/// Commands of a participant that say nothing, and are answered with nothing.
macro_rules! commands {
    ($participant:ident: $($name:ident $type:literal)+) => {
        $(
            #[derive(Serialize, Deserialize)]
            struct $name;
            impl Command for $name {
                const TYPE: &'static str = $type;
                type Participant = $participant;
                type Reply = ();
                type Refusal = ();
            }
        )+
    };
}

mod dirty_read;
#[path = "../document/mod.rs"]
mod document;
mod external;
mod fences;
mod lost_update;
mod saga_of_one;
mod shop;
mod sub_sagas;
mod topologies;
