//! `deployr prune`

use serde_json::json;

use crate::config::Settings;
use crate::docker;
use crate::exit::{Exit, Result};
use crate::host::Host;
use crate::ui::Ui;
use crate::{table, view};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr prune                      What could go from Docker and the caches of its builds
  deployr prune --budget 20GiB       What would have to, the oldest first, to stay within that
  deployr prune --budget 20GiB --yes Removes it

Only what this deployr has made and no release has: the live one and those that are kept for a
rollback stay, whatever the budget. So do volumes. It can be run beside a server.")]
pub(crate) struct Args {
    /// How much images and caches may take together, as 20GiB or 500MiB [default: nothing]
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "0", hide_default_value = true)]
    budget: u64,
    /// Remove it; without this it is only shown
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let data = Host::data(settings)?;
    let plan = docker::plan_prune(settings, &data, args.budget).await?;
    let bytes: u64 = plan.goes.iter().map(|item| item.bytes).sum();
    ui.emit(&json!({
        "bytes": plan.bytes,
        "goes": plan.goes.iter().map(|item| &item.json).collect::<Vec<_>>(),
        "frees": bytes,
        "removes": args.yes,
    }));
    let rows: Vec<_> = plan
        .goes
        .iter()
        .map(|item| {
            vec![
                item.kind.to_owned(),
                view::bytes(item.bytes),
                view::age(item.since),
                item.name.clone(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        table::show(ui, &["WHAT", "SIZE", "SINCE", "NAME"], &rows);
    }
    let (all, frees) = (view::bytes(plan.bytes), view::bytes(bytes));
    if !args.yes {
        ui.say(format_args!(
            "{all} in all; {} would go, with {frees} of their own; with --yes it does",
            rows.len()
        ));
        return Ok(Exit::Ok);
    }
    let gone = docker::prune(settings, &data, &plan).await?;
    ui.emit(&json!({"event": "removed", "count": gone}));
    ui.say(format_args!(
        "{gone} removed, of those that had {frees} of their own"
    ));
    Ok(Exit::Ok)
}

/// A number of bytes, as `20GiB`.
fn size(text: &str) -> std::result::Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits).unwrap_or_default() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        other => return Err(format!("`{other}` is none of B, KiB, MiB, GiB and TiB")),
    };
    let number: u64 = digits.parse().map_err(|error| format!("{error}"))?;
    number
        .checked_mul(1 << unit)
        .ok_or_else(|| "it is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("20GiB"), Ok(20 << 30));
        assert_eq!(size("3MiB"), Ok(3 << 20));
        for text in ["", "GiB", "1GB", "-1", "1.5GiB", "99999999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
