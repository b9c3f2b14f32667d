//! What ends a build when its engine is killed and can do nothing for it any more.
//!
//! The engine has one end of a pipe and the build inherits the other; nothing is ever
//! written. However the engine ends, the kernel closes its end, and sends SIGKILL to the
//! process group that owns the build's. A parent-death signal would reach the build's first
//! process alone, and what that has started would go on.

use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::unistd::setsid;

/// The same on every architecture that Rust and Landlock have in common, but not in `libc`.
const F_SETSIG: c_int = 10;

/// Clear of the numbers that scripts redirect, and of those that node closes at its start.
const LOWEST: RawFd = 100;

/// Ties this process's group to whoever holds the other end of `pipe`. Whoever leaves the
/// group leaves this too, and is found by its mark. System calls only: it runs between
/// fork and exec, in the group's leader.
pub(super) fn hold(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let call = |fd, command, argument: c_int| {
        #[expect(unsafe_code, reason = "nix has no names for two of the commands")]
        // SAFETY: the descriptors are open, and these commands take a number.
        let done = unsafe { libc::fcntl(fd, command, argument) };
        Errno::result(done)
    };
    // Inherited by all that the build starts, unlike the one it is made from.
    let held = call(pipe.as_raw_fd(), libc::F_DUPFD, LOWEST)?;
    call(held, F_SETSIG, libc::SIGKILL)?;
    call(held, libc::F_SETOWN, -nix::unistd::getpid().as_raw())?;
    call(held, libc::F_SETFL, libc::O_ASYNC)?;
    Ok(())
}

/// Makes a program that is about to be started the leader of a group which is killed when the
/// end that this gives is dropped, or this process dies. The command holds on to the other
/// end: it has to be dropped once it is started.
pub(crate) fn tie(command: &mut Command) -> io::Result<PipeWriter> {
    let (pipe, held) = io::pipe()?;
    #[expect(unsafe_code, reason = "system calls may be made between fork and exec")]
    // SAFETY: the closure makes system calls only, and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            setsid()?;
            hold(pipe.as_fd())
        });
    }
    Ok(held)
}
