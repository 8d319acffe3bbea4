//! A process for each seed, in which chance comes from the seed alone.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::lies::Lie;
use crate::run;

/// Seed of a child, and what it is to do.
const CHILD: &str = "CONSIGN_SIMULATION_CHILD";
/// Begins the line on which a child reports.
const MARK: &str = "SIMULATED ";

/// A process that is to run one seed.
#[derive(Clone, Debug)]
pub struct Child {
    seed: u64,
    lie: Option<Lie>,
    aloud: bool,
}

/// How a seed went.
#[derive(Clone, Debug)]
pub struct Report {
    seed: u64,
    /// The law that was broken, with the evidence.
    broken: Option<String>,
    /// Hash of all that happened; 0 when the process ended early.
    pub trace: u64,
    figures: Value,
    stderr: String,
}

/// The library that takes chance away, built once.
fn chance() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/chance.c");
        let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("chance-{}.so", std::process::id()));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-o"])
            .arg(&library)
            .arg(source)
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "cc builds {source}"
        );
        library
    })
}

impl Child {
    /// A run of a seed.
    pub fn new(seed: u64) -> Child {
        Child {
            seed,
            lie: None,
            aloud: false,
        }
    }

    /// With a lie.
    pub fn told(mut self, lie: Lie) -> Child {
        self.lie = Some(lie);
        self
    }

    /// Tells what happens as it happens.
    pub fn aloud(mut self) -> Child {
        self.aloud = true;
        self
    }

    /// Runs it to its end.
    pub fn run(&self) -> Report {
        let what = json!({"seed": self.seed, "aloud": self.aloud,
            "lie": self.lie.map(|lie| format!("{lie:?}"))});
        let mut command = Command::new(std::env::current_exe().expect("this test's path"));
        command
            .args(["--exact", "one_seed", "--nocapture", "--test-threads=1"])
            .env(CHILD, what.to_string())
            .env("CONSIGN_CHANCE", self.seed.to_string())
            .env("LD_PRELOAD", chance());
        if self.aloud {
            command.stderr(std::process::Stdio::inherit());
        }
        let output = command.output().expect("a process");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = stdout
            .split_once(MARK)
            .and_then(|(_, rest)| rest.lines().next());
        let figures: Value = report
            .and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or(Value::Null);
        let broken = match &figures {
            Value::Null => Some(format!("the process ended early: {}", output.status)),
            figures => figures["broken"].as_str().map(str::to_owned),
        };
        Report {
            seed: self.seed,
            broken,
            trace: figures["trace"].as_u64().unwrap_or_default(),
            figures,
            stderr: stderr
                .chars()
                .rev()
                .take(3_000)
                .collect::<Vec<_>>()
                .iter()
                .rev()
                .collect(),
        }
    }
}

impl Report {
    /// Whether it found what a lie breaks.
    pub fn found(&self, lie: Lie) -> bool {
        let Some(broken) = &self.broken else {
            return false;
        };
        // A failed recount says on stderr what it found.
        let said = format!("{broken}\n{}", self.stderr);
        lie.breaks().iter().any(|law| said.contains(law))
    }

    /// What was broken, and how to see it again.
    fn broken(&self) -> Option<String> {
        let (seed, broken) = (self.seed, self.broken.as_ref()?);
        let stderr = &self.stderr;
        Some(format!(
            "seed {seed}: {broken}\nSIMULATION_SEED={seed} replays it\n{stderr}"
        ))
    }

    /// # Panics
    /// When a law was broken, with what every seed found.
    pub fn expect_lawful(reports: &[Report]) {
        let broken: Vec<String> = reports.iter().filter_map(Report::broken).collect();
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    /// All of them in a few words.
    pub fn sum(reports: &[Report]) -> String {
        let of = |name: &str| -> u64 {
            reports
                .iter()
                .filter_map(|report| report.figures[name].as_u64())
                .sum()
        };
        let mut text = format!(
            "{} seeds: {} simulated seconds, {} answers, {} orders acknowledged, {} outcomes unknown;",
            reports.len(),
            of("millis") / 1_000,
            of("answered"),
            of("orders"),
            of("unknown"),
        );
        for fault in [
            "kills",
            "power_losses",
            "cuts",
            "held",
            "losses",
            "delays",
            "clocks",
            "disks",
            "stops",
            "overtaken",
            "repeated",
        ] {
            let _ = write!(text, " {} {}", of(fault), fault.replace('_', " "));
        }
        text
    }
}

/// Runs seeds side by side, as many at once as there are cores.
pub fn run_all(seeds: Range<u64>, child: impl Fn(u64) -> Child + Sync) -> Vec<Report> {
    let next = AtomicU64::new(seeds.start);
    let reports = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = child(seed).run();
                    reports.lock().push(report);
                }
            });
        }
    });
    let mut reports = reports.into_inner();
    reports.sort_by_key(|report| report.seed);
    println!("{} runs in {:.1?}", reports.len(), began.elapsed());
    reports
}

/// Runs the seed that the environment names, if it names one.
pub fn be_a_child() {
    let Ok(what) = std::env::var(CHILD) else {
        return;
    };
    let what: Value = serde_json::from_str(&what).expect("what to do");
    let seed = what["seed"].as_u64().expect("a seed");
    let lie = what["lie"].as_str().and_then(Lie::named);
    let aloud = what["aloud"].as_bool().unwrap_or_default();
    if aloud {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .init();
    }
    // A thread of its own: what the test's harness has drawn before changes nothing.
    let running = std::thread::spawn(move || run::run(seed, lie, aloud));
    let outcome = running.join().expect("the simulation itself does not fail");
    let faults = outcome.faults;
    let report = json!({
        "seed": seed, "broken": outcome.verdict.err(), "trace": outcome.trace,
        "millis": u64::try_from(outcome.lasted.as_millis()).unwrap_or_default(),
        "answered": outcome.answered, "unknown": outcome.unknown, "orders": outcome.orders,
        "faults": faults.total(), "kills": faults.kills, "power_losses": faults.power_losses,
        "cuts": faults.cuts, "held": faults.held, "losses": faults.losses,
        "delays": faults.delays, "clocks": faults.clocks, "disks": faults.disks,
        "stops": faults.stops, "overtaken": faults.overtaken, "repeated": faults.repeated,
    });
    println!("{MARK}{report}");
}
