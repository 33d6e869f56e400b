//! Which core a thread runs on: a thread that wanders finds its caches empty, and measurements scatter.

use std::thread;

/// A pool whose threads stay on cores of their own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    /// Its threads, the calling one included.
    pub threads: usize,
    /// ONNX Runtime's words for the cores of all but the calling one: numbers from 1, separated by semicolons.
    pub affinities: String,
}

/// For a session of this many threads, 0 for one on each core. `None` if there is no pool, or not a core for each.
pub(crate) fn of_pool(threads: usize) -> Option<Pool> {
    pool(threads, &cores())
}

fn pool(threads: usize, cores: &[usize]) -> Option<Pool> {
    let threads = if threads == 0 { cores.len() } else { threads };
    if threads < 2 || threads > cores.len() {
        return None;
    }
    let affinities: Vec<String> = cores[1..threads].iter().map(|core| (core + 1).to_string()).collect();
    Some(Pool { threads, affinities: affinities.join(";") })
}

/// The cores that this process may use, where the system says it.
fn cores() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// Runs `work` on a thread that stays on the first core, the one that a [pinned](crate::SessionOptions::pinned)
/// session leaves to its caller. Where the system does not allow it, on any core.
pub fn pinned<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let worker = || {
        if let Some(first) = core_affinity::get_core_ids().unwrap_or_default().into_iter().next() {
            core_affinity::set_for_current(first);
        }
        work()
    };
    thread::scope(|scope| match scope.spawn(worker).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_but_the_calling_one_have_a_core() {
        let words = |threads, cores: &[usize]| pool(threads, cores).map(|p| (p.threads, p.affinities));
        assert_eq!(words(0, &[0, 1, 2]), Some((3, "2;3".to_owned())));
        assert_eq!(words(2, &[4, 6, 7]), Some((2, "7".to_owned())));
        for (threads, cores) in [(1, &[0, 1][..]), (3, &[0, 1]), (0, &[0]), (0, &[])] {
            assert_eq!(words(threads, cores), None);
        }
    }

    #[test]
    fn the_calling_thread_is_left_alone() {
        let before = cores();
        let inside = pinned(cores);
        assert!(inside.len() == 1 || before.len() < 2 || inside == before, "{inside:?} of {before:?}");
        assert_eq!(cores(), before);
    }
}
