//! Pictures as SVG: charts, cells, networks. Values in, text out: no files, no devices.
//!
//! Every picture is readable on light and dark ground, in print, without colours, and by a screen reader; a browser shows
//! the values of what is pointed at. Colours are plain hexadecimal, because converters draw newer notations black.
//!
//! | module | concept |
//! |---|---|
//! | [`chart`] | lines, points, bands and bars on two axes, and the table behind them |
//! | [`surface`] | values over a plane: colours, lines of equal value |
//! | [`svg`] | what all pictures share: the frame, escaping, colours |

pub mod chart;
pub mod surface;
pub mod svg;

pub use chart::{Axis, Chart, Mark, Point, Scale, Series};
pub use surface::Surface;
