//! Shapes that a seed draws.

use saga_testkit::topology::{Errand, Part, Topology};

/// Draws numbers from a seed (SplitMix64, Steele et al. 2014), so that a run can be repeated.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn of(seed: u64) -> Self {
        Dice(seed)
    }

    /// A saga of up to seven parts, small enough to be searched in seconds.
    pub(crate) fn topology(&mut self) -> Topology {
        let before = 1 + self.below(4);
        let mut parts: Vec<Part> = (0..before).map(|_| self.part()).collect();
        // With more beside it, a saga and the one that it runs have too many states for a draw.
        if before == 1 && self.below(2) == 0 {
            parts.push(Part::Run(if self.below(2) == 0 { Errand::Short } else { Errand::Checked }));
        }
        if self.below(2) == 0 {
            parts.push(if self.below(2) == 0 { Part::Pivot } else { Part::ClosedPivot });
            parts.extend((0..self.below(3)).map(|_| Part::Then));
        }
        let topology = Topology::of(parts);
        if self.below(3) == 0 { topology.with_deadline() } else { topology }
    }

    fn part(&mut self) -> Part {
        match self.below(7) {
            0..=2 => Part::Step,
            3 => Part::Check,
            4 => Part::Wait,
            5 => Part::Pause,
            _ => Part::Group(2),
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
