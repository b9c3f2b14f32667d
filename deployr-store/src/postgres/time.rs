//! Points in time and durations, as the database has them.

use std::time::Duration;

use deployr_core::system::{Timestamp, timestamp_from_micros};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::{Oid, PgInterval};
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef, Postgres};
use sqlx::{Decode, Encode, Type};

/// 2000-01-01, from which Postgres counts, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// What a `timestamptz` can hold, in microseconds since 2000: from 4713 BC to 294276.
const RANGE: (i64, i64) = (-211_813_488_000_000_000, 9_223_371_331_199_999_999);

/// A `timestamptz`, by its number in `pg_type`. Any that is stored can be read, `infinity` too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub(super) Timestamp);

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1184))
    }
}

impl PgHasArrayType for Time {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1185))
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = self.0.timestamp_micros().saturating_sub(EPOCH);
        <i64 as Encode<Postgres>>::encode(micros.clamp(RANGE.0, RANGE.1), buffer)
    }
}

impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<Postgres>>::decode(value)?;
        Ok(Self(timestamp_from_micros(micros.saturating_add(EPOCH))))
    }
}

/// A duration, in microseconds; none is longer than 8,000 years.
fn micros(duration: Duration) -> i64 {
    let longest = 8_000 * 366 * 86_400 * 1_000_000;
    i64::try_from(duration.as_micros()).map_or(longest, |micros| micros.min(longest))
}

/// A duration as an `interval`.
pub(super) fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: micros(duration),
    }
}
