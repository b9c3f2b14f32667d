//! What a project has on the account beside its files: a database, a version of PHP,
//! an app that Passenger runs. Each is looked at first, and left as it is
//! where it is as it should be.

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use serde_json::Value;

use super::Account;
use super::call::{Call, items, number};
use super::lock::random;
use super::place::Placed;
use super::site::{Database, DatabaseKind};

impl Account {
    /// The database and its user.
    pub(super) async fn provide(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<()> {
        let site = self.client.target().site(spec.slug.as_str());
        let Some(wanted) = &site.database else {
            return Ok(());
        };
        let module = wanted.kind.module();
        let limits = self
            .client
            .asked(&Call::uapi(module, "get_restrictions"))
            .await?;
        let name = full("max_database_name_length", &wanted.name, &limits)?;
        let user = full("max_username_length", &wanted.user, &limits)?;
        let databases = self
            .client
            .call(&Call::uapi(module, "list_databases"))
            .await?;
        let there = items(&databases)
            .into_iter()
            .find(|item| is_named(item, "database", &name));
        if there.is_none() {
            let call = Call::uapi(module, "create_database").with("name", &name);
            self.client.call(&call).await?;
            ctx.log.say(format!("made the database {name}")).await;
        }
        let users = self.client.call(&Call::uapi(module, "list_users")).await?;
        if !items(&users)
            .into_iter()
            .any(|item| is_named(item, "user", &user))
        {
            let password = password(wanted, spec)?;
            let call = Call::uapi(module, "create_user")
                .with("name", &user)
                .with("password", password);
            self.client.call(&call).await?;
            ctx.log.say(format!("made the database user {user}")).await;
        }
        let has_rights = there
            .and_then(|item| item.get("users"))
            .map(items)
            .unwrap_or_default();
        if has_rights.iter().any(|item| is_named(item, "user", &user)) {
            return Ok(());
        }
        let grant = match wanted.kind {
            DatabaseKind::Mysql => Call::uapi(module, "set_privileges_on_database")
                .with("privileges", "ALL PRIVILEGES"),
            DatabaseKind::Postgresql => Call::uapi(module, "grant_all_privileges"),
        };
        self.client
            .call(&grant.with("user", &user).with("database", &name))
            .await
            .map(drop)
    }

    /// The domain's version of PHP, where it is another.
    pub(super) async fn set_php(&self, spec: &ReleaseSpec, ctx: &StepContext) -> StepResult<()> {
        let site = self.client.target().site(spec.slug.as_str());
        let (Some(wanted), Some(domain)) = (&site.php, &site.domain) else {
            return Ok(());
        };
        let installed = self.php_versions().await?;
        let Some(version) = find_php(wanted, &installed) else {
            let message = format!(
                "the host has no PHP {wanted}, but {}; set `php` to one of these",
                installed.join(", ")
            );
            return Err(StepError::verdict(VerdictCode::ConfigInvalid, message));
        };
        let call = Call::uapi("LangPHP", "php_get_vhost_versions").with("vhost", domain);
        let present = self.client.call(&call).await?;
        let of_domain = |item: &&Value| is_named(item, "vhost", domain);
        let present = items(&present).into_iter().find(of_domain);
        if present.is_some_and(|item| is_named(item, "version", version)) {
            return Ok(());
        }
        let call = Call::uapi("LangPHP", "php_set_vhost_versions")
            .with("version", version)
            .with("vhost", domain);
        self.client.call(&call).await?;
        ctx.log.say(format!("{domain} has {version} now")).await;
        Ok(())
    }

    pub(super) async fn php_versions(&self) -> StepResult<Vec<String>> {
        let data = self
            .client
            .call(&Call::uapi("LangPHP", "php_get_installed_versions"))
            .await?;
        let versions = data.get("versions").map(items).unwrap_or_default();
        Ok(versions
            .into_iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    }

    /// Tells Passenger of the app, and that it is another one now.
    pub(super) async fn run_app(
        &self,
        spec: &ReleaseSpec,
        placed: &Placed,
        ctx: &StepContext,
    ) -> StepResult<()> {
        let site = self.client.target().site(spec.slug.as_str());
        let (true, Some(domain)) = (site.passenger, &site.domain) else {
            return Ok(());
        };
        let name = spec.slug.as_str();
        let path = format!("{}/current", self.base(&spec.slug));
        let apps = self
            .client
            .call(&Call::uapi("PassengerApps", "list_applications"))
            .await?;
        let by_key = apps.get(name).is_some();
        let known = by_key
            || items(&apps)
                .into_iter()
                .any(|app| is_named(app, "name", name));
        let call = match known {
            true => Call::uapi("PassengerApps", "edit_application").with("clear_envvars", "1"),
            false => Call::uapi("PassengerApps", "register_application").with("base_uri", "/"),
        };
        let call = call
            .with("name", name)
            .with("path", &path)
            .with("domain", domain)
            .with("deployment_mode", "production")
            .with("enabled", "1");
        let release = spec.number.to_string();
        let ours = [
            ("DEPLOYR_RELEASE", release.as_str()),
            ("NODE_ENV", "production"),
        ];
        let of_project = spec
            .env
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()));
        let all = ours
            .into_iter()
            .filter(|(name, _)| spec.env.get(name).is_none())
            .chain(of_project);
        let call = all.enumerate().fold(call, |call, (at, (name, value))| {
            let at = if at == 0 {
                String::new()
            } else {
                format!("-{at}")
            };
            call.with(format!("envvar_name{at}"), name)
                .with(format!("envvar_value{at}"), value)
        });
        self.client.call(&call).await?;
        self.restart_app(placed).await?;
        ctx.log.say(format!("Passenger starts {name} anew")).await;
        Ok(())
    }

