//! Looks on at every call of every process, and notes what must never be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::world::Clockwork;
use crate::model::{Fence, Job, JobId};
use crate::store::{Beat, Exchange};
use crate::testing::faults::{Call, Onlooker, Part};
use crate::testing::{FaultPlan, ScriptedExecutor, ScriptedIngress};
use crate::value::Slug;

/// Writes that name a claim.
const FENCED: &[&str] = &[
    "enter_stage",
    "record_release",
    "append_log",
    "finish",
    "mark_gone",
    "fail",
    "release",
];

pub(super) struct Witness {
    clockwork: Arc<Clockwork>,
    executor: ScriptedExecutor,
    ingress: ScriptedIngress,
    slug: Slug,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    story: Vec<(Instant, Event)>,
    wrong: Vec<String>,
    /// Calls for the project that are under way, and whose they are.
    under_way: Vec<(FaultPlan, Call)>,
    processes: Vec<FaultPlan>,
    jobs: Jobs,
}

/// What was seen of the queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Jobs {
    fences: BTreeMap<JobId, Fence>,
    /// The jobs that tell of a deployment, by its key.
    notices: BTreeMap<String, BTreeSet<JobId>>,
}

impl Jobs {
    fn note_notice(&mut self, job: &Job) {
        if job.kind.as_str() == "notify" {
            let about = job.input["deployment"].as_str().unwrap_or_default();
            let jobs = self.notices.entry(about.to_owned()).or_default();
            jobs.insert(job.id);
        }
    }
}

enum Event {
    Told(String),
    /// By which process, and whether well; none where it has only begun.
    Called(usize, &'static str, Option<bool>),
}

impl Witness {
    pub(super) fn new(
        clockwork: Arc<Clockwork>,
        executor: ScriptedExecutor,
        ingress: ScriptedIngress,
        slug: Slug,
        jobs: Jobs,
    ) -> Self {
        let notes = Notes {
            jobs,
            ..Notes::default()
        };
        Self {
            clockwork,
            executor,
            ingress,
            slug,
            notes: Mutex::new(notes),
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that was seen and must not be.
    pub(super) fn wrong(&self) -> Vec<String> {
        self.notes().wrong.clone()
    }

    /// What happened, in order.
    pub(super) fn story(&self) -> Vec<String> {
        let notes = self.notes();
        let line = |(at, event): &(Instant, Event)| {
            let at = (*at - notes.story[0].0).as_secs_f64();
            match event {
                Event::Told(what) => format!("{at:>9.3} {what}"),
                Event::Called(whose, name, how) => {
                    let how = how.map_or("…", |well| if well { "ok" } else { "FAILED" });
                    format!("{at:>9.3} {whose}: {name} {how}")
                }
            }
        };
        notes.story.iter().map(line).collect()
    }

    pub(super) fn jobs(&self) -> Jobs {
        self.notes().jobs.clone()
    }

    /// How many jobs were given out that tell of a deployment.
    pub(super) fn notices(&self, deployment: &str) -> usize {
        let notices = &self.notes().jobs.notices;
        notices.get(deployment).map_or(0, BTreeSet::len)
    }

    pub(super) fn tell(&self, what: impl Into<String>) {
        let event = Event::Told(what.into());
        self.notes().story.push((Instant::now(), event));
    }

    fn note(&self, plan: &FaultPlan, call: Call, well: Option<bool>) {
        let mut notes = self.notes();
        let known = notes.processes.iter().position(|known| known.same(plan));
        let whose = known.unwrap_or(notes.processes.len());
        if known.is_none() {
            notes.processes.push(plan.clone());
        }
        let event = Event::Called(whose, call.name, well);
        notes.story.push((Instant::now(), event));
    }

    /// RELIABILITY 27: whoever is sent somewhere is sent to a release that is up.
    fn look_at_the_site(&self, after: Call) {
        if let Some(route) = self.ingress.routed(&self.slug)
            && self.executor.release_at(&route.endpoint).is_none()
        {
            let name = after.name;
            self.notes().wrong.push(format!(
                "[27] after `{name}` requests go to release {}, which is not up",
                route.release
            ));
        }
    }
}

fn excused(plan: &FaultPlan) -> bool {
    plan.is_dead() || plan.stood_still()
}

/// What it held when it stood still was given to another since; unless that was in a claim,
/// which is only made when it wakes up.
fn had_lost_its_leases(plan: &FaultPlan) -> bool {
    plan.stood_still() && !plan.stalled_in("claim")
}

impl Onlooker for Witness {
    fn begins(&self, plan: &FaultPlan, call: Call) {
        self.clockwork.follow();
        self.note(plan, call, None);
        if matches!(call.part, Part::Store | Part::Notifier) {
            return;
        }
        let mut notes = self.notes();
        notes.under_way.retain(|(other, _)| !other.is_dead());
        let clash = notes.under_way.iter().find(|(other, _)| !excused(other));
        if let Some((_, other)) = clash.filter(|_| !excused(plan)) {
            // RELIABILITY 1 and 6: nobody begins while somebody else is at it.
            let wrong = format!("[1] `{}` began during `{}`", call.name, other.name);
            notes.wrong.push(wrong);
        }
        notes.under_way.push((plan.clone(), call));
    }

    fn ends(&self, plan: &FaultPlan, call: Call, well: bool) {
        self.note(plan, call, Some(well));
        if matches!(call.part, Part::Executor | Part::Ingress) {
            self.look_at_the_site(call);
        }
        let mut notes = self.notes();
        let mine = |(other, its): &(FaultPlan, Call)| other.same(plan) && *its == call;
        if let Some(at) = notes.under_way.iter().position(mine) {
            notes.under_way.remove(at);
        }
        // RELIABILITY 3: what it held when it stood still was given to another since.
        if well && had_lost_its_leases(plan) && FENCED.contains(&call.name) {
            let name = call.name;
            let wrong = format!("[3] a `{name}` was taken from a process that had lost its lease");
            notes.wrong.push(wrong);
        }
    }

    fn beat(&self, plan: &FaultPlan, beats: &[Beat]) {
        // RELIABILITY 4: no heartbeat takes a lease back that was given to another since.
        let held = |beat: &Beat| matches!(beat, Beat::Held { .. });
        if had_lost_its_leases(plan) && beats.iter().any(held) {
            let wrong = "[4] a heartbeat was taken from a process that had lost its lease";
            self.notes().wrong.push(wrong.to_owned());
        }
    }

    fn exchanged(&self, plan: &FaultPlan, answer: &Exchange) {
        let mut notes = self.notes();
        if had_lost_its_leases(plan) && answer.completed.iter().any(Result::is_ok) {
            let wrong = "[3] a `complete` was taken from a process that had lost its lease";
            notes.wrong.push(wrong.to_owned());
        }
        for lease in &answer.leases {
            // RELIABILITY 2: the fence rises with each claim of a job, whoever makes it.
            let (job, fence) = (lease.job.id, lease.claim.fence);
            let before = notes.jobs.fences.insert(job, fence);
            if before.is_some_and(|before| before >= fence) {
                let wrong = format!("[2] {job} had fence {before:?} and then {fence:?}");
                notes.wrong.push(wrong);
            }
            notes.jobs.note_notice(&lease.job);
        }
    }

    fn held(&self, _: &FaultPlan, jobs: &[Job]) {
        let mut notes = self.notes();
        jobs.iter().for_each(|job| notes.jobs.note_notice(job));
    }
}
