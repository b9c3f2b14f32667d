//! The two APIs: what is asked, and how it is answered.

use serde_json::{Value, json};
use url::form_urlencoded;

use super::http::{Head, Response, multipart};
use super::{Inner, contract};

/// What a function says, or why it does not do it.
pub(super) type Done = Result<Value, String>;

pub(super) struct Call {
    is_uapi: bool,
    /// As `Fileman/fileop`.
    pub(super) function: String,
    pub(super) params: Vec<(String, String)>,
    /// The name and the content of a file.
    pub(super) file: Option<(String, Vec<u8>)>,
}

impl Call {
    pub(super) fn read(head: &Head, body: &[u8]) -> Self {
        let query = head.target.split_once('?').map_or("", |(_, query)| query);
        let mut params: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let mut file = None;
        if head.header("content-type").starts_with("multipart/") {
            for (name, filename, content) in multipart(head, body) {
                match filename {
                    Some(filename) => {
                        params.push((name, filename.clone()));
                        file = Some((filename, content));
                    }
                    None => params.push((name, String::from_utf8_lossy(&content).into_owned())),
                }
            }
        } else {
            params.extend(form_urlencoded::parse(body).into_owned());
        }
        if let Some(function) = head.path().strip_prefix("/execute/") {
            return Self {
                is_uapi: true,
                function: function.to_owned(),
                params,
                file,
            };
        }
        let of = |name: &str| {
            let found = params.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let function = match of("cpanel_jsonapi_apiversion").as_str() {
            "2" if head.path() == "/json-api/cpanel" => {
                format!(
                    "{}/{}",
                    of("cpanel_jsonapi_module"),
                    of("cpanel_jsonapi_func")
                )
            }
            _ => head.path().to_owned(),
        };
        params.retain(|(name, _)| !name.starts_with("cpanel_jsonapi_"));
        Self {
            is_uapi: false,
            function,
            params,
            file,
        }
    }

    /// With what is done to files: `Fileman/fileop link`.
    pub(super) fn name(&self) -> String {
        match self.get("op") {
            "" => self.function.clone(),
            op => format!("{} {op}", self.function),
        }
    }

    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        contract::check(self.is_uapi, &self.function, &self.params)
    }
}

impl Inner {
    /// In the envelope of the call's API.
    pub(super) fn answer(&self, call: &Call, done: Done) -> Response {
        let wrapped = self.state().host.wrapped;
        let (module, function) = call.function.split_once('/').unwrap_or_default();
        let body = match (call.is_uapi, done) {
            (true, done) => {
                let (status, errors, data) = match done {
                    Ok(data) => (1, Value::Null, data),
                    Err(words) => (0, json!([words]), Value::Null),
                };
                let flat = json!({
                    "status": status, "errors": errors, "messages": null, "warnings": null,
                    "metadata": {}, "data": data,
                });
                match wrapped {
                    true => {
                        json!({"apiversion": 3, "module": module, "func": function, "result": flat})
                    }
                    false => flat,
                }
            }
            (false, Ok(data)) => json!({"cpanelresult": {
                "apiversion": 2, "module": module, "func": function, "data": data,
                "event": {"result": 1},
            }}),
            (false, Err(words)) if wrapped => json!({"cpanelresult": {
                "apiversion": 2, "module": module, "func": function, "error": words, "data": [],
                "event": {"result": 0, "reason": words},
            }}),
            (false, Err(words)) => json!({"cpanelresult": {
                "apiversion": 2, "module": module, "func": function,
                "data": [{"result": 0, "err": words}], "event": {"result": 1},
            }}),
        };
        Response {
            status: 200,
            content_type: "application/json",
            body: body.to_string().into_bytes(),
        }
    }

    pub(super) fn call(&self, call: &Call) -> Done {
        match call.function.split('/').next().unwrap_or_default() {
            "Fileman" => self.fileman(call),
            "Quota" => Ok(self.quota()),
            "VersionControl" | "VersionControlDeployment" => self.version_control(call),
            "Variables" if call.function.ends_with("get_user_information") => {
                Ok(json!({"home": self.home(), "user": super::USER}))
            }
            "Variables" => {
                let limit = self.state().host.upload;
                Ok(json!({ call.get("name"): limit }))
            }
            _ => self.state().more(call, &self.home()),
        }
    }
}
