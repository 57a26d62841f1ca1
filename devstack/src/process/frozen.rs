//! Processes that are stopped for a while.
//!
//! In: the processes of a server. Out: a guard; while it lives they do nothing, and their sockets stay open.
//! Invariant: when the guard is dropped, the processes go on.

use rustix::process::Signal;

use super::Identity;

/// Processes that got SIGSTOP.
#[derive(Debug)]
pub struct Frozen(Vec<Identity>);

impl Frozen {
    /// Stops a process and its children. The parent is stopped first, so that it starts no further child.
    pub(crate) fn with_children(parent: Identity) -> Self {
        parent.signal(Signal::STOP);
        let mut all = parent.children();
        all.iter().for_each(|child| child.signal(Signal::STOP));
        all.insert(0, parent);
        Self(all)
    }

    /// Whether all of them are still there and stopped.
    pub fn is_frozen(&self) -> bool {
        self.0.iter().all(Identity::is_stopped)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0.iter().for_each(|process| process.signal(Signal::CONT));
    }
}
