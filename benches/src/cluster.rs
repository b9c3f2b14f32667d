//! A private Postgres for a bench, as durable as a real one, and databases in it.

use deployr_testkit::postgres::Postgres;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::runtime::Runtime;

use crate::Error;

/// As much as a small machine has to give; everything else as Postgres comes.
const SETTINGS: &[&str] = &["shared_buffers=1GB", "max_wal_size=4GB"];

pub(crate) struct Cluster(Postgres);

impl Cluster {
    pub(crate) fn start() -> Self {
        Self(Postgres::start_with(SETTINGS))
    }

    /// A new, empty database.
    pub(crate) fn database<'r>(&self, runtime: &'r Runtime) -> Result<Database<'r>, Error> {
        let url = self.0.database();
        let db = runtime.block_on(PgConnection::connect(&url))?;
        let maintenance = self.0.url("postgres");
        Ok(Database {
            runtime,
            url,
            maintenance,
            db: Some(db),
        })
    }
}

/// A database, which is dropped with it.
pub(crate) struct Database<'r> {
    runtime: &'r Runtime,
    pub(crate) url: String,
    maintenance: String,
    db: Option<PgConnection>,
}

impl Database<'_> {
    fn db(&mut self) -> Result<&mut PgConnection, Error> {
        Ok(self.db.as_mut().ok_or("the database is dropped")?)
    }

    /// Carries out statements.
    pub(crate) fn execute(&mut self, sql: &str) -> Result<(), Error> {
        let runtime = self.runtime;
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        runtime.block_on(self.db()?.execute(sql))?;
        Ok(())
    }

    /// The number that a query gives.
    pub(crate) fn number(&mut self, sql: &str) -> Result<i64, Error> {
        let runtime = self.runtime;
        let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
        Ok(runtime.block_on(query.fetch_one(self.db()?))?)
    }

    /// As after a while of quiet: statistics are there, and nothing is left to be written.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        self.execute("VACUUM ANALYZE")?;
        self.execute("CHECKPOINT")
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        self.db = None;
        let name = self.url.rsplit('/').next().unwrap_or_default().to_owned();
        let drop = async {
            let mut db = PgConnection::connect(&self.maintenance).await?;
            let sql = format!("DROP DATABASE {name} WITH (FORCE)");
            db.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await
        };
        if let Err(error) = self.runtime.block_on(drop) {
            eprintln!("  cannot drop {name}: {error}");
        }
    }
}
