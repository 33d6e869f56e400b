//! A run's folder as one HTML page that can be sent to a colleague ([`page()`]), and several runs, cells and published rows in
//! the form of the paper's Tables 2 to 4 ([`mod@compare`]).
//!
//! The folder is read into plain values first ([`model`]). Nothing in it is taken for granted: a search may be half done, a
//! file may be cut off or overwritten. What is there is shown; what is missing or damaged is named, with its file. The page
//! is made from these values alone, and so every number on it is one of the run's files; it carries them along, with all
//! their digits, as JSON.
//!
//! | module | concept |
//! |---|---|
//! | [`model`] | a run's files as plain values |
//! | [`html`] | text, numbers and tables as HTML; the page's frame |
//! | [`mod@page`] | the sections in their order |
//! | `section` | one file for each section |
//! | [`mod@compare`] | several runs and cells beside published ones |
//! | [`pictures`] | photos made small and put into the page |
//! | [`number`] | numbers as people read them |
//! | [`time`] | moments and durations as people read them |

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod compare;
mod drawing;
pub mod error;
pub mod html;
pub mod model;
pub mod number;
pub mod page;
pub mod pictures;
mod section;
pub mod time;

pub use error::ReportError;
pub use model::Run;
pub use page::{Page, page};
pub use section::time::{Phase, phases};
