//! The NAS-Bench-201 space: cells of 4 nodes and 6 edges, each edge one of 5 operations
//! (Dong and Yang, 2020; spec 01-B).
//!
//! | module | concept |
//! |---|---|
//! | [`op`] | the five operations |
//! | [`cell`] | a cell, and the architecture string that it is written as |
//! | [`index`] | the benchmark's numbers of the 15,625 cells |
//! | [`canonical`] | which cells the benchmark's authors count as one |
//! | [`operators`] | samples of cells, paths of supernet training, mutation, crossover |
//! | [`known`] | cells with a name, and costs to check networks against |

pub mod canonical;
pub mod cell;
pub mod index;
pub mod known;
pub mod op;
pub mod operators;

pub use cell::{NB201_EDGES, NB201_SOURCES, Nb201Cell, edges_of_node};
pub use index::NB201_CELLS;
pub use known::{
    NB201_COSTS, NB201_SUPERNET_PARAMS, Nb201Cost, Nb201Entry, find_nb201, nb201_zoo, parse_nb201,
};
pub use op::Nb201Op;
pub use operators::{
    crossover_nb201, mutate_nb201, nb201_paths_for_step, random_nb201, random_nb201_path, sample_nb201,
};
