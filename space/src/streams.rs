//! Named, counted random streams: the only source of randomness in a run.
//!
//! A stream is a function of (seed, name, counter) and of nothing else. There is no generator to save:
//! a run that was killed continues from its counters, and the order in which threads draw is irrelevant.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// The random streams of a run.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, Serialize, Deserialize)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of the run with this seed.
    pub fn new(seed: u64) -> Self {
        Streams { seed }
    }

    /// The seed they come from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The generator of stream `name` at `counter`, always from its beginning.
    ///
    /// Its 32-byte ChaCha key is the seed, the FNV-1a hash of the name and the counter, each
    /// little-endian, and 8 zero bytes. ChaCha makes generators with different keys independent, so the
    /// parts need no mixing.
    pub fn rng(&self, name: &str, counter: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&fnv1a64(name).to_le_bytes());
        key[16..24].copy_from_slice(&counter.to_le_bytes());
        ChaCha8Rng::from_seed(key)
    }
}

/// The 64-bit FNV-1a hash: short, and fixed for ever, unlike the hashes of the standard library.
pub(crate) fn fnv1a64(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn hash_matches_the_published_test_vectors() {
        // http://www.isthe.com/chongo/src/fnv/test_fnv.c
        assert_eq!(fnv1a64(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a64("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn streams_are_reproducible_and_distinct() {
        let first = |seed, name, counter| Streams::new(seed).rng(name, counter).next_u64();
        assert_eq!(first(1, "path", 0), first(1, "path", 0));
        let draws = [first(1, "path", 0), first(2, "path", 0), first(1, "noise", 0), first(1, "path", 1)];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[i + 1..].iter().all(|b| a != b), "{draws:?}");
        }
    }

    /// Runs are resumed across versions: these numbers may never change. They were computed with a
    /// ChaCha8 written in Python from the construction above.
    #[test]
    fn streams_are_pinned() {
        let mut rng = Streams::new(3).rng("path", 5);
        assert_eq!([rng.next_u64(), rng.next_u64()], [9_706_825_951_748_462_925, 5_273_484_653_559_039_901]);
    }
}
