//! The numbers that NAS-Bench-201 and NATS-Bench give to the 15,625 cells.
//!
//! The authors enumerated the cells, the last edge fastest and operations in the order of
//! [`Nb201Op::ALL`], and shuffled the list with Python's `random.seed(88); random.shuffle(list)`
//! (D-X-Y/AutoDL-Projects, `exps/NAS-Bench-201/main.py`). The order is computed in the same way here: the
//! Mersenne Twister is shorter than its result. A test compares a hash of all strings in order with that
//! of the published table.

use std::sync::LazyLock;

use super::cell::{NB201_EDGES, Nb201Cell};
use super::op::Nb201Op;
use crate::error::SpaceError;

/// Cells of the space: 5 operations on 6 edges.
pub const NB201_CELLS: usize = 15_625;

/// The seed of the authors' shuffle.
const SHUFFLE_SEED: u32 = 88;

struct Order {
    /// Enumeration number by official index.
    numbers: Vec<u16>,
    /// Official index by enumeration number.
    indices: Vec<u16>,
}

static ORDER: LazyLock<Order> = LazyLock::new(|| {
    let mut numbers: Vec<u16> = (0..NB201_CELLS as u16).collect();
    let mut twister = MersenneTwister::new(SHUFFLE_SEED);
    for last in (1..numbers.len()).rev() {
        numbers.swap(last, twister.below(last as u32 + 1) as usize);
    }
    let mut indices = vec![0; NB201_CELLS];
    for (index, &number) in (0..).zip(&numbers) {
        indices[usize::from(number)] = index;
    }
    Order { numbers, indices }
});

impl Nb201Cell {
    /// The official index, 0 to 15,624.
    pub fn index(&self) -> usize {
        usize::from(ORDER.indices[self.number()])
    }

    /// The cell of an official index.
    pub fn from_index(index: usize) -> Result<Nb201Cell, SpaceError> {
        let number = ORDER.numbers.get(index).ok_or(SpaceError::Nb201Index(index))?;
        Ok(Nb201Cell::from_number(usize::from(*number)))
    }

    /// All 15,625 cells in the order of their official indices.
    pub fn all() -> impl ExactSizeIterator<Item = Nb201Cell> {
        ORDER.numbers.iter().map(|&number| Nb201Cell::from_number(usize::from(number)))
    }

    /// The place in the enumeration, in which the last edge varies fastest.
    fn number(&self) -> usize {
        self.0.iter().fold(0, |number, op| number * Nb201Op::ALL.len() + usize::from(op.index()))
    }

    fn from_number(mut number: usize) -> Nb201Cell {
        let mut ops = [Nb201Op::None; NB201_EDGES];
        for op in ops.iter_mut().rev() {
            *op = Nb201Op::ALL[number % Nb201Op::ALL.len()];
            number /= Nb201Op::ALL.len();
        }
        Nb201Cell(ops)
    }
}

const WORDS: usize = 624;
const SHIFT: usize = 397;

/// MT19937 (Matsumoto and Nishimura, 1998), seeded as Python seeds it with an integer.
struct MersenneTwister {
    state: [u32; WORDS],
    next: usize,
}

impl MersenneTwister {
    /// The reference implementation's `init_by_array` of one word.
    fn new(seed: u32) -> Self {
        let mut state = [0u32; WORDS];
        state[0] = 19_650_218;
        for i in 1..WORDS {
            state[i] = scramble(state[i - 1], 1_812_433_253).wrapping_add(i as u32);
        }
        let mut i = 1;
        for round in 0..2 * WORDS - 1 {
            let mixed = |multiplier| state[i] ^ scramble(state[i - 1], multiplier);
            state[i] = if round < WORDS {
                mixed(1_664_525).wrapping_add(seed)
            } else {
                mixed(1_566_083_941).wrapping_sub(i as u32)
            };
            i += 1;
            if i == WORDS {
                state[0] = state[WORDS - 1];
                i = 1;
            }
        }
        state[0] = 0x8000_0000;
        MersenneTwister { state, next: WORDS }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            for i in 0..WORDS {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % WORDS] & 0x7fff_ffff);
                let matrix = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + SHIFT) % WORDS] ^ (y >> 1) ^ matrix;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Python's `randbelow`: as many bits as `n` has, drawn again until they are below it.
    fn below(&mut self, n: u32) -> u32 {
        loop {
            let value = self.next_u32() >> n.leading_zeros();
            if value < n {
                return value;
            }
        }
    }
}

fn scramble(word: u32, multiplier: u32) -> u32 {
    (word ^ (word >> 30)).wrapping_mul(multiplier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::fnv1a64;

    #[test]
    fn the_twister_is_pythons() {
        // python3: random.seed(88); [random.getrandbits(32) for _ in range(700)]
        let mut twister = MersenneTwister::new(88);
        let draws: Vec<u32> = (0..700).map(|_| twister.next_u32()).collect();
        assert_eq!((draws[0], draws[1], draws[699]), (1_707_201_716, 4_182_107_318, 1_426_055_140));
    }

    #[test]
    fn indices_are_those_of_the_benchmark() {
        // FNV-1a of all strings, a line feed after each, in the order of shared/data/nb201's table.
        let mut strings = String::new();
        for (index, cell) in Nb201Cell::all().enumerate() {
            assert_eq!(cell.index(), index);
            assert_eq!(Nb201Cell::from_index(index), Ok(cell));
            strings += &format!("{cell}\n");
        }
        assert_eq!(fnv1a64(&strings), 0x8a39_d9c5_a475_c0b1);
        assert_eq!(Nb201Cell::all().len(), NB201_CELLS);
        let error = Nb201Cell::from_index(NB201_CELLS).unwrap_err().to_string();
        assert!(error.contains("15625") && error.contains("0 to 15624"), "{error}");
    }
}
