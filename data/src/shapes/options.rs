//! [`SceneOptions`]: how scenes are drawn, for training images and for the two shifted sets.

/// From what a scene is drawn; pairs are least and most.
#[derive(Debug, Clone, PartialEq)]
pub struct SceneOptions {
    /// Width over height.
    pub aspect: f32,
    /// Number of objects.
    pub objects: (usize, usize),
    /// Least distance of two objects' centres, in sums of their radii.
    pub apart: f32,
    /// Radius of an object.
    pub radius: (f32, f32),
    /// Least distance of an object's colours from the background's.
    pub contrast: f32,
    /// Number of strokes behind the objects.
    pub clutter: (usize, usize),
    /// Number of strokes in front of the objects.
    pub occluders: (usize, usize),
    /// Standard deviation of the noise.
    pub noise: (f32, f32),
    /// Brightness.
    pub gain: (f32, f32),
    /// Largest change of brightness across the picture.
    pub slope: f32,
}

impl SceneOptions {
    /// Training and validation images: one object.
    pub fn standard() -> Self {
        Self {
            aspect: 1.0,
            objects: (1, 1),
            apart: 0.8,
            radius: (0.25, 0.42),
            contrast: 0.45,
            clutter: (0, 4),
            occluders: (0, 0),
            noise: (0.0, 0.06),
            gain: (0.75, 1.15),
            slope: 0.5,
        }
    }

    /// Mildly shifted, as ImageNet-V2 from ImageNet: smaller, darker, noisier, less contrast.
    pub fn shifted() -> Self {
        Self {
            radius: (0.2, 0.38),
            contrast: 0.36,
            clutter: (1, 6),
            noise: (0.03, 0.09),
            gain: (0.6, 1.1),
            slope: 0.8,
            ..Self::standard()
        }
    }

    /// Hard, as ImageNet-A: low contrast, heavy clutter, strokes in front of the object.
    pub fn hard() -> Self {
        Self {
            radius: (0.2, 0.36),
            contrast: 0.28,
            clutter: (5, 10),
            occluders: (1, 2),
            noise: (0.04, 0.09),
            gain: (0.5, 1.15),
            slope: 0.9,
            ..Self::standard()
        }
    }

    /// Photos for detection: none to seven objects from tiny to large, which hide parts of each other.
    pub fn several() -> Self {
        Self {
            objects: (0, 7),
            apart: 0.5,
            radius: (0.045, 0.3),
            clutter: (0, 6),
            occluders: (0, 2),
            ..Self::standard()
        }
    }

    /// Wide pictures for segmentation: objects that cover about a third, and strokes in front of some.
    pub fn street() -> Self {
        Self { aspect: 2.0, objects: (3, 9), radius: (0.1, 0.34), ..Self::several() }
    }
}
