//! The process's own figures, read from `/proc/self` (proc(5)), in Prometheus' text format.

use std::fmt::Write as _;

/// Clock ticks per second in `/proc/self/stat`: fixed by Linux's user-space interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the kernel says about this process. Figures that it does not say are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    open_files: Option<usize>,
    threads: Option<u64>,
}

impl ProcessFigures {
    /// Reads them now.
    #[must_use]
    pub fn read() -> ProcessFigures {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        ProcessFigures {
            open_files: std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
            ..ProcessFigures::parse(&stat, &status)
        }
    }

    fn parse(stat: &str, status: &str) -> ProcessFigures {
        // The second field is the name in parentheses, which may hold spaces; count from behind it.
        let after_name = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest)
            .unwrap_or_default();
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok());
        let line = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        ProcessFigures {
            // utime and stime are fields 14 and 15 of all, 12 and 13 behind the name from one.
            cpu_seconds: ticks(11)
                .zip(ticks(12))
                .map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            resident_bytes: line("VmRSS:").map(|kib| kib * 1_024),
            open_files: None,
            threads: line("Threads:"),
        }
    }

    /// Adds them to a Prometheus page.
    pub fn render(&self, page: &mut String) {
        let mut row = |name: &str, kind: &str, help: &str, value: Option<String>| {
            if let Some(value) = value {
                // Writing to a String cannot fail.
                let _ = write!(
                    page,
                    "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
                );
            }
        };
        row(
            "process_cpu_seconds_total",
            "counter",
            "User and system CPU time in seconds.",
            self.cpu_seconds.map(|v| format!("{v:.2}")),
        );
        row(
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory in bytes.",
            self.resident_bytes.map(|v| v.to_string()),
        );
        row(
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            self.open_files.map(|v| v.to_string()),
        );
        row(
            "process_threads",
            "gauge",
            "Threads.",
            self.threads.map(|v| v.to_string()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_forms_are_read() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 500 0 0 0 150 50 0 0 20 0 9 0 100 1 2";
        let status = "Name:\ta\nVmRSS:\t   2048 kB\nThreads:\t9\n";
        let figures = ProcessFigures::parse(stat, status);
        assert_eq!(
            (figures.cpu_seconds, figures.resident_bytes, figures.threads),
            (Some(2.0), Some(2_097_152), Some(9))
        );
        let mut page = String::new();
        figures.render(&mut page);
        assert!(page.contains("\nprocess_cpu_seconds_total 2.00\n"));
        assert!(page.contains("\nprocess_resident_memory_bytes 2097152\n"));
    }

    #[test]
    fn this_process_has_memory() {
        assert!(
            ProcessFigures::read()
                .resident_bytes
                .is_some_and(|bytes| bytes > 100_000)
        );
    }
}
