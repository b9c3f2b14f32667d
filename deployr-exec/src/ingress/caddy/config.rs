//! What deployr's part of Caddy's configuration looks like: values, made and read here,
//! sent elsewhere.

use std::net::SocketAddr;
use std::time::Duration;

use deployr_core::error::Fault;
use deployr_core::executor::Endpoint;
use deployr_core::ingress::Route;
use deployr_core::value::{DomainName, Network, Slug};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::files;

/// How long an app that is being started again is waited for, as by the built-in ingress.
const RESTART_GAP: &str = "5s";
const RESTART_PROBE: &str = "100ms";

/// What is the same for all routes.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) domain: DomainName,
    /// The name of the server in Caddy's configuration.
    pub(super) server: String,
    /// Where that listens, if it has to be made.
    pub(super) listen: SocketAddr,
    pub(super) tls: bool,
    pub(super) trusted: Vec<Network>,
    pub(super) patience: Duration,
}

/// What a project's route is made of. Kept in the route itself, as the value of a variable
/// that nothing reads but [`Entry::read`]: Caddy refuses keys that it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) route: Route,
    /// Where requests of the releases before it may still be under way. Caddy forgets the
    /// count of an address that no route has, so each has one, which no request matches.
    pub(super) former: Vec<SocketAddr>,
}

impl Site {
    /// Two engines that share a Caddy serve two domains, so the domain tells whose a route is.
    pub(super) fn id(&self, slug: &Slug) -> String {
        format!("{}:{slug}", self.own_id())
    }

    /// The route that answers for names without a project.
    pub(super) fn own_id(&self) -> String {
        format!("deployr:{}", self.domain)
    }

    pub(super) fn server_path(&self) -> String {
        let server =
            percent_encoding::utf8_percent_encode(&self.server, percent_encoding::NON_ALPHANUMERIC);
        format!("/config/apps/http/servers/{server}")
    }

    /// A server of deployr's own, which answers for nothing else.
    pub(super) fn new_server(&self) -> Value {
        let mut server = json!({
            "listen": [self.listen],
            "read_header_timeout": "10s",
            "routes": [self.nobody(Value::Null)],
        });
        if !self.tls {
            server["automatic_https"] = json!({"disable": true});
        }
        server
    }

    /// For a server that others use too: only names below the domain.
    pub(super) fn nobody_below(&self) -> Value {
        // Twice `not`: Caddy would else ask for a certificate for the whole domain.
        let below = format!("*.{}", self.domain);
        self.nobody(json!([{"not": [{"not": [{"host": [below]}]}]}]))
    }

    fn nobody(&self, matches: Value) -> Value {
        let mut route = json!({
            "@id": self.own_id(),
            "handle": [page("404", "no such site")],
            "terminal": true,
        });
        if !matches.is_null() {
            route["match"] = matches;
        }
        route
    }

    /// A project's route, whole.
    pub(super) fn route(&self, entry: &Entry) -> Result<Value, Fault> {
        let Route { slug, release, .. } = &entry.route;
        let mut hosts = vec![format!("{slug}.{}", self.domain)];
        hosts.extend(entry.route.domains.iter().map(ToString::to_string));
        let mut routes: Vec<Value> = Vec::new();
        for former in &entry.former {
            routes.push(json!({
                "match": [{"not": [{"path": ["*"]}]}],
                "handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": former}]}],
            }));
        }
        match &entry.route.endpoint {
            Endpoint::Http { address } => routes.push(self.app(*address)),
            Endpoint::Folder { path, single_page } => {
                routes.extend(files::routes(slug, *release, path, *single_page)?);
            }
            other => {
                return Err(Fault::permanent(
                    "route",
                    slug,
                    format_args!("Caddy cannot send requests to {other:?}"),
                ));
            }
        }
        Ok(json!({
            "@id": self.id(slug),
            "match": [{"host": hosts}],
            "terminal": true,
            "handle": [
                {"handler": "vars", "deployr": entry},
                {"handler": "headers", "response": {
                    "deferred": true, // over what an app says of itself
                    "set": {"X-Deployr-Release": [release.to_string()]},
                }},
                {"handler": "subroute", "routes": routes, "errors": {"routes": [{
                    "handle": [page(
                        "{http.error.status_code}",
                        "{http.error.status_code} {http.error.status_text}",
                    )],
                }]}},
            ],
        }))
    }

    fn app(&self, address: SocketAddr) -> Value {
        json!({"handle": [{
            "handler": "reverse_proxy",
            "upstreams": [{"dial": address}],
            "load_balancing": {"try_duration": RESTART_GAP, "try_interval": RESTART_PROBE},
            "transport": {
                "protocol": "http",
                "response_header_timeout": format!("{}ms", self.patience.as_millis()),
            },
            "trusted_proxies": self.trusted,
        }]})
    }
}

impl Entry {
    /// What a project's route was made of; none where the route is none of ours, or no
    /// longer as we made it.
    pub(super) fn read(route: &Value) -> Option<Self> {
        let handlers = route["handle"].as_array()?;
        let mut kept = handlers.iter().filter_map(|handler| handler.get("deployr"));
        Self::deserialize(kept.next()?).ok()
    }
}

/// A short page that says why there is no other.
pub(super) fn page(status: &str, text: &str) -> Value {
    json!({
        "handler": "static_response",
        "status_code": status,
        "headers": {
            "Content-Type": ["text/plain; charset=utf-8"],
            "Cache-Control": ["no-store"],
        },
        "body": format!("{text}\n"),
    })
}
