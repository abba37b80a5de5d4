//! What has become of a step, as colours tell.

/// What has become of a step. Its name is that of a class in Mermaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Ahead,
    Early,
    Waiting,
    Pausing,
    Awaited,
    Closing,
    Undoing,
    Done,
    Refused,
    Undone,
    Skipped,
}

impl Mark {
    pub(super) const ALL: [Mark; 11] = [
        Mark::Ahead,
        Mark::Early,
        Mark::Waiting,
        Mark::Pausing,
        Mark::Awaited,
        Mark::Closing,
        Mark::Undoing,
        Mark::Done,
        Mark::Refused,
        Mark::Undone,
        Mark::Skipped,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Mark::Ahead => "ahead",
            Mark::Early => "early",
            Mark::Waiting => "waiting",
            Mark::Pausing => "pausing",
            Mark::Awaited => "awaited",
            Mark::Closing => "closing",
            Mark::Undoing => "undoing",
            Mark::Done => "done",
            Mark::Refused => "refused",
            Mark::Undone => "undone",
            Mark::Skipped => "skipped",
        }
    }

    /// Yellow for what goes forward, orange for what is taken back or made final, grey for what left nothing.
    pub(super) const fn colour(self) -> &'static str {
        match self {
            Mark::Ahead => "#ffffff",
            Mark::Early => "#e4f3d0",
            Mark::Waiting => "#fff7cf",
            Mark::Pausing => "#f2ecc4",
            Mark::Awaited => "#ffe9a8",
            Mark::Closing => "#ffd9c0",
            Mark::Undoing => "#ffc98f",
            Mark::Done => "#c9efcb",
            Mark::Refused => "#f6c6c6",
            Mark::Undone => "#dddddd",
            Mark::Skipped => "#f2f2f2",
        }
    }
}
