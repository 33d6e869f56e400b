//! Values of arguments: readers that say what is wrong.

/// Reads a width: FactorizedReduce halves it.
pub fn even_width(text: &str) -> Result<usize, String> {
    const LARGEST: usize = 4096;
    let width: usize = text.parse().map_err(|_| format!("{text:?} is not a whole number"))?;
    match width {
        0 => Err("the width must be 2 or more".to_owned()),
        _ if !width.is_multiple_of(2) => Err("the width must be even: reduction cells halve it".to_owned()),
        _ if width > LARGEST => Err(format!("the width must be {LARGEST} or less")),
        _ => Ok(width),
    }
}

/// Reads a number in a range.
pub fn count(
    least: usize,
    most: usize,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ => Err(format!("give a whole number from {least} to {most}")),
    }
}

/// Reads `600M`, `0.6G`, `580k` or a number.
pub fn flops(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no number of operations; give 600M, 0.6G or a number");
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'm' | 'M')) => (&text[..at], 1e6),
        Some((at, 'g' | 'G')) => (&text[..at], 1e9),
        _ => (text, 1.0),
    };
    let value = number.trim().parse::<f64>().map_err(|_| wrong())? * unit;
    if (1.0..1e15).contains(&value) { Ok(value.round() as u64) } else { Err(wrong()) }
}

/// Reads three numbers, red first: `0.485,0.456,0.406`.
pub fn colours(text: &str) -> Result<[f32; 3], String> {
    let numbers: Option<Vec<f32>> =
        text.split(',').map(|n| n.trim().parse::<f32>().ok().filter(|n| n.is_finite())).collect();
    let three = numbers.and_then(|numbers| <[f32; 3]>::try_from(numbers).ok());
    three.ok_or_else(|| "give three numbers, for red, green and blue in 0 to 1: 0.485,0.456,0.406".to_owned())
}

/// Reads three numbers above zero.
pub fn positive_colours(text: &str) -> Result<[f32; 3], String> {
    match colours(text)? {
        three if three.iter().all(|&n| n > 0.0) => Ok(three),
        _ => Err("give numbers above zero: they divide".to_owned()),
    }
}

/// Reads a duration in seconds.
pub fn seconds(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|s| (0.0..=3600.0).contains(s));
    value.ok_or_else(|| "give seconds from 0 to 3600".to_owned())
}

/// Reads a number above zero, such as a factor on sizes.
pub fn positive(text: &str) -> Result<f64, String> {
    let value = text.trim().parse::<f64>().ok().filter(|v| *v > 0.0 && *v <= 100.0);
    value.ok_or_else(|| "give a number above 0, up to 100".to_owned())
}

/// Reads a width and a height in pixels: `769x513`.
pub fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| text.parse().ok().filter(|n| (1..=65_536).contains(n));
    let sides = text.split_once('x').and_then(|(width, height)| Some([side(width)?, side(height)?]));
    sides.ok_or_else(|| "give width and height in pixels: 769x513".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_width_and_height() {
        assert_eq!(size("769x513"), Ok([769, 513]));
        for text in ["", "769", "0x5", "5x0", "5x-1", "5x6x7", "ax5"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(positive("1.5"), Ok(1.5));
        assert!(["0", "-1", "nan", "inf", "x"].iter().all(|text| positive(text).is_err()));
    }

    #[test]
    fn operations_have_units() {
        for (text, value) in
            [("600M", 600_000_000), ("0.6G", 600_000_000), ("6e8", 600_000_000), ("580k", 580_000)]
        {
            assert_eq!(flops(text), Ok(value), "{text}");
        }
        for text in ["", "M", "600X", "-1", "nan", "infG"] {
            assert!(flops(text).is_err(), "{text}");
        }
    }

    #[test]
    fn colours_are_three_numbers() {
        assert_eq!(colours("0.5, -1,2e-1"), Ok([0.5, -1.0, 0.2]));
        for text in ["", "1", "1,2", "1,2,x", "1,2,3,4", "1,2,nan"] {
            assert!(colours(text).is_err(), "{text}");
        }
        assert!(positive_colours("1,0,1").is_err() && positive_colours("1,2,3").is_ok());
    }

    #[test]
    fn widths_are_even() {
        assert_eq!(even_width("46"), Ok(46));
        assert!(even_width("45").is_err_and(|e| e.contains("even")));
        assert!(even_width("0").is_err() && even_width("x").is_err());
    }
}
