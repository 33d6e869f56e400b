//! Batches that a background thread prepares ahead of their consumer, and the threads that share
//! the work inside one batch.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rayon::ThreadPool;

/// How many batches are kept ready.
const READY: usize = 4;

/// The threads that decode and augment.
///
/// They are not rayon's global pool: a consumer that itself runs in that pool would wait for
/// batches that wait for its thread.
#[derive(Debug, Clone)]
pub struct Workers(Option<Arc<ThreadPool>>);

impl Workers {
    /// `n` threads of their own; 0 for one per core. Where the system gives no threads, the work is
    /// done by the thread that prepares the batches.
    pub fn new(n: usize) -> Self {
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(n).thread_name(|i| format!("genas-data-{i}")).build();
        Self(pool.ok().map(Arc::new))
    }

    /// Threads shared by all loaders, as many as rayon's global pool has.
    pub fn shared() -> Self {
        static SHARED: OnceLock<Workers> = OnceLock::new();
        SHARED.get_or_init(|| Self::new(rayon::current_num_threads())).clone()
    }

    /// Runs `work`, with rayon's parallel iterators inside it on these threads.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

/// Iterator over what a background thread makes; up to four items are ready before they are asked
/// for. Dropping it stops the thread.
#[derive(Debug)]
pub struct Prefetch<T> {
    items: Option<Receiver<T>>,
    maker: Option<JoinHandle<()>>,
    left: usize,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Makes items `range` in order with `make`, until one says that it is the last.
    pub(crate) fn new(
        range: std::ops::Range<usize>,
        mut make: impl FnMut(usize) -> (T, Last) + Send + 'static,
    ) -> Self {
        Self::sparse(range, READY, move |i| Some(make(i)))
    }

    /// As [`Self::new`], but `make` may leave items out, and at most `ready` (1 or more) wait to be asked for.
    pub(crate) fn sparse(
        range: std::ops::Range<usize>,
        ready: usize,
        mut make: impl FnMut(usize) -> Option<(T, Last)> + Send + 'static,
    ) -> Self {
        let left = range.len();
        let (send, items) = sync_channel(ready);
        let maker = std::thread::spawn(move || {
            for i in range {
                let Some((item, last)) = make(i) else { continue };
                if send.send(item).is_err() || last == Last::Yes {
                    return;
                }
            }
        });
        Self { items: Some(items), maker: Some(maker), left }
    }
}

/// Whether an item is the last, though the range goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Yes,
    No,
}

impl<T> Iterator for Prefetch<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let item = self.items.as_ref()?.recv().ok();
        if item.is_none() {
            self.stop();
        }
        self.left = if item.is_some() { self.left.saturating_sub(1) } else { 0 };
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl<T> Prefetch<T> {
    fn stop(&mut self) {
        // Without a receiver the maker's next send fails, so that it returns.
        self.items = None;
        if let Some(Err(panic)) = self.maker.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn items_come_in_order_and_end() {
        let all: Vec<usize> = Prefetch::new(3..50, |i| (i, Last::No)).collect();
        assert!(all.into_iter().eq(3..50));
        let until: Vec<usize> =
            Prefetch::new(0..50, |i| (i, if i == 7 { Last::Yes } else { Last::No })).collect();
        assert!(until.into_iter().eq(0..8));
    }

    #[test]
    fn dropped_early_it_stops_after_the_ready_items() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let mut items = Prefetch::new(0..1_000_000, move |i| {
            count.fetch_add(1, Ordering::SeqCst);
            (i, Last::No)
        });
        assert_eq!(items.next(), Some(0));
        drop(items);
        assert!(made.load(Ordering::SeqCst) <= READY + 3);
    }

    #[test]
    fn a_consumer_inside_a_full_pool_is_served() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let sum: usize =
            pool.install(|| Prefetch::new(0..20, |i| (Workers::shared().run(|| i * 2), Last::No)).sum());
        assert_eq!(sum, 380);
    }
}
