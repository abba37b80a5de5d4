//! A state of the search: where the sagas stand, what the fences hold, and which messages were ever sent.
//!
//! A message that was sent stays deliverable for ever. That is loss (it is never delivered), duplication, delay and
//! reordering at once, and the set of messages is finite. Values are numbers of the tables in `rules`.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use saga_core::id::Direction;
use saga_core::message::Answer;

use super::external::Outside;

/// Everything there is at one moment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// What the participants keep.
    pub(super) model: u32,
    /// The sagas that were given, and behind them those that steps run, as far as they have begun.
    pub(super) sagas: Vec<Local>,
}

impl World {
    /// The saga in a place; [`NONE`] if it has not begun.
    pub(super) fn instance(&self, slot: usize) -> u32 {
        self.sagas.get(slot).map_or(NONE, |local| local.instance)
    }

    /// A saga's part, made if there is none.
    pub(super) fn local_mut(&mut self, slot: usize) -> &mut Local {
        let places = self.sagas.len().max(slot + 1);
        self.sagas.resize_with(places, Local::nobody);
        &mut self.sagas[slot]
    }
}

/// One saga's part of the world.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Local {
    /// The saga; [`NONE`] if it is a step of another one that has not asked for it yet.
    pub(super) instance: u32,
    /// One for each step that was entered, ordered by the step's number.
    pub(super) cells: Vec<Cell>,
}

/// What there is of one step: its fence row, its messages, its timer, and what really happened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) step: u32,
    /// The fence row; [`NONE`] if there is none.
    pub(super) row: u32,
    /// The body of the command that was sent, and of the undo.
    pub(super) command: u32,
    pub(super) undo: u32,
    /// What `Done` or `Refused` said.
    pub(super) said: u32,
    /// Which messages were sent, a bit each, and whether the timer is armed.
    bits: u32,
    /// How often the effect took place and was taken back, up to [`COUNT_MAX`].
    pub(super) effects: u8,
    pub(super) undos: u8,
    /// What is under way outside, if its participant calls another system.
    pub(super) outside: Outside,
}

/// Stands for "no value" among the numbers of values.
pub(super) const NONE: u32 = u32::MAX;

/// Counting on would make no new mistake visible, and an infinite search of a finite mistake.
pub(super) const COUNT_MAX: u8 = 2;

impl Cell {
    pub(super) fn of(step: u32) -> Self {
        let outside = Outside::default();
        Cell {
            step,
            row: NONE,
            command: NONE,
            undo: NONE,
            said: NONE,
            bits: 0,
            effects: 0,
            undos: 0,
            outside,
        }
    }

    pub(super) const fn has(&self, message: Message) -> bool {
        self.bits & message.bit() != 0
    }

    pub(super) const fn with(self, message: Message) -> Self {
        Cell { bits: self.bits | message.bit(), ..self }
    }

    pub(super) const fn with_outside(self, outside: Outside) -> Self {
        Cell { outside, ..self }
    }

    pub(super) const fn is_armed(&self) -> bool {
        self.bits & ARMED != 0
    }

    pub(super) const fn armed(self, armed: bool) -> Self {
        let bits = if armed { self.bits | ARMED } else { self.bits & !ARMED };
        Cell { bits, ..self }
    }

    pub(super) fn body(&self, direction: Direction) -> u32 {
        match direction {
            Direction::Do => self.command,
            Direction::Undo => self.undo,
            Direction::Close => NONE,
        }
    }
}

/// Packed, since every world is hashed and this is most of it.
impl Hash for Cell {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.step) | u64::from(self.row) << 32);
        state.write_u64(u64::from(self.command) | u64::from(self.undo) << 32);
        let counts = u64::from(self.effects) << 56 | u64::from(self.undos) << 60;
        state.write_u64(u64::from(self.said) | u64::from(self.bits) << 32 | counts);
        if self.outside != Outside::default() {
            state.write_u64(self.outside.packed());
        }
    }
}

impl Local {
    /// A saga that is not there yet.
    pub(super) const fn nobody() -> Self {
        Local { instance: NONE, cells: Vec::new() }
    }

    pub(super) const fn is_there(&self) -> bool {
        self.instance != NONE
    }

    pub(super) fn cell(&self, step: u32) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.step == step)
    }

    /// The cell of a step, made if there is none.
    pub(super) fn cell_mut(&mut self, step: u32) -> &mut Cell {
        let place = self.cells.partition_point(|cell| cell.step < step);
        if self.cells.get(place).is_none_or(|cell| cell.step != step) {
            self.cells.insert(place, Cell::of(step));
        }
        &mut self.cells[place]
    }
}

/// A message of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Message {
    Command(Direction),
    Reply(Direction, Said),
    /// What a step has run is released.
    Release,
    /// What a notification tells others, who do not answer.
    Told,
}

/// What a reply says. Answers that are not final are left out: see `docs/explorer.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Said {
    Done,
    Refused,
    Closed,
    Undone,
}

impl Said {
    const ALL: [Said; 4] = [Said::Done, Said::Refused, Said::Closed, Said::Undone];

    pub(super) const fn of(answer: &Answer) -> Option<Self> {
        match answer {
            Answer::Done(_) => Some(Said::Done),
            Answer::Refused(_) => Some(Said::Refused),
            Answer::Closed => Some(Said::Closed),
            Answer::Undone => Some(Said::Undone),
            Answer::Running | Answer::Fault(_) => None,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Said::Done => "done",
            Said::Refused => "refused",
            Said::Closed => "closed",
            Said::Undone => "undone",
        }
    }
}

impl Message {
    pub(super) fn commands() -> impl Iterator<Item = Direction> {
        Direction::ALL.into_iter()
    }

    pub(super) fn replies() -> impl Iterator<Item = (Direction, Said)> {
        Direction::ALL.into_iter().flat_map(|direction| Said::ALL.map(|said| (direction, said)))
    }

    const fn bit(self) -> u32 {
        match self {
            Message::Command(direction) => 1 << direction as u32,
            Message::Reply(direction, said) => 1 << (3 + 4 * direction as u32 + said as u32),
            Message::Release => 1 << 16,
            Message::Told => 1 << 17,
        }
    }
}

/// Three bits are commands, twelve are replies, and the release and what was told are behind this one.
const ARMED: u32 = 1 << 15;

/// Names a world among millions: 128 bits, so that two worlds are taken for one with a chance of 1 in 10^24.
pub(super) fn fingerprint(world: &World) -> u128 {
    let mut hasher = Wide::default();
    world.hash(&mut hasher);
    hasher.0 ^ (hasher.0 >> 67)
}

/// For maps whose keys are small: several times as fast as the standard hasher, which expects an attacker.
pub(super) type Fast = BuildHasherDefault<Wide>;

impl Default for Wide {
    fn default() -> Self {
        Wide(SEED)
    }
}

/// Mixes each word into 128 bits by multiplication and a fold of the upper half onto the lower.
pub(super) struct Wide(u128);

impl Wide {
    fn mix(&mut self, word: u64) {
        let product = (self.0 ^ u128::from(word)).wrapping_mul(FACTOR);
        self.0 = product ^ (product >> 71);
    }
}

impl Hasher for Wide {
    fn finish(&self) -> u64 {
        (self.0 ^ (self.0 >> 64)) as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
}

/// The digits of pi and of the golden ratio, odd: any odd number with bits all over would do.
const SEED: u128 = 0x243f_6a88_85a3_08d3_1319_8a2e_0370_7345;
const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
