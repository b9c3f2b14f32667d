use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use super::{InputCode, InvalidValue};

const FIRST_UNRESERVED: u16 = 1024;

/// A TCP port from 1024 up.
///
/// In JSON a number, also when a program writes it as `3000.0`, or its text.
///
/// ```
/// use deployr_core::value::{InputCode, Port};
///
/// assert_eq!(Port::parse("3000")?.get(), 3000);
/// assert_eq!(Port::new(22).unwrap_err().code, InputCode::PortReserved);
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port(u16);

impl Port {
    /// Checks a number.
    pub fn new(number: u64) -> Result<Self, InvalidValue> {
        match u16::try_from(number) {
            Err(_) | Ok(0) => Err(invalid(&number)),
            Ok(port) if port < FIRST_UNRESERVED => Err(InvalidValue::new(
                "port",
                InputCode::PortReserved,
                "must not be below 1024",
                &port.to_string(),
            )),
            Ok(port) => Ok(Self(port)),
        }
    }

    /// Parses decimal digits, with no sign, space or leading zero.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let digits = input.bytes().all(|b| b.is_ascii_digit()) && !input.starts_with('0');
        match input.parse() {
            Ok(number) if digits => Self::new(number),
            _ => Err(invalid(&input)),
        }
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

fn invalid(shown: &dyn fmt::Display) -> InvalidValue {
    let rule = "must be a whole number from 1024 to 65535";
    InvalidValue::new("port", InputCode::PortInvalid, rule, &shown.to_string())
}

impl TryFrom<u16> for Port {
    type Error = InvalidValue;

    fn try_from(number: u16) -> Result<Self, InvalidValue> {
        Self::new(number.into())
    }
}

impl TryFrom<i64> for Port {
    type Error = InvalidValue;

    fn try_from(number: i64) -> Result<Self, InvalidValue> {
        u64::try_from(number)
            .map_err(|_| invalid(&number))
            .and_then(Self::new)
    }
}

impl TryFrom<f64> for Port {
    type Error = InvalidValue;

    fn try_from(number: f64) -> Result<Self, InvalidValue> {
        // `as` saturates, so what does not fit is still refused below.
        let whole = number as u64;
        if number.fract() != 0.0 || number < 0.0 {
            return Err(invalid(&number));
        }
        Self::new(whole)
    }
}

impl TryFrom<String> for Port {
    type Error = InvalidValue;

    fn try_from(input: String) -> Result<Self, InvalidValue> {
        Self::parse(input)
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Port {
    type Err = InvalidValue;

    fn from_str(input: &str) -> Result<Self, InvalidValue> {
        Self::parse(input)
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortVisitor)
    }
}

struct PortVisitor;

impl Visitor<'_> for PortVisitor {
    type Value = Port;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port number")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Port, E> {
        Port::new(number).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Port, E> {
        Port::try_from(number).map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Port, E> {
        Port::try_from(number).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Port, E> {
        Port::parse(text).map_err(E::custom)
    }
}
