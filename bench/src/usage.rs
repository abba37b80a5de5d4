//! What this process has cost the machine: CPU time and memory, from `/proc/self`.
//!
//! CPU time counts all threads of the process, those of librdkafka and lapin too. It does not count the servers.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// CPU time and the highest resident memory.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) cpu_s: f64,
    pub(crate) peak_rss_mib: f64,
}

impl Usage {
    /// The usage of this process since it began.
    pub(crate) fn now() -> Result<Usage> {
        let stat = std::fs::read_to_string("/proc/self/stat").context("cannot read the CPU time used")?;
        let status = std::fs::read_to_string("/proc/self/status").context("cannot read the memory used")?;
        Ok(Usage {
            cpu_s: cpu_s(&stat).context("/proc/self/stat has another format")?,
            peak_rss_mib: peak_rss_mib(&status).context("/proc/self/status has no VmHWM")?,
        })
    }

    /// The same with only the CPU time since `earlier`; a peak has no beginning.
    pub(crate) fn since(self, earlier: Usage) -> Usage {
        Usage { cpu_s: self.cpu_s - earlier.cpu_s, ..self }
    }
}

/// User and system time are the 14th and 15th field; the 2nd, in parentheses, may hold spaces.
fn cpu_s(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).map_while(|field| field.parse().ok()).collect();
    (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() / TICKS_PER_S)
}

fn peak_rss_mib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}

/// `USER_HZ`, which is 100 on every architecture that Linux runs on but Alpha.
const TICKS_PER_S: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_spaces_confuses_nobody() {
        let stat = "17 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(cpu_s(stat), Some(3.0));
    }

    #[test]
    fn work_shows_as_cpu_time() {
        let before = Usage::now().unwrap();
        let mut sum = 0u64;
        while Usage::now().unwrap().since(before).cpu_s < 0.02 {
            sum = (0..1_000_000).fold(sum, |sum, n| sum.wrapping_add(std::hint::black_box(n)));
        }
        assert!(Usage::now().unwrap().peak_rss_mib > 0.5, "{sum}");
    }
}
