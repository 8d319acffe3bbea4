//! Progress of long work: bars on a terminal, nothing elsewhere, so that logs and pipes stay clean.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One bar at a time: the stage that runs.
pub(crate) struct Progress {
    bar: ProgressBar,
    stage: String,
}

impl Progress {
    /// Draws on stderr if that is a terminal; `quiet` draws nothing.
    pub(crate) fn new(quiet: bool) -> Progress {
        let bar = ProgressBar::no_length();
        bar.set_draw_target(if quiet {
            ProgressDrawTarget::hidden()
        } else {
            // Hides itself where stderr is no terminal.
            ProgressDrawTarget::stderr()
        });
        let style = ProgressStyle::with_template(
            "{prefix:12} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}",
        );
        // The template is a constant; if it were wrong, the plain bar does as well.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress {
            bar,
            stage: String::new(),
        }
    }

    /// `done` of `total` in `stage`; a total of 0 is not known.
    pub(crate) fn tell(&mut self, stage: &str, done: u64, total: u64) {
        if self.stage != stage {
            stage.clone_into(&mut self.stage);
            self.bar.reset();
            self.bar.set_prefix(self.stage.clone());
        }
        self.bar.set_length(total.max(done));
        self.bar.set_position(done);
    }

    /// `done` in `stage`, whose end is not known.
    pub(crate) fn count(&mut self, stage: &str, done: u64) {
        self.tell(stage, done, 0);
    }

    /// Takes the bar away, so that a report can follow.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
