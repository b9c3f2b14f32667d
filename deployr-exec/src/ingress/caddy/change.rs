//! Changes of Caddy's routes: each names what it was made of, and is made anew where another
//! has come between.

use deployr_core::error::Fault;
use deployr_core::ingress::Route;
use deployr_core::model::Turn;
use deployr_core::value::Slug;
use http::Method;
use serde_json::{Value, json};

use super::CaddyIngress;
use super::admin::{Call, Failure, Part, Version};
use super::config::Entry;

/// How often a change is tried that another one comes between.
const TRIES: usize = 20;

impl CaddyIngress {
    pub(super) async fn present(&self, slug: &Slug) -> Result<Option<Part>, Failure> {
        let path = format!("/id/{}", self.site.id(slug));
        match self.admin.get(path).await {
            Ok(part) => Ok(Some(part)),
            Err(Failure::Missing) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// One attempt at bringing a route in. [`Failure::Changed`] asks for another.
    pub(super) async fn place(&self, route: &Route) -> Result<(), Refusal> {
        let present = self.present(&route.slug).await?;
        let before = present.as_ref().and_then(|part| Entry::read(&part.value));
        if let Some(Entry { route: before, .. }) = &before
            && route.turn < before.turn
        {
            return Err(Refusal::Late(before.clone()));
        }
        let former = match &before {
            Some(before) => self.former(before, &route.endpoint).await?,
            None => Vec::new(),
        };
        let mut entry = Entry {
            route: route.clone(),
            former,
        };
        // After a restart of the engine all is as it was: not worth a change of Caddy's
        // configuration a project.
        if let Some(Entry { route: before, .. }) = before
            && route.turn == Turn::after(before.turn.deployment)
        {
            let turn = before.turn;
            let as_it_was = Route {
                turn,
                ..route.clone()
            };
            if as_it_was == before {
                entry.route = before;
            }
        }
        // Reads the release's folder.
        let site = self.site.clone();
        let body = tokio::task::spawn_blocking(move || site.route(&entry));
        let body = body.await.map_err(|error| {
            Fault::retryable("route", &route.slug, "its folder could not be read").because(error)
        })??;
        match present {
            Some(part) if part.value == body => Ok(()),
            Some(part) => {
                let path = format!("/id/{}", self.site.id(&route.slug));
                self.change(Method::PATCH, path, part.version, Some(body))
                    .await
            }
            None => self.insert(body).await,
        }
    }

    /// In front of all that is there, so that nobody's catch-all hides it.
    async fn insert(&self, route: Value) -> Result<(), Refusal> {
        let server = self.site.server_path();
        let routes = format!("{server}/routes");
        let part = match self.admin.get(&*routes).await {
            Ok(part) if part.value.is_array() => part,
            Ok(_) => match self.admin.get(&*server).await {
                Ok(Part { value, .. }) if value.is_object() => {
                    let nobody = json!([self.site.nobody_below()]);
                    self.change(Method::PUT, routes, None, Some(nobody)).await?;
                    return Err(Failure::Changed.into());
                }
                Ok(_) | Err(Failure::Missing) => return self.make_server().await,
                Err(failure) => return Err(failure.into()),
            },
            Err(Failure::Missing) => return self.make_server().await,
            Err(failure) => return Err(failure.into()),
        };
        let own_id = self.site.own_id();
        let ids = || {
            part.value
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| &one["@id"])
        };
        if ids().any(|id| *id == route["@id"]) {
            return Err(Failure::Changed.into()); // another was faster
        }
        let first = format!("{routes}/0");
        if !ids().any(|id| *id == *own_id) {
            let nobody = self.site.nobody_below();
            self.change(Method::PUT, first, part.version, Some(nobody))
                .await?;
            return Err(Failure::Changed.into());
        }
        self.change(Method::PUT, first, part.version, Some(route))
            .await
    }

    /// Refused where it has been made meanwhile, which the next attempt then finds.
    async fn make_server(&self) -> Result<(), Refusal> {
        let path = self.site.server_path();
        let server = Some(self.site.new_server());
        match self.change(Method::PUT, path, None, server).await {
            Err(Refusal::Failure(Failure::Refused(why))) if !why.contains("already exists") => {
                Err(Failure::Refused(why).into())
            }
            Err(Refusal::Failure(Failure::Refused(_))) | Ok(()) => Err(Failure::Changed.into()),
            other => other,
        }
    }

    async fn change(
        &self,
        method: Method,
        path: String,
        only_if: Option<Version>,
        body: Option<Value>,
    ) -> Result<(), Refusal> {
        let call = Call {
            method,
            path,
            only_if,
            body,
        };
        self.admin.send(call).await?;
        Ok(())
    }

    pub(super) async fn take_out(&self, slug: &Slug) -> Result<(), Refusal> {
        let Some(part) = self.present(slug).await? else {
            return Ok(());
        };
        let path = format!("/id/{}", self.site.id(slug));
        match self.change(Method::DELETE, path, part.version, None).await {
            Err(Refusal::Failure(Failure::Missing)) => Ok(()),
            other => other,
        }
    }

    /// Tries until no other change comes between reading and writing.
    pub(super) async fn until_unchanged<F>(
        &self,
        operation: &'static str,
        slug: &Slug,
        mut attempt: impl FnMut() -> F + Send,
    ) -> Result<(), Fault>
    where
        F: Future<Output = Result<(), Refusal>> + Send,
    {
        for _ in 0..TRIES {
            match attempt().await {
                Err(Refusal::Failure(Failure::Changed)) => {}
                Ok(()) => return Ok(()),
                Err(Refusal::Failure(failure)) => return Err(self.fault(failure, operation, slug)),
                Err(Refusal::Fault(fault)) => return Err(fault),
                Err(Refusal::Late(present)) => {
                    return Err(Fault::permanent(
                        operation,
                        slug,
                        format_args!(
                            "a later turn was here: {} serves release {}",
                            present.turn, present.release
                        ),
                    ));
                }
            }
        }
        Err(self.fault(Failure::Changed, operation, slug))
    }
}

/// Why a route was not changed.
pub(super) enum Refusal {
    Failure(Failure),
    Fault(Fault),
    /// This one has a later turn.
    Late(Route),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
