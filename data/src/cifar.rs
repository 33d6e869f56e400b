//! CIFAR-10 and CIFAR-100 in their official binary layouts.
//!
//! A record is a label byte (CIFAR-100: coarse, then fine label) and 3,072 bytes of R, G, B planes
//! of 32x32. The official files hold 10,000 or 50,000 records; any whole number is read, so that
//! reduced and generated sets use the same layout. The Python (pickled) version is not read.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{DataError, ImageSet, Normalization, Split};

const PIXELS: usize = 3 * 32 * 32;
const TRAIN10: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const REMEDY: &str = "get the binary version again (the official archives are cifar-10-binary.tar.gz and cifar-100-binary.tar.gz) and unpack it whole";

/// Which of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CifarKind {
    /// 10 classes, `data_batch_1..5.bin` and `test_batch.bin`.
    Cifar10,
    /// 100 (fine) classes, `train.bin` and `test.bin`.
    Cifar100,
}

impl CifarKind {
    /// Number of classes.
    pub fn n_classes(self) -> usize {
        match self {
            Self::Cifar10 => 10,
            Self::Cifar100 => 100,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cifar10 => "CIFAR-10",
            Self::Cifar100 => "CIFAR-100",
        }
    }

    fn label_bytes(self) -> usize {
        match self {
            Self::Cifar10 => 1,
            Self::Cifar100 => 2,
        }
    }

    fn record(self) -> usize {
        self.label_bytes() + PIXELS
    }

    fn normalization(self) -> Normalization {
        match self {
            Self::Cifar10 => Normalization::CIFAR10,
            Self::Cifar100 => Normalization::CIFAR100,
        }
    }

    fn files(self, split: Split) -> &'static [&'static str] {
        match (self, split) {
            (Self::Cifar10, Split::Train) => &TRAIN10,
            (Self::Cifar10, Split::Test) => &["test_batch.bin"],
            (Self::Cifar100, Split::Train) => &["train.bin"],
            (Self::Cifar100, Split::Test) => &["test.bin"],
        }
    }

    fn names_file(self) -> &'static str {
        match self {
            Self::Cifar10 => "batches.meta.txt",
            Self::Cifar100 => "fine_label_names.txt",
        }
    }

    fn default_names(self) -> &'static str {
        match self {
            Self::Cifar10 => CIFAR10_NAMES,
            Self::Cifar100 => CIFAR100_NAMES,
        }
    }
}

/// A folder that holds a CIFAR set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CifarFolder {
    /// Which set.
    pub kind: CifarKind,
    /// The folder of the `.bin` files.
    pub dir: PathBuf,
}

impl CifarFolder {
    /// Recognises a CIFAR folder, or its parent, by the names of its files.
    pub fn find(dir: &Path) -> Option<Self> {
        for (sub, kind) in [
            ("", CifarKind::Cifar10),
            ("", CifarKind::Cifar100),
            ("cifar-10-batches-bin", CifarKind::Cifar10),
            ("cifar-100-binary", CifarKind::Cifar100),
        ] {
            let dir = if sub.is_empty() { dir.to_owned() } else { dir.join(sub) };
            let mut files = kind.files(Split::Train).iter().chain(kind.files(Split::Test));
            if files.any(|f| dir.join(f).is_file()) {
                return Some(Self { kind, dir });
            }
        }
        None
    }

    /// The class names: from the names file if there is one, else the official ones.
    pub fn classes(&self) -> Result<Vec<String>, DataError> {
        let path = self.dir.join(self.kind.names_file());
        let text = if path.exists() {
            fs::read_to_string(&path).map_err(DataError::io("read", &path))?
        } else {
            self.kind.default_names().replace(' ', "\n")
        };
        let names: Vec<String> =
            text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
        if names.len() != self.kind.n_classes() {
            return Err(DataError::broken(
                &path,
                format!("{} class names, {} has {}", names.len(), self.kind.name(), self.kind.n_classes()),
                "write one name a line, or remove the file to use the official names",
            ));
        }
        Ok(names)
    }

    /// The files of a split.
    pub fn files(&self, split: Split) -> Vec<PathBuf> {
        self.kind.files(split).iter().map(|f| self.dir.join(f)).collect()
    }

    /// Reads one file, checks it and appends its records; returns their number.
    pub(crate) fn read_file(
        &self,
        path: &Path,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u16>,
    ) -> Result<usize, DataError> {
        let kind = self.kind;
        if !path.is_file() {
            return Err(DataError::broken(path, format!("this file of {} is missing", kind.name()), REMEDY));
        }
        let bytes = fs::read(path).map_err(DataError::io("read", path))?;
        let record = kind.record();
        if bytes.is_empty() {
            return Err(DataError::broken(path, "the file is empty (0 bytes)", REMEDY));
        }
        if bytes.len() % record != 0 {
            return Err(DataError::broken(
                path,
                format!(
                    "{} bytes is not a whole number of {record}-byte {} records ({} are left over): the file is truncated or is another format",
                    bytes.len(),
                    kind.name(),
                    bytes.len() % record
                ),
                REMEDY,
            ));
        }
        for (k, record) in bytes.chunks_exact(record).enumerate() {
            let label = record[kind.label_bytes() - 1];
            if usize::from(label) >= kind.n_classes() {
                return Err(DataError::broken(
                    path,
                    format!(
                        "record {k} has label {label}, {} has labels 0 to {} ({} bytes)",
                        kind.name(),
                        kind.n_classes() - 1,
                        bytes.len()
                    ),
                    REMEDY,
                ));
            }
            labels.push(u16::from(label));
            pixels.extend_from_slice(&record[kind.label_bytes()..]);
        }
        Ok(bytes.len() / record)
    }

