//! Colours for values: dark for low, light for high, in even steps for every eye and in print.

use crate::chart::Scale;
use crate::scale::round_between;

/// Viridis (matplotlib, public domain) at ten even steps.
const STEPS: [[u8; 3]; 10] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x28, 0x78],
    [0x3e, 0x49, 0x89],
    [0x31, 0x68, 0x8e],
    [0x26, 0x82, 0x8e],
    [0x1f, 0x9e, 0x89],
    [0x35, 0xb7, 0x79],
    [0x6e, 0xce, 0x58],
    [0xb5, 0xde, 0x2b],
    [0xfd, 0xe7, 0x25],
];

/// Colours of a range of values.
pub(super) struct Ramp {
    /// The lowest and the highest value.
    ends: [f64; 2],
    scale: Scale,
}

impl Ramp {
    pub fn new(ends: [f64; 2], scale: Scale) -> Self {
        Self { ends, scale }
    }

    pub fn ends(&self) -> [f64; 2] {
        self.ends
    }

    /// A value as the scale has it; not finite where it has none.
    pub fn scaled(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log if value > 0.0 => value.ln(),
            Scale::Log => f64::NAN,
        }
    }

    /// From 0 for the lowest to 1 for the highest value; 0 where all are equal.
    pub fn share(&self, value: f64) -> f64 {
        let [low, high] = self.ends.map(|end| self.scaled(end));
        if high > low { ((self.scaled(value) - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The colour of a value.
    pub fn colour(&self, value: f64) -> String {
        self.at_share(self.share(value))
    }

    /// The colour that is so far from the lowest to the highest.
    pub fn at_share(&self, share: f64) -> String {
        let at = share * (STEPS.len() - 1) as f64;
        let below = (at.floor() as usize).min(STEPS.len() - 2);
        let part = at - below as f64;
        let mix = |n: usize| {
            let (from, to) = (f64::from(STEPS[below][n]), f64::from(STEPS[below + 1][n]));
            (from + part * (to - from)).round() as u8
        };
        format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
    }

    /// Round values inside the range, about `n`, evenly spread over the colours.
    pub fn levels(&self, n: usize) -> Vec<f64> {
        let [low, high] = self.ends;
        let inside = |level: &f64| *level > low && *level < high;
        match self.scale {
            Scale::Linear => round_between(low, high, n).into_iter().filter(inside).collect(),
            Scale::Log => {
                // As many of a decade as there is room for.
                let decades = (high / low).log10().max(1e-9);
                let mantissas: &[f64] = match n as f64 / decades {
                    many if many >= 8.0 => return self.fine_levels(n),
                    some if some >= 5.0 => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
                    few if few >= 2.5 => &[1.0, 2.0, 5.0],
                    _ => &[1.0],
                };
                let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
                let powers = (first..=last).flat_map(|p| mantissas.iter().map(move |m| m * 10f64.powi(p)));
                powers.filter(inside).collect()
            }
        }
    }

    /// Within a decade or so: steps in even proportion, rounded to two digits.
    fn fine_levels(&self, n: usize) -> Vec<f64> {
        let [low, high] = self.ends;
        let factor = (high / low).powf(1.0 / (n + 1) as f64);
        let rounded = |value: f64| {
            let digit = 10f64.powf(value.log10().floor() - 1.0);
            (value / digit).round() * digit
        };
        let mut levels: Vec<f64> = (1..=n as i32).map(|k| rounded(low * factor.powi(k))).collect();
        levels.retain(|level| *level > low && *level < high);
        levels.dedup();
        levels
    }
}

/// Whether white is easier to read than black on a colour: by the contrast of WCAG 2.
pub(super) fn is_dark(colour: &str) -> bool {
    let linear = |n: usize| {
        let value = u8::from_str_radix(colour.get(n..n + 2).unwrap_or("0"), 16).unwrap_or(0);
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = 0.2126 * linear(1) + 0.7152 * linear(3) + 0.0722 * linear(5);
    1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_rise_with_values() {
        for scale in [Scale::Linear, Scale::Log] {
            let ramp = Ramp::new([1.0, 100.0], scale);
            assert_eq!([1.0, 100.0].map(|v| ramp.colour(v)), ["#440154", "#fde725"]);
            assert_eq!(ramp.colour(1000.0), "#fde725");
        }
        let log = Ramp::new([1.0, 100.0], Scale::Log);
        assert!((log.share(10.0) - 0.5).abs() < 1e-12);
        assert!(is_dark("#440154") && !is_dark("#fde725"));
        assert_eq!(Ramp::new([2.0, 2.0], Scale::Log).colour(2.0), "#440154");
    }

    #[test]
    fn levels_are_round_and_inside() {
        for (ends, scale, expected) in [
            ([0.3, 4.1], Scale::Linear, vec![0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]),
            ([0.3, 41.0], Scale::Log, vec![0.5, 1.0, 2.0, 5.0, 10.0, 20.0]),
            ([1.0, 1e6], Scale::Log, vec![1e1, 1e2, 1e3, 1e4, 1e5]),
            ([1.0, 3.0], Scale::Log, vec![1.1, 1.2, 1.4, 1.6, 1.7, 1.9, 2.2, 2.4, 2.7]),
        ] {
            let levels = Ramp::new(ends, scale).levels(9);
            assert_eq!(levels.len(), expected.len(), "{levels:?}");
            assert!(levels.iter().zip(&expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-9), "{levels:?}");
        }
    }
}
