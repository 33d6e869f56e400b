//! A confusion matrix as an SVG picture, readable on light and dark ground.

use std::fmt::Write;

use super::confusion::ConfusionMatrix;

/// Side of a cell, in SVG units: room for `99.9` in letters of [`LETTERS`].
const CELL: f64 = 36.0;
const LETTERS: f64 = 11.0;
/// Width of a letter of the names, at most.
const LETTER: f64 = 7.4;
/// Letters of a name that are shown.
const LONGEST: usize = 26;
/// Above the names of the columns.
const TITLE: f64 = 56.0;
/// The column of IoUs right of the matrix.
const IOU: f64 = 64.0;
/// The whole of the title must fit, also with two classes.
const NARROWEST: f64 = 440.0;
const MARGIN: f64 = 16.0;
/// What is right and what is wrong; told apart by people who see no red or no green, too. Plain hexadecimal, because
/// converters such as cairosvg draw newer notations black.
const RIGHT: &str = "#2f6fde";
const WRONG: &str = "#d9622b";
/// From this share on, numbers are white.
const FULL: f64 = 0.6;

/// Draws the matrix with the classes' names: in each cell which part of the row's pixels, in percent, were seen as the
/// column's class, and its depth of colour; beside each row the class's IoU. A browser shows a cell's classes and pixels
/// when it is pointed at.
///
/// # Panics
///
/// If there are not as many names as classes.
pub fn confusion_svg(matrix: &ConfusionMatrix, names: &[String]) -> String {
    let n = matrix.classes();
    assert_eq!(names.len(), n, "a name for each class");
    let shown: Vec<String> = names.iter().map(|name| escaped(&shortened(name))).collect();
    let longest = names.iter().map(|name| name.chars().count().min(LONGEST)).max().unwrap_or(0);
    let room = longest as f64 * LETTER + 2.0 * MARGIN;
    let (left, top, side) = (room + MARGIN, TITLE + room, CELL * n as f64);
    let (width, height) = ((left + side + IOU + MARGIN).max(NARROWEST), top + side + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"{LETTERS}\">\n<style>\n\
         .ground {{ fill: #fff }} text {{ fill: #222 }} .frame {{ fill: none; stroke: #888 }} .full {{ fill: #fff }}\n\
         .name, .title {{ font-size: 13px }} .cell {{ text-anchor: middle }}\n\
         .right {{ fill: {RIGHT} }} .wrong {{ fill: {WRONG} }}\n\
         @media (prefers-color-scheme: dark) {{\n\
         .ground {{ fill: #16181d }} text {{ fill: #e6e6e6 }} .frame {{ stroke: #777 }} .full {{ fill: #fff }}\n\
         }}\n</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"24\">Rows: what pixels are. Columns: what was seen, in % of the row.</text>\n\
         <text x=\"{MARGIN}\" y=\"42\">{} pixels of {} images; {} without a class are left out</text>\n\
         <text class=\"name\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">IoU (%)</text>\n",
        matrix.pixels(),
        matrix.images(),
        matrix.ignored(),
        left + side + IOU,
        top - 8.0,
    );
    for (class, name) in shown.iter().enumerate() {
        let middle = CELL * (class as f64 + 0.5);
        let (x, y) = (left + middle + 4.0, top + middle + 4.0);
        let iou = matrix.iou(class).map_or_else(|| "-".to_owned(), |iou| format!("{:.1}", 100.0 * iou));
        let _ = write!(
            svg,
            "<text class=\"name\" text-anchor=\"end\" x=\"{:.1}\" y=\"{y:.1}\">{name}</text>\n\
             <text class=\"name\" transform=\"translate({x:.1} {:.1}) rotate(-90)\">{name}</text>\n\
             <text class=\"name\" text-anchor=\"end\" x=\"{:.1}\" y=\"{y:.1}\">{iou}</text>\n",
            left - 8.0,
            top - 8.0,
            left + side + IOU,
        );
        row(&mut svg, matrix, class, &shown, [left, top]);
    }
    let _ = write!(
        svg,
        "<rect class=\"frame\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{side:.1}\" height=\"{side:.1}\"/>\n</svg>\n"
    );
    svg
}

