use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::spot::on_the_spot;
use super::{Call, Faulty, Part, Strike, Struck};
use crate::model::Job;
use crate::store::{Beat, Exchange};

/// Which calls are struck, shared by all the parts that it [wraps](Self::wrap) and by
/// its clones. One plan is one process.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan(Arc<Plan>);

#[derive(Debug)]
struct Plan {
    state: Mutex<State>,
    life: watch::Sender<Life>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            life: watch::Sender::new(Life::default()),
        }
    }
}

/// How the process fares.
#[derive(Debug, Clone, Copy, Default)]
struct Life {
    hung: bool,
    dead: bool,
    still: bool,
    /// In which call it came to stand still, if it ever did.
    stood_still: Option<&'static str>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    strikes: BTreeMap<usize, Strike>,
    always: BTreeMap<&'static str, Strike>,
    onlooker: Option<Arc<dyn Onlooker>>,
    spot: Option<Spot>,
    term: Option<Duration>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("calls", &self.calls.len())
            .field("strikes", &self.strikes)
            .finish_non_exhaustive()
    }
}

/// Where the store works: on threads of its own, or of that runtime.
type Spot = Option<Handle>;

/// Looks on at the calls of a process, as they are made to the parts.
pub(in crate::testing) trait Onlooker: Send + Sync {
    /// A call begins.
    fn begins(&self, plan: &FaultPlan, call: Call);
    /// A call has ended, well or not; one that was cut off never does.
    fn ends(&self, plan: &FaultPlan, call: Call, well: bool);
    /// Jobs were handed in and given out.
    fn exchanged(&self, plan: &FaultPlan, answer: &Exchange);
    /// Was told which jobs it holds.
    fn held(&self, plan: &FaultPlan, jobs: &[Job]);
    /// A heartbeat was answered.
    fn beat(&self, plan: &FaultPlan, beats: &[Beat]);
}

impl FaultPlan {
    /// Has the `n`-th call from the beginning struck, counted from 1 over all parts.
    pub fn strike(&self, n: usize, strike: Strike) {
        self.lock().strikes.insert(n, strike);
    }

    /// Has every call of that name struck which the plan has nothing else for.
    pub fn strike_all(&self, name: &'static str, strike: Strike) {
        self.lock().always.insert(name, strike);
    }

