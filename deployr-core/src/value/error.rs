use std::fmt;

/// How much of a refused input an error repeats.
const SHOWN_CHARS: usize = 60;

/// A value from outside that was refused, and why.
///
/// `shown` is safe to log and to send back: control characters are escaped, it
/// is short, and secrets are left out of it.
///
/// ```
/// use deployr_core::value::BranchName;
///
/// let refused = BranchName::parse("-x").unwrap_err();
/// assert_eq!(refused.code.as_str(), "BRANCH_INVALID");
/// assert_eq!(
///     refused.to_string(),
///     r#"branch is invalid: must not start with '-' (got "-x")"#,
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is invalid: {rule} (got \"{shown}\")")]
pub struct InvalidValue {
    /// Which value it was, for example `branch`.
    pub field: &'static str,
    /// The stable code that programs match on.
    pub code: InputCode,
    /// The rule that was broken, for people.
    pub rule: &'static str,
    /// A safe form of what was given.
    pub shown: String,
}

impl InvalidValue {
    /// Refuses `input`, which is escaped and shortened before it is kept.
    pub fn new(field: &'static str, code: InputCode, rule: &'static str, input: &str) -> Self {
        let shown = safe(input);
        Self {
            field,
            code,
            rule,
            shown,
        }
    }

    /// Refuses something that may be secret: only its length is kept.
    pub fn hidden(field: &'static str, code: InputCode, rule: &'static str, bytes: usize) -> Self {
        let shown = format!("<{bytes} bytes>");
        Self {
            field,
            code,
            rule,
            shown,
        }
    }
}

fn safe(input: &str) -> String {
    // Cut before escaping, so that a huge input costs nothing, and after it,
    // because one character can escape to ten.
    let mut escaped = input.chars().take(SHOWN_CHARS).flat_map(char::escape_debug);
    let mut shown: String = escaped.by_ref().take(SHOWN_CHARS).collect();
    if escaped.next().is_some() || input.chars().nth(SHOWN_CHARS).is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

macro_rules! input_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The stable code of an [`InvalidValue`].
        ///
        /// ```
        /// use deployr_core::value::InputCode;
        ///
        /// assert_eq!(InputCode::PortReserved.to_string(), "PORT_RESERVED");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum InputCode {
            $($(#[$doc])* $name,)*
        }

        impl InputCode {
            /// The code as it is written in answers and logs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

input_codes! {
    /// The repository address does not parse or has unsafe characters.
    RepoUrlInvalid = "REPO_URL_INVALID",
    /// The repository address uses a transport that is not allowed.
    RepoUrlScheme = "REPO_URL_SCHEME",
    /// The repository address points into a private network.
    RepoUrlPrivateHost = "REPO_URL_PRIVATE_HOST",
    /// The repository address carries a user name or a password.
    RepoUrlCredentials = "REPO_URL_CREDENTIALS",
    /// Not a usable branch name.
    BranchInvalid = "BRANCH_INVALID",
    /// Not a usable tag name.
    TagInvalid = "TAG_INVALID",
    /// Not a full commit id.
    CommitInvalid = "COMMIT_INVALID",
    /// Not a usable project name.
    ProjectNameInvalid = "PROJECT_NAME_INVALID",
    /// Not a DNS label.
    SubdomainInvalid = "SUBDOMAIN_INVALID",
    /// Not an environment variable name.
    EnvKeyInvalid = "ENV_KEY_INVALID",
    /// An environment variable name that the engine keeps for itself.
    EnvKeyReserved = "ENV_KEY_RESERVED",
    /// One environment value, or all of them together, is too large.
    EnvValueTooLarge = "ENV_VALUE_TOO_LARGE",
    /// An environment value no process could be given.
    EnvValueInvalid = "ENV_VALUE_INVALID",
    /// Not a usable build command.
    BuildCommandInvalid = "BUILD_COMMAND_INVALID",
    /// The output directory is not a plain path inside the checkout.
    OutputDirInvalid = "OUTPUT_DIR_INVALID",
    /// The path is not a plain path inside its root.
    PathInvalid = "PATH_INVALID",
    /// Not a port number.
    PortInvalid = "PORT_INVALID",
    /// A port that belongs to the system.
    PortReserved = "PORT_RESERVED",
    /// Not a usable health check path.
    HealthPathInvalid = "HEALTH_PATH_INVALID",
    /// Not a usable target name.
    TargetInvalid = "TARGET_INVALID",
    /// Not a usable tenant id.
    TenantInvalid = "TENANT_INVALID",
    /// Not a usable job kind.
    JobKindInvalid = "JOB_KIND_INVALID",
    /// Not a usable concurrency key.
    ConcurrencyKeyInvalid = "CONCURRENCY_KEY_INVALID",
    /// Not a usable label.
    LabelInvalid = "LABEL_INVALID",
    /// Not a usable name of a schedule.
    ScheduleInvalid = "SCHEDULE_INVALID",
    /// No times that come again.
    TimetableInvalid = "TIMETABLE_INVALID",
    /// Not the name of a framework's preset.
    FrameworkInvalid = "FRAMEWORK_INVALID",
    /// Not the name of a worker.
    WorkerInvalid = "WORKER_INVALID",
    /// Not a domain name.
    DomainInvalid = "DOMAIN_INVALID",
    /// Not an address or a network of addresses.
    NetworkInvalid = "NETWORK_INVALID",
    /// Below the lowest or above the highest value.
    NumberOutOfRange = "NUMBER_OUT_OF_RANGE",
}

impl fmt::Display for InputCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
