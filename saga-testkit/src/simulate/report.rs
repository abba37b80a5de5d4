//! What a simulation found.

use std::fmt;

use super::counters::Counters;

/// What a simulation found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many runs there were.
    pub runs: u64,
    /// How many of them were run a second time, to see that they repeat.
    pub repeated: u64,
    /// How many broke a promise. The simulation ends soon after the first.
    pub violations: u64,
    /// The run with the lowest seed that broke a promise.
    pub first: Option<Violation>,
    /// What was seen in all runs.
    pub counters: Counters,
}

/// A run that broke a promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Its seed.
    pub seed: u64,
    /// What was broken, in the order in which it was noticed.
    pub broken: Vec<String>,
    /// The run, line by line.
    pub told: Vec<String>,
}

impl Report {
    /// Panics if a run broke a promise. The message has the run, its seed, and a test to keep.
    ///
    /// # Panics
    ///
    /// As it says.
    #[track_caller]
    pub fn assert_ok(&self) {
        if let Some(violation) = &self.first {
            panic!("{violation}");
        }
    }

    /// Panics if something was never seen, so that the runs prove less than they seem to. For a few thousand runs.
    ///
    /// # Panics
    ///
    /// As it says.
    #[track_caller]
    pub fn assert_all_seen(&self) {
        let missing = self.counters.missing();
        assert!(missing.is_empty(), "never seen in {} runs: {}", self.runs, missing.join(", "));
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { seed, broken, told } = self;
        for line in told {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "\nseed {seed} breaks what is promised:")?;
        for broken in broken {
            writeln!(f, "  {broken}")?;
        }
        writeln!(f, "\nThe same run as a test, with your simulation in `simulation()`:\n")?;
        writeln!(f, "    #[test]")?;
        writeln!(f, "    fn seed_{seed}_keeps_its_promises() {{")?;
        writeln!(f, "        simulation().seeds({seed}..{}).run().assert_ok();", seed.saturating_add(1))?;
        writeln!(f, "    }}")
    }
}