    /// As Passenger has it: by a file that is another than before.
    async fn restart_app(&self, placed: &Placed) -> StepResult<()> {
        let tmp = format!("{}/tmp", placed.folder);
        self.client.make_dirs(&tmp).await?;
        self.client
            .write_file(&format!("{tmp}/restart.txt"), &random())
            .await
    }
}

/// Whether the item is that name, or has it under the key.
fn is_named(item: &Value, key: &str, name: &str) -> bool {
    item.as_str() == Some(name) || item.get(key).and_then(Value::as_str) == Some(name)
}

/// With the account's prefix, and no longer than it may be.
fn full(limit: &str, name: &str, limits: &Value) -> StepResult<String> {
    let prefix = limits
        .get("prefix")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let name = match name.starts_with(prefix) {
        true => name.to_owned(),
        false => format!("{prefix}{name}"),
    };
    match limits.get(limit).and_then(number) {
        Some(limit) if name.len() as u64 > limit => {
            let message = format!(
                "the name {name} is longer than the {limit} letters that the host takes; shorten it"
            );
            Err(StepError::verdict(VerdictCode::ConfigInvalid, message))
        }
        _ => Ok(name),
    }
}

fn password<'a>(wanted: &Database, spec: &'a ReleaseSpec) -> StepResult<&'a str> {
    let value = spec
        .env
        .get(wanted.password.as_str())
        .map(|value| value.expose());
    value.filter(|value| !value.is_empty()).ok_or_else(|| {
        let reason = format!(
            "the project's variable {} has no password for it; set it with `deployr env set`",
            wanted.password
        );
        Fault::permanent("make", format!("the database user {}", wanted.user), reason).into()
    })
}

/// What the host calls a version: `8.2` is `ea-php82`.
pub(super) fn find_php<'a>(wanted: &str, installed: &'a [String]) -> Option<&'a str> {
    let digits = |text: &str| {
        text.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    let is_number = wanted.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let fits = |name: &&String| match is_number {
        true => digits(name) == digits(wanted),
        false => *name == wanted,
    };
    installed.iter().find(fits).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_by_its_number_or_its_name() {
        let installed = ["ea-php74", "ea-php82", "alt-php84"].map(str::to_owned);
        assert_eq!(find_php("8.2", &installed), Some("ea-php82"));
        assert_eq!(find_php("alt-php84", &installed), Some("alt-php84"));
        assert_eq!(find_php("8", &installed), None);
        assert_eq!(find_php("8.3", &installed), None);
    }
}
