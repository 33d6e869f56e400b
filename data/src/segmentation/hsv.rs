//! OpenCV's conversion of bytes between RGB and HSV, where a circle of hues has 180 steps.
//!
//! To HSV in whole numbers of 12 more bits. Back in `f32`, truncated: so does the code for AVX2, whose fused
//! multiplications are computed in `f64` here. What is left of an image's rows beyond a multiple of 32 pixels OpenCV
//! rounds instead; here all pixels are alike. That both are OpenCV's (5.0.0) for all colours is tested.
//!
//! Pillow's conversions (`photo/hue.rs`) have 256 steps and other roundings.

const SHIFT: u32 = 12;
/// Of each value the saturation's divisor, and of each range the hue's, rounded; no quotient is a half.
const SATURATION: [i32; 256] = divisors(255 << SHIFT);
const HUE: [i32; 256] = divisors((180 << SHIFT) / 6);

const fn divisors(numerator: i32) -> [i32; 256] {
    let mut table = [0; 256];
    let mut i = 1;
    while i < 256 {
        table[i as usize] = (2 * numerator + i) / (2 * i);
        i += 1;
    }
    table
}

/// Hue (0 to 179), saturation and value of a colour.
#[inline]
pub(super) fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(i32::from);
    let value = r.max(g).max(b);
    let range = value - r.min(g).min(b);
    let round = |x: i32| (x + (1 << (SHIFT - 1))) >> SHIFT;
    let sixths = if value == r {
        g - b
    } else if value == g {
        b - r + 2 * range
    } else {
        r - g + 4 * range
    };
    let hue = round(sixths * HUE[range as usize]);
    let hue = if hue < 0 { hue + 180 } else { hue };
    [hue as u8, round(range * SATURATION[value as usize]) as u8, value as u8]
}

/// The colour of a hue (0 to 179), saturation and value.
#[inline]
pub(super) fn to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    let hue = f32::from(hue) * (6.0f64 / 180.0) as f32;
    let (saturation, value) = (f32::from(saturation) * (1.0 / 255.0), f32::from(value) * (1.0 / 255.0));
    let sector = hue.floor();
    let part = hue - sector;
    // A product of two f32 is exact in f64, and so this is one rounding, as of a fused multiplication.
    let without = |x: f32| (1.0 - f64::from(saturation) * f64::from(x)) as f32;
    let byte = |x: f32| (x * 255.0) as u8;
    let most = byte(value);
    let least = byte(value * (1.0 - saturation));
    let falling = byte(value * without(part));
    let rising = byte(value * without(1.0 - part));
    match sector as u32 {
        1 => [falling, most, least],
        2 => [least, most, rising],
        3 => [least, falling, most],
        4 => [rising, least, most],
        5 => [most, least, falling],
        _ => [most, rising, least],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::tests::adler32;

    /// `zlib.adler32` of `cv2.cvtColor` over all colours, first byte slowest; recorded by
    /// `tests/mmseg_augmentation.py`.
    #[test]
    fn both_conversions_are_opencvs_for_every_colour() {
        let all = |n: u32| (0..n << 16).map(|i| [(i >> 16) as u8, (i >> 8) as u8, i as u8]);
        assert_eq!(adler32(all(256).flat_map(to_hsv)), 3_150_863_775);
        assert_eq!(adler32(all(180).flat_map(to_rgb)), 125_165_581);
    }
}
