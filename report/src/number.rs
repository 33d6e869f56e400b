//! Numbers as people read them. All digits stand beside them in the page's `value` attributes and tables.

/// In so many significant digits; very large and very small numbers with a power of ten.
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    // Rounded first: 999.8 in three digits has the magnitude of 1000.
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let magnitude =
        scientific.rsplit('e').next().and_then(|exponent| exponent.parse::<i32>().ok()).unwrap_or(0);
    if !(-4..7).contains(&magnitude) {
        return scientific;
    }
    let decimals = (digits as i32 - 1 - magnitude).max(0) as usize;
    format!("{value:.decimals$}")
}

/// A fraction as percent.
pub fn percent(fraction: f64, decimals: usize) -> String {
    format!("{:.decimals$} %", 100.0 * fraction)
}

/// A count with separators: 5,195,205.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// A count with the word for it: `1 epoch`, `2 epochs`.
pub fn of(number: usize, word: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {word}{ending}", grouped(number as u64))
}

/// Bytes as people say them.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if number < 1000 {
        return format!("{number} bytes");
    }
    let mut value = number as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{} {}", significant(value, 3), UNITS[unit])
}

/// The value at a share of the way from the least to the largest, between neighbours in proportion; none of nothing.
/// `sorted` is in rising order.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // Equal neighbours as they are: the sum of their parts may differ in the last digit.
    Some(if below == above { below } else { below + (place - place.floor()) * (above - below) })
}

/// Kendall's tau-b of pairs; none if a side is constant or there are fewer than two pairs.
pub fn tau(pairs: &[(f64, f64)]) -> Option<f64> {
    let (mut sum, mut x, mut y) = (0_i64, 0_i64, 0_i64);
    for (n, a) in pairs.iter().enumerate() {
        for b in &pairs[..n] {
            let sign = |d: f64| i64::from(d > 0.0) - i64::from(d < 0.0);
            let (s, t) = (sign(a.0 - b.0), sign(a.1 - b.1));
            sum += s * t;
            x += s * s;
            y += t * t;
        }
    }
    (x > 0 && y > 0).then(|| sum as f64 / (x as f64 * y as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, digits, text) in [
            (0.0012345, 3, "0.00123"),
            (12.345, 3, "12.3"),
            (123456.0, 3, "123456"),
            (1.2345e-7, 3, "1.23e-7"),
            (-0.5, 2, "-0.50"),
            (99.96, 3, "100"),
            (0.0, 3, "0"),
            (f64::NAN, 3, "NaN"),
        ] {
            assert_eq!(significant(value, digits), text);
        }
        assert_eq!(percent(0.45512, 1), "45.5 %");
        assert_eq!([grouped(12), grouped(5195205)], ["12", "5,195,205"]);
        assert_eq!([bytes(999), bytes(1500), bytes(999_800)], ["999 bytes", "1.50 kB", "1.00 MB"]);
    }

    #[test]
    fn statistics() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(|q| quantile(&sorted, q)), [1.0, 1.5, 2.0, 4.0].map(Some));
        assert_eq!((quantile(&[], 0.5), quantile(&[0.1, 0.1], 0.3)), (None, Some(0.1)));
        assert_eq!(tau(&[(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)]), Some(1.0 / 3.0));
        assert_eq!(tau(&[(1.0, 1.0), (1.0, 3.0)]), None);
    }
}
