//! [`Work`]: a model on all items of a split, such as images, with the results in their order.
//!
//! On a CPU every core reads items and runs them in a session of its own with one thread, so that nobody waits for
//! anybody and a number does not depend on how many cores there are. On any other device one session runs, and the
//! cores read ahead.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use genas_runtime::{Provider, SessionOptions};

use crate::error::{Result, TransferError};

/// Sessions or readers side by side, at most: a session's maps of an image of 800 x 1333 take hundreds of megabytes.
const SIDE_BY_SIDE: usize = 32;
/// Items that a reader holds ready.
const READY: usize = 2;
/// How often whoever watches is asked whether to go on, while there is nothing new to report.
const PATIENCE: Duration = Duration::from_millis(200);

/// What is done with each item.
pub(crate) struct Work<'a, Item, Model, Input, Output> {
    /// The items.
    pub items: &'a [Item],
    /// Opens the model, once or for each core.
    pub open: &'a (dyn Fn(&SessionOptions) -> Result<Model> + Sync),
    /// What needs no model.
    pub read: &'a (dyn Fn(&'a Item) -> Result<Input> + Sync),
    /// What does.
    pub run: &'a (dyn Fn(&mut Model, Input) -> Result<Output> + Sync),
    /// Is told the items done and in all, and may stop it.
    pub progress: &'a dyn Fn(usize, usize) -> ControlFlow<()>,
}

/// A model that runs in one thread, and how many of them there may be.
pub(crate) struct Opened<Model> {
    pub model: Model,
    options: SessionOptions,
    n: usize,
}

impl<Model> Opened<Model> {
    /// Opens the first of what may become one model for each of `options.intra_threads` (0 for all cores), but not more
    /// than there are items.
    pub fn first(
        open: impl Fn(&SessionOptions) -> Result<Model>,
        options: &SessionOptions,
        items: usize,
    ) -> Result<Self> {
        let cores = match options.intra_threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let options = SessionOptions { intra_threads: 1, spinning: false, ..options.clone() };
        Ok(Self { model: open(&options)?, options, n: cores.min(SIDE_BY_SIDE).min(items).max(1) })
    }
}

impl<Item: Sync, Model: Send, Input: Send, Output: Send> Work<'_, Item, Model, Input, Output> {
    /// Does all of it; `take` gets every item's result, in order. Gives the seconds from the first item to the last
    /// result. `provider` is where the first model runs.
    ///
    /// # Errors
    ///
    /// The first item's that fails, or [`TransferError::Interrupted`].
    pub fn run(
        &self,
        first: Opened<Model>,
        provider: Provider,
        take: &mut dyn FnMut(&Item, Output) -> Result<()>,
    ) -> Result<f64> {
        let Opened { model, options, n } = first;
        let mut taken = Taken { work: self, done: 0, take };
        taken.go_on()?;
        let started = Instant::now();
        if provider == Provider::Cpu {
            // The sessions that follow must not try anything else than the first took.
            let options = SessionOptions { provider, ..options };
            self.side_by_side(model, &options, n, &mut taken)?;
        } else {
            self.read_ahead(model, n, &mut taken)?;
        }
        Ok(started.elapsed().as_secs_f64())
    }

    fn side_by_side(
        &self,
        first: Model,
        options: &SessionOptions,
        n: usize,
        taken: &mut Taken<'_, '_, Item, Model, Input, Output>,
    ) -> Result<()> {
        let (items, open, read, run) = (self.items, self.open, self.read, self.run);
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let mut first = Some(first);
        thread::scope(|scope| {
            let (send, results) = mpsc::channel();
            for _ in 0..n {
                let (send, next, stop, mut own) = (send.clone(), &next, &stop, first.take());
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(i) else { return };
                        let mut all = || -> Result<Output> {
                            let model = match &mut own {
                                Some(own) => own,
                                None => own.insert(open(options)?),
                            };
                            run(model, read(item)?)
                        };
                        let output = all();
                        let failed = output.is_err();
                        // Nobody listens any more if an item before this one failed.
                        if send.send((i, output)).is_err() || failed {
                            return;
                        }
                    }
                });
            }
            drop(send);
            let mut early = BTreeMap::new();
            let mut collect = || -> Result<()> {
                while let Some((i, output)) = taken.wait(&results)? {
                    early.insert(i, output);
                    while let Some(output) = early.remove(&taken.done) {
                        taken.add(output?)?;
                    }
                }
                Ok(())
            };
            let result = collect();
            stop.store(true, Ordering::Relaxed);
            result
        })
    }

    fn read_ahead(
        &self,
        mut model: Model,
        n: usize,
        taken: &mut Taken<'_, '_, Item, Model, Input, Output>,
    ) -> Result<()> {
        let (items, read) = (self.items, self.read);
        thread::scope(|scope| {
            // Reader r has the items r, r + n, ...: what waits is bounded, and comes in order.
            let readers: Vec<Receiver<Result<Input>>> = (0..n)
                .map(|r| {
                    let (send, ready) = mpsc::sync_channel(READY);
                    scope.spawn(move || {
                        for item in items.iter().skip(r).step_by(n) {
                            let input = read(item);
                            let failed = input.is_err();
                            if send.send(input).is_err() || failed {
                                return;
                            }
                        }
                    });
                    ready
                })
                .collect();
            while taken.done < items.len() {
                let Some(input) = taken.wait(&readers[taken.done % n])? else { break };
                let output = (self.run)(&mut model, input?)?;
                taken.add(output)?;
            }
            Ok(())
        })
    }
}

