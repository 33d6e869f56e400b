//! Where values lie on an axis, which of them are written at it, and how.

use crate::chart::{Axis, Scale};

/// An axis whose ends are known.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    low: f64,
    high: f64,
    log: bool,
    /// All values are whole numbers, such as epochs: nothing lies between two of them.
    whole: bool,
}

impl Span {
    /// For an axis that shows `values`; `zero` must lie on it.
    pub fn of(axis: &Axis, values: impl Iterator<Item = f64>, zero: bool) -> Self {
        let log = axis.scale == Scale::Log;
        if !axis.names.is_empty() {
            return Self { low: -0.5, high: axis.names.len() as f64 - 0.5, log: false, whole: true };
        }
        let values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
        let whole = !values.is_empty() && values.iter().all(|v| v.fract() == 0.0);
        if let Some([low, high]) = axis.range {
            return Self { low, high, log, whole };
        }
        let shown = values.into_iter().filter(|v| !log || *v > 0.0).chain((zero && !log).then_some(0.0));
        let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            let [low, high] = if log { [1.0, 10.0] } else { [0.0, 1.0] };
            return Self { low, high, log, whole };
        }
        if log {
            // A twentieth of the picture on both sides.
            let room = ((high / low).log10() * 0.05).max(0.05);
            return Self { low: low / 10f64.powf(room), high: high * 10f64.powf(room), log, whole };
        }
        // Above bars stand their values.
        let share = if zero { 0.08 } else { 0.05 };
        let room = if high > low { (high - low) * share } else { (high.abs() * share).max(0.5) };
        // Bars stand on the frame, and what cannot be negative does not look as if it could.
        let keep =
            |end: f64, moved: f64| if end * moved <= 0.0 && (zero || end >= 0.0) { 0.0 } else { moved };
        Self { low: keep(low, low - room), high: keep(high, high + room), log, whole }
    }

    /// Place of a value from 0 to 1; nothing for what is not on the axis.
    pub fn place(&self, value: f64) -> Option<f64> {
        let share = if self.log {
            (value / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        // What a fixed range leaves out is not drawn over the frame.
        (share.is_finite() && (-1e-9..=1.0 + 1e-9).contains(&share)).then_some(share)
    }

    /// The nearest value on the axis.
    pub fn clamped(&self, value: f64) -> f64 {
        if self.log && value <= 0.0 { self.low } else { value.clamp(self.low, self.high) }
    }

    /// The values that are written at the axis, about `wanted` of them, with their texts.
    pub fn ticks(&self, axis: &Axis, wanted: usize) -> Vec<(f64, String)> {
        if !axis.names.is_empty() {
            return axis.names.iter().enumerate().map(|(n, name)| (n as f64, name.clone())).collect();
        }
        let values = if self.log { self.decades(wanted) } else { self.steps(wanted) };
        let finest = values.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
        values.into_iter().map(|v| (v, number(v, if self.log { v } else { finest }))).collect()
    }

    fn steps(&self, wanted: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / wanted.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough * 0.8);
        let step = step.unwrap_or(10.0 * power);
        let step = if self.whole { step.max(1.0) } else { step };
        let first = (self.low / step - 1e-9).ceil();
        // From whole numbers, so that 0.30000000000000004 is 0.3.
        (0..=3 * wanted)
            .map(|n| (first + n as f64) * step)
            .take_while(|v| *v <= self.high + step * 1e-9)
            .map(|v| if v.abs() < step * 1e-9 { 0.0 } else { v })
            .collect()
    }

    fn decades(&self, wanted: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let inside = |v: &f64| *v >= self.low * 0.999 && *v <= self.high * 1.001;
        let with = |steps: &[f64]| -> Vec<f64> {
            (first..=last)
                .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
                .filter(inside)
                .collect()
        };
        let [all, some, whole] = [with(&[1.0, 2.0, 5.0]), with(&[1.0, 3.0]), with(&[1.0])];
        if all.len() <= wanted + 2 {
            return if all.len() < 2 { self.steps(wanted) } else { all };
        }
        if some.len() <= wanted + 2 {
            return some;
        }
        let every = whole.len().div_ceil(wanted.max(1));
        whole.into_iter().step_by(every).collect()
    }
}

/// Round numbers between two values, about `n`; the first where they are the same.
pub(crate) fn round_between(low: f64, high: f64, n: usize) -> Vec<f64> {
    if high - low > 0.0 { Span { low, high, log: false, whole: false }.steps(n) } else { vec![low] }
}

