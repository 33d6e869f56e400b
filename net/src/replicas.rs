//! Data parallelism: replicas of a training, each with a part of every batch, that add up their gradients.
//!
//! A replica is a thread with a device, its own host weights and its own pool of CPU threads. All replicas start from the
//! same weights and see the same sums, so they make the same update and stay equal to the bit. Parameters and gradients
//! live on the host (ARCHITECTURE.md), so one reduction in this process serves replicas on the CPU and on several GPUs.
//!
//! `AllReduce` is the seam for other transports. What burn 0.22.1 offers (`burn::tensor::distributed`) is NCCL between
//! the CUDA devices of one process: its unique ids are kept in a map of the process (cubecl-cuda's
//! `compute/communication.rs`) and cannot be handed to another machine. `OnDevices` (feature `cuda`) puts it behind the
//! trait; several machines need an implementation of their own.

use crate::error::NetError;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Sums over all replicas. Every replica calls the same methods with the same lengths in the same order, and all of them
/// get the same bits.
pub trait AllReduce: Send + Sync + Debug {
    /// Number of this replica, from 0.
    fn rank(&self) -> usize;

    /// Number of replicas.
    fn world(&self) -> usize;

    /// Replaces `values` by their sums over all replicas; an error if another replica has stopped.
    fn sum(&self, values: &mut [f32]) -> Result<(), NetError>;

    /// [`sum`](Self::sum) in double precision, for statistics.
    fn sum_f64(&self, values: &mut [f64]) -> Result<(), NetError>;
}

/// Which images BatchNorm's statistics are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicaBatchNorm {
    /// Those of the replica's own part of the batch; the running statistics are replica 0's. The published runs (spec
    /// 04-1), and PyTorch's `DistributedDataParallel`, which broadcasts replica 0's buffers.
    #[default]
    PerReplica,
    /// All of the batch, as PyTorch's `SyncBatchNorm`: the replicas compute what one would. CPU only.
    Synchronised,
}

/// What a replica hands in.
#[derive(Debug)]
enum Part {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

#[derive(Debug)]
struct Round {
    number: u64,
    parts: Vec<Option<Part>>,
    /// Those of the last complete round.
    complete: Arc<[Part]>,
    /// The first replica that has ended.
    ended: Option<usize>,
}

/// Where the replicas of one process meet.
#[derive(Debug)]
struct Meeting {
    round: Mutex<Round>,
    changed: Condvar,
}

impl Meeting {
    fn lock(&self) -> MutexGuard<'_, Round> {
        // Nothing panics while it holds the lock.
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands in `part`, waits for everyone's, and returns them in the order of ranks.
    fn exchange(&self, rank: usize, part: Part) -> Result<Arc<[Part]>, NetError> {
        let mut round = self.lock();
        let number = round.number;
        if round.ended.is_none() {
            round.parts[rank] = Some(part);
            if round.parts.iter().all(Option::is_some) {
                round.complete = round.parts.iter_mut().filter_map(Option::take).collect();
                round.number += 1;
                self.changed.notify_all();
            }
        }
        while round.number == number {
            if let Some(ended) = round.ended {
                return Err(NetError::Replica(format!(
                    "replica {ended} has ended while replica {rank} waits for its part of a sum"
                )));
            }
            round = self.changed.wait(round).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(round.complete.clone())
    }

    /// Nobody need wait for a replica that has ended.
    fn end(&self, rank: usize) {
        self.lock().ended.get_or_insert(rank);
        self.changed.notify_all();
    }
}

/// A replica's place among those of this process.
#[derive(Clone, Debug)]
pub struct InProcess {
    rank: usize,
    world: usize,
    meeting: Arc<Meeting>,
}

impl InProcess {
    /// Places for `world` replicas, in the order of ranks.
    pub fn group(world: usize) -> Vec<Self> {
        let round = Round {
            number: 0,
            parts: (0..world).map(|_| None).collect(),
            complete: Arc::new([]),
            ended: None,
        };
        let meeting = Arc::new(Meeting { round: Mutex::new(round), changed: Condvar::new() });
        (0..world).map(|rank| Self { rank, world, meeting: meeting.clone() }).collect()
    }

