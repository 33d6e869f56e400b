//! Pictures of a landscape.

use genas_figure::surface::Surface;
use genas_figure::{Axis, Chart, Mark, Point, Scale, Series};
use genas_search::landscape::curves::{Level, Spread};
use genas_search::landscape::{Curve, Levels, LossSurface};
use genas_search::noise::NoiseScale;

/// Losses that are further apart than this are drawn in proportion to their logarithms.
const WIDE: f64 = 20.0;

/// The loss and the accuracy against noise: the mean over directions and networks, and a band of one standard deviation.
pub fn curves(curves: &[Curve], levels: &Levels, scale: NoiseScale, of: &str, images: usize) -> [Chart; 2] {
    let noise = match scale {
        NoiseScale::Absolute => "noise (standard deviation of each parameter)",
        NoiseScale::Filter => "noise (norm over that of each filter)",
        NoiseScale::Norm => "noise (norm of all parameters')",
    };
    let draws = levels.draws;
    let directions =
        if draws == 1 { "a random direction".to_owned() } else { format!("{draws} random directions") };
    let description = format!(
        "Weights are moved along {directions}, the same for all networks ({of}); the mean, and a band of one standard \
         deviation, no further than the values reach. {images} images that were not trained on."
    );
    let most = levels.sigmas.last().copied().unwrap_or(1.0);
    let chart = |title: &str, y: Axis, value: fn(&Level) -> Option<Spread>, factor: f64| {
        let mut chart = Chart::new(title, Axis::linear(noise).between(0.0, most), y);
        chart.description.clone_from(&description);
        for curve in curves {
            let point = |level: &Level| {
                let spread = value(level)?;
                let [low, high] = spread.band().map(|edge| factor * edge);
                Some(Point::at(level.sigma, factor * spread.mean).between(low, high))
            };
            let points = curve.levels.iter().filter_map(point).collect();
            chart = chart.with(Series::new(curve.label.clone(), Mark::Line, points));
        }
        chart
    };
    let means = || curves.iter().flat_map(|c| &c.levels).filter_map(|level| level.loss).map(|loss| loss.mean);
    let (least, largest) = (means().fold(f64::INFINITY, f64::min), means().fold(0.0, f64::max));
    let loss = "loss (cross-entropy)";
    let y = if largest > WIDE * least && least > 0.0 { Axis::log(loss) } else { Axis::linear(loss) };
    [
        chart("Loss under noise", y, |level| level.loss, 1.0),
        chart("Accuracy under noise", Axis::linear("top-1 (%)"), |level| level.accuracy, 100.0),
    ]
}

/// The loss on the plane of two directions.
pub fn surface(surface: &LossSurface, of: &str, images: usize) -> Surface {
    let losses = surface.losses.iter().flatten().flatten();
    let (least, most) = losses.fold((f64::INFINITY, 0.0f64), |(least, most), &l| (least.min(l), most.max(l)));
    let axis = |which: &str| Axis::linear(format!("{which} direction (norm over that of each filter)"));
    Surface {
        title: format!("Loss around {}", surface.label),
        description: format!(
            "Weights are moved along two random directions, each filter in proportion to its norm ({of}); {images} images \
             that were not trained on. The cross is the network as it is."
        ),
        x: axis("first"),
        y: axis("second"),
        xs: surface.steps.clone(),
        ys: surface.steps.clone(),
        values: surface
            .losses
            .iter()
            .map(|row| row.iter().map(|l| l.unwrap_or(f64::NAN)).collect())
            .collect(),
        value_label: "loss".to_owned(),
        // Near the minimum is what is looked for, and far from it losses rise by orders of magnitude.
        value_scale: if least > 0.0 && most > 3.0 * least { Scale::Log } else { Scale::Linear },
        mark: Some([0.0, 0.0]),
    }
}
