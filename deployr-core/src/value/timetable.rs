//! When something comes again and again.

use std::fmt;
use std::str::FromStr;

use chrono::Utc;
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};

use super::{InputCode, InvalidValue};
use crate::system::Timestamp;

const MAX_BYTES: usize = 200;
const FORM: &str = "must be minute, hour, day, month and weekday as cron has them, or a name such \
                    as @daily; a time zone may follow";

/// Times that come again, as cron tells them: to the minute, in a time zone.
///
/// Weekdays count from Sunday, as 0 or 7. Where both a day and a weekday are given, either
/// will do. A time that a clock skips in spring comes when the clock has gone on; one that
/// comes twice in autumn is taken once, save by timetables that come every hour or minute.
///
/// ```
/// use deployr_core::value::Timetable;
///
/// let nightly = Timetable::parse("30 4 * * MON-FRI Europe/Vienna")?;
/// let friday = "2026-11-20T12:00:00Z".parse().unwrap();
/// let monday = "2026-11-23T03:30:00Z".parse().unwrap();
/// assert_eq!(nightly.next_after(friday), Some(monday));
///
/// assert!(Timetable::parse("@daily").is_ok(), "in UTC where no zone is given");
/// assert!(Timetable::parse("every night").is_err());
/// assert!(Timetable::parse("0 0 30 2 *").is_err(), "there is no such day");
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timetable {
    text: String,
    cron: Cron,
    zone: Tz,
}

impl Timetable {
    /// Parses five fields or a name, and a time zone of the IANA database after them; UTC
    /// where there is none. Seconds and years are refused.
    ///
    /// # Errors
    ///
    /// `TIMETABLE_INVALID`, also for one that never comes.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let refuse =
            |rule| InvalidValue::new("timetable", InputCode::TimetableInvalid, rule, input);
        if input.len() > MAX_BYTES {
            return Err(refuse("must not be longer than 200 bytes"));
        }
        let words: Vec<&str> = input.split_ascii_whitespace().collect();
        let fields = match words.first() {
            Some(first) if first.starts_with('@') => 1,
            _ => 5,
        };
        let Some((cron, zone)) = words.split_at_checked(fields) else {
            return Err(refuse(FORM));
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "*,-/#@".contains(c);
        if !cron.iter().all(|field| field.chars().all(plain)) {
            return Err(refuse(FORM));
        }
        let zone = match zone {
            [] => Tz::UTC,
            [name] => Tz::from_str(name)
                .map_err(|_| refuse("must end in a time zone such as Europe/Vienna, or in none"))?,
            _ => return Err(refuse(FORM)),
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let timetable = Self {
            text: words.join(" "),
            cron: parser.parse(&cron.join(" ")).map_err(|_| refuse(FORM))?,
            zone,
        };
        match timetable.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(timetable),
            None => Err(refuse("must come at some time")),
        }
    }

    /// The first time after another; none where there is none in the calendar.
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let time = time.with_timezone(&self.zone);
        let next = self.cron.find_next_occurrence(&time, false).ok()?;
        Some(next.with_timezone(&Utc))
    }

    /// The value as text, in its normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timetable").field(&self.text).finish()
    }
}

impl FromStr for Timetable {
    type Err = InvalidValue;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        Self::parse(input)
    }
}

impl TryFrom<String> for Timetable {
    type Error = InvalidValue;

    fn try_from(input: String) -> Result<Self, Self::Error> {
        Self::parse(input)
    }
}

impl From<Timetable> for String {
    fn from(value: Timetable) -> Self {
        value.text
    }
}

#[cfg(test)]
mod tests {
    use super::Timetable;

    fn next(timetable: &str, after: &str) -> String {
        let timetable = Timetable::parse(timetable).unwrap();
        let next = timetable.next_after(after.parse().unwrap()).unwrap();
        next.format("%F %R").to_string()
    }

    #[test]
    fn weekdays_count_from_sunday_and_either_day_will_do() {
        let saturday = "2026-11-21T10:00:00Z";
        assert_eq!(next("0 0 * * 0", saturday), "2026-11-22 00:00");
        assert_eq!(next("0 0 * * 7", saturday), "2026-11-22 00:00");
        assert_eq!(next("0 0 1 * MON", saturday), "2026-11-23 00:00");
    }

    #[test]
    fn an_hour_that_the_clock_skips_or_repeats_is_one_night() {
        let vienna = "30 2 * * * Europe/Vienna";
        let spring = next(vienna, "2027-03-27T12:00:00Z");
        assert_eq!(spring, "2027-03-28 01:00", "02:30 is not there");
        let autumn = next(vienna, "2027-10-30T12:00:00Z");
        assert_eq!(autumn, "2027-10-31 00:30");
        assert_eq!(
            next(vienna, "2027-10-31T00:30:00Z"),
            "2027-11-01 01:30",
            "02:30 is there twice"
        );
    }

    #[test]
    fn what_is_no_timetable_is_refused() {
        for wrong in [
            "",
            "* * * *",
            "* * * * * *",
            "*/10 * * * * *",
            "60 * * * *",
            "0 24 * * *",
            "0 0 30 2 *",
            "0 0 * * 8",
            "*/0 * * * *",
            "5-1-2 * * * *",
            "0 0 * * * Mars/Olympus",
            "0 0 * * * Europe/Vienna UTC",
            "@reboot",
            "@",
            "@daily @daily",
            "0 0 * * * ../../etc/passwd",
            "0 0 * * \u{0661}",
            "0;id 0 * * *",
        ] {
            let refused = Timetable::parse(wrong).unwrap_err();
            assert_eq!(refused.code.as_str(), "TIMETABLE_INVALID", "{wrong}");
        }
        assert!(Timetable::parse("1,".repeat(150)).is_err());
    }

    #[test]
    fn its_text_gives_it_again() {
        let given = Timetable::parse("  */15  8-18 * *   mon-fri   America/New_York ").unwrap();
        assert_eq!(given.as_str(), "*/15 8-18 * * mon-fri America/New_York");
        let json = serde_json::to_string(&given).unwrap();
        assert_eq!(serde_json::from_str::<Timetable>(&json).unwrap(), given);
    }
}