    /// Says that this replica takes part no longer: who waits for it gets an error.
    pub fn end(&self) {
        self.meeting.end(self.rank);
    }

    fn out_of_step(&self) -> NetError {
        NetError::Replica(format!(
            "replica {} sums values that the others do not: all replicas must do the same steps, with equally many micro-batches",
            self.rank
        ))
    }
}

/// Adds in the order of ranks, so that the bits do not depend on who came first.
fn add<T: Copy + std::ops::AddAssign>(values: &mut [T], parts: &[&[T]]) {
    let [first, rest @ ..] = parts else { return };
    values.copy_from_slice(first);
    for part in rest {
        values.iter_mut().zip(*part).for_each(|(sum, value)| *sum += *value);
    }
}

impl AllReduce for InProcess {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), NetError> {
        let parts = self.meeting.exchange(self.rank, Part::F32(values.to_vec()))?;
        let fits = |part: &Part| matches!(part, Part::F32(p) if p.len() == values.len());
        if !parts.iter().all(fits) {
            return Err(self.out_of_step());
        }
        let slices: Vec<&[f32]> =
            parts.iter().filter_map(|p| if let Part::F32(p) = p { Some(&p[..]) } else { None }).collect();
        add(values, &slices);
        Ok(())
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<(), NetError> {
        let parts = self.meeting.exchange(self.rank, Part::F64(values.to_vec()))?;
        let fits = |part: &Part| matches!(part, Part::F64(p) if p.len() == values.len());
        if !parts.iter().all(fits) {
            return Err(self.out_of_step());
        }
        let slices: Vec<&[f64]> =
            parts.iter().filter_map(|p| if let Part::F64(p) = p { Some(&p[..]) } else { None }).collect();
        add(values, &slices);
        Ok(())
    }
}

/// Runs `body` once for each of `devices`, side by side: `body(rank, device, replicas)`.
///
/// Each replica has its own pool of CPU threads, an equal part of the current one's: a replica that waits for the others
/// inside a shared pool could hold the thread that they need. Returns the results in the order of ranks, or the error of
/// the replica that failed first; the others are told, and do not wait for it. A panic goes on in the caller.
pub fn run_replicas<R: Send, E: From<NetError> + Send>(
    devices: &[Device],
    body: impl Fn(usize, &Device, Arc<dyn AllReduce>) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let group = InProcess::group(devices.len());
    let threads = (rayon::current_num_threads() / devices.len().max(1)).max(1);
    let one = |(device, place): (&Device, &InProcess)| {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let rank = place.rank;
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(move |n| format!("replica-{rank}-{n}"))
                .build()
                .map_err(|e| NetError::Replica(format!("cannot start the threads of replica {rank}: {e}")))?;
            // A device's queue may belong to the thread that uses it, hence one thread for all of the body.
            pool.install(|| body(rank, device, Arc::new(place.clone())))
        }));
        place.end();
        result
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = devices.iter().zip(&group).map(|part| scope.spawn(move || one(part))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or_else(Err)).collect()
    });
    let first = group.first().and_then(|place| place.meeting.lock().ended);
    let (mut done, mut failed) = (Vec::with_capacity(results.len()), None);
    for (rank, result) in results.into_iter().enumerate() {
        match result.unwrap_or_else(|panic| resume_unwind(panic)) {
            Ok(result) => done.push(result),
            Err(error) if failed.is_none() || first == Some(rank) => failed = Some(error),
            Err(_) => {}
        }
    }
    failed.map_or(Ok(done), Err)
}

/// Sums on CUDA devices of this process with NCCL, through burn.
///
/// Not run so far: no machine with two GPUs was at hand. Gradients live on the host, so each sum travels to the device
/// and back, which pays where summing on the host (each replica reads all the others' gradients) takes longer. The bits
/// are NCCL's: the same on all replicas, but not promised to be the same from run to run. NCCL would wait forever for a
/// replica that has ended; the replicas therefore meet in the process first.
#[cfg(feature = "cuda")]
#[derive(Debug)]
pub struct OnDevices {
    place: InProcess,
    devices: Vec<Device>,
}