    /// How many calls there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().calls.len()
    }

    /// The names of all calls, in order: the n-th is at `n - 1`.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        self.lock().calls.iter().map(|call| call.name).collect()
    }

    /// Forgets the calls and the strikes.
    pub fn reset(&self) {
        let mut state = self.lock();
        state.calls.clear();
        state.strikes.clear();
        state.always.clear();
    }

    /// Waits until a call hangs: the moment to drop the engine, as a crash would.
    pub async fn hung(&self) {
        self.until(|life| life.hung).await;
    }

    /// Waits until the process stands still.
    pub async fn stalled(&self) {
        self.until(|life| life.stood_still.is_some()).await;
    }

    /// The process is no more: what it had begun is cut off, and none of its calls ever
    /// returns again.
    pub fn kill(&self) {
        self.0.life.send_modify(|life| life.dead = true);
    }

    /// A part whose calls are counted, and struck by this plan.
    #[must_use]
    pub fn wrap<T: ?Sized>(&self, part: Arc<T>) -> Faulty<T> {
        Faulty {
            part,
            plan: self.clone(),
        }
    }

    /// Strikes none of the calls to come.
    pub(in crate::testing) fn disarm(&self) {
        self.lock().strikes.clear();
    }

    pub(in crate::testing) fn made(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    pub(in crate::testing) fn look_on(&self, onlooker: Arc<dyn Onlooker>) {
        self.lock().onlooker = Some(onlooker);
    }

    /// Calls of the store are waited for [on the spot](on_the_spot).
    pub(in crate::testing) fn stay_on_the_spot(&self, runtime: Option<Handle>) {
        self.lock().spot = Some(runtime);
    }

    /// Leases hold for `term` only, whatever the process asks for: so it does not notice
    /// that it has lost one, as if its own clock had stood still.
    pub(in crate::testing) fn shorten_leases(&self, term: Duration) {
        self.lock().term = Some(term);
    }

    pub(super) fn term(&self, asked: Duration) -> Duration {
        self.lock().term.unwrap_or(asked)
    }

    pub(in crate::testing) fn is_dead(&self) -> bool {
        self.0.life.borrow().dead
    }

    pub(in crate::testing) fn stood_still(&self) -> bool {
        self.0.life.borrow().stood_still.is_some()
    }

    pub(in crate::testing) fn stands_still(&self) -> bool {
        self.0.life.borrow().still
    }

    /// Whether that was the call in which it came to stand still.
    pub(in crate::testing) fn stalled_in(&self, name: &str) -> bool {
        self.0.life.borrow().stood_still == Some(name)
    }

    pub(in crate::testing) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn exchanged(&self, answer: &Exchange) {
        let onlooker = self.lock().onlooker.clone();
        if let Some(onlooker) = onlooker {
            onlooker.exchanged(self, answer);
        }
    }

    pub(super) fn held(&self, jobs: &[Job]) {
        let onlooker = self.lock().onlooker.clone();
        if let Some(onlooker) = onlooker {
            onlooker.held(self, jobs);
        }
    }

    pub(super) fn beat(&self, beats: &[Beat]) {
        let onlooker = self.lock().onlooker.clone();
        if let Some(onlooker) = onlooker {
            onlooker.beat(self, beats);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until(&self, so: impl FnMut(&Life) -> bool) {
        // The sender lives as long as this plan does.
        let _ = self.0.life.subscribe().wait_for(so).await;
    }

    /// A call of the store that is neither counted nor struck.
    pub(super) async fn uncounted<T>(&self, work: impl Future<Output = T> + Send) -> T {
        let spot = self.lock().spot.clone();
        match spot {
            Some(runtime) => on_the_spot(runtime.as_ref(), work),
            None => work.await,
        }
    }

    /// One call of a part, with whatever the plan has for it.
    pub(super) async fn call<T, E: Struck>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        tokio::select! {
            biased;
            () = self.until(|life| life.dead) => std::future::pending().await,
            answer = self.living_call(call, work) => answer,
        }
    }

    async fn living_call<T, E: Struck>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        self.may_begin(call).await;
        let strike = {
            let mut state = self.lock();
            state.calls.push(call);
            let n = state.calls.len();
            let strike = state.strikes.get(&n);
            strike.or_else(|| state.always.get(call.name)).copied()
        };
        let work = self.watched(call, work);
        match strike {
            None => work.await,
            Some(Strike::Before) => Err(E::struck(call.name, true)),
            Some(Strike::Refuse) => Err(E::struck(call.name, false)),
            Some(Strike::After) => {
                work.await?;
                Err(E::struck(call.name, true))
            }
            Some(Strike::RefuseAfter) => {
                work.await?;
                Err(E::struck(call.name, false))
            }
            Some(Strike::HangBefore) => self.hang().await,
            Some(Strike::HangWithin) => {
                let mut work = Box::pin(work);
                poll_fn(|cx| {
                    let _ = work.as_mut().poll(cx);
                    Poll::Ready(())
                })
                .await;
                self.hang().await
            }
            Some(Strike::HangAfter) => {
                let _ = work.await;
                self.hang().await
            }
            Some(Strike::Delay(pause)) => {
                tokio::time::sleep(pause).await;
                // It may have come to stand still meanwhile.
                self.may_begin(call).await;
                work.await
            }
            Some(Strike::Stall(pause)) => {
                let still = |life: &mut Life| {
                    (life.still, life.stood_still) = (true, Some(call.name));
                };
                self.0.life.send_modify(still);
                // It wakes up, whether anybody still waits for this call or not.
                let plan = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    plan.0.life.send_modify(|life| life.still = false);
                });
                self.until(|life| !life.still).await;
                work.await
            }
        }
    }

    /// Waits while the process stands still; one that has stood still claims nothing more.
    async fn may_begin(&self, call: Call) {
        let claims = matches!(call.name, "claim" | "exchange" | "held");
        if claims && self.stood_still() {
            std::future::pending::<()>().await;
        }
        self.until(|life| !life.still).await;
    }

    async fn watched<T, E>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let (onlooker, spot) = {
            let state = self.lock();
            (state.onlooker.clone(), state.spot.clone())
        };
        if let Some(onlooker) = &onlooker {
            onlooker.begins(self, call);
        }
        let answer = match spot.filter(|_| call.part == Part::Store) {
            Some(runtime) => on_the_spot(runtime.as_ref(), work),
            None => work.await,
        };
        if let Some(onlooker) = &onlooker {
            onlooker.ends(self, call, answer.is_ok());
        }
        answer
    }

    async fn hang<T>(&self) -> T {
        self.0.life.send_modify(|life| life.hung = true);
        std::future::pending().await
    }
}
