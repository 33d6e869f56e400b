//! [`Curves`]: losses against noise levels, over directions and networks.

use std::fmt::Write;

use serde::Serialize;

use super::places::Levels;
use super::subject::{Loss, Subject};

/// Values at one level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation; 0 of a single one.
    pub deviation: f64,
    /// The lowest.
    pub least: f64,
    /// The highest.
    pub most: f64,
}

impl Spread {
    /// Of at least one value; none if one of them is no number.
    fn of(values: &[Option<f64>]) -> Option<Self> {
        let values: Vec<f64> = values.iter().copied().collect::<Option<_>>()?;
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let square: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = if values.len() > 1 { (square / (n - 1.0)).sqrt() } else { 0.0 };
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { mean, deviation, least, most })
    }

    /// One standard deviation to either side of the mean, no further than there are values: a loss below 0 or an accuracy
    /// above 1 is never drawn.
    pub fn band(&self) -> [f64; 2] {
        [(self.mean - self.deviation).max(self.least), (self.mean + self.deviation).min(self.most)]
    }
}

/// What happens at one level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Level {
    /// The noise.
    pub sigma: f64,
    /// Losses over networks and directions; none if one of them is no number.
    pub loss: Option<Spread>,
    /// Top-1 accuracies, fractions.
    pub accuracy: Option<Spread>,
}

/// A network, or several under one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// Its name.
    pub label: String,
    /// Its networks, in full.
    pub networks: Vec<String>,
    /// The levels, from 0 on.
    pub levels: Vec<Level>,
}

/// Curves of all subjects, and what they are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// A curve for each label, in the order of the subjects.
    pub curves: Vec<Curve>,
    rows: String,
}

impl Curves {
    /// Of the losses of each subject at [`Levels::places`].
    pub fn new(subjects: &[Subject], losses: &[Vec<Loss>], levels: &Levels) -> Self {
        let names: Vec<[&str; 2]> = subjects.iter().map(|s| [s.name.as_str(), s.label.as_str()]).collect();
        Self::of(&names, losses, levels)
    }

    /// `names` are names and labels.
    fn of(names: &[[&str; 2]], losses: &[Vec<Loss>], levels: &Levels) -> Self {
        let mut labels: Vec<&str> = names.iter().map(|[_, label]| *label).collect();
        let mut seen = std::collections::HashSet::new();
        labels.retain(|label| seen.insert(*label));
        let curve = |label: &&str| {
            let members: Vec<usize> = (0..names.len()).filter(|&n| names[n][1] == *label).collect();
            let level = |(n, &sigma): (usize, &f64)| {
                // Without noise all directions are one.
                let draws = if n == 0 { 1 } else { levels.draws };
                let values: Vec<Loss> = members
                    .iter()
                    .flat_map(|&m| (0..draws).map(move |draw| losses[m][levels.position(n, draw)]))
                    .collect();
                let of = |value: fn(&Loss) -> Option<f64>| {
                    Spread::of(&values.iter().map(value).collect::<Vec<_>>())
                };
                Level { sigma, loss: of(|v| v.loss), accuracy: of(|v| Some(v.accuracy)) }
            };
            Curve {
                label: (*label).to_owned(),
                networks: members.iter().map(|&m| names[m][0].to_owned()).collect(),
                levels: levels.sigmas.iter().enumerate().map(level).collect(),
            }
        };
        let curves = labels.iter().map(curve).collect();
        let mut rows = "cell,sigma,draw,loss,accuracy,curve\n".to_owned();
        for ([name, label], losses) in names.iter().zip(losses) {
            for draw in 0..levels.draws {
                for (n, sigma) in levels.sigmas.iter().enumerate() {
                    let Loss { loss, accuracy } = losses[levels.position(n, draw)];
                    let loss = loss.map_or_else(String::new, |loss| loss.to_string());
                    let (name, label) = (quoted(name), quoted(label));
                    let _ = writeln!(rows, "{name},{sigma},{draw},{loss},{accuracy},{label}");
                }
            }
        }
        Self { curves, rows }
    }

    /// A row for each network, direction and level: `cell,sigma,draw,loss,accuracy,curve`, with all digits. Each direction
    /// begins with the same row without noise. A loss that is no number is empty.
    pub fn csv(&self) -> &str {
        &self.rows
    }
}

/// Text as a field of a CSV file.
pub(super) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(loss: f64) -> Loss {
        Loss { loss: loss.is_finite().then_some(loss), accuracy: 1.0 / (1.0 + loss.abs().min(1e9)) }
    }

    #[test]
    fn draws_and_networks_are_averaged() {
        let levels = Levels::new(&[0.1, 0.2], 2).unwrap();
        let names = [["a", "top"], ["b,c", "top"], ["d", "low"]];
        // In the order of the places: none, then each direction.
        let losses = [[1.0, 2.0, 3.0, 4.0, 7.0], [3.0, 2.0, 5.0, 4.0, 5.0], [0.5, 1.0, f64::NAN, 1.0, 2.0]];
        let losses: Vec<Vec<Loss>> = losses.map(|losses| losses.map(loss).to_vec()).to_vec();
        let curves = Curves::of(&names, &losses, &levels);
        let [top, low] = &curves.curves[..] else { panic!("{curves:?}") };
        assert_eq!((top.label.as_str(), &top.networks[..]), ("top", &["a".to_owned(), "b,c".to_owned()][..]));
        let spreads: Vec<Spread> = top.levels.iter().map(|level| level.loss.unwrap()).collect();
        let root = 2f64.sqrt();
        assert_eq!(spreads[0], Spread { mean: 2.0, deviation: root, least: 1.0, most: 3.0 });
        // 2, 4, 2, 4 and 3, 7, 5, 5.
        assert_eq!((spreads[1].mean, spreads[1].least, spreads[1].most), (3.0, 2.0, 4.0));
        assert!((spreads[1].deviation - (4.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!((spreads[2].mean, spreads[2].most), (5.0, 7.0));
        // Not beyond what was seen.
        assert_eq!(spreads[1].band(), [2.0, 4.0]);
        assert_eq!(spreads[0].band(), [1.0, 3.0]);
        assert_eq!(spreads[2].band()[0], 5.0 - spreads[2].deviation);
        assert_eq!(low.levels[0].loss.unwrap().deviation, 0.0);
        assert_eq!((low.levels[2].loss, low.levels[2].accuracy.is_some()), (None, true));

        let rows: Vec<&str> = curves.csv().lines().collect();
        assert_eq!(rows.len(), 1 + 3 * 2 * 3);
        assert_eq!(
            rows[..3],
            ["cell,sigma,draw,loss,accuracy,curve", "a,0,0,1,0.5,top", "a,0.1,0,2,0.3333333333333333,top"]
        );
        assert_eq!(rows[4], "a,0,1,1,0.5,top");
        assert_eq!(rows[7], "\"b,c\",0,0,3,0.25,top");
        assert!(rows[15].starts_with("d,0.2,0,,"), "{}", rows[15]);
    }
}