#[cfg(feature = "cuda")]
impl OnDevices {
    /// A place for each of `devices`.
    pub fn group(devices: &[Device]) -> Vec<Self> {
        let devices: Vec<Device> = devices.iter().map(|d| d.clone().without_autodiff()).collect();
        let places = InProcess::group(devices.len()).into_iter();
        places.map(|place| Self { place, devices: devices.clone() }).collect()
    }
}

#[cfg(feature = "cuda")]
impl AllReduce for OnDevices {
    fn rank(&self) -> usize {
        self.place.rank
    }

    fn world(&self) -> usize {
        self.place.world
    }

    fn sum(&self, values: &mut [f32]) -> Result<(), NetError> {
        use burn::tensor::distributed::{ReduceOperation, all_reduce};
        use burn::tensor::{Tensor, TensorData};
        let mut length = [values.len() as f64];
        self.place.sum_f64(&mut length)?;
        if length[0] != (values.len() * self.place.world) as f64 {
            return Err(self.place.out_of_step());
        }
        let data = TensorData::new(values.to_vec(), [values.len()]);
        let tensor = Tensor::<1>::from_data(data, &self.devices[self.place.rank]);
        let sum = all_reduce(tensor, ReduceOperation::Sum, self.devices.clone()).resolve();
        let sum = sum.into_data().try_to_vec::<f32>();
        values.copy_from_slice(
            &sum.map_err(|e| NetError::Replica(format!("NCCL's sum cannot be read: {e:?}")))?,
        );
        Ok(())
    }

    fn sum_f64(&self, values: &mut [f64]) -> Result<(), NetError> {
        self.place.sum_f64(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(world: usize) -> Vec<Device> {
        vec![Device::flex(); world]
    }

    #[test]
    fn sums_are_those_of_the_ranks_in_order() {
        // In f32 the order shows: (1e8 + 1) - 1e8 is 0, and (1e8 - 1e8) + 1 is 1.
        let values = [1e8f32, 1.0, -1e8];
        for _ in 0..20 {
            let sums = run_replicas(&cpus(3), |rank, _, replicas| {
                let (mut single, mut double) = ([values[rank], rank as f32], [f64::from(values[rank])]);
                for _ in 0..3 {
                    (single, double) = ([values[rank], rank as f32], [f64::from(values[rank])]);
                    replicas.sum(&mut single)?;
                    replicas.sum_f64(&mut double)?;
                }
                Ok::<_, NetError>((single, double[0], replicas.world()))
            });
            assert_eq!(sums.ok(), Some(vec![([0.0, 3.0], 1.0, 3); 3]));
        }
    }

    #[test]
    fn nobody_waits_for_a_replica_that_has_ended() {
        // Replica 1 returns early, fails, or hands in something else; the others are in a sum.
        let run = |fault: &'static str| {
            run_replicas(&cpus(3), |rank, _, replicas| {
                replicas.sum(&mut [1.0])?;
                match fault {
                    "leaves" if rank == 1 => Ok(()),
                    "fails" if rank == 1 => Err(NetError::Device("out of memory".into())),
                    "longer" if rank == 1 => replicas.sum(&mut [1.0, 2.0]),
                    "other type" if rank == 1 => replicas.sum_f64(&mut [1.0]),
                    _ => replicas.sum(&mut [1.0]),
                }
            })
        };
        for (fault, message) in [
            ("leaves", "replica 1 has ended"),
            ("fails", "out of memory"),
            ("longer", "the same steps"),
            ("other type", "the same steps"),
        ] {
            let error = run(fault).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(message), "{fault}: {error:?}");
        }
        assert!(run("none").is_ok());
    }

    #[test]
    fn a_panic_reaches_the_caller_and_ends_the_others() {
        let run = || {
            run_replicas(&cpus(2), |rank, _, replicas| {
                assert!(rank != 1, "a bug in replica 1");
                replicas.sum(&mut [1.0])
            })
        };
        let panic = catch_unwind(run).err().and_then(|p| p.downcast_ref::<&str>().map(|m| m.to_string()));
        assert_eq!(panic.as_deref(), Some("a bug in replica 1"));
    }
}
