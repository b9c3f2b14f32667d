//! `deployr migrate`

use deployr_store::SqliteStore;
use serde_json::json;

use crate::config::Settings;
use crate::data::DataDir;
use crate::exit::{Exit, Result};
use crate::ui::Ui;

pub(super) async fn run(settings: &Settings, ui: &Ui) -> Result<Exit> {
    let database = DataDir::open(&settings.data)?.database();
    SqliteStore::migrate(&database).await?;
    ui.emit(&json!({"database": database, "migrated": true}));
    ui.say(format_args!("{} is up to date", database.display()));
    Ok(Exit::Ok)
}