/// A number as people read it, with digits down to `finest`.
pub(crate) fn number(value: f64, finest: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    if !(1e-4..1e6).contains(&size) {
        let text = format!("{value:.1e}");
        return text.replace(".0e", "e");
    }
    let digits = if finest.is_finite() && finest > 0.0 {
        (-finest.log10() - 1e-9).ceil().clamp(0.0, 12.0) as usize
    } else {
        3
    };
    let text = format!("{value:.digits$}");
    // -0.0 is no number that people write.
    if text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') { "0".to_owned() } else { text }
}

/// A value with five significant digits at most: what is pointed at, and what stands at bars and lines.
pub(crate) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let digits = 4 - value.abs().log10().floor() as i32;
    if !(-1..=8).contains(&digits) {
        let text = format!("{value:.4e}");
        let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", trimmed(mantissa));
    }
    trimmed(&format!("{value:.*}", digits.max(0) as usize)).to_owned()
}

/// Without zeros at the end of a fraction.
fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: &Axis, values: &[f64], wanted: usize) -> Vec<String> {
        let span = Span::of(axis, values.iter().copied(), false);
        span.ticks(axis, wanted).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let linear = Axis::linear("x");
        assert_eq!(
            ticks(&linear, &[0.001, 1.0], 5),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"].map(|t| t.replace("0.0", "0"))
        );
        assert_eq!(ticks(&linear, &[61.0, 78.0], 4), ["65", "70", "75"]);
        assert_eq!(ticks(&linear, &[0.0, 1.0, 2.0], 6), ["0", "1", "2"]);
        assert_eq!(ticks(&linear, &[4.34e-4, 4.34002e-4], 2), ["0.000434000", "0.000434001", "0.000434002"]);
        assert_eq!(ticks(&linear, &[0.0, 250.0], 5), ["0", "50", "100", "150", "200", "250"]);
        assert_eq!(ticks(&linear, &[3.1, 3.1], 4), ["2.6", "2.8", "3.0", "3.2", "3.4", "3.6"]);
        assert_eq!(ticks(&linear, &[], 2), ["0", "0.5", "1.0"]);
        assert_eq!(ticks(&linear, &[f64::NAN, 2e-8, 4e-8], 2), ["2e-8", "3e-8", "4e-8"]);
        assert_eq!(
            ticks(&Axis::log("x"), &[1e-3, 1.0], 5),
            ["0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1"]
        );
        assert_eq!(ticks(&Axis::log("x"), &[2.0, 50.0], 5), ["2", "5", "10", "20", "50"]);
        assert_eq!(ticks(&Axis::log("x"), &[0.0, -1.0, f64::INFINITY], 5), ["1", "2", "5", "10"]);
        let names = ["a", "b"].map(str::to_owned).to_vec();
        assert_eq!(ticks(&Axis::named("x", names), &[], 5), ["a", "b"]);
    }

    #[test]
    fn round_numbers() {
        assert_eq!(round_between(-1.0, 1.0, 5), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(round_between(1.0, 1.0, 3), [1.0]);
    }

    #[test]
    fn places_are_shares() {
        let span = Span::of(&Axis::linear("x").between(2.0, 4.0), [].into_iter(), false);
        assert_eq!([2.0, 3.0, 4.0].map(|v| span.place(v)), [Some(0.0), Some(0.5), Some(1.0)]);
        assert_eq!([1.0, 4.1, f64::NAN].map(|v| span.place(v)), [None; 3]);
        let span = Span::of(&Axis::log("x").between(1.0, 100.0), [].into_iter(), false);
        assert!((span.place(10.0).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!([0.0, -1.0].map(|v| span.place(v)), [None; 2]);
        // Bars stand on 0.
        let span = Span::of(&Axis::linear("x"), [5.0, 10.0].into_iter(), true);
        assert_eq!(span.place(0.0), Some(0.0));
    }

    #[test]
    fn values_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.1, "0.1"),
            (0.12345678, "0.12346"),
            (-0.15, "-0.15"),
            (75.954, "75.954"),
            (1234.5678, "1234.6"),
            (123456.0, "123456"),
            (2e-5, "2e-5"),
            (1.2e-9, "1.2e-9"),
            (1e6, "1e6"),
            (40.0, "40"),
            (3.25, "3.25"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
