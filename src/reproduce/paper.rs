//! The paper's numbers: *GeNAS: Neural Architecture Search with Better Generalization* (Jeong et al., IJCAI 2023), as its text has
//! them.

use genas_data::Nb201Set;
use genas_search::config::Position;
use genas_search::noise::Direction;

/// Where the numbers are from.
pub const SOURCE: &str = "GeNAS: Neural Architecture Search with Better Generalization, IJCAI 2023";

/// Kendall's tau on CIFAR-10, CIFAR-100 and ImageNet16-120; not all tables have all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taus(pub [Option<f64>; 3]);

impl Taus {
    const fn cifar10(tau: f64) -> Self {
        Self([Some(tau), None, None])
    }

    /// Of a data set.
    pub fn of(self, set: Nb201Set) -> Option<f64> {
        let [cifar10, cifar100, imagenet16] = self.0;
        match set {
            Nb201Set::Cifar10 => cifar10,
            Nb201Set::Cifar100 => cifar100,
            Nb201Set::Imagenet16 => imagenet16,
        }
    }
}

/// The range of sigma of the paper's experiments on NAS-Bench-201: the third of Table 5, and that of Tables 1, 6 and 7.
pub const SIGMAS: [f64; 3] = [2e-3, 1e-2, 2e-2];

/// Table 1: tau between angle and flatness.
pub const TABLE_1: Taus = Taus([Some(0.4302), Some(0.4724), Some(0.4097)]);

/// Table 5: tau of flatness, by sigma.
pub const TABLE_5: [([f64; 3], Taus); 4] = [
    ([1e-6, 5e-6, 1e-5], Taus([Some(0.5756), None, Some(0.5524)])),
    ([5e-4, 1e-3, 2e-3], Taus([Some(0.5770), None, Some(0.5531)])),
    (SIGMAS, Taus([Some(0.6047), None, Some(0.5800)])),
    ([2e-3, 2e-2, 4e-2], Taus([Some(0.5416), None, Some(0.2364)])),
];

/// Table 6: tau of flatness, by alpha.
pub const TABLE_6: [(f64, Taus); 6] = [
    (0.0, Taus::cifar10(0.1777)),
    (0.1, Taus::cifar10(0.4026)),
    (0.5, Taus::cifar10(0.5890)),
    (1.0, Taus::cifar10(0.6047)),
    (4.0, Taus::cifar10(0.5898)),
    (16.0, Taus::cifar10(0.5820)),
];

/// Table 7: tau of flatness, by which weights are perturbed, and in which direction.
pub const TABLE_7: [(Position, Direction, Taus); 3] = [
    (Position::All, Direction::Random, Taus::cifar10(0.6047)),
    (Position::Cells, Direction::Random, Taus::cifar10(0.5612)),
    (Position::All, Direction::Hessian, Taus::cifar10(0.5908)),
];

/// What a combined score adds to its first part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// `angle / pi + gamma / sigma_1 * flatness`.
    AngleFlatness,
    /// `accuracy + gamma / sigma_1 * flatness`.
    AccuracyFlatness,
    /// `angle / pi + gamma * accuracy`.
    AngleAccuracy,
}

/// A row of Tables 8 to 10: gamma, the second part's share of the score in percent, top-1 and top-5 on ImageNet in percent.
pub struct Share {
    /// Weight of the second part.
    pub gamma: f64,
    /// Its mean share of the score, in percent.
    pub percent: f64,
    /// After training on ImageNet.
    pub top1: f64,
    /// Likewise.
    pub top5: f64,
}

/// One of Tables 8 to 10: searches on CIFAR-100 with sigma 1e-3, 3e-3, 6e-3.
pub struct Shares {
    /// The score.
    pub sum: Sum,
    /// Its rows.
    pub rows: [Share; 5],
}

const fn share(gamma: f64, percent: f64, top1: f64, top5: f64) -> Share {
    Share { gamma, percent, top1, top5 }
}

/// Table 8.
pub const TABLE_8: Shares = Shares {
    sum: Sum::AngleFlatness,
    rows: [
        share(0.0, 0.0, 75.00, 92.31),
        share(0.5, 20.0, 75.22, 92.39),
        share(1.5, 43.0, 75.58, 92.44),
        share(6.0, 76.0, 75.63, 92.54),
        share(16.0, 89.0, 75.72, 92.46),
    ],
};

/// Table 9.
pub const TABLE_9: Shares = Shares {
    sum: Sum::AccuracyFlatness,
    rows: [
        share(0.0, 0.0, 75.37, 92.23),
        share(0.25, 10.0, 75.34, 92.37),
        share(2.0, 41.0, 75.26, 92.34),
        share(8.0, 75.0, 75.60, 92.36),
        share(32.0, 92.0, 75.85, 92.74),
    ],
};

/// Table 10.
pub const TABLE_10: Shares = Shares {
    sum: Sum::AngleAccuracy,
    rows: [
        share(0.0, 0.0, 75.00, 92.31),
        share(0.1, 12.0, 75.32, 92.38),
        share(0.5, 41.0, 74.69, 92.05),
        share(2.5, 78.0, 74.26, 91.67),
        share(10.0, 93.0, 75.05, 92.13),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The paper's own deltas and repetitions.
    #[test]
    fn the_tables_agree_with_each_other() {
        let ten = |taus: Taus| taus.of(Nb201Set::Cifar10).unwrap();
        assert_eq!(ten(TABLE_5[2].1), ten(TABLE_6[3].1));
        assert_eq!(ten(TABLE_5[2].1), ten(TABLE_7[0].2));
        for (row, less) in [(1, 0.0435), (2, 0.0139)] {
            assert!((ten(TABLE_7[0].2) - ten(TABLE_7[row].2) - less).abs() < 1e-9);
        }
        assert_eq!(TABLE_5[3].1.of(Nb201Set::Imagenet16), Some(0.2364));
        assert_eq!(TABLE_5[3].1.of(Nb201Set::Cifar100), None);
    }
}
