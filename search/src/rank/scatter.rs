//! A metric's scores against true accuracies as an SVG picture, readable on light and dark ground.

use std::fmt::Write;

/// Size of the picture and of the frame in it, in SVG units.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 52.0;
const PLOT_WIDTH: f64 = 540.0;
const PLOT_HEIGHT: f64 = 360.0;
/// Lines of the grid in each direction.
const TICKS: usize = 5;

/// Draws each cell as a point: the rank of its score against that of its accuracy, which the axis names in percent. Ranks,
/// because scores lie over orders of magnitude and accuracies crowd at the top, and because the correlations are of ranks.
pub fn scatter_svg(name: &str, scores: &[f64], truth: &[f64], tau: f64, [low, high]: [f64; 2]) -> String {
    let n = scores.len();
    let last = (n.max(2) - 1) as f64;
    let x = |rank: f64| LEFT + rank / last * PLOT_WIDTH;
    let y = |rank: f64| TOP + (1.0 - rank / last) * PLOT_HEIGHT;
    let mut sorted = truth.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<style>\n\
         .ground {{ fill: #fff }} text {{ fill: #222 }} .frame {{ fill: none; stroke: #888 }}\n\
         .grid {{ stroke: #ddd }} circle {{ fill: #4f6bed; fill-opacity: 0.55 }}\n\
         @media (prefers-color-scheme: dark) {{\n\
         .ground {{ fill: #16181d }} text {{ fill: #e6e6e6 }} .frame {{ stroke: #777 }} .grid {{ stroke: #333 }}\n\
         circle {{ fill: #8fa3ff }}\n}}\n</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
         <text x=\"{LEFT}\" y=\"24\">{name}: {n} cells, tau {tau:.3} (95 %: {low:.3} to {high:.3})</text>\n"
    );
    for tick in 0..=TICKS {
        let share = tick as f64 / TICKS as f64;
        let rank = share * last;
        let accuracy = sorted.get(rank.round() as usize).copied().unwrap_or(f64::NAN);
        let (right, bottom) = (LEFT + PLOT_WIDTH, TOP + PLOT_HEIGHT);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{0:.1}\" y1=\"{TOP}\" x2=\"{0:.1}\" y2=\"{bottom}\"/>\
             <text x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\">{2:.0}</text>\
             <line class=\"grid\" x1=\"{LEFT}\" y1=\"{3:.1}\" x2=\"{right}\" y2=\"{3:.1}\"/>\
             <text x=\"{4}\" y=\"{5:.1}\" text-anchor=\"end\">{accuracy:.1}</text>",
            x(rank),
            bottom + 18.0,
            rank + 1.0,
            y(rank),
            LEFT - 6.0,
            y(rank) + 4.0,
        );
    }
    let places = ranks(scores).into_iter().zip(ranks(truth));
    for ((score, accuracy), (across, up)) in scores.iter().zip(truth).zip(places) {
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"><title>{score:.6e}, {accuracy:.2} %</title></circle>",
            x(across),
            y(up)
        );
    }
    let _ = writeln!(
        svg,
        "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{PLOT_WIDTH}\" height=\"{PLOT_HEIGHT}\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">rank by {name}, the best at the right</text>\n\
         <text x=\"{LEFT}\" y=\"44\">accuracy trained alone (%), by rank</text>\n</svg>",
        LEFT + PLOT_WIDTH / 2.0,
        HEIGHT - 16.0
    );
    svg
}

/// From 0 for the lowest; equal scores share the mean of their ranks.
fn ranks(scores: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut ranks = vec![0.0; scores.len()];
    let mut from = 0;
    while from < order.len() {
        let to = (from..order.len()).take_while(|&n| scores[order[n]] == scores[order[from]]).count() + from;
        order[from..to].iter().for_each(|&n| ranks[n] = (from + to - 1) as f64 / 2.0);
        from = to;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_for_each_cell() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
        let svg = scatter_svg("flatness", &[1.0, 2.0, 3.0], &[50.0, 60.0, 90.0], 1.0, [0.9, 1.0]);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("flatness: 3 cells, tau 1.000") && svg.contains("90.00 %"), "{svg}");
        // The best score stands at the right, at the top because its accuracy is the best.
        assert!(svg.contains("cx=\"610.0\" cy=\"52.0\""), "{svg}");
        // 50, 60 and 90 % are as far from each other as their ranks.
        assert!(svg.contains("cy=\"232.0\"") && svg.contains("cy=\"412.0\""), "{svg}");
    }
}
