//! Pictures as SVG: charts, cells, networks. Values in, text out: no files, no devices.
//!
//! Every picture is readable on light and dark ground, in print, without colours, and by a screen reader; a browser shows
//! the values of what is pointed at. Colours are plain hexadecimal, because converters draw newer notations black.
//!
//! | module | concept |
//! |---|---|
//! | [`cell`] | the graphs of cells |
//! | [`chart`] | lines, points, bands and bars on two axes, and the table behind them |
//! | [`network`] | a network's blocks |
//! | [`svg`] | what all pictures share: the frame, escaping, colours |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cell;
pub mod chart;
mod layered;
pub mod network;
mod scale;
pub mod svg;

pub use cell::{AnyCell, NamedCell, cells_inline, cells_svg};
pub use chart::{Axis, Chart, Mark, Point, Scale, Series};
pub use network::{network_inline, network_svg};
