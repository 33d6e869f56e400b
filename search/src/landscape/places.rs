//! Where the loss is measured: [`Levels`] along directions, or a [`Square`] on two of them.

use std::collections::BTreeSet;

use genas_net::Weights;
use serde::{Deserialize, Serialize};

/// Steps away from trained weights: a direction's number, and how far. Without any, the trained weights themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Place(Vec<(u64, f64)>);

impl Place {
    /// At these steps; those of no length are left out, so that equal places are equal.
    pub fn new(steps: impl IntoIterator<Item = (u64, f64)>) -> Self {
        Self(steps.into_iter().filter(|(_, far)| *far != 0.0).collect())
    }

    /// The directions that lead here.
    pub fn directions(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|(direction, _)| *direction)
    }

    /// What tells places apart.
    pub(crate) fn key(&self) -> Vec<(u64, u64)> {
        self.0.iter().map(|(direction, far)| (*direction, far.to_bits())).collect()
    }

    /// The weights here. `direction` gives the steps of all parameters at level 1.
    pub fn weights<'d>(&self, trained: &Weights, direction: impl Fn(u64) -> &'d [f32]) -> Weights {
        let mut weights = trained.clone();
        for &(number, far) in &self.0 {
            for (value, step) in weights.parameters_mut().iter_mut().zip(direction(number)) {
                *value += far as f32 * step;
            }
        }
        weights
    }
}

/// The directions that lead to some places, each once.
pub fn directions<'p>(places: impl IntoIterator<Item = &'p Place>) -> BTreeSet<u64> {
    places.into_iter().flat_map(Place::directions).collect()
}

/// Noise levels along several directions.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    /// The levels, from 0 on, increasing.
    pub sigmas: Vec<f64>,
    /// Directions.
    pub draws: usize,
}

impl Levels {
    /// These levels, with 0 in front if it is not there.
    ///
    /// # Errors
    ///
    /// If they do not increase, or there are none, or there is no direction.
    pub fn new(sigmas: &[f64], draws: usize) -> Result<Self, String> {
        let increasing = sigmas.windows(2).all(|pair| pair[0] < pair[1]);
        let sound = sigmas.iter().all(|sigma| *sigma >= 0.0 && sigma.is_finite());
        let sigmas: Vec<f64> = match sigmas {
            // Also for -0.
            [first, rest @ ..] if *first == 0.0 => [&[0.0], rest].concat(),
            _ => [&[0.0], sigmas].concat(),
        };
        if !increasing || !sound || sigmas.len() < 2 {
            return Err(format!("noise levels must be 0 or more and strictly increasing, not {sigmas:?}"));
        }
        if draws == 0 {
            return Err("0 draws give no curve; 1 is the least".to_owned());
        }
        Ok(Self { sigmas, draws })
    }

    /// `steps` levels up to `most`, equally far apart, and 0.
    pub fn up_to(most: f64, steps: usize, draws: usize) -> Result<Self, String> {
        let sigmas: Vec<f64> = (0..=steps).map(|n| tidy(most * n as f64 / steps as f64)).collect();
        Self::new(&sigmas, draws)
    }

    /// The trained weights, and then each level of each direction, direction by direction.
    pub fn places(&self) -> Vec<Place> {
        let rest = (0..self.draws as u64)
            .flat_map(|draw| self.sigmas[1..].iter().map(move |&sigma| Place::new([(draw, sigma)])));
        std::iter::once(Place::default()).chain(rest).collect()
    }

    /// Which of [`Levels::places`] is this level of this direction.
    pub fn position(&self, level: usize, draw: usize) -> usize {
        if level == 0 { 0 } else { draw * (self.sigmas.len() - 1) + level }
    }
}

/// A square around the trained weights, on the first two directions.
#[derive(Clone, Debug, PartialEq)]
pub struct Square {
    /// How far it reaches to each side.
    pub half: f64,
    /// Places along a side: odd, so that the trained weights are one of them.
    pub side: usize,
}

impl Square {
    /// A square.
    ///
    /// # Errors
    ///
    /// If it has no extent, or no place in its middle.
    pub fn new(half: f64, side: usize) -> Result<Self, String> {
        if !(half > 0.0 && half.is_finite()) {
            return Err(format!("a surface must reach further than {half}"));
        }
        if side < 3 || side.is_multiple_of(2) {
            return Err(format!(
                "a grid of {side} has no middle; give an odd number from 3, such as {}",
                (side + 1).max(3)
            ));
        }
        Ok(Self { half, side })
    }

