//! From which states an end can be reached.

/// The successors of every state, by number.
#[derive(Default)]
pub(super) struct Edges {
    targets: Vec<u32>,
    /// Where in `targets` the successors of each state end.
    ends: Vec<usize>,
}

impl Edges {
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// Adds the successors of the next states: how many each has, and all of them.
    pub(super) fn extend(&mut self, counts: &[u32], targets: impl Iterator<Item = u32>) {
        let mut end = self.targets.len();
        self.targets.extend(targets);
        self.ends.extend(counts.iter().map(|count| {
            end += *count as usize;
            end
        }));
    }

    fn of(&self, state: usize) -> &[u32] {
        let start = state.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.targets[start..self.ends[state]]
    }
}

/// Whether an end can be reached, for each state.
///
/// Goes over all states from the last to the first until nothing changes. Most edges lead to later states, so a few
/// rounds are enough, and no second copy of the edges is needed.
pub(super) fn backward(edges: &Edges, is_end: &[bool]) -> Vec<bool> {
    let mut can_end = is_end.to_vec();
    loop {
        let mut changed = false;
        for state in (0..can_end.len()).rev() {
            if !can_end[state] && edges.of(state).iter().any(|next| can_end[*next as usize]) {
                can_end[state] = true;
                changed = true;
            }
        }
        if !changed {
            return can_end;
        }
    }
}