/// The cells of a true class that are not empty.
fn row(svg: &mut String, matrix: &ConfusionMatrix, truth: usize, names: &[String], [left, top]: [f64; 2]) {
    let counts = matrix.row(truth);
    let all: u64 = counts.iter().sum();
    for (seen, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let share = count as f64 / all as f64;
        let (x, y) = (left + CELL * seen as f64, top + CELL * truth as f64);
        let kind = if seen == truth { "right" } else { "wrong" };
        let _ = write!(
            svg,
            "<g><title>{} seen as {}: {:.3} %, {count} pixels</title>\
             <rect class=\"{kind}\" fill-opacity=\"{share:.3}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{CELL}\" \
             height=\"{CELL}\"/>",
            names[truth],
            names[seen],
            100.0 * share
        );
        let percent = format!("{:.1}", 100.0 * share);
        // What would be 0.0 is left to the colour, so that the numbers that matter are found.
        if percent != "0.0" {
            let class = if share > FULL { "cell full" } else { "cell" };
            let (x, y) = (x + CELL / 2.0, y + CELL / 2.0 + 4.0);
            let _ = write!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{percent}</text>");
        }
        svg.push_str("</g>\n");
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    name.chars().take(LONGEST - 3).chain("...".chars()).collect()
}

/// As text in XML. Control characters are in no XML, and become blanks.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for char in name.chars() {
        match char {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            char if char.is_control() => text.push(' '),
            char => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use genas_data::segmentation::LabelMap;

    use super::*;

    fn matrix(n: usize) -> ConfusionMatrix {
        let labels: Vec<u8> = (0..n as u8).flat_map(|class| vec![class; 1000]).collect();
        let mut seen = labels.clone();
        // The first class: three quarters are seen, a quarter as the second, one pixel as the last.
        seen[..250].fill(1);
        seen[250] = n as u8 - 1;
        let map = |labels| LabelMap { width: 1000, height: n, labels };
        let mut matrix = ConfusionMatrix::new(n);
        matrix.add(&map(labels), &map(seen));
        matrix
    }

    #[test]
    fn cells_are_shares_of_their_row() {
        let names = ["road", "traffic <light> & a very long name indeed", "sky"].map(str::to_owned);
        let svg = confusion_svg(&matrix(3), &names);
        let cell = |class: &str, x: f64, y: f64| {
            let at = format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">");
            svg.split_once(&at).map(|(_, rest)| rest.split_once('<').unwrap().0)
        };
        // The frame says where the matrix is.
        let frame = svg.split_once("class=\"frame\" x=\"").unwrap().1;
        let left: f64 = frame.split_once('"').unwrap().0.parse().unwrap();
        let top: f64 = frame.split_once("y=\"").unwrap().1.split_once('"').unwrap().0.parse().unwrap();
        let middle = |n: f64| CELL * (n + 0.5);
        assert_eq!(cell("cell full", left + middle(0.0), top + middle(0.0) + 4.0), Some("74.9"));
        assert_eq!(cell("cell", left + middle(1.0), top + middle(0.0) + 4.0), Some("25.0"));
        assert_eq!(cell("cell", left + middle(2.0), top + middle(0.0) + 4.0), Some("0.1"));
        assert_eq!(cell("cell full", left + middle(2.0), top + middle(2.0) + 4.0), Some("100.0"));
        assert_eq!(svg.matches("class=\"right\"").count(), 3);
        assert_eq!(svg.matches("class=\"wrong\"").count(), 2);
        assert!(svg.contains("fill-opacity=\"0.250\"") && svg.contains("seen as road: 74.900 %, 749 pixels"));
        // IoUs: 749 / 1000, 1000 / 1250, 1000 / 1001.
        for iou in [">74.9<", ">80.0<", ">99.9<"] {
            assert!(svg.contains(iou), "{iou}");
        }
        assert!(svg.contains("traffic &lt;light&gt; &amp; a ver...<") && !svg.contains("<light>"));
        assert!(svg.contains("3000 pixels of 1 images; 0 without"));
    }

    #[test]
    fn any_number_of_classes_fits() {
        for n in [2, 19, 60] {
            let names: Vec<String> = (0..n).map(|class| format!("class number {class}")).collect();
            let svg = confusion_svg(&matrix(n), &names);
            let size = svg.split_once("viewBox=\"0 0 ").unwrap().1.split_once('"').unwrap().0;
            let (width, height) = size.split_once(' ').unwrap();
            let (width, height): (f64, f64) = (width.parse().unwrap(), height.parse().unwrap());
            for (at, size) in [("x=\"", width), ("y=\"", height)] {
                let beyond = svg
                    .split(&format!(" {at}"))
                    .skip(1)
                    .any(|rest| rest.split_once('"').unwrap().0.parse::<f64>().unwrap() > size);
                assert!(!beyond, "{n} classes: something is right of or below {size}");
            }
            assert_eq!(svg.matches("rotate(-90)").count(), n);
        }
        // A class without pixels has an empty row and no IoU.
        let names = ["a", "b"].map(str::to_owned);
        let svg = confusion_svg(&ConfusionMatrix::new(2), &names);
        assert!(!svg.contains("class=\"right\"") && !svg.contains("NaN"));
        assert_eq!(svg.matches(">-<").count(), 2);
    }
}
