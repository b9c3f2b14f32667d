//! Processes that do not die of SIGKILL, as those that wait for a broken disk: here a
//! debugger holds them at their end.

use std::cell::RefCell;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, mem};

use deployr_core::builder::Builder;
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_exec::local::build::LocalBuilder;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::support::{Bed, eventually};

/// Holds a process at its end, for as long as this lives.
struct Held {
    let_go: Option<Sender<()>>,
    tracer: Option<JoinHandle<()>>,
}

impl Held {
    fn new(pid: i32) -> Self {
        let ((let_go, wait), (ready, traced)) = (channel(), channel());
        // The kernel lets go of a process when the thread that traces it ends.
        let tracer = thread::spawn(move || {
            let pid = Pid::from_raw(pid);
            ptrace::seize(pid, Options::PTRACE_O_TRACEEXIT).unwrap();
            ready.send(()).unwrap();
            while wait.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
                // On its way to the end it stops at each signal too.
                let stopped = waitpid(pid, Some(WaitPidFlag::WNOHANG));
                if let Ok(WaitStatus::Stopped(_, signal)) = stopped {
                    ptrace::cont(pid, signal).unwrap();
                }
            }
        });
        traced.recv().unwrap();
        Self {
            let_go: Some(let_go),
            tracer: Some(tracer),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        mem::drop(self.let_go.take());
        self.tracer.take().unwrap().join().unwrap();
    }
}

fn expect_fault<T: std::fmt::Debug>(result: StepResult<T>) -> Fault {
    match result {
        Err(StepError::Fault(fault)) => fault,
        other => panic!("no fault but {other:?}"),
    }
}

/// Killed when dropped.
struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test of its own: the engine of the next test. A process that is traced by its
/// parent would look to it as if it had ended.
#[tokio::test]
async fn engine() {
    let Some(data) = std::env::var_os("DEPLOYR_TEST_STUCK") else {
        return;
    };
    let mut bed = Bed::new();
    bed.builder = LocalBuilder::new(&data).grace(Duration::from_millis(100));
    let workspace = bed.workspace().await;
    let data = std::path::Path::new(&data);
    let leader = data.join("leader");
    let spec = bed.spec(&workspace, &["echo $$ > leader; sleep 300; true"]);
    let stop = async {
        let written = workspace.checkout.join("leader");
        eventually("the build runs", || {
            fs::read_to_string(&written).is_ok_and(|pid| pid.ends_with('\n'))
        })
        .await;
        fs::rename(written, leader).unwrap();
        eventually("it is traced", || data.join("traced").exists()).await;
        bed.cancel.cancel();
        Instant::now()
    };
    let (ended, stopped) = tokio::join!(bed.builder.build(&spec, &bed.ctx), stop);
    let fault = expect_fault(ended);
    assert!(
        fault.retryable && fault.reason.contains("SIGKILL"),
        "{fault}"
    );
    assert!(
        stopped.elapsed() < Duration::from_secs(20),
        "{:?}",
        stopped.elapsed()
    );
}

#[tokio::test]
async fn a_build_that_does_not_die_is_a_fault_and_holds_up_nobody() {
    let data = tempfile::tempdir().unwrap();
    let engine = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stuck::engine"])
        .env("DEPLOYR_TEST_STUCK", data.path())
        .stdout(Stdio::null())
        .spawn();
    let engine = RefCell::new(Engine(engine.unwrap()));
    let leader = data.path().join("leader");
    eventually("the build runs", || leader.exists()).await;
    let leader = fs::read_to_string(leader).unwrap().trim().parse();
    let _held = Held::new(leader.unwrap());
    fs::write(data.path().join("traced"), "").unwrap();
    let ended = || engine.borrow_mut().0.try_wait().unwrap();
    eventually("the build is given up", || ended().is_some()).await;
    assert!(ended().unwrap().success(), "the engine has said why");
}

#[tokio::test]
async fn nothing_is_removed_under_a_process_that_does_not_die() {
    let bed = Bed::new();
    let workspace = bed.workspace().await;
    let mut process = Command::new("sleep")
        .arg("300")
        .env("DEPLOYR_BUILD", bed.marker())
        .spawn()
        .unwrap();
    let held = Held::new(process.id().cast_signed());
    let fault = expect_fault(bed.builder.clean(&workspace).await);
    assert!(
        fault.retryable && fault.reason.contains("SIGKILL"),
        "{fault}"
    );
    assert!(workspace.checkout.exists());
    drop(held);
    process.wait().unwrap();
    bed.builder.clean(&workspace).await.unwrap();
    assert!(!workspace.checkout.exists());
}
