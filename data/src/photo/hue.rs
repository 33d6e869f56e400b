//! Turning the hue as torchvision does on a Pillow image: to HSV in bytes, the hue byte added modulo 256, and back.
//!
//! Pillow's conversions mix `float` and `double`; every rounding of theirs is kept, so the bytes are equal for all
//! 2^24 colours in both directions (tests). What differs is the form: without branches, in blocks of planes, so that
//! the compiler makes vectors of it.
//!
//! * Forth. Pillow takes `h = bc - gc`, `2.0 + rc - bc` or `4.0 + gc - rc` by which channel is largest, where `rc` is
//!   `(max - r) / (max - min)` and so on. Of the two in a formula one is 0 or 1, so that with the third channel
//!   between them, `x = (max - mid) / (max - min)`, it is a whole number plus or minus `x`, rounded once.
//! * Back. Of Pillow's `q` and `t` only one is used by a sector: `q` in odd ones, `t` in even ones.

/// Pixels of a block; its intermediate values stay in the nearest cache.
const BLOCK: usize = 128;

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
        let (r, g, b) = (i32::from(r[i]), i32::from(g[i]), i32::from(b[i]));
        let max = r.max(g).max(b);
        let min = r.min(g).min(b);
        let range = max - min;
        let mid = r + g + b - max - min;
        // Grey: any divisor will do, the results are masked.
        let x = (max - mid) as f32 / range.max(1) as f32;
        // The largest channel as Pillow looks for it: first R, then G.
        let red = r == max;
        let green = !red & (g == max);
        // r max: 1 - x (b least) or x - 1; g max: 1 + x (b least) or 3 - x; b max: 3 + x (r least) or 5 - x.
        let (base, sign) = if red {
            if b == min { (1.0, -1.0) } else { (-1.0, 1.0) }
        } else if green {
            if b == min { (1.0, 1.0) } else { (3.0, -1.0) }
        } else if r == min {
            (3.0, 1.0)
        } else {
            (5.0, -1.0)
        };
        let sector: f32 = base + sign * x;
        let turn = f64::from(sector) / 6.0 + 1.0;
        let turn = (if turn >= 1.0 { turn - 1.0 } else { turn }) as f32;
        let hue = (f64::from(turn) * 255.0) as i32;
        let saturation = (range as f32 / max.max(1) as f32 * 255.0) as i32;
        h[i] = if range == 0 { 0 } else { hue as u8 };
        s[i] = saturation as u8;
        v[i] = max as u8;
    }
}

/// Pillow's `hsv2rgb`.
#[inline(always)]
fn to_rgb(h: &[u8], s: &[u8], v: &[u8], r: &mut [u8], g: &mut [u8], b: &mut [u8]) {
    let n = h.len();
    let (s, v, r, g, b) = (&s[..n], &v[..n], &mut r[..n], &mut g[..n], &mut b[..n]);
    for i in 0..n {
        let (hue, value) = (i32::from(h[i]), i32::from(v[i]));
        let sector = hue * 6 / 255;
        let within = (f64::from(hue) * 6.0 / 255.0 - f64::from(sector)) as f32;
        let saturation = (f64::from(s[i]) / 255.0) as f32;
        let odd = sector & 1 == 1;
        let q = f64::from(saturation * within);
        let t = f64::from(saturation) * (1.0 - f64::from(within));
        let less = f64::from(value) * (1.0 - f64::from(saturation));
        let other = f64::from(value) * (1.0 - if odd { q } else { t });
        // Positive, and never half way between: truncation after adding a half is C's round.
        let (p, o) = ((less + 0.5) as i32, (other + 0.5) as i32);
        let sector = if sector == 6 { 0 } else { sector };
        let (x, y, z) = match sector {
            0 => (value, o, p),
            1 => (o, value, p),
            2 => (p, value, o),
            3 => (p, o, value),
            4 => (o, p, value),
            _ => (value, p, o),
        };
        (r[i], g[i], b[i]) = (x as u8, y as u8, z as u8);
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
