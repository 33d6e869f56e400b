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
