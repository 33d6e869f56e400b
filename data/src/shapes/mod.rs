//! The generated `shapes` data set: ten shapes that colour, texture, place, size, rotation, light
//! and background do not give away, in the official layouts of the real data sets.
//!
//! It lets the whole program run, and be tested, without a download. A [`Scene`] says what an image
//! shows; its pixels, and the boxes and masks of its objects, all follow from it. Every scene comes
//! from its own random stream: the files depend on the seed and the scale only.

mod cityscapes;
mod coco;
mod geometry;
mod options;
mod render;
mod scale;
mod scene;
mod write;

pub use geometry::{BoundingBox, Mask, Point, Shape, contains};
pub use options::SceneOptions;
pub use render::render;
pub use scale::Scale;
pub use scene::{Background, Color, Lighting, Noise, Object, Pattern, Scene, Stroke, Texture};
pub use write::{ShapesPaths, write_shapes};
