//! What an exploration has come to.

use std::fmt;

/// What an exploration has come to.
#[derive(Clone, Debug)]
#[must_use = "ask it with `assert_ok` whether all went well"]
pub struct Report {
    /// How many distinct states there are. Versions, times and attempts are no part of a state.
    pub states: usize,
    /// How many moves lead from one of them to another.
    pub transitions: usize,
    /// How many moves the farthest state is away.
    pub depth: usize,
    /// In how many states every saga has ended.
    pub ends: usize,
    /// From how many states no end can be reached.
    pub stuck_states: usize,
    /// Whether the search stopped at its limit, so that nothing is proved.
    pub cut_off: bool,
    /// What went wrong, if anything did.
    pub violation: Option<Violation>,
}

/// Something that must never happen, and the shortest way to it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What went wrong: the condition's name, or a sentence with the name of a built-in one.
    pub what: String,
    /// The moves that lead to it, of which there are no fewer.
    pub trace: Vec<String>,
    /// The same as a sequence diagram, for Mermaid.
    pub diagram: String,
    /// The same as a test to paste.
    pub test: String,
}

impl Report {
    /// Goes on if every state was searched and nothing is wrong.
    ///
    /// # Panics
    ///
    /// Panics otherwise, with the shortest trace, its picture and a test of it.
    #[track_caller]
    pub fn assert_ok(&self) {
        if let Some(violation) = &self.violation {
            panic!("{violation}");
        }
        assert!(
            !self.cut_off,
            "not all is searched after {} states; leave faults out, make the model smaller, or raise `states_max`",
            self.states
        );
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { states, transitions, depth, ends, stuck_states, cut_off, violation } = self;
        write!(
            f,
            "{states} states, {transitions} transitions, {ends} ends, depth {depth}, {stuck_states} stuck"
        )?;
        if *cut_off {
            write!(f, ", and not all is searched")?;
        }
        match violation {
            Some(violation) => write!(f, "\n{violation}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\nafter these moves, of which there are no fewer:", self.what)?;
        for (number, line) in self.trace.iter().enumerate() {
            writeln!(f, "  {:>2}. {line}", number + 1)?;
        }
        write!(f, "\nas a picture, for Mermaid:\n\n{}\nas a test to paste:\n\n{}", self.diagram, self.test)
    }
}