/// How far the results are.
struct Taken<'a, 'b, Item, Model, Input, Output> {
    work: &'a Work<'b, Item, Model, Input, Output>,
    done: usize,
    take: &'a mut dyn FnMut(&Item, Output) -> Result<()>,
}

impl<Item, Model, Input, Output> Taken<'_, '_, Item, Model, Input, Output> {
    fn go_on(&self) -> Result<()> {
        match (self.work.progress)(self.done, self.work.items.len()) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(TransferError::Interrupted),
        }
    }

    /// Takes the result of the next item.
    fn add(&mut self, output: Output) -> Result<()> {
        (self.take)(&self.work.items[self.done], output)?;
        self.done += 1;
        self.go_on()
    }

    /// The next message; `None` if there will be none.
    fn wait<T>(&self, messages: &Receiver<T>) -> Result<Option<T>> {
        loop {
            match messages.recv_timeout(PATIENCE) {
                Ok(message) => return Ok(Some(message)),
                Err(RecvTimeoutError::Timeout) => self.go_on()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items times a model that is 10, read as one more; the item 13 cannot be read, and 17 not be run.
    fn results(items: &[u32], threads: usize, provider: Provider, stop_at: usize) -> Result<Vec<u32>> {
        let options = SessionOptions { intra_threads: threads, ..SessionOptions::default() };
        let open = |options: &SessionOptions| {
            assert_eq!(options.intra_threads, 1);
            Ok(10)
        };
        let refuse = |what: &str| TransferError::Request(what.to_owned());
        let work = Work {
            items,
            open: &open,
            read: &|&item| if item == 13 { Err(refuse("read")) } else { Ok(item + 1) },
            run: &|model: &mut u32, input| if input == 18 { Err(refuse("run")) } else { Ok(*model * input) },
            progress: &|done, all| {
                assert_eq!(all, items.len());
                if done < stop_at { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            },
        };
        let mut found = Vec::new();
        let first = Opened::first(open, &options, items.len())?;
        work.run(first, provider, &mut |item, output| {
            assert_eq!(output, 10 * (item + 1));
            found.push(output);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn results_come_in_order_and_the_first_failure_counts() {
        for provider in [Provider::Cpu, Provider::Cuda(0)] {
            for threads in [1, 2, 7, 64] {
                let run = |items: &[u32], stop_at| results(items, threads, provider, stop_at);
                let items: Vec<u32> = (20..60).collect();
                let want: Vec<u32> = (20..60).map(|item| 10 * (item + 1)).collect();
                assert_eq!(run(&items, usize::MAX).unwrap(), want);
                assert!(run(&[], usize::MAX).unwrap().is_empty());
                for stop_at in [0, 1, 40] {
                    assert!(matches!(run(&items, stop_at), Err(TransferError::Interrupted)), "{stop_at}");
                }
                for (items, want) in [([1, 13, 17], "read"), ([17, 2, 13], "run"), ([2, 3, 13], "read")] {
                    assert_eq!(run(&items, usize::MAX).unwrap_err().to_string(), want);
                }
            }
        }
    }
}
