//! A call of cPanel's API as a value, and what its answer says.

use std::fmt;

use serde_json::Value;
use url::form_urlencoded::Serializer;

/// Which of the two APIs; what moves and unpacks files is only in the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    Two,
    Uapi,
}

/// A function and what it is given. All of it goes into the body, none into the URL, where
/// servers would log it; shown without values.
#[derive(Clone)]
pub(super) struct Call {
    api: Api,
    pub(super) module: &'static str,
    pub(super) function: &'static str,
    params: Vec<(String, String)>,
}

impl Call {
    pub(super) fn uapi(module: &'static str, function: &'static str) -> Self {
        Self::new(Api::Uapi, module, function)
    }

    pub(super) fn api2(module: &'static str, function: &'static str) -> Self {
        Self::new(Api::Two, module, function)
    }

    fn new(api: Api, module: &'static str, function: &'static str) -> Self {
        Self {
            api,
            module,
            function,
            params: Vec::new(),
        }
    }

    /// What is done to files, one at a time.
    pub(super) fn fileop(op: &str, source: &str, dest: Option<&str>) -> Self {
        let call = Self::api2("Fileman", "fileop")
            .with("op", op)
            .with("doubledecode", "0")
            .with("sourcefiles", source);
        match dest {
            Some(dest) => call.with("destfiles", dest),
            None => call,
        }
    }

    pub(super) fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    /// Whether it does more than tell something.
    pub(super) fn changes(&self) -> bool {
        let tells = ["get_", "list", "retrieve", "single_", "php_get_"];
        !tells.iter().any(|verb| self.function.starts_with(verb))
    }

    pub(super) fn path(&self) -> String {
        match self.api {
            Api::Uapi => format!("/execute/{}/{}", self.module, self.function),
            Api::Two => "/json-api/cpanel".to_owned(),
        }
    }

    pub(super) fn body(&self, user: &str) -> String {
        let mut form = Serializer::new(String::new());
        if self.api == Api::Two {
            form.append_pair("cpanel_jsonapi_user", user)
                .append_pair("cpanel_jsonapi_apiversion", "2")
                .append_pair("cpanel_jsonapi_module", self.module)
                .append_pair("cpanel_jsonapi_func", self.function);
        }
        form.extend_pairs(&self.params).finish()
    }

    /// What was done, or why the host did not do it.
    pub(super) fn read(&self, answer: &Value) -> Result<Value, String> {
        match self.api {
            Api::Uapi => read_uapi(answer),
            Api::Two => read_api2(answer),
        }
    }
}

/// `Fileman::fileop extract`
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.module, self.function)?;
        match self.params.iter().find(|(name, _)| name == "op") {
            Some((_, op)) => write!(f, " {op}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({self})")
    }
}

/// A number or a text of 1.
pub(super) fn is_one(value: &Value) -> bool {
    value.as_i64() == Some(1) || value.as_str() == Some("1") || value.as_bool() == Some(true)
}

/// A number, which may be written as a text.
pub(super) fn number(value: &Value) -> Option<u64> {
    let text = || value.as_str()?.trim().parse().ok();
    value.as_u64().or_else(text)
}

