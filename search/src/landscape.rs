//! The loss around trained weights: how it rises along random directions, for one network or several (the paper's
//! Figures 1 to 3), and on the plane of two of them (Li et al. 2018, "Visualizing the loss landscape of neural nets").
//!
//! | module | concept |
//! |---|---|
//! | [`places`] | where the loss is measured: levels along directions, or a grid |
//! | [`subject`] | a trained network whose losses are measured |
//! | [`supernet`], [`retrained`] | subjects out of runs |
//! | [`groups`] | the best, the middle and the worst cells of a ranking |
//! | [`measure`] | the losses of all places, with a journal |
//! | [`curves`], [`surface`] | what is made of them |

pub mod curves;
pub mod groups;
pub mod measure;
pub mod places;
pub mod retrained;
pub mod subject;
pub mod supernet;
pub mod surface;

pub use curves::{Curve, Curves};
pub use measure::LandscapeRun;
pub use places::{Levels, Place, Square};
pub use subject::{Loss, Subject};
pub use surface::LossSurface;
