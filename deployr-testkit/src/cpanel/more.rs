//! Domains, databases, PHP, cron, Passenger's applications.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::api::{Call, Done};
use super::{State, USER, web};

#[derive(Debug, Default)]
pub(super) struct Databases {
    /// With the users that may use each.
    databases: BTreeMap<String, Vec<String>>,
    users: BTreeMap<String, String>,
}

impl Databases {
    pub(super) fn all(&self) -> BTreeMap<String, Vec<String>> {
        self.databases.clone()
    }

    pub(super) fn password_of(&self, user: &str) -> Option<String> {
        self.users.get(user).cloned()
    }
}

impl State {
    pub(super) fn more(&mut self, call: &Call, home: &Path) -> Done {
        let (module, function) = call.function.split_once('/').unwrap_or_default();
        match (module, function) {
            ("Mysql" | "Postgresql", _) => self.database(function, call),
            ("DomainInfo", "list_domains") => {
                let others = self
                    .domains
                    .keys()
                    .filter(|domain| *domain != "example.com");
                let others: Vec<&String> = others.collect();
                Ok(
                    json!({"main_domain": "example.com", "addon_domains": [], "parked_domains": [],
                    "sub_domains": others}),
                )
            }
            ("DomainInfo", _) => match self.domains.get(call.get("domain")) {
                Some(root) => Ok(json!({"domain": call.get("domain"), "documentroot": root})),
                None => Err(format!(
                    "The domain “{}” does not exist.",
                    call.get("domain")
                )),
            },
            ("SubDomain", _) => {
                let domain = format!("{}.{}", call.get("domain"), call.get("rootdomain"));
                let root = home.join(call.get("dir"));
                std::fs::create_dir_all(root.join("cgi-bin")).map_err(|error| error.to_string())?;
                self.domains.insert(domain, root);
                Ok(Value::Null)
            }
            ("LangPHP", "php_get_installed_versions") => Ok(json!({"versions": self.host.php})),
            ("LangPHP", "php_get_vhost_versions") => {
                let vhost = call.get("vhost");
                let version = self.php_of.get(vhost).map_or("ea-php74", String::as_str);
                Ok(json!([{"vhost": vhost, "version": version}]))
            }
            ("LangPHP", _) => {
                let version = call.get("version").to_owned();
                if !self.host.php.contains(&version) {
                    return Err(format!("PHP “{version}” is not installed."));
                }
                self.php_of.insert(call.get("vhost").to_owned(), version);
                Ok(json!({"vhosts": [call.get("vhost")]}))
            }
            ("Tokens", _) => {
                Ok(json!([{"name": "deployr", "expires_at": null, "has_full_access": 1}]))
            }
            ("Cron", _) => self.crontab(function, call),
            ("PassengerApps", "list_applications") => {
                let apps = self
                    .apps
                    .iter()
                    .map(|(name, app)| (name.clone(), json!({"name": name, "path": app.path})));
                Ok(Value::Object(apps.collect()))
            }
            ("PassengerApps", _) => self.application(function, call, home),
            _ => Err(format!("The fake has no {}", call.function)),
        }
    }

    fn database(&mut self, function: &str, call: &Call) -> Done {
        let prefix = format!("{USER}_");
        let own = |name: &str| match name.starts_with(&prefix) {
            true => Ok(name.to_owned()),
            false => Err(format!(
                "The name “{name}” does not begin with the prefix “{prefix}”."
            )),
        };
        let Databases { databases, users } = &mut self.databases;
        match function {
            "get_restrictions" => Ok(
                json!({"prefix": prefix, "max_database_name_length": 64, "max_username_length": 32}),
            ),
            "list_databases" => {
                let all = databases
                    .iter()
                    .map(|(name, users)| json!({"database": name, "users": users}));
                Ok(all.collect())
            }
            "list_users" => Ok(users
                .keys()
                .map(|user| json!({"user": user, "shortuser": user}))
                .collect()),
            "create_database" => {
                if databases.len() >= self.host.databases {
                    return Err("You have reached your maximum allotment of databases.".to_owned());
                }
                let name = own(call.get("name"))?;
                match databases.contains_key(&name) {
                    true => Err(format!("The database “{name}” already exists.")),
                    false => {
                        databases.insert(name, Vec::new());
                        Ok(Value::Null)
                    }
                }
            }
            "create_user" => {
                let name = own(call.get("name"))?;
                if call.get("password").len() < 5 {
                    return Err(
                        "The password is too weak: its strength is below the minimum.".to_owned(),
                    );
                }
                match users.insert(name.clone(), call.get("password").to_owned()) {
                    Some(_) => Err(format!("The user “{name}” already exists.")),
                    None => Ok(Value::Null),
                }
            }
            _ => {
                let (database, user) = (call.get("database"), call.get("user"));
                match databases
                    .get_mut(database)
                    .filter(|_| users.contains_key(user))
                {
                    Some(of) => {
                        of.push(user.to_owned());
                        Ok(Value::Null)
                    }
                    None => Err(format!("You do not have a database named “{database}”.")),
                }
            }
        }
    }

    fn crontab(&mut self, function: &str, call: &Call) -> Done {
        let names = ["minute", "hour", "day", "month", "weekday", "command"];
        match function {
            "listcron" => {
                let lines = (1..).zip(&self.cron).map(|(count, line)| {
                    let mut item = json!({"count": count, "linekey": format!("{count:032}")});
                    for (name, value) in names.iter().zip(line) {
                        item[name] = json!(value);
                    }
                    item
                });
                Ok(lines.collect())
            }
            "add_line" => {
                self.cron.push(names.map(|name| call.get(name).to_owned()));
                Ok(
                    json!([{"linekey": "1", "status": 1, "statusmsg": "crontab installed", "result": 1}]),
                )
            }
            _ => match call
                .get("line")
                .parse::<usize>()
                .ok()
                .filter(|line| (1..=self.cron.len()).contains(line))
            {
                Some(line) => {
                    self.cron.remove(line - 1);
                    Ok(json!([{"status": 1, "statusmsg": "crontab installed"}]))
                }
                None => Err("There is no such line.".to_owned()),
            },
        }
    }

    fn application(&mut self, function: &str, call: &Call, home: &Path) -> Done {
        let name = call.get("name").to_owned();
        let is_there = self.apps.contains_key(&name);
        if function == "unregister_application" {
            return match self.apps.remove(&name) {
                Some(_) => Ok(Value::Null),
                None => Err(format!("The application “{name}” does not exist.")),
            };
        }
        if is_there != (function == "edit_application") {
            return Err(format!("The application “{name}” is there: {is_there}."));
        }
        let path = home.join(call.get("path"));
        if !path.is_dir() {
            return Err(format!("The path “{}” does not exist.", path.display()));
        }
        let env = call.params.iter().filter_map(|(key, name)| {
            let number = key.strip_prefix("envvar_name")?;
            Some((
                name.clone(),
                call.get(&format!("envvar_value{number}")).to_owned(),
            ))
        });
        let app = web::App {
            path,
            domain: call.get("domain").to_owned(),
            env: env.collect(),
        };
        self.apps.insert(name, app);
        Ok(Value::Null)
    }
}
