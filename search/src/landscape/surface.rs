//! [`LossSurface`]: the losses of a network on a square around its weights.

use std::fmt::Write;

use serde::Serialize;

use super::curves::quoted;
use super::places::Square;
use super::subject::{Loss, Subject};

/// Losses on the plane of two random directions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LossSurface {
    /// The network, in full.
    pub network: String,
    /// Its name.
    pub label: String,
    /// How far the places are along either direction.
    pub steps: Vec<f64>,
    /// Losses: `losses[second][first]`; none where it is no number.
    pub losses: Vec<Vec<Option<f64>>>,
    /// Top-1 accuracies, fractions.
    pub accuracies: Vec<Vec<f64>>,
}

impl LossSurface {
    /// Of the losses of a subject at [`Square::places`].
    pub fn new(subject: &Subject, losses: &[Loss], square: &Square) -> Self {
        Self::of([&subject.name, &subject.label], losses, square)
    }

    fn of([network, label]: [&str; 2], losses: &[Loss], square: &Square) -> Self {
        let rows = || losses.chunks(square.side);
        Self {
            network: network.to_owned(),
            label: label.to_owned(),
            steps: square.steps(),
            losses: rows().map(|row| row.iter().map(|l| l.loss).collect()).collect(),
            accuracies: rows().map(|row| row.iter().map(|l| l.accuracy).collect()).collect(),
        }
    }

    /// How the network does as it is.
    pub fn centre(&self) -> Loss {
        let middle = self.steps.len() / 2;
        Loss { loss: self.losses[middle][middle], accuracy: self.accuracies[middle][middle] }
    }

    /// The lowest loss, and where it is: the first direction, the second.
    pub fn lowest(&self) -> Option<(f64, [f64; 2])> {
        let rows = self.losses.iter().zip(&self.steps);
        let all = rows.flat_map(|(row, &second)| {
            row.iter().zip(&self.steps).filter_map(move |(loss, &first)| Some(((*loss)?, [first, second])))
        });
        all.min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// A row for each place: `cell,first,second,loss,accuracy`, with all digits. A loss that is no number is empty.
    pub fn csv(&self) -> String {
        let mut text = "cell,first,second,loss,accuracy\n".to_owned();
        let name = quoted(&self.network);
        for ((second, losses), accuracies) in self.steps.iter().zip(&self.losses).zip(&self.accuracies) {
            for ((first, loss), accuracy) in self.steps.iter().zip(losses).zip(accuracies) {
                let loss = loss.map_or_else(String::new, |loss| loss.to_string());
                let _ = writeln!(text, "{name},{first},{second},{loss},{accuracy}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_of_the_second_direction() {
        let square = Square::new(1.0, 3).unwrap();
        let losses: Vec<Loss> = (0..9)
            .map(|n| Loss { loss: (n != 8).then_some(f64::from(n)), accuracy: f64::from(n) / 8.0 })
            .collect();
        let surface = LossSurface::of(["a", "b"], &losses, &square);
        assert_eq!(surface.losses[1], [Some(3.0), Some(4.0), Some(5.0)]);
        assert_eq!(surface.centre(), losses[4]);
        assert_eq!(surface.lowest(), Some((0.0, [-1.0, -1.0])));
        let text = surface.csv();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[2], "a,0,-1,1,0.125");
        assert_eq!(rows[9], "a,1,1,,1");
    }
}
