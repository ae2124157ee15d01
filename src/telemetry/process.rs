//! What the process uses, by the names that Prometheus' dashboards know. Read from `/proc` when the metrics are asked for;
//! where there is none they stay at nought.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Counter, Gauge, IntGauge, Registry};

#[derive(Clone, Debug)]
pub(super) struct Process {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    open_files: IntGauge,
    threads: IntGauge,
    started: Gauge,
}

impl Process {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let process = Self {
            cpu_seconds: Counter::new("process_cpu_seconds_total", "Processor time used")?,
            resident_bytes: IntGauge::new("process_resident_memory_bytes", "Memory held")?,
            open_files: IntGauge::new("process_open_fds", "Files and sockets open")?,
            threads: IntGauge::new("process_threads", "Threads")?,
            started: Gauge::new("process_start_time_seconds", "When the process started")?,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "dashboards compare it with the machine's own time"
        )]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        process.started.set(now.as_secs_f64());
        Ok(process)
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.cpu_seconds.clone()))?;
        registry.register(Box::new(self.resident_bytes.clone()))?;
        registry.register(Box::new(self.open_files.clone()))?;
        registry.register(Box::new(self.threads.clone()))?;
        registry.register(Box::new(self.started.clone()))
    }

    /// Reads how things are now.
    pub(super) fn observe(&self) {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if let Some(usage) = Usage::parse(&stat) {
            let used = usage.cpu_ticks as f64 / TICKS_PER_SECOND;
            self.cpu_seconds.inc_by((used - self.cpu_seconds.get()).max(0.0));
            self.threads.set(usage.threads);
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        self.resident_bytes.set(resident_bytes(&status).unwrap_or_default());
        let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        self.open_files.set(i64::try_from(files).unwrap_or(i64::MAX));
    }
}

/// What Linux has counted with towards programs for decades, whatever it counts with itself.
const TICKS_PER_SECOND: f64 = 100.0;

/// Of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Usage {
    cpu_ticks: u64,
    threads: i64,
}

impl Usage {
    fn parse(stat: &str) -> Option<Self> {
        // The name, which may hold anything, ends with the last parenthesis; fields are counted from the state on.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self { cpu_ticks: ticks(11)? + ticks(12)?, threads: fields.get(17)?.parse().ok()? })
    }
}

/// Of `/proc/self/status`.
fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_parentheses_does_not_confuse() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 1000 1 1";
        assert_eq!(Usage::parse(stat), Some(Usage { cpu_ticks: 300, threads: 7 }));
        assert_eq!(Usage::parse("nonsense"), None);
    }

    #[test]
    fn memory_is_told_in_bytes() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
    }
}
