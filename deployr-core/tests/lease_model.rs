//! A model of how a job is claimed, kept, finished, given back and rescued, and a checker
//! that goes over all of its states: two workers, one job; each call may be lost, come late,
//! or come twice, and each answer to a claim may be lost; a worker may die at any moment.
//!
//! Each guard of the design can be left out, and then the checker finds the harm.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeSet, HashMap, VecDeque};

use deployr_core::model::JobState;
use deployr_core::state::JobEvent;
use stateright::{Checker, Model, Property};

/// Ticks of the clock that a lease holds; a worker stops by itself a tick earlier.
const LEASE: u8 = 3;
const MAX_ATTEMPTS: u8 = 2;
/// Claims that are looked at: those that were given back are no attempts.
const MAX_FENCE: u8 = 3;
const WORKERS: u8 = 2;

/// What is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Without {
    Nothing,
    /// A finish is taken from whoever had the job once, as long as it is running.
    FenceAtFinish,
    /// A heartbeat gives the job to whoever sends it.
    FenceAtHeartbeat,
    /// A lease is ended though it has not run out.
    ExpiryAtRescue,
    /// A claim has the fence of the claim before.
    NewFence,
    /// A worker goes on though nobody answers it.
    SelfFence,
    /// Nobody ends the leases that ran out.
    Rescue,
    /// A finish is taken of a job that is over.
    StateAtFinish,
}

/// How the store sees the job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Job {
    state: JobState,
    /// Who claimed it last.
    holder: u8,
    lease_left: u8,
    fence: u8,
    attempts: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Worker {
    Idle,
    /// At work under a fence, for so many ticks more without an answer.
    Works(u8, u8),
    /// It has stopped, and would give the job back.
    Stopped(u8),
    /// It has finished or given back, and is not answered yet.
    Waits(u8),
    /// The answer to its claim was lost.
    Unheard,
}

/// A call on its way to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Call {
    Finish,
    Heartbeat,
    /// One whose answer comes too late to count.
    LateHeartbeat,
    GiveBack,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    job: Job,
    workers: [Worker; WORKERS as usize],
    on_its_way: BTreeSet<(Call, u8, u8)>,
    /// How often the job came to a final state.
    ends: u8,
    /// A write was taken of a claim that was not the last.
    stale_write: bool,
    /// A claim had no higher fence than the one before.
    fence_stood: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Tick,
    Claim(u8),
    /// The answer is lost.
    ClaimUnheard(u8),
    /// Asks what it holds, and takes it up.
    Ask(u8),
    Send(Call, u8),
    /// It may come once more.
    Arrive(Call, u8, u8),
    Rescue,
    Die(u8),
}

impl World {
    fn end(&mut self, event: JobEvent) {
        // The real machine of states, or else a final state for the second time.
        self.job.state = self.job.state.on(event).unwrap_or(self.job.state);
        self.ends = (self.ends + 1).min(2);
    }

    fn works(&self, worker: u8) -> Option<u8> {
        match self.workers[usize::from(worker)] {
            Worker::Works(fence, _) => Some(fence),
            _ => None,
        }
    }

    fn claim(&mut self, worker: u8, without: Without) {
        self.job.state = self.job.state.on(JobEvent::Claim).unwrap();
        if without == Without::NewFence {
            self.fence_stood |= self.job.attempts > 0;
            self.job.fence = 1;
        } else {
            self.job.fence += 1;
        }
        self.job.attempts += 1;
        (self.job.holder, self.job.lease_left) = (worker, LEASE);
    }

