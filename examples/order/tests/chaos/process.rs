//! One service as a process that is killed and started again.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::process::{Child, Command};

/// How a service is started, each time in the same way.
pub(crate) struct Process {
    program: PathBuf,
    environment: Vec<(&'static str, String)>,
    log: PathBuf,
    child: Option<Child>,
    /// How often it was started.
    pub(crate) lives: usize,
}

impl Process {
    /// A service whose program is copied into `folder`, because a build may replace it while it runs. Its log is there too.
    pub(crate) fn new(
        name: &str,
        program: &Path,
        folder: &Path,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let _alone = copying_or_spawning();
        let (copy, log) = (folder.join(name), folder.join(format!("{name}.log")));
        // The program of an earlier run may still be running, and cannot be written over.
        let _ = std::fs::remove_file(&copy);
        std::fs::copy(program, &copy).unwrap();
        File::create(&log).unwrap();
        Process { program: copy, environment, log, child: None, lives: 0 }
    }

    pub(crate) fn start(&mut self) {
        let _alone = copying_or_spawning();
        let log = OpenOptions::new().append(true).open(&self.log).unwrap();
        let mut command = Command::new(&self.program);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        let child = command.kill_on_drop(true).stderr(log).spawn().unwrap();
        self.child = Some(child);
        self.lives += 1;
    }

    /// SIGKILL: nothing is drained, flushed or closed.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Whether it ended without being told to.
    pub(crate) fn has_died(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some())
    }
}

/// A child that is spawned while another thread copies a program inherits the copy, open for writing, for a moment; a
/// program that somebody may write to cannot be run.
fn copying_or_spawning() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
