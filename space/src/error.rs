//! What can be wrong with a cell, in words that name the value and its place.

/// Why a text or a value is not an operation, a candidate or a genotype.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// An operation name that nobody uses.
    #[error(
        "unknown operation `{0}`; known are sep_conv_3x3 (s3), dil_conv_5x5 (d5), skip_connect (sk), ..."
    )]
    UnknownOp(String),
    /// A candidate of another length.
    #[error("{found} integers, expected 28 (14 edges of the normal cell, then 14 of the reduction cell)")]
    Length {
        /// How many there were.
        found: usize,
    },
    /// An entry of a candidate that is not an integer.
    #[error("`{text}` at position {position} is not an integer")]
    NotAnInteger {
        /// The entry.
        text: String,
        /// Its place, from 0.
        position: usize,
    },
    /// An entry of a candidate that names no operation of the space.
    #[error("operation {value} at position {position} is not in 0..7")]
    OpRange {
        /// The entry.
        value: i64,
        /// Its place, from 0.
        position: usize,
    },
    /// A node of a candidate whose number of live edges is not 2.
    #[error("node {node} (state {}) has {live} live inputs, expected 2", node + 2)]
    LiveInputs {
        /// The node, from 0.
        node: usize,
        /// Its live edges.
        live: usize,
    },
    /// A node that nothing flows into.
    #[error("node {node} (state {}) has no input", node + 2)]
    NoInput {
        /// The node, from 0.
        node: usize,
    },
    /// A node that reads a state which does not exist before it.
    #[error("node {node} (state {}) reads state {source_state}, but only states below {} exist there", node + 2, node + 2)]
    NoSuchSource {
        /// The node, from 0.
        node: usize,
        /// The state it reads.
        source_state: usize,
    },
    /// `none` written as an edge of a genotype.
    #[error("node {node} (state {}) has an edge `none`: leave the edge out instead", node + 2)]
    NoneEdge {
        /// The node, from 0.
        node: usize,
    },
    /// A cell without nodes, or whose output concatenates nothing.
    #[error("the cell has no {0}")]
    Empty(&'static str),
    /// The output concatenates a state that is not a node of the cell.
    #[error("concat names state {state}, but the nodes of the cell are the states 2 to {last}")]
    NoSuchConcat {
        /// The state.
        state: usize,
        /// The last state of the cell.
        last: usize,
    },
    /// The output concatenates a state twice.
    #[error("concat names state {0} twice")]
    DuplicateConcat(usize),
    /// A genotype that 28 integers cannot express.
    #[error("not a cell of the 14-edge space: {0}")]
    OutsideSpace(String),
    /// A name that is no operation of NAS-Bench-201.
    #[error(
        "unknown operation `{0}`; NAS-Bench-201 has none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3"
    )]
    UnknownNb201Op(String),
    /// An entry of a NAS-Bench-201 cell that names no operation.
    #[error("operation {value} at position {position} is not in 0..4")]
    Nb201OpRange {
        /// The entry.
        value: u8,
        /// Its place, from 0.
        position: usize,
    },
    /// A number that no NAS-Bench-201 cell has.
    #[error("there is no NAS-Bench-201 cell {0}; they are numbered 0 to 15624")]
    Nb201Index(usize),
    /// A text that is no architecture string of NAS-Bench-201.
    #[error(
        "`{text}` is not a NAS-Bench-201 architecture: {problem}; the form is |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
    )]
    Nb201Arch {
        /// The text as given.
        text: String,
        /// What was found.
        problem: String,
    },
    /// A text that is neither a NAS-Bench-201 architecture, nor an index, nor a known name.
    #[error("unknown NAS-Bench-201 cell `{text}`; give an architecture string, its six integers, an index from 0 to 15624, or one of {}", known.join(", "))]
    UnknownNb201Cell {
        /// The text as given.
        text: String,
        /// The names that exist.
        known: Vec<&'static str>,
    },
    /// A sample larger than the space.
    #[error(
        "a sample of {0} NAS-Bench-201 cells was asked for, but there are 15625; ask for at most that many"
    )]
    Nb201Sample(usize),
    /// A problem inside one of the two cells.
    #[error("{cell} cell: {problem}")]
    InCell {
        /// `normal` or `reduction`.
        cell: &'static str,
        /// The problem.
        problem: Box<SpaceError>,
    },
    /// A text that begins like one of the forms and then departs from it.
    #[error("genotype in {form}: {problem}")]
    Syntax {
        /// The form it was read as.
        form: &'static str,
        /// What was found.
        problem: String,
    },
    /// A text in none of the forms.
    #[error(
        "`{0}` is not a genotype: expected 28 integers, a JSON object, Genotype(...), or `normal: ... ; reduce: ...`"
    )]
    UnknownForm(String),
    /// A text that is neither a genotype nor a name of the zoo.
    #[error("unknown cell `{text}`; the nearest names in the zoo are {}", nearest.join(", "))]
    UnknownCell {
        /// The text as given.
        text: String,
        /// The three most similar names.
        nearest: Vec<&'static str>,
    },
    /// The name of a cell whose genotype nobody published.
    #[error("the genotype of `{text}` is not published: {note}")]
    Unpublished {
        /// The text as given.
        text: String,
        /// What is known about it.
        note: &'static str,
    },
}

impl SpaceError {
    /// The same problem, said to be in the `normal` or the `reduction` cell.
    pub(crate) fn in_cell(self, cell: &'static str) -> Self {
        SpaceError::InCell { cell, problem: Box::new(self) }
    }

    /// A departure from the written form `form`.
    pub(crate) fn syntax(form: &'static str, problem: impl Into<String>) -> Self {
        SpaceError::Syntax { form, problem: problem.into() }
    }
}
