use std::collections::VecDeque;
use std::time::Duration;

use futures::stream::{Stream, try_unfold};

use super::{Engine, EngineError};
use crate::bus::{Hint, Hints};
use crate::log::LogLine;
use crate::model::{Actor, Deployment, DeploymentId};
use crate::value::TenantId;

/// How often the store is asked where no hint comes: another process may have written.
const POLL: Duration = Duration::from_millis(200);
/// Lines that one question brings. With what a store gives at most, that bounds what a
/// follower holds.
const LINES: u32 = 1_000;

/// Something that a follower sees.
#[derive(Debug, Clone)]
pub enum Event {
    /// The next line of the log. Lines of stream `Stage` tell of the stages.
    Line(LogLine),
    /// It is over; the last event.
    Finished(Box<Deployment>),
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) if line.stream == crate::log::LogStream::Stage => {
                write!(f, "== {}", line.text)
            }
            Self::Line(line) => f.write_str(&line.text),
            Self::Finished(deployment) => {
                write!(f, "== {}", deployment.status)?;
                match &deployment.failure {
                    Some(failure) => write!(f, ": {}", failure.message()),
                    None => Ok(()),
                }
            }
        }
    }
}

/// A deployment's log from some line on, first what is stored, then what comes: in
/// order, without a gap, each line once. Reads from the store at the reader's own pace,
/// so a slow reader holds up nobody.
#[derive(Debug)]
pub struct Follow {
    engine: Engine,
    hints: Hints,
    tenant: TenantId,
    deployment: DeploymentId,
    cursor: i64,
    lines: VecDeque<LogLine>,
    /// The deployment once it is final.
    last: Option<Box<Deployment>>,
    ended: bool,
}

impl Engine {
    /// Follows a deployment from the line after `cursor` (0: from the start) to its end.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn follow(
        &self,
        actor: &Actor,
        deployment: DeploymentId,
        cursor: i64,
    ) -> Result<Follow, EngineError> {
        // Listen first and look second, so that nothing falls between the two.
        let hints = self.inner().bus.subscribe();
        self.inner()
            .store
            .deployment(&actor.tenant, deployment)
            .await?;
        Ok(Follow {
            engine: self.clone(),
            hints,
            tenant: actor.tenant.clone(),
            deployment,
            cursor,
            lines: VecDeque::new(),
            last: None,
            ended: false,
        })
    }
}

impl Follow {
    /// The number of the last line that was given out: where to go on after a
    /// connection was lost.
    #[must_use]
    pub fn cursor(&self) -> i64 {
        self.cursor
    }

    /// Bytes of text that wait to be given out.
    #[cfg(feature = "testing")]
    pub(crate) fn held(&self) -> usize {
        self.lines.iter().map(|line| line.text.len()).sum()
    }

    /// The next event; none after the last. May be dropped at any time without losing one.
    ///
    /// # Errors
    ///
    /// The store's; the call may be made again.
    pub async fn try_next(&mut self) -> Result<Option<Event>, EngineError> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                self.cursor = line.seq;
                return Ok(Some(Event::Line(line)));
            }
            if self.ended {
                return Ok(None);
            }
            let store = &self.engine.inner().store;
            self.lines = store
                .read_log(&self.tenant, self.deployment, self.cursor, LINES)
                .await?
                .into();
            if !self.lines.is_empty() {
                continue;
            }
            if let Some(deployment) = self.last.take() {
                self.ended = true;
                return Ok(Some(Event::Finished(deployment)));
            }
            // Once the status is final, no line comes any more: but some may have come
            // since the last look.
            let deployment = store.deployment(&self.tenant, self.deployment).await?;
            if deployment.status.is_final() {
                self.last = Some(Box::new(deployment));
            } else {
                self.changed().await;
            }
        }
    }

    /// Waits until there may be something new.
    async fn changed(&mut self) {
        let hint = async {
            loop {
                match self.hints.next().await {
                    Hint::Deployment(id) if id == self.deployment => break,
                    Hint::Missed => break,
                    _ => {}
                }
            }
        };
        let _ = tokio::time::timeout(POLL, hint).await;
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<Event, EngineError>> + Send {
        try_unfold(self, |mut follow| async move {
            Ok(follow.try_next().await?.map(|event| (event, follow)))
        })
    }
}
