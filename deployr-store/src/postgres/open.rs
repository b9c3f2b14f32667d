//! Connecting, and bringing the tables up to date.

use std::time::Duration;

use deployr_core::store::{StoreError, StoreResult};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Executor};

use super::PgOptions;
use super::query::{execute, one, scalar};
use crate::error::{DbError, DbResult};

/// The steps that lead to the newest form of the tables.
const STEPS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_initial.sql"),
    include_str!("../../migrations/postgres/0002_domains.sql"),
    include_str!("../../migrations/postgres/0003_removals.sql"),
    include_str!("../../migrations/postgres/0004_start_again.sql"),
    include_str!("../../migrations/postgres/0005_ended_lately.sql"),
];

/// What every connection goes by, whatever the server's own settings are.
const SETTINGS: [(&str, &str); 7] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("default_transaction_isolation", "read committed"),
    // Statements are short: compiling them takes longer than carrying them out.
    ("jit", "off"),
    // Every statement looks up a key, or follows an index to a limit. A plan for values that
    // are seen is no better, and worse where the tables have not been analysed yet.
    ("plan_cache_mode", "force_generic_plan"),
    // For the same reason: a bitmap is in no order, so that all that stand in a line would be
    // fetched and sorted for the first of them.
    ("enable_bitmapscan", "off"),
];

/// After so long in the pool a connection is tried before it is used.
const IDLE: Duration = Duration::from_secs(1);

pub(super) fn pool_options() -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(8)
        .acquire_timeout(Duration::from_secs(5))
        .test_before_acquire(false)
        .before_acquire(|db, idle| {
            Box::pin(async move {
                if idle.idle_for > IDLE {
                    db.ping().await?;
                }
                Ok(true)
            })
        })
}

/// Connects, and brings the tables up to date.
pub(super) async fn open(url: &str, options: PgOptions) -> StoreResult<PgPool> {
    let unavailable = |reason| StoreError::Unavailable {
        operation: "open",
        reason,
    };
    let schema = options.schema;
    if !is_plain(&schema) {
        return Err(unavailable(format!(
            "{schema:?} is no plain name for a schema: use a-z, 0-9 and _, 50 at most"
        )));
    }
    let server: PgConnectOptions = url
        .parse()
        .map_err(|error| unavailable(format!("the URL is none of a Postgres: {error}")))?;
    let server = match server.get_application_name() {
        Some(_) => server,
        None => server.application_name("deployr"),
    };
    let server = server
        .options(SETTINGS)
        .options([("search_path", schema.as_str())]);
    let place = place(&server);
    let pool = options.pool.connect_lazy_with(server);
    migrate(&pool, &schema)
        .await
        .map_err(|error| explain(&place, error))?;
    Ok(pool)
}

/// A name that needs no quotes, and leaves room for what is named after it.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    let first = name.chars().next();
    first.is_some_and(|first| !first.is_ascii_digit())
        && name.len() <= 50
        && name.chars().all(plain)
}

async fn migrate(pool: &PgPool, schema: &str) -> DbResult<()> {
    let mut db = pool.acquire().await?;
    if version(&mut db).await? == STEPS.len() {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    // Other nodes may start at the same time; and a step may take long.
    tx.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        .await?;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('deployr migration of ' || $1, 0))";
    execute(&mut tx, sqlx::query(lock).bind(schema)).await?;
    let absent = sqlx::query("SELECT to_regnamespace($1) IS NULL").bind(schema);
    if one(&mut tx, absent, scalar).await? == Some(true) {
        let create = format!("CREATE SCHEMA {schema}");
        tx.execute(sqlx::AssertSqlSafe(create)).await?;
    }
    let before = version(&mut tx).await?;
    for (step, number) in STEPS.iter().zip(1_i32..).skip(before) {
        tx.execute(sqlx::raw_sql(*step)).await?;
        let note = "INSERT INTO schema_version (version) VALUES ($1)";
        execute(&mut tx, sqlx::query(note).bind(number)).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The version of the tables: how many of the steps were made.
async fn version(db: &mut PgConnection) -> DbResult<usize> {
    let there = sqlx::query("SELECT to_regclass('schema_version') IS NOT NULL");
    if one(db, there, scalar).await? != Some(true) {
        return Ok(0);
    }
    let sql = "SELECT coalesce(max(version), 0) FROM schema_version";
    let version: i32 = one(db, sqlx::query(sql), scalar).await?.unwrap_or(0);
    let newest = STEPS.len();
    usize::try_from(version)
        .ok()
        .filter(|version| *version <= newest)
        .ok_or_else(|| {
            let reason = format!(
                "its tables have version {version}, and this program knows {newest} at most: \
                 use a newer deployr, or another schema"
            );
            let what = "the database";
            StoreError::Corrupt { what, reason }.into()
        })
}

/// Where the server is, without the password.
fn place(server: &PgConnectOptions) -> String {
    let host = match server.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", server.get_host(), server.get_port()),
    };
    let database = server.get_database().unwrap_or(server.get_username());
    format!("{host}/{database}")
}

/// Adds the place, which Postgres leaves out.
fn explain(place: &str, error: DbError) -> StoreError {
    match error.into_store_error("open") {
        StoreError::Corrupt { what, reason } => StoreError::Corrupt {
            what,
            reason: format!("{place}: {reason}"),
        },
        StoreError::Unavailable { operation, reason } => StoreError::Unavailable {
            operation,
            reason: format!("{place}: {reason}"),
        },
        other => other,
    }
}
