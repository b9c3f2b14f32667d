/// What one build may use, all of its processes together.
///
/// ```
/// use deployr_exec::docker::BuildLimits;
///
/// let limits = BuildLimits { cpus: Some(2.0), ..BuildLimits::default() };
/// assert_eq!(limits.memory_bytes, Some(4 << 30));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BuildLimits {
    /// Memory; none of it is swapped. 4 GiB. Docker holds no Dockerfile to more than 2 GiB
    /// less a byte, to which a higher number is lowered there.
    pub memory_bytes: Option<u64>,
    /// Processors, in parts of one too. As many as there are.
    pub cpus: Option<f64>,
    /// Processes and threads. 4,096. Docker holds no Dockerfile to it: what that starts is
    /// limited by its memory, and by the project's `build_timeout_s`.
    pub processes: Option<u64>,
    /// Size of the artifact, where it is a folder. 2 GiB.
    pub output_bytes: u64,
}

impl Default for BuildLimits {
    fn default() -> Self {
        Self {
            memory_bytes: Some(4 << 30),
            cpus: None,
            processes: Some(4_096),
            output_bytes: 2 << 30,
        }
    }
}
