//! ImageNet's classes, and those of ImageNet-A and -O among them (spec 06, section 1).
//!
//! A class's index is the place of its WordNet id among the thousand sorted ones; V2 names its folders after it.

use std::fmt;

/// Number of classes.
pub const CLASSES: usize = 1000;

/// The sorted WordNet ids without their `n`.
const WNIDS: &str = include_str!("imagenet_wnids.txt");

/// The WordNet ids of all classes, in the order of their indices.
pub fn wnids() -> impl Iterator<Item = Wnid> {
    WNIDS.split_ascii_whitespace().map(Wnid)
}

/// The index of a class that is given by its WordNet id.
pub fn class_of(folder: &str) -> Option<usize> {
    let id = folder.strip_prefix('n')?;
    wnids().position(|wnid| wnid.0 == id)
}

/// Whether a name has the form of a WordNet id, as ImageNet's folders have: `n01440764`.
pub fn is_wnid(name: &str) -> bool {
    name.strip_prefix('n').is_some_and(|id| id.len() == 8 && id.bytes().all(|b| b.is_ascii_digit()))
}

/// A WordNet id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wnid(&'static str);

impl fmt::Display for Wnid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A set of images of 200 of the classes: scores of other classes do not count.
#[derive(Debug, PartialEq, Eq)]
pub struct Subset {
    /// Its name.
    pub name: &'static str,
    /// The classes, ascending.
    pub classes: [u16; 200],
}

/// The classes of ImageNet-A.
#[rustfmt::skip]
pub static A: Subset = Subset { name: "ImageNet-A", classes: [
    6, 11, 13, 15, 17, 22, 23, 27, 30, 37, 39, 42, 47, 50, 57, 70, 71, 76, 79, 89, 90, 94, 96, 97, 99,
    105, 107, 108, 110, 113, 124, 125, 130, 132, 143, 144, 150, 151, 207, 234, 235, 254, 277, 283, 287,
    291, 295, 298, 301, 306, 307, 308, 309, 310, 311, 313, 314, 315, 317, 319, 323, 324, 326, 327, 330,
    334, 335, 336, 347, 361, 363, 372, 378, 386, 397, 400, 401, 402, 404, 407, 411, 416, 417, 420, 425,
    428, 430, 437, 438, 445, 456, 457, 461, 462, 470, 472, 483, 486, 488, 492, 496, 514, 516, 528, 530,
    539, 542, 543, 549, 552, 557, 561, 562, 569, 572, 573, 575, 579, 589, 606, 607, 609, 614, 626, 627,
    640, 641, 642, 643, 658, 668, 677, 682, 684, 687, 701, 704, 719, 736, 746, 749, 752, 758, 763, 765,
    768, 773, 774, 776, 779, 780, 786, 792, 797, 802, 803, 804, 813, 815, 820, 823, 831, 833, 835, 839,
    845, 847, 850, 859, 862, 870, 879, 880, 888, 890, 897, 900, 907, 913, 924, 932, 933, 934, 937, 943,
    945, 947, 951, 954, 956, 957, 959, 971, 972, 980, 981, 984, 986, 987, 988,
] };

/// The classes of ImageNet-O.
#[rustfmt::skip]
pub static O: Subset = Subset { name: "ImageNet-O", classes: [
    1, 51, 70, 79, 89, 90, 107, 109, 117, 149, 327, 328, 341, 363, 392, 397, 398, 401, 411, 416, 418,
    419, 420, 424, 434, 439, 447, 451, 455, 459, 462, 464, 465, 470, 475, 489, 491, 494, 496, 498, 507,
    512, 517, 522, 525, 530, 533, 537, 539, 540, 545, 549, 550, 551, 552, 554, 556, 558, 559, 562, 563,
    567, 574, 580, 583, 588, 589, 593, 599, 604, 606, 607, 611, 613, 621, 624, 626, 629, 633, 635, 640,
    641, 642, 643, 644, 645, 646, 648, 666, 669, 674, 677, 678, 679, 680, 684, 686, 687, 688, 691, 694,
    699, 703, 710, 712, 714, 716, 720, 722, 723, 729, 731, 736, 738, 740, 741, 743, 747, 749, 753, 758,
    761, 767, 769, 771, 772, 773, 778, 783, 784, 789, 791, 793, 794, 795, 797, 800, 802, 804, 807, 811,
    813, 815, 827, 828, 830, 833, 842, 843, 844, 845, 852, 853, 854, 855, 857, 858, 859, 870, 877, 879,
    886, 891, 897, 898, 900, 902, 906, 910, 911, 918, 920, 929, 931, 932, 934, 935, 937, 938, 939, 941,
    943, 945, 948, 949, 950, 951, 953, 954, 955, 957, 960, 962, 963, 965, 971, 980, 987, 988, 996,
] };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_complete() {
        let all: Vec<String> = wnids().map(|w| w.to_string()).collect();
        assert_eq!(all.len(), CLASSES);
        assert!(all.is_sorted() && all.iter().all(|w| is_wnid(w)));
        assert!(all.iter().enumerate().all(|(n, w)| class_of(w) == Some(n)));
        for subset in [&A, &O] {
            assert!(subset.classes.windows(2).all(|w| w[0] < w[1]) && subset.classes[199] < 1000);
        }
        let shared = A.classes.iter().filter(|class| O.classes.contains(class)).count();
        assert_eq!(shared, 59, "classes of both");
        // The first and last pairs of spec 06, section 1.
        let ids = |n: usize| all[usize::from(A.classes[n])].as_str();
        assert_eq!(
            [ids(0), ids(1), ids(198), ids(199)],
            ["n01498041", "n01531178", "n12144580", "n12267677"]
        );
        assert!(
            !is_wnid("0") && !is_wnid("n123") && !is_wnid("nabcdefgh") && class_of("n99999999").is_none()
        );
    }

    /// The tables that the lists come from, where `GENAS_SHARED` names the folder that holds them.
    #[test]
    fn the_lists_are_those_of_the_tables() {
        let Some(shared) = std::env::var_os("GENAS_SHARED") else {
            eprintln!("skipped: set GENAS_SHARED to the folder that holds data/imagenet-meta");
            return;
        };
        let path = std::path::Path::new(&shared).join("data/imagenet-meta/imagenet1k_classes.tsv");
        let text = std::fs::read_to_string(path).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split('\t').collect()).collect();
        assert!(rows.iter().map(|row| row[1].to_owned()).eq(wnids().map(|w| w.to_string())));
        for (column, subset) in [(5, &A), (6, &O)] {
            let listed = rows.iter().filter(|row| row.get(column).is_some_and(|place| !place.is_empty()));
            let listed: Vec<u16> = listed.map(|row| row[0].parse().unwrap()).collect();
            assert_eq!(listed, subset.classes, "{}", subset.name);
        }
    }
}
