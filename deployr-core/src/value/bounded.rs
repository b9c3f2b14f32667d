//! Numbers with a lowest and a highest value.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};

use super::{InputCode, InvalidValue};

macro_rules! bounded {
    ($(
        $(#[$doc:meta])*
        $name:ident($number:ty): $field:literal, $min:literal to $max:literal,
            $(in $unit:ident,)? $default:literal otherwise;
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name($number);

        impl $name {
            /// The lowest value.
            pub const MIN: Self = Self($min);
            /// The highest value.
            pub const MAX: Self = Self($max);

            /// Checks a number.
            ///
            /// # Errors
            ///
            /// One that is below [`MIN`](Self::MIN) or above [`MAX`](Self::MAX).
            pub fn new(number: impl Into<i128>) -> Result<Self, InvalidValue> {
                let number = number.into();
                match <$number>::try_from(number) {
                    Ok(fitting) if ($min..=$max).contains(&fitting) => Ok(Self(fitting)),
                    _ => Err(InvalidValue::new(
                        $field,
                        InputCode::NumberOutOfRange,
                        concat!("must be a whole number from ", $min, " to ", $max),
                        &number.to_string(),
                    )),
                }
            }

            /// The number.
            #[must_use]
            pub fn get(self) -> $number {
                self.0
            }

            $(
                /// As a time.
                #[must_use]
                pub fn duration(self) -> Duration {
                    Duration::$unit(self.0.into())
                }
            )?
        }

        impl Default for $name {
            fn default() -> Self {
                const { assert!($min <= $default && $default <= $max) };
                Self($default)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Number(|number| Self::new(number), PhantomData))
            }
        }
    )*};
}

bounded! {
    /// How long a build may take, in seconds.
    BuildTimeout(u32): "build_timeout_s", 1 to 21_600, in from_secs, 1_800 otherwise;
    /// How many releases stay on the target, the live one among them.
    KeepReleases(u32): "keep_releases", 2 to 100, 5 otherwise;
    /// From the start of one health probe to that of the next, in milliseconds.
    HealthInterval(u32): "health.interval_ms", 10 to 3_600_000, in from_millis, 1_000 otherwise;
    /// How long one health probe is waited for, in milliseconds.
    HealthTimeout(u32): "health.timeout_ms", 1 to 3_600_000, in from_millis, 5_000 otherwise;
    /// How long a release may take to become healthy, in milliseconds.
    HealthDeadline(u32): "health.deadline_ms", 1 to 3_600_000, in from_millis, 30_000 otherwise;
    /// How long requests of the old release have to end, in milliseconds.
    DrainTime(u32): "health.drain_ms", 0 to 3_600_000, in from_millis, 30_000 otherwise;
    /// The HTTP status that means healthy.
    HealthStatus(u16): "health.status", 100 to 599, 200 otherwise;
}

struct Number<T>(fn(i128) -> Result<T, InvalidValue>, PhantomData<T>);

impl<T> Visitor<'_> for Number<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.0)(number.into()).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        (self.0)(number.into()).map_err(E::custom)
    }
}
