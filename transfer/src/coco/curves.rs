//! Precision against recall as an SVG picture, readable on light and dark ground.

use std::fmt::Write;

use super::evaluation::{AveragePrecision, IOU_THRESHOLDS, RECALLS, iou_threshold, recall_level};

/// Size of the picture and of the frame in it, in SVG units.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 40.0;
const PLOT_WIDTH: f64 = 430.0;
const PLOT_HEIGHT: f64 = 380.0;
/// From the loosest threshold to the strictest; each stands out on white and on black. Plain hexadecimal, because
/// converters such as cairosvg draw newer notations black.
const COLOURS: [&str; IOU_THRESHOLDS] = [
    "#4f6bed", "#2f8fe0", "#1fa3b8", "#22a884", "#4caf50", "#8fae2b", "#c9a11f", "#e0832a", "#e2603c",
    "#d63c5e",
];

/// Draws precision against recall, the mean over classes, one line for each IoU threshold.
pub fn curves_svg(result: &AveragePrecision) -> String {
    let x = |recall: f64| LEFT + recall * PLOT_WIDTH;
    let y = |precision: f64| TOP + (1.0 - precision) * PLOT_HEIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<style>\n\
         .ground {{ fill: #fff }} text {{ fill: #222 }} .frame {{ fill: none; stroke: #888 }}\n\
         .grid {{ stroke: #ddd }} .curve {{ fill: none; stroke-width: 1.8 }}\n\
         @media (prefers-color-scheme: dark) {{\n\
         .ground {{ fill: #16181d }} text {{ fill: #e6e6e6 }} .frame {{ stroke: #777 }} .grid {{ stroke: #333 }}\n\
         }}\n</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
         <text x=\"{LEFT}\" y=\"24\">Precision against recall (%), mean over {} classes with objects</text>\n",
        result.classes.iter().filter(|c| c.n_objects > 0).count()
    );
    for step in 0..=5 {
        let (value, percent) = (f64::from(step) / 5.0, step * 20);
        let (right, bottom) = (x(1.0), y(0.0));
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>\n\
             <line class=\"grid\" x1=\"{1:.1}\" x2=\"{1:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\n\
             <text text-anchor=\"end\" x=\"{2}\" y=\"{3:.1}\">{percent}</text>\n\
             <text text-anchor=\"middle\" x=\"{1:.1}\" y=\"{4}\">{percent}</text>\n",
            y(value),
            x(value),
            LEFT - 8.0,
            y(value) + 4.0,
            bottom + 18.0,
        );
    }
    let _ = write!(
        svg,
        "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{PLOT_WIDTH}\" height=\"{PLOT_HEIGHT}\"/>\n\
         <text text-anchor=\"middle\" x=\"{}\" y=\"{}\">recall (%)</text>\n\
         <text text-anchor=\"middle\" transform=\"translate(18 {}) rotate(-90)\">precision (%)</text>\n\
         <text x=\"{}\" y=\"{4}\">IoU</text><text x=\"{5}\" y=\"{4}\">AP (%)</text>\n",
        x(0.5),
        y(0.0) + 38.0,
        y(0.5),
        x(1.0) + 44.0,
        TOP + 6.0,
        x(1.0) + 84.0,
    );
    for (t, precision) in result.precision().iter().enumerate() {
        let colour = COLOURS[t];
        let points: Vec<String> = precision
            .iter()
            .enumerate()
            .map(|(r, &p)| format!("{:.1},{:.1}", x(recall_level(r)), y(p)))
            .collect();
        let ap = 100.0 * precision.iter().sum::<f64>() / RECALLS as f64;
        let line = TOP + 28.0 + 20.0 * t as f64;
        let _ = write!(
            svg,
            "<polyline class=\"curve\" stroke=\"{colour}\" points=\"{}\"/>\n\
             <line stroke=\"{colour}\" stroke-width=\"3\" x1=\"{}\" x2=\"{}\" y1=\"{3}\" y2=\"{3}\"/>\n\
             <text x=\"{4}\" y=\"{5}\">{6:.2}</text><text x=\"{7}\" y=\"{5}\">{ap:.1}</text>\n",
            points.join(" "),
            x(1.0) + 14.0,
            x(1.0) + 36.0,
            line,
            x(1.0) + 44.0,
            line + 4.0,
            iou_threshold(t),
            x(1.0) + 84.0,
        );
    }
    svg.push_str("</svg>\n");
    svg
}
