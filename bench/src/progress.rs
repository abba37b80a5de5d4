//! A progress bar on standard error, if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how many sagas have ended.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar for a run of so many sagas. It hides itself if standard error is no terminal.
    pub(crate) fn new(sagas: u64, what: impl Into<String>) -> Progress {
        let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        Progress(ProgressBar::new(sagas).with_style(style).with_message(what.into()))
    }

    /// Moves the bar.
    pub(crate) fn show(&mut self, sagas: u64) {
        self.0.set_position(sagas);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

const TEMPLATE: &str = "{msg} {wide_bar} {human_pos} of {human_len} sagas, {per_sec}, {eta} left";
