//! [`PhotoSource`]: labelled photos on disk, in class folders or in tar shards, read one by one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::decode::decode;
use crate::segmentation::SegmentationFolder;
use crate::{DataError, FolderIndex, ImageFolder, Picture, ShardIndex, Split};

/// The photos of one split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhotoSource {
    /// Files in class folders.
    Folder(FolderIndex),
    /// Members of tar files.
    Shards(ShardIndex),
}

impl PhotoSource {
    /// Finds the photos of a split in `dir`: shards where there are any, else class folders.
    pub fn open(dir: &Path, split: Split) -> Result<Self, DataError> {
        if !dir.is_dir() {
            return Err(DataError::Missing { path: dir.to_owned() });
        }
        // Its folders of images would pass for classes.
        if !crate::coco::splits(dir).is_empty() {
            return Err(crate::dataset::boxes(dir));
        }
        if let Some(folder) = SegmentationFolder::find(dir) {
            return Err(crate::dataset::label_maps(&folder));
        }
        if !ShardIndex::find(dir, split)?.is_empty() {
            return Ok(Self::Shards(ShardIndex::new(dir, split)?));
        }
        match ImageFolder::find(dir) {
            Some(folder) => Ok(Self::Folder(folder.index(split)?)),
            None => Err(DataError::broken(
                dir,
                format!("no photos of the {split} split"),
                "give train/CLASS/*.jpg and val/CLASS/*.jpg, or train*.tar and val*.tar in WebDataset's layout \
                 (NAME.jpg and NAME.cls)",
            )),
        }
    }

    /// Number of photos.
    pub fn len(&self) -> usize {
        match self {
            Self::Folder(index) => index.len(),
            Self::Shards(index) => index.len(),
        }
    }

    /// Whether there is no photo.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Class names; a label is an index into them.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Folder(index) => &index.classes,
            Self::Shards(index) => &index.classes,
        }
    }

    /// The class of photo `i`.
    pub fn label(&self, i: usize) -> u16 {
        match self {
            Self::Folder(index) => index.files[i].1,
            Self::Shards(index) => index.label(i),
        }
    }

    /// The name of photo `i`: `CLASS/FILE`, or `SHARD.tar/MEMBER`.
    pub fn name(&self, i: usize) -> String {
        match self {
            Self::Folder(index) => index.files[i].0.to_string_lossy().replace('\\', "/"),
            Self::Shards(index) => index.name(i),
        }
    }

    /// Where photo `i` is, for messages.
    pub(crate) fn path(&self, i: usize) -> PathBuf {
        match self {
            Self::Folder(index) => index.path(i),
            Self::Shards(index) => index.path(i),
        }
    }

    /// The file of photo `i`, not decoded.
    pub fn read(&self, i: usize) -> Result<Vec<u8>, DataError> {
        match self {
            Self::Folder(index) => {
                let path = index.path(i);
                fs::read(&path).map_err(DataError::io("read", &path))
            }
            Self::Shards(index) => index.read(i),
        }
    }

    /// Reads and decodes photo `i`.
    pub fn picture(&self, i: usize) -> Result<Picture, DataError> {
        decode(&self.read(i)?).map_err(|reason| DataError::decode(&self.path(i), reason))
    }

    /// Tells data sets apart: 32 hexadecimal digits over class names, names and labels, in their order. The photos
    /// themselves are not read (ImageNet has 140 GB): a file that was replaced under its name is not noticed.
    pub fn fingerprint(&self) -> String {
        let mut hash = Fnv128::new();
        hash.number(self.classes().len() as u64);
        self.classes().iter().for_each(|c| hash.text(c));
        hash.number(self.len() as u64);
        for i in 0..self.len() {
            hash.text(&self.name(i));
            hash.number(self.label(i).into());
        }
        format!("{:032x}", hash.0)
    }
}

/// The 128-bit FNV-1a hash. It need not resist anyone; equal names give equal numbers on every machine.
struct Fnv128(u128);

impl Fnv128 {
    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    /// With its length, so that no two lists of texts are the same bytes.
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::decode::tests::jpeg;
    use crate::shards::tests::tar;

    /// `train/` with `n` photos of three classes: `c0`, `c1` and `one` (a single photo, unless n is 0).
    pub(crate) fn folder(dir: &Path, n: usize) {
        for i in 0..n {
            let class = if i == n - 1 { "one".to_owned() } else { format!("c{}", i % 2) };
            let class = dir.join("train").join(class);
            fs::create_dir_all(&class).unwrap();
            fs::write(class.join(format!("{i:03}.jpg")), jpeg(40 + i % 7, 30 + i % 5)).unwrap();
        }
    }

    #[test]
    fn folders_and_shards_hold_the_same_photos() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path(), 9);
        let folder = PhotoSource::open(dir.path(), Split::Train).unwrap();
        assert_eq!(
            (folder.len(), folder.classes().to_vec()),
            (9, vec!["c0".into(), "c1".into(), "one".into()])
        );
        assert_eq!((folder.name(8), folder.label(8)), ("one/008.jpg".into(), 2));
        let packed = tempfile::tempdir().unwrap();
        let members: Vec<(String, Vec<u8>)> = (0..9)
            .flat_map(|i| {
                let class = folder.label(i).to_string().into_bytes();
                [(folder.name(i), folder.read(i).unwrap()), (folder.name(i).replace(".jpg", ".cls"), class)]
            })
            .collect();
        let members: Vec<(&str, &[u8])> = members.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        tar(&packed.path().join("train-0.tar"), &members[..8]);
        tar(&packed.path().join("train-1.tar"), &members[8..]);
        let shards = PhotoSource::open(packed.path(), Split::Train).unwrap();
        assert!(matches!(shards, PhotoSource::Shards(_)));
        for i in 0..9 {
            assert_eq!(shards.label(i), folder.label(i));
            assert_eq!(shards.picture(i).unwrap(), folder.picture(i).unwrap());
        }
        assert_eq!(folder.fingerprint().len(), 32);
        assert_ne!(folder.fingerprint(), shards.fingerprint());
        assert_eq!(
            shards.fingerprint(),
            PhotoSource::open(packed.path(), Split::Train).unwrap().fingerprint()
        );
        fs::rename(dir.path().join("train/c0/000.jpg"), dir.path().join("train/c1/000.jpg")).unwrap();
        let moved = PhotoSource::open(dir.path(), Split::Train).unwrap();
        assert_ne!(folder.fingerprint(), moved.fingerprint());
    }

    #[test]
    fn fnv_is_the_published_one() {
        // http://www.isthe.com/chongo/src/fnv/test_fnv.c
        let mut hash = Fnv128::new();
        hash.bytes(b"foobar");
        assert_eq!(hash.0, 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn nothing_to_read_is_said() {
        let dir = tempfile::tempdir().unwrap();
        for (path, says) in
            [(dir.path().join("nowhere"), "no such folder"), (dir.path().into(), "WebDataset")]
        {
            let e = PhotoSource::open(&path, Split::Train).unwrap_err().to_string();
            assert!(e.contains(says), "{e}");
        }
    }
}
