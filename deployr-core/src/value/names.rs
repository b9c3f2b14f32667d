//! Short names that operators and embedding apps choose.

use serde::{Deserialize, Serialize};

use super::{InputCode, InvalidValue};

const MAX_BYTES: usize = 64;

/// The name of a place to deploy to.
///
/// ```
/// use deployr_core::value::TargetName;
///
/// assert!(TargetName::parse("docker:eu-1").is_ok());
/// assert!(TargetName::parse("Docker EU").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetName(String);

string_value!(TargetName);

impl TargetName {
    /// Parses a name of `a-z`, `0-9`, `.`, `_`, `:` and `-`.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        lower_name("target", InputCode::TargetInvalid, input.as_ref()).map(Self)
    }
}

/// The name of a framework's preset.
///
/// ```
/// use deployr_core::value::Framework;
///
/// assert!(Framework::parse("next-standalone").is_ok());
/// assert!(Framework::parse("Next.js 15").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Framework(String);

string_value!(Framework);

impl Framework {
    /// Parses a name of `a-z`, `0-9`, `.`, `_`, `:` and `-`.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        lower_name("framework", InputCode::FrameworkInvalid, input.as_ref()).map(Self)
    }
}

/// The name of a worker of a project: `queue`, `schedule`.
///
/// ```
/// use deployr_core::value::WorkerName;
///
/// assert!(WorkerName::parse("queue-2").is_ok());
/// assert!(WorkerName::parse("queue.2").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkerName(String);

string_value!(WorkerName);

impl WorkerName {
    /// Parses a name of `a-z`, `0-9` and `-`.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if fits(input, plain) {
            return Ok(Self(input.to_owned()));
        }
        let rule = "must be 1 to 64 of a-z, 0-9 or '-', letter or digit first";
        let code = InputCode::WorkerInvalid;
        Err(InvalidValue::new("worker", code, rule, input))
    }
}

/// The kind of a job, by which workers choose what to run.
///
/// ```
/// use deployr_core::value::JobKind;
///
/// assert!(JobKind::parse("deploy").is_ok());
/// assert!(JobKind::parse("").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobKind(String);

string_value!(JobKind);

impl JobKind {
    /// Parses a name of `a-z`, `0-9`, `.`, `_`, `:` and `-`.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        lower_name("job_kind", InputCode::JobKindInvalid, input.as_ref()).map(Self)
    }
}

/// The name of a schedule, unique in a tenant.
///
/// ```
/// use deployr_core::value::ScheduleName;
///
/// assert!(ScheduleName::parse("nightly-backup").is_ok());
/// assert!(ScheduleName::parse("Nightly backup").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScheduleName(String);

string_value!(ScheduleName);

impl ScheduleName {
    /// Parses a name of `a-z`, `0-9`, `.`, `_`, `:` and `-`.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        lower_name("schedule", InputCode::ScheduleInvalid, input.as_ref()).map(Self)
    }
}

/// Something that a job asks of the worker that carries it out: `gpu`, `region:eu`.
///
/// ```
/// use deployr_core::value::Label;
///
/// assert!(Label::parse("region:eu").is_ok());
/// assert!(Label::parse("Region EU").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

string_value!(Label);

impl Label {
    /// Parses a label of `a-z`, `0-9`, `.`, `_`, `:` and `-`.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        // One of a target is longer than any that is given.
        let input = input.as_ref();
        let given = input.strip_prefix("target:").unwrap_or(input);
        lower_name("label", InputCode::LabelInvalid, given).map(|_| Self(input.to_owned()))
    }

    /// What a worker offers that can deploy to this target, and a deployment to it needs.
    #[must_use]
    pub fn target(name: &TargetName) -> Self {
        Self(format!("target:{name}"))
    }
}

/// What jobs share of which there is only so much: a project, an environment, a server,
/// a tenant's quota. The same for all tenants, so an app puts theirs into it.
///
/// ```
/// use deployr_core::value::ConcurrencyKey;
///
/// assert!(ConcurrencyKey::parse("server:eu-1").is_ok());
/// assert!(ConcurrencyKey::parse("two words").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConcurrencyKey(String);

string_value!(ConcurrencyKey);

impl ConcurrencyKey {
    /// Parses a key of 1 to 200 visible ASCII characters.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        if (1..=200).contains(&input.len()) && input.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Self(input.to_owned()));
        }
        let rule = "must be 1 to 200 visible ASCII characters";
        let code = InputCode::ConcurrencyKeyInvalid;
        Err(InvalidValue::new("concurrency_key", code, rule, input))
    }
}

/// Whose data it is: an id that the embedding app gives its customers.
///
/// ```
/// use deployr_core::value::TenantId;
///
/// assert!(TenantId::parse("Acme@example.com").is_ok());
/// assert!(TenantId::parse("acme' OR 1=1").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

string_value!(TenantId);

impl TenantId {
    /// Parses an id of `A-Z`, `a-z`, `0-9`, `.`, `_`, `:`, `@` and `-`.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:@-".contains(&b);
        if fits(input, plain) {
            return Ok(Self(input.to_owned()));
        }
        let rule =
            "must be 1 to 64 letters, digits, '.', '_', ':', '@' or '-', letter or digit first";
        Err(InvalidValue::new(
            "tenant",
            InputCode::TenantInvalid,
            rule,
            input,
        ))
    }
}

fn lower_name(field: &'static str, code: InputCode, input: &str) -> Result<String, InvalidValue> {
    if fits(input, is_plain) {
        return Ok(input.to_owned());
    }
    let rule = "must be 1 to 64 of a-z, 0-9, '.', '_', ':' or '-', letter or digit first";
    Err(InvalidValue::new(field, code, rule, input))
}

fn is_plain(b: u8) -> bool {
    matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b':' | b'-')
}

fn fits(input: &str, plain: impl Fn(u8) -> bool) -> bool {
    input.len() <= MAX_BYTES
        && input.starts_with(|c: char| c.is_ascii_alphanumeric())
        && input.bytes().all(plain)
}
