//! A node's process: a runtime of its own beside the network's, so that it can be stopped and continued.
//!
//! In: simulated time, a tick at a time. Out: the node, run for that long. While it is stopped, nothing of
//! it runs and its clock stands, as after SIGSTOP. When it goes on, its state is the old one, all that came
//! meanwhile is there at once, and so is the time: what it reads, it reads before any timer has fired.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// What a node ends with.
pub type Ended = Result<(), String>;

/// A process.
pub struct Execution {
    runtime: Runtime,
    main: Option<JoinHandle<Ended>>,
    is_stopped: bool,
    /// Time that went by while it was stopped.
    missed: Duration,
}

impl Execution {
    /// Begins with `main`, at the next tick.
    pub fn begin(main: impl Future<Output = Ended> + Send + 'static) -> Execution {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let main = Some(runtime.spawn(main));
        Execution {
            runtime,
            main,
            is_stopped: false,
            missed: Duration::ZERO,
        }
    }

    /// Stops it, or lets it go on.
    pub fn stop(&mut self, is_stopped: bool) {
        self.is_stopped = is_stopped;
    }

    /// Whether `main` has come to its end.
    pub fn has_ended(&self) -> bool {
        self.main.is_none()
    }

    /// Runs it for a while.
    ///
    /// # Errors
    /// What `main` ended with.
    pub fn run_for(&mut self, tick: Duration) -> Ended {
        if self.is_stopped {
            self.missed += tick;
            return Ok(());
        }
        let missed = std::mem::take(&mut self.missed);
        self.runtime.block_on(async {
            if !missed.is_zero() {
                tokio::time::advance(missed).await;
            }
            tokio::time::sleep(tick).await;
        });
        match self.main.take_if(|main| main.is_finished()) {
            Some(main) => {
                let ended = self.runtime.block_on(main);
                ended.map_err(|error| error.to_string())?
            }
            None => Ok(()),
        }
    }
}