    /// How far the places of a row, or of a column, are along their direction; 0 in the middle.
    pub fn steps(&self) -> Vec<f64> {
        let last = self.side as f64 - 1.0;
        (0..self.side).map(|n| tidy(self.half * ((2 * n) as f64 - last) / last)).collect()
    }

    /// All places, row by row: the first direction along a row, the second from row to row.
    pub fn places(&self) -> Vec<Place> {
        let steps = self.steps();
        let row = |&second: &f64| steps.iter().map(move |&first| Place::new([(0, first), (1, second)]));
        steps.iter().flat_map(row).collect()
    }
}

/// Without the last digits, which are rounding's: tables say 0.3, not 0.30000000000000004.
fn tidy(value: f64) -> f64 {
    format!("{value:.12e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use genas_net::Supernet;
    use std::sync::Arc;

    #[test]
    fn levels_begin_at_zero_and_increase() {
        let levels = Levels::new(&[0.1, 0.3], 2).unwrap();
        assert_eq!(levels.sigmas, [0.0, 0.1, 0.3]);
        assert_eq!(Levels::new(&[-0.0, 0.1, 0.3], 2), Ok(levels.clone()));
        assert_eq!(Levels::up_to(0.5, 2, 1).unwrap().sigmas, [0.0, 0.25, 0.5]);
        assert_eq!(Levels::up_to(0.3, 10, 1).unwrap().sigmas[3], 0.09);
        let places = levels.places();
        assert_eq!(places.len(), 5);
        for draw in 0..2 {
            for (level, &sigma) in levels.sigmas.iter().enumerate() {
                let expected = Place::new([(draw as u64, sigma)]);
                assert_eq!(places[levels.position(level, draw)], expected, "{draw} {level}");
            }
        }
        for sigmas in
            [&[][..], &[0.0], &[0.2, 0.1], &[0.1, 0.1], &[-0.1, 0.1], &[0.1, f64::NAN], &[f64::INFINITY]]
        {
            assert!(Levels::new(sigmas, 1).unwrap_err().contains("strictly increasing"), "{sigmas:?}");
        }
        assert!(Levels::new(&[0.1], 0).unwrap_err().contains("0 draws"));
        assert!(Levels::up_to(0.0, 3, 1).is_err() && Levels::up_to(0.5, 0, 1).is_err());
    }

    #[test]
    fn a_square_has_its_middle_at_the_trained_weights() {
        let square = Square::new(0.3, 5).unwrap();
        assert_eq!(square.steps(), [-0.3, -0.15, 0.0, 0.15, 0.3]);
        let places = square.places();
        assert_eq!((places.len(), &places[12]), (25, &Place::default()));
        assert_eq!(places[1], Place::new([(0, -0.15), (1, -0.3)]));
        // What lies on an axis is a level of a curve, measured once for both.
        assert_eq!(places[14], Place::new([(0, 0.3)]));
        assert_eq!(directions(&places).into_iter().collect::<Vec<_>>(), [0, 1]);
        assert!(Square::new(0.3, 4).unwrap_err().contains("such as 5"));
        assert!(Square::new(0.3, 1).is_err() && Square::new(0.0, 5).is_err());
    }

    #[test]
    fn a_place_is_that_far_away() {
        let net = Supernet { channels: 4, layers: 3, classes: 2 };
        let trained = Weights::neutral(Arc::new(net.layout()));
        let n = trained.parameters().len();
        let directions = [vec![1.0; n], vec![-2.0; n]];
        let at = |place: &Place| place.weights(&trained, |number| &directions[number as usize]);
        let moved = at(&Place::new([(0, 0.5), (1, 0.25)]));
        assert!(moved.parameters().iter().zip(trained.parameters()).all(|(a, b)| a == b));
        let moved = at(&Place::new([(0, 0.5), (1, 1.0)]));
        assert!(moved.parameters().iter().zip(trained.parameters()).all(|(a, b)| a - b == -1.5));
        assert_eq!(at(&Place::new([(1, 0.0)])).parameters(), trained.parameters());
        assert_eq!(moved.buffers(), trained.buffers());
    }
}
