//! Fresh memory, written in parallel by pieces or by tiles.

use rayon::prelude::*;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// A fresh vector of `len` elements, written piece by piece in parallel: `f(context, i, piece)` gets piece `i`, zeroed, of
/// `piece` elements (the last may be shorter). A task is `group` pieces and makes one `context`.
pub(crate) fn fill_pieces<C>(
    len: usize,
    piece: usize,
    group: usize,
    context: impl Fn() -> C + Sync,
    f: impl Fn(&mut C, usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    fill_pieces_with(len, piece, group, &mut [] as &mut [u8], 0, |_| context(), f)
}

/// [`fill_pieces`] whose tasks also get parts of `extra`, `extra_task` elements each, to make their contexts of.
pub(crate) fn fill_pieces_with<'a, C, E: Send>(
    len: usize,
    piece: usize,
    group: usize,
    extra: &'a mut [E],
    extra_task: usize,
    context: impl Fn(&'a mut [E]) -> C + Sync,
    f: impl Fn(&mut C, usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(len);
    if len == 0 {
        return out;
    }
    let (piece, group) = (piece.max(1), group.max(1));
    let task = |t: usize, pieces: &mut [MaybeUninit<f32>], extra: &'a mut [E]| {
        let mut context = context(extra);
        for (i, piece) in pieces.chunks_mut(piece).enumerate() {
            // Zeroed while it is in (or on its way to) the nearest cache: cheap, and `f` may be any safe code.
            piece.fill(MaybeUninit::new(0.0));
            // SAFETY: every element was just written, and MaybeUninit<f32> has the layout of f32.
            let piece =
                unsafe { std::slice::from_raw_parts_mut(piece.as_mut_ptr().cast::<f32>(), piece.len()) };
            f(&mut context, t * group + i, piece);
        }
    };
    let spare = &mut out.spare_capacity_mut()[..len];
    let tasks = len.div_ceil(piece * group);
    if tasks == 1 {
        task(0, spare, extra);
    } else if extra_task == 0 {
        spare.par_chunks_mut(piece * group).enumerate().for_each(|(t, pieces)| task(t, pieces, &mut []));
    } else {
        assert_eq!(extra.len().div_ceil(extra_task), tasks, "a part for each task");
        spare
            .par_chunks_mut(piece * group)
            .zip(extra.par_chunks_mut(extra_task))
            .enumerate()
            .for_each(|(t, (pieces, extra))| task(t, pieces, extra));
    }
    // SAFETY: the tasks above covered `len` elements, each of them initialised (a panic would have unwound past here).
    unsafe { out.set_len(len) };
    out
}

/// Part of a matrix: some columns of some rows.
pub(crate) struct Tile<'a> {
    start: *mut f32,
    stride: usize,
    rows: usize,
    columns: usize,
    owner: PhantomData<&'a mut [f32]>,
}

impl<'a> Tile<'a> {
    /// All of a matrix whose rows of `columns` elements lie one behind the other.
    pub fn over(data: &'a mut [f32], columns: usize) -> Self {
        let rows = data.len() / columns.max(1);
        Tile { start: data.as_mut_ptr(), stride: columns, rows, columns, owner: PhantomData }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The tile's part of row `r`, counted from its first.
    #[inline(always)]
    pub fn row(&mut self, r: usize) -> &mut [f32] {
        assert!(r < self.rows, "row out of range");
        // SAFETY: who made the tile holds, for 'a, the only access to `columns` elements at each of `rows` multiples of
        // `stride`; they are initialised. The result borrows the tile, so there is one such slice at a time.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(r * self.stride), self.columns) }
    }
}

/// A fresh vector of `matrices` matrices `[rows, columns]`, written in parallel tile by tile: `f(matrix, row, column,
/// tile)` gets the tile whose first element is there, of at most `tile_rows` by `tile_columns` elements that are their row's
/// `initial` value.
pub(crate) fn fill_tiles(
    [matrices, rows, columns]: [usize; 3],
    tile_rows: usize,
    tile_columns: usize,
    initial: impl Fn(usize) -> f32 + Sync,
    f: impl Fn(usize, usize, usize, &mut Tile) + Sync,
) -> Vec<f32> {
    /// Lets tasks share the vector's address.
    struct Shared(*mut f32);
    // SAFETY: an address; what tasks do with it is justified below.
    unsafe impl Sync for Shared {}
    impl Shared {
        fn get(&self) -> *mut f32 {
            self.0
        }
    }

    let len = matrices * rows * columns;
    let mut out = Vec::<f32>::with_capacity(len);
    if len == 0 {
        return out;
    }
    let (tile_rows, tile_columns) = (tile_rows.clamp(1, rows), tile_columns.clamp(1, columns));
    let (down, across) = (rows.div_ceil(tile_rows), columns.div_ceil(tile_columns));
    let data = Shared(out.as_mut_ptr());
    (0..matrices * down * across).into_par_iter().for_each(|task| {
        let (matrix, tile) = (task / (down * across), task % (down * across));
        let (row, column) = (tile / across * tile_rows, tile % across * tile_columns);
        let (count, width) = (tile_rows.min(rows - row), tile_columns.min(columns - column));
        let first = (matrix * rows + row) * columns + column;
        // SAFETY: the last element is at `first + (count - 1) * columns + width - 1 < len`, within the allocation. Tiles
        // of different tasks have no element in common, each task runs once, and `out` is not touched meanwhile.
        // Elements are initialised before a slice of `f32` exists.
        let mut tile = unsafe {
            let start = data.get().add(first);
            for r in 0..count {
                let part = start.add(r * columns).cast::<MaybeUninit<f32>>();
                std::slice::from_raw_parts_mut(part, width).fill(MaybeUninit::new(initial(row + r)));
            }
            Tile { start, stride: columns, rows: count, columns: width, owner: PhantomData }
        };
        f(matrix, row, column, &mut tile);
    });
    // SAFETY: the tiles cover `len` elements, each of them initialised (a panic would have unwound past here).
    unsafe { out.set_len(len) };
    out
}
