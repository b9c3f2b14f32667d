use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

use tokio::runtime::Handle;

/// Waits for what other threads do without letting go of this one: so nothing else happens
/// on it meanwhile, nor does tokio's clock go on, and a test is the same each time. Those
/// may be the threads of a runtime, for work that needs one.
pub(in crate::testing) fn on_the_spot<T>(
    runtime: Option<&Handle>,
    work: impl Future<Output = T>,
) -> T {
    let _there = runtime.map(Handle::enter);
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    // Tokio would else ask this task to let others have a turn, which never comes.
    let mut work = pin!(tokio::task::unconstrained(work));
    loop {
        match work.as_mut().poll(&mut cx) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}