    /// What the store does with a call.
    fn arrive(&mut self, call: Call, worker: u8, fence: u8, without: Without) {
        let runs = self.job.state == JobState::Running;
        let is_last = self.job.fence == fence && self.job.holder == worker;
        let taken = match call {
            Call::Finish => {
                (runs || without == Without::StateAtFinish)
                    && (is_last || without == Without::FenceAtFinish)
            }
            Call::Heartbeat | Call::LateHeartbeat => {
                runs && (is_last || without == Without::FenceAtHeartbeat)
            }
            Call::GiveBack => runs && is_last,
        };
        let one = &mut self.workers[usize::from(worker)];
        if call != Call::Heartbeat && *one == Worker::Waits(fence) {
            *one = Worker::Idle;
        }
        if !taken {
            return;
        }
        self.stale_write |= !is_last;
        match call {
            Call::Finish => self.end(JobEvent::Complete),
            Call::Heartbeat | Call::LateHeartbeat => {
                (self.job.holder, self.job.lease_left) = (worker, LEASE);
                let one = &mut self.workers[usize::from(worker)];
                if let (Worker::Works(fence, _), Call::Heartbeat) = (*one, call) {
                    *one = Worker::Works(fence, LEASE - 1);
                }
            }
            Call::GiveBack => {
                self.job.state = self.job.state.on(JobEvent::Requeue).unwrap();
                self.job.attempts -= 1;
            }
        }
    }

    fn rescue(&mut self) {
        if self.job.attempts < MAX_ATTEMPTS {
            self.job.state = self.job.state.on(JobEvent::Requeue).unwrap();
        } else {
            self.end(JobEvent::Fail);
        }
    }

    fn tick(&mut self, without: Without) {
        self.job.lease_left = self.job.lease_left.saturating_sub(1);
        for worker in &mut self.workers {
            *worker = match *worker {
                Worker::Works(fence, 0) if without == Without::SelfFence => Worker::Works(fence, 0),
                Worker::Works(fence, 0 | 1) if without != Without::SelfFence => {
                    Worker::Stopped(fence)
                }
                Worker::Works(fence, left) => Worker::Works(fence, left - 1),
                other => other,
            };
        }
        let late = |(call, worker, fence)| match call {
            // It counts from when it was sent.
            Call::Heartbeat => (Call::LateHeartbeat, worker, fence),
            call => (call, worker, fence),
        };
        self.on_its_way = std::mem::take(&mut self.on_its_way)
            .into_iter()
            .map(late)
            .collect();
    }
}