/// What servers say in a list, of which they make a map now and then.
pub(super) fn items(data: &Value) -> Vec<&Value> {
    match data {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

/// Over `/execute` the result is the root; elsewhere it is wrapped. Both are documented.
fn read_uapi(answer: &Value) -> Result<Value, String> {
    let result = answer.get("result").unwrap_or(answer);
    let Some(status) = result.get("status") else {
        return Err("the answer has no `status`, as one of cPanel's has".to_owned());
    };
    if is_one(status) {
        return Ok(result.get("data").cloned().unwrap_or_default());
    }
    let said = ["errors", "messages"]
        .iter()
        .filter_map(|key| result.get(key));
    Err(joined(said.flat_map(texts)))
}

/// A refusal may be told in any of these places.
fn read_api2(answer: &Value) -> Result<Value, String> {
    let result = answer.get("cpanelresult").unwrap_or(answer);
    let data = result.get("data").cloned().unwrap_or_default();
    let items = match &data {
        Value::Array(items) => items.as_slice(),
        Value::Object(_) => std::slice::from_ref(&data),
        _ => &[],
    };
    let failed = |item: &&Value| {
        let flags = ["result", "status"].iter().filter_map(|key| item.get(key));
        flags.into_iter().any(|flag| !is_one(flag))
    };
    let event = result.get("event").and_then(|event| event.get("result"));
    let told = result.get("error").is_some_and(|error| !error.is_null());
    if !told && event.is_none_or(is_one) && !items.iter().any(|item| failed(&item)) {
        let known = event.is_some() || !items.is_empty() || result.get("data").is_some();
        return match known {
            true => Ok(data),
            false => {
                Err("the answer has neither data nor an event, as one of cPanel's has".to_owned())
            }
        };
    }
    let keys = ["err", "reason", "statusmsg", "output"];
    let of_items = items.iter().filter(failed);
    let of_items = of_items.flat_map(|item| keys.iter().filter_map(|key| item.get(key)));
    let of_event = result.get("event").and_then(|event| event.get("reason"));
    let said = result
        .get("error")
        .into_iter()
        .chain(of_event)
        .chain(of_items);
    Err(joined(said.flat_map(texts)))
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// One line of what was said, each thing once.
fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut said: Vec<String> = Vec::new();
    for text in texts {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.chars().take(300).collect::<String>();
        let text = text.trim_end_matches('.').to_owned();
        if !text.is_empty() && !said.contains(&text) {
            said.push(text);
        }
    }
    match said.is_empty() {
        true => "the host refused it and said nothing".to_owned(),
        false => said.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changes_nothing_is_known() {
        for tells in ["list_files", "get_file_content", "retrieve", "listcron"] {
            assert!(!Call::uapi("M", tells).changes(), "{tells}");
        }
        for changes in [
            "save_file_content",
            "create",
            "mkdir",
            "php_set_vhost_versions",
        ] {
            assert!(Call::uapi("M", changes).changes(), "{changes}");
        }
        assert!(Call::fileop("rename", "a", Some("b")).changes());
    }

    #[test]
    fn both_envelopes_are_read() {
        let call = Call::uapi("DomainInfo", "list_domains");
        let flat = json!({"status": 1, "errors": null, "data": {"main_domain": "a.b"}});
        let wrapped = json!({"apiversion": 3, "func": "list_domains", "result": flat});
        for answer in [&flat, &wrapped] {
            assert_eq!(call.read(answer).unwrap()["main_domain"], "a.b");
        }
        assert!(call.read(&json!({"status": "1", "data": null})).is_ok());
        let refused = json!({"status": 0, "errors": ["No\nsuch  thing."], "messages": null});
        assert_eq!(call.read(&refused).unwrap_err(), "No such thing");
        for other in [json!({}), json!([]), json!("x"), json!({"result": 1})] {
            assert!(call.read(&other).unwrap_err().contains("status"), "{other}");
        }
        assert!(
            call.read(&json!({"status": 0}))
                .unwrap_err()
                .contains("said nothing")
        );
    }

    #[test]
    fn a_refusal_of_the_older_api_is_found_wherever_it_is() {
        let call = Call::fileop("extract", "a.zip", Some("b"));
        let answer = |result: Value| json!({ "cpanelresult": result });
        let well = json!({"data": [{"result": 1}], "event": {"result": 1}});
        assert!(call.read(&answer(well)).is_ok());
        for refused in [
            json!({"data": [{"result": 0, "err": "no room"}], "event": {"result": 1}}),
            json!({"data": [{"result": "0", "reason": "no room"}]}),
            json!({"error": "no room", "event": {"result": 1}}),
            json!({"event": {"result": 0, "reason": "no room"}, "data": []}),
            json!({"data": {"result": 0, "reason": "no room"}}),
        ] {
            assert_eq!(call.read(&answer(refused)).unwrap_err(), "no room");
        }
        assert!(call.read(&json!({})).is_err());
    }

    #[test]
    fn values_are_in_the_body_and_shown_nowhere() {
        let call = Call::uapi("Mysql", "create_user").with("password", "p&w=1\n%");
        assert_eq!(call.path(), "/execute/Mysql/create_user");
        assert_eq!(call.body("acme"), "password=p%26w%3D1%0A%25");
        assert_eq!(
            format!("{call} {call:?}"),
            "Mysql::create_user Call(Mysql::create_user)"
        );
        let two = Call::fileop("link", "a", Some("b"));
        assert!(
            two.body("acme")
                .starts_with("cpanel_jsonapi_user=acme&cpanel_jsonapi_apiversion=2")
        );
        assert_eq!(two.to_string(), "Fileman::fileop link");
    }
}
