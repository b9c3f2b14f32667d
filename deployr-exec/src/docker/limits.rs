use std::collections::HashMap;

/// What keeps the output within its limit.
pub(super) const LOG_DRIVER: &str = "json-file";

/// What the container of one release may use.
///
/// ```
/// use deployr_exec::docker::RunLimits;
///
/// let limits = RunLimits { cpus: Some(1.5), ..RunLimits::default() };
/// assert_eq!(limits.memory_bytes, Some(2 << 30));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RunLimits {
    /// Memory, all processes together; none of it is swapped. 2 GiB.
    pub memory_bytes: Option<u64>,
    /// Processors, in parts of one too. As many as there are.
    pub cpus: Option<f64>,
    /// Processes and threads. 2,048.
    pub processes: Option<u64>,
    /// What it writes to its own file system, beside volumes. Only for engines whose
    /// storage can hold it to that (overlay2 on XFS with project quotas); others refuse to
    /// start such a container. As much as there is.
    pub disk_bytes: Option<u64>,
    /// Its output, of which the newest is kept. 20 MiB.
    pub log_bytes: u64,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            memory_bytes: Some(2 << 30),
            cpus: None,
            processes: Some(2_048),
            disk_bytes: None,
            log_bytes: 20 << 20,
        }
    }
}

impl RunLimits {
    pub(super) fn nano_cpus(&self) -> Option<i64> {
        self.cpus.map(|cpus| (cpus * 1e9) as i64)
    }

    /// What the driver is told.
    pub(super) fn log_options(&self) -> HashMap<String, String> {
        let half = self.log_bytes.div_ceil(2).max(1);
        [("max-size", half.to_string()), ("max-file", "2".to_owned())]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }
}