    /// Reads a split into memory.
    pub fn load(&self, split: Split) -> Result<ImageSet, DataError> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for path in self.files(split) {
            self.read_file(&path, &mut pixels, &mut labels)?;
        }
        Ok(ImageSet {
            name: format!("{} {split}", self.kind.name()),
            classes: self.classes()?,
            height: 32,
            width: 32,
            pixels,
            labels,
            normalization: self.kind.normalization(),
        })
    }
}

const CIFAR10_NAMES: &str = "airplane automobile bird cat deer dog frog horse ship truck";
const CIFAR100_NAMES: &str = "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle \
    bowl boy bridge bus butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud \
    cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster \
    house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle \
    mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree \
    plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew \
    skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank \
    telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf \
    woman worm";

#[cfg(test)]
mod tests {
    use super::*;

    fn records(n: usize, kind: CifarKind) -> Vec<u8> {
        let mut out = Vec::new();
        for i in 0..n {
            if kind == CifarKind::Cifar100 {
                out.push(19);
            }
            out.push((i % kind.n_classes()) as u8);
            out.extend((0..PIXELS).map(|p| (p + i) as u8));
        }
        out
    }

    fn cifar10(dir: &Path) {
        for f in TRAIN10 {
            fs::write(dir.join(f), records(4, CifarKind::Cifar10)).unwrap();
        }
        fs::write(dir.join("test_batch.bin"), records(3, CifarKind::Cifar10)).unwrap();
    }

    #[test]
    fn reads_both_sets_here_and_one_level_up() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("cifar-10-batches-bin");
        fs::create_dir(&sub).unwrap();
        cifar10(&sub);
        for d in [dir.path(), &sub] {
            let found = CifarFolder::find(d).unwrap();
            assert_eq!(found.kind, CifarKind::Cifar10);
            let set = found.load(Split::Train).unwrap();
            assert_eq!((set.len(), set.n_classes(), set.height), (20, 10, 32));
            assert_eq!(set.image(5)[..3], [1, 2, 3]);
            assert_eq!(set.labels[..4], [0, 1, 2, 3]);
            assert_eq!(set.classes[9], "truck");
        }
        let sub = dir.path().join("cifar-100-binary");
        fs::create_dir(&sub).unwrap();
        fs::write(sub.join("train.bin"), records(120, CifarKind::Cifar100)).unwrap();
        fs::write(sub.join("test.bin"), records(2, CifarKind::Cifar100)).unwrap();
        let set = CifarFolder::find(&sub).unwrap().load(Split::Train).unwrap();
        assert_eq!((set.len(), set.n_classes(), set.labels[99]), (120, 100, 99));
        assert!(set.classes.is_sorted());
        assert_eq!(set.normalization, Normalization::CIFAR100);
    }

    #[test]
    fn names_file_is_used_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        cifar10(dir.path());
        let names = dir.path().join("batches.meta.txt");
        fs::write(&names, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n").unwrap();
        let cifar = CifarFolder::find(dir.path()).unwrap();
        assert_eq!(cifar.load(Split::Test).unwrap().classes[1], "b");
        fs::write(&names, "a\nb\n").unwrap();
        let e = cifar.load(Split::Test).unwrap_err().to_string();
        assert!(e.contains("batches.meta.txt") && e.contains("2 class names"), "{e}");
    }

    #[test]
    fn broken_files_are_named_with_size_and_remedy() {
        type Break = fn(&Path);
        let cases: [(Break, &[&str]); 4] = [
            (
                |p| fs::write(p, &records(2, CifarKind::Cifar10)[..6000]).unwrap(),
                &["6000 bytes", "3073", "truncated"],
            ),
            (|p| fs::write(p, b"").unwrap(), &["empty (0 bytes)"]),
            (|p| fs::remove_file(p).unwrap(), &["missing"]),
            (
                |p| {
                    let mut r = records(3, CifarKind::Cifar10);
                    r[3073] = 12;
                    fs::write(p, r).unwrap();
                },
                &["label 12", "record 1", "0 to 9", "9219 bytes"],
            ),
        ];
        for (breaks, wants) in cases {
            let dir = tempfile::tempdir().unwrap();
            cifar10(dir.path());
            breaks(&dir.path().join("data_batch_3.bin"));
            let cifar = CifarFolder::find(dir.path()).unwrap();
            let e = cifar.load(Split::Train).unwrap_err().to_string();
            for want in wants.iter().chain(&["data_batch_3.bin", "get the binary version"]) {
                assert!(e.contains(want), "{want:?} not in {e}");
            }
            assert!(cifar.load(Split::Test).is_ok(), "the other split is whole");
        }
    }
}
