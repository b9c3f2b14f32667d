//! `deployr migrate`

use deployr_store::SqliteStore;
use serde_json::json;

use crate::config::Settings;
use crate::data::DataDir;
use crate::exit::{Exit, Result};
use crate::keys;
use crate::shared;
use crate::ui::Ui;

pub(super) async fn run(settings: &Settings, ui: &Ui) -> Result<Exit> {
    let data = DataDir::open(&settings.data)?;
    let database = match &settings.database {
        Some(database) => {
            shared::migrate(database).await?;
            if !keys::are_there(&data) {
                keys::load(&data, true)?;
                let path = data.keys();
                ui.say(format_args!(
                    "made {}; all machines of this database need a copy of it",
                    path.display()
                ));
            }
            database.to_string()
        }
        None => {
            SqliteStore::migrate(data.database()).await?;
            data.database().display().to_string()
        }
    };
    ui.emit(&json!({"database": database, "migrated": true}));
    ui.say(format_args!("{database} is up to date"));
    Ok(Exit::Ok)
}
