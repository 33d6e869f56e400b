//! Turning the hue as torchvision does on a Pillow image: to HSV in bytes, the hue byte added modulo 256, and back.
//!
//! Pillow's conversions mix `float` and `double` and branch by the largest channel and by the sector of the circle.
//! The form here has neither, so that the compiler makes vectors of it; that its bytes are Pillow's for all 2^24
//! colours, in both directions, is tested, not derived.
//!
//! * Forth. Pillow takes `h = bc - gc`, `2.0 + rc - bc` or `4.0 + gc - rc` by which channel is largest, where `rc` is
//!   `(max - r) / (max - min)` and so on. Of the two in a formula one is 0 or 1, so that with the third channel
//!   between them, `x = (max - mid) / (max - min)`, it is a whole number plus or minus `x`.
//! * Back. A channel is the value where the hue is near the channel's own, and `value * (1 - saturation)` where it is
//!   far; between, it is a straight line in the distance, here in whole 255ths of a sector.

use super::truncated;

/// Pixels of a block; its intermediate values stay in the nearest cache.
const BLOCK: usize = 256;

/// Adds `shift` to the hue byte of every pixel of an image of R, G, B planes.
pub(super) fn shift_hue(shift: u8, planes: &mut [u8]) {
    let n = planes.len() / 3;
    let (red, rest) = planes.split_at_mut(n);
    let (green, blue) = rest.split_at_mut(n);
    let blocks = red.chunks_mut(BLOCK).zip(green.chunks_mut(BLOCK)).zip(blue.chunks_mut(BLOCK));
    for ((r, g), b) in blocks {
        let (mut h, mut s, mut v) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        let n = r.len();
        let (h, s, v) = (&mut h[..n], &mut s[..n], &mut v[..n]);
        to_hsv(r, g, b, h, s, v);
        h.iter_mut().for_each(|h| *h = h.wrapping_add(shift));
        to_rgb(h, s, v, r, g, b);
    }
}

/// Pillow's `rgb2hsv`.
#[inline(always)]
fn to_hsv(r: &[u8], g: &[u8], b: &[u8], h: &mut [u8], s: &mut [u8], v: &mut [u8]) {
    let n = r.len();
    let (g, b, h, s, v) = (&g[..n], &b[..n], &mut h[..n], &mut s[..n], &mut v[..n]);
    for i in 0..n {
        let (r, g, b) = (r[i], g[i], b[i]);
        let (high, low) = (r.max(g), r.min(g));
        let (max, min) = (high.max(b), low.min(b));
        let mid = low.max(high.min(b));
        let range = max - min;
        let float = |byte: u8| i32::from(byte) as f32;
        // Grey: any divisor will do, the hue is masked.
        let x = float(max - mid) / float(range.max(1));
        // The largest channel as Pillow looks for it: first R, then G.
        let (base, sign) = if r == max {
            if b == min { (1.0, -1.0) } else { (-1.0, 1.0) }
        } else if g == max {
            if b == min { (1.0, 1.0) } else { (3.0, -1.0) }
        } else if r == min {
            (3.0, 1.0)
        } else {
            (5.0, -1.0)
        };
        let sector: f32 = base + sign * x;
        let turn = sector / 6.0 + if sector < 0.0 { 1.0 } else { 0.0 };
        h[i] = truncated(turn * if range == 0 { 0.0 } else { 255.0 });
        s[i] = truncated(float(range) / float(max.max(1)) * 255.0);
        v[i] = max;
    }
}

/// Pillow's `hsv2rgb`.
#[inline(always)]
fn to_rgb(h: &[u8], s: &[u8], v: &[u8], r: &mut [u8], g: &mut [u8], b: &mut [u8]) {
    let n = h.len();
    let (s, v, r, g, b) = (&s[..n], &v[..n], &mut r[..n], &mut g[..n], &mut b[..n]);
    for i in 0..n {
        // 255ths of a sector; the circle has 6 * 255 = 1530.
        let hue = 6 * i16::from(h[i]);
        let (s, v) = (i32::from(s[i]) as f32, i32::from(v[i]) as f32);
        let channel = |ahead: i16| {
            let at = hue + ahead;
            let at = if at >= 1530 { at - 1530 } else { at };
            let distance = i32::from(at.min(1020 - at).clamp(0, 255)) as f32;
            // 65025 = 255 * 255. The sum is a whole number below 2^24 and a half: exact.
            truncated((v * (65025.0 - s * distance) + 32512.5) * (1.0 / 65025.0))
        };
        r[i] = channel(5 * 255);
        g[i] = channel(3 * 255);
        b[i] = channel(255);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::tests::{adler32, all_colours};

    /// `zlib.adler32` of the interleaved bytes over all 2^24 colours, first byte slowest (Pillow 13.0.0):
    /// `Image.fromarray(a).convert("HSV")` and `Image.fromarray(a, mode="HSV").convert("RGB")`.
    #[test]
    fn both_conversions_are_pillows_for_every_colour() {
        type Conversion = fn(&[u8], &[u8], &[u8], &mut [u8], &mut [u8], &mut [u8]);
        let planes = all_colours();
        let n = planes.len() / 3;
        let mut out = vec![0; 3 * n];
        for (convert, want) in [(to_hsv as Conversion, 3_853_862_898), (to_rgb, 2_456_615_755)] {
            let (x, rest) = out.split_at_mut(n);
            let (y, z) = rest.split_at_mut(n);
            convert(&planes[..n], &planes[n..2 * n], &planes[2 * n..], x, y, z);
            let bytes = (0..n).flat_map(|i| [out[i], out[n + i], out[2 * n + i]]);
            assert_eq!(adler32(bytes), want);
        }
    }

    #[test]
    fn a_whole_turn_and_grey_pixels() {
        // 256 steps: back where it was; grey has no hue.
        let mut planes = vec![9, 200, 9, 200, 9, 200];
        shift_hue(77, &mut planes);
        assert_eq!(planes, [9, 200, 9, 200, 9, 200]);
    }
}
