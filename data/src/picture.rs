//! [`Picture`]: one decoded RGB image; resizing and cropping as torchvision does with Pillow.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::Window;

/// One RGB image of any size, 8 bits a channel, interleaved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels per row.
    pub width: usize,
    /// Pixels per column.
    pub height: usize,
    /// H x W x 3 bytes.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Bilinear with antialias (the filter widens when the image shrinks), as `Image.resize` of
    /// Pillow: horizontal pass, then vertical pass, 8 bits between them.
    pub fn resized(&self, width: usize, height: usize) -> Result<Self, String> {
        if (width, height) == (self.width, self.height) {
            return Ok(self.clone());
        }
        self.window_resized(Window { left: 0, top: 0, width: self.width, height: self.height }, width, height)
    }

    /// As [`Self::resized`], of a window that lies inside the picture. Pixels around it do not show, as if it had
    /// been cut out before: torchvision's `resized_crop`.
    pub fn window_resized(&self, window: Window, width: usize, height: usize) -> Result<Self, String> {
        if !window.inside(self.width, self.height) {
            return Err(format!("{window:?} is not inside {} x {} pixels", self.width, self.height));
        }
        let from = TypedImageRef::<U8x3>::from_buffer(self.width as u32, self.height as u32, &self.rgb)
            .map_err(|e| e.to_string())?;
        // A view: with `ResizeOptions::crop` the filter would reach beyond the window. Views and images of one type
        // of pixel: those of all types would be compiled otherwise, for minutes.
        let (left, top) = (window.left as u32, window.top as u32);
        let from = TypedCroppedImage::from_ref(&from, left, top, window.width as u32, window.height as u32)
            .map_err(|e| e.to_string())?;
        let mut rgb = vec![0; 3 * width * height];
        let mut to = TypedImage::<U8x3>::from_buffer(width as u32, height as u32, &mut rgb)
            .map_err(|e| e.to_string())?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        Resizer::new().resize_typed(&from, &mut to, &options).map_err(|e| e.to_string())?;
        Ok(Self { width, height, rgb })
    }

    /// Shorter side to `size`, longer side in proportion and truncated: torchvision's `Resize`.
    pub fn with_shorter_side(&self, size: usize) -> Result<Self, String> {
        let (w, h) = shorter_side(self.width, self.height, size);
        self.resized(w, h)
    }

    /// The R, G, B planes of the centre square of side `size`; what lies outside the image is 0.
    /// torchvision's `CenterCrop`: offsets `round((side - size) / 2)`, halves to even.
    pub fn centre_planes(&self, size: usize) -> Vec<u8> {
        let (left, top) = (crop_offset(self.width, size), crop_offset(self.height, size));
        let mut out = vec![0; 3 * size * size];
        let (red, rest) = out.split_at_mut(size * size);
        let (green, blue) = rest.split_at_mut(size * size);
        let columns = (-left).max(0) as usize..size.min((self.width as isize - left) as usize);
        for y in 0..size {
            let sy = y as isize + top;
            if sy < 0 || sy >= self.height as isize {
                continue;
            }
            for x in columns.clone() {
                let p = 3 * (sy as usize * self.width + (x as isize + left) as usize);
                red[y * size + x] = self.rgb[p];
                green[y * size + x] = self.rgb[p + 1];
                blue[y * size + x] = self.rgb[p + 2];
            }
        }
        out
    }

    /// The whole image as R, G, B planes.
    pub fn planes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.rgb.len());
        for c in 0..3 {
            out.extend(self.rgb.iter().skip(c).step_by(3));
        }
        out
    }
}

/// Width and height after torchvision's `Resize(size)`.
pub fn shorter_side(width: usize, height: usize, size: usize) -> (usize, usize) {
    if width <= height { (size, size * height / width.max(1)) } else { (size * width / height, size) }
}

/// Where a centred window of `size` begins in a `side`; negative where the image is smaller, which
/// torchvision pads with `(size - side) / 2` before.
fn crop_offset(side: usize, size: usize) -> isize {
    if side < size {
        return -(((size - side) / 2) as isize);
    }
    let twice = side - size;
    let half = twice / 2;
    // Python's round: a half goes to the even neighbour.
    (if twice % 2 == 1 && half % 2 == 1 { half + 1 } else { half }) as isize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_torchvision() {
        assert_eq!(shorter_side(500, 375, 256), (341, 256));
        assert_eq!(shorter_side(375, 500, 256), (256, 341));
        assert_eq!(shorter_side(256, 256, 256), (256, 256));
        assert_eq!(shorter_side(32, 33, 64), (64, 66));
    }

    #[test]
    fn crop_offsets_round_half_to_even() {
        // round((227 - 224) / 2) = round(1.5) = 2; (225 - 224) / 2 = .5 -> 0; 2.5 -> 2; 3.5 -> 4
        for (side, want) in [(224, 0), (225, 0), (226, 1), (227, 2), (229, 2), (231, 4), (341, 58)] {
            assert_eq!(crop_offset(side, 224), want, "{side}");
        }
        assert_eq!(crop_offset(221, 224), -1);
    }

    #[test]
    fn crop_of_a_small_image_is_padded() {
        let p = Picture { width: 1, height: 2, rgb: vec![9, 8, 7, 6, 5, 4] };
        let planes = p.centre_planes(3);
        assert_eq!(planes[..9], [0, 9, 0, 0, 6, 0, 0, 0, 0]);
        assert_eq!(planes[18..], [0, 7, 0, 0, 4, 0, 0, 0, 0]);
        assert_eq!(p.planes(), [9, 6, 8, 5, 7, 4]);
    }

    #[test]
    fn halving_averages_with_the_triangle_filter() {
        // A factor 2 triangle has weights 1 3 3 1 (/8); at the borders the missing one is dropped.
        let rgb = [0u8, 80, 160, 240].iter().flat_map(|&v| [v; 3]).collect();
        let half = Picture { width: 4, height: 1, rgb }.resized(2, 1).unwrap();
        assert_eq!(half.rgb[0], ((3 * 80 + 160) as f32 / 7.0).round() as u8);
        assert_eq!(half.rgb[3], ((80 + 3 * 160 + 3 * 240) as f32 / 7.0).round() as u8);
    }
}
