//! Everything that happened in a run, in order: as a digest, by which two runs are compared, and as text on request.

use std::fmt::{self, Write};

use tokio::time::Instant;

pub(super) struct Trace {
    began: Instant,
    digest: Digest,
    /// The lines as text, if this run is to be told.
    told: Option<Vec<String>>,
}

impl Trace {
    pub(super) fn new(is_told: bool) -> Self {
        Trace { began: Instant::now(), digest: Digest(FNV_OFFSET), told: is_told.then(Vec::new) }
    }

    pub(super) fn note(&mut self, line: fmt::Arguments<'_>) {
        let at = self.began.elapsed().as_micros();
        // The digest takes every text.
        let _ = writeln!(self.digest, "{at} {line}");
        if let Some(told) = &mut self.told {
            told.push(format!("{:>9.3} s  {line}", self.began.elapsed().as_secs_f64()));
        }
    }

    /// Takes something into the digest that nobody wants to read.
    pub(super) fn note_quietly(&mut self, process: &str, what: &str) {
        let at = self.began.elapsed().as_micros() as u64;
        self.digest.0 = (self.digest.0 ^ at).wrapping_mul(FNV_PRIME);
        // The digest takes every text.
        let _ = self.digest.write_str(process).and_then(|()| self.digest.write_str(what));
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.0
    }

    pub(super) fn take_told(&mut self) -> Vec<String> {
        self.told.take().unwrap_or_default()
    }
}

/// FNV-1a (Fowler, Noll, Vo): the same on every machine, and fast on short texts.
struct Digest(u64);

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        Ok(())
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