impl Model for Without {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            job: Job {
                state: JobState::Queued,
                holder: 0,
                lease_left: 0,
                fence: 0,
                attempts: 0,
            },
            workers: [Worker::Idle; WORKERS as usize],
            on_its_way: BTreeSet::new(),
            ends: 0,
            stale_write: false,
            fence_stood: false,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let job = &world.job;
        steps.push(Step::Tick);
        for worker in 0..WORKERS {
            match world.workers[usize::from(worker)] {
                Worker::Idle if job.state == JobState::Queued => {
                    steps.extend([Step::Claim(worker), Step::ClaimUnheard(worker)]);
                }
                Worker::Idle | Worker::Waits(_) => {}
                Worker::Unheard => steps.extend([Step::Ask(worker), Step::Die(worker)]),
                Worker::Works(..) => steps.extend([
                    Step::Send(Call::Finish, worker),
                    Step::Send(Call::Heartbeat, worker),
                    Step::Die(worker),
                ]),
                Worker::Stopped(_) => {
                    steps.extend([Step::Send(Call::GiveBack, worker), Step::Die(worker)]);
                }
            }
        }
        for (call, worker, fence) in &world.on_its_way {
            steps.push(Step::Arrive(*call, *worker, *fence));
        }
        let ran_out = job.lease_left == 0 || *self == Without::ExpiryAtRescue;
        if job.state == JobState::Running && ran_out && *self != Without::Rescue {
            steps.push(Step::Rescue);
        }
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        match step {
            Step::Tick => world.tick(*self),
            Step::Claim(worker) => {
                world.claim(worker, *self);
                let works = Worker::Works(world.job.fence, LEASE - 1);
                world.workers[usize::from(worker)] = works;
            }
            Step::ClaimUnheard(worker) => {
                world.claim(worker, *self);
                world.workers[usize::from(worker)] = Worker::Unheard;
            }
            Step::Ask(worker) => {
                let holds = world.job.state == JobState::Running && world.job.holder == worker;
                world.workers[usize::from(worker)] = match holds {
                    // With a heartbeat, which the store has taken.
                    true => {
                        world.job.lease_left = LEASE;
                        Worker::Works(world.job.fence, LEASE - 1)
                    }
                    false => Worker::Idle,
                };
            }
            Step::Send(call, worker) => {
                let fence = match last.workers[usize::from(worker)] {
                    Worker::Works(fence, _) | Worker::Stopped(fence) => fence,
                    _ => return None,
                };
                world.on_its_way.insert((call, worker, fence));
                if call != Call::Heartbeat {
                    world.workers[usize::from(worker)] = Worker::Waits(fence);
                }
            }
            Step::Arrive(call, worker, fence) => world.arrive(call, worker, fence, *self),
            Step::Rescue => world.rescue(),
            Step::Die(worker) => world.workers[usize::from(worker)] = Worker::Idle,
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("only the last claim writes", |_, world: &World| {
                !world.stale_write
            }),
            Property::always("one at a time", |_, world: &World| {
                (0..WORKERS).filter_map(|one| world.works(one)).count() <= 1
            }),
            Property::always("the fence rises", |_, world: &World| !world.fence_stood),
            Property::always("one end", |_, world: &World| {
                world.ends <= 1 && (world.ends == 1) == world.job.state.is_final()
            }),
            Property::always("no attempt too many", |_, world: &World| {
                world.job.attempts <= MAX_ATTEMPTS
            }),
            // Or else nothing was shown.
            Property::sometimes("done by the second", |_, world: &World| {
                world.job.state == JobState::Completed && world.job.fence > 1
            }),
            Property::sometimes("failed", |_, world: &World| {
                world.job.state == JobState::Failed
            }),
        ]
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.job.fence <= MAX_FENCE
    }
}

/// A state from which the job cannot come to an end any more.
fn stuck(model: &Without) -> Option<World> {
    let mut before: HashMap<World, Vec<World>> = HashMap::new();
    let mut over = VecDeque::new();
    let mut next: VecDeque<_> = model.init_states().into();
    next.iter()
        .for_each(|world| drop(before.insert(world.clone(), Vec::new())));
    while let Some(world) = next.pop_front() {
        // What happens behind the last claim that is looked at is as before it.
        if world.job.state.is_final() || !model.within_boundary(&world) {
            over.push_back(world);
            continue;
        }
        for after in model.next_states(&world) {
            let is_new = !before.contains_key(&after);
            before.entry(after.clone()).or_default().push(world.clone());
            if is_new {
                next.push_back(after);
            }
        }
    }
    while let Some(world) = over.pop_front() {
        over.extend(before.remove(&world).unwrap_or_default());
    }
    before.into_keys().next()
}

#[test]
fn the_design_keeps_every_promise() {
    let checked = Without::Nothing.checker().spawn_bfs().join();
    checked.assert_properties();
    assert!(checked.unique_state_count() > 1_000);
    assert_eq!(stuck(&Without::Nothing), None);
}

#[test]
fn each_guard_that_is_left_out_is_missed() {
    let missed = [
        (Without::FenceAtFinish, "only the last claim writes"),
        (Without::FenceAtHeartbeat, "only the last claim writes"),
        (Without::ExpiryAtRescue, "one at a time"),
        (Without::NewFence, "the fence rises"),
        (Without::SelfFence, "one at a time"),
        (Without::StateAtFinish, "one end"),
    ];
    for (without, property) in missed {
        let checked = without.checker().spawn_bfs().join();
        let found = checked.discovery(property);
        assert!(found.is_some(), "{without:?}: {property}");
    }
    assert!(stuck(&Without::Rescue).is_some());
}
