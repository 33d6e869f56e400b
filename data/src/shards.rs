//! Shards: photos in `.tar` files, in WebDataset's layout.
//!
//! A sample is a run of members with the same key, the path up to the first dot of the file's name: `KEY.jpg` (or
//! `.jpeg`, `.png`) and `KEY.cls`, the class as a whole number in text. Other members of a sample are passed over.
//! The training images are `train*.tar` or `train/*.tar`, those to measure with `val*.tar` or `val/*.tar`. Names of
//! the classes may stand in `classes.txt`, one a line; without it they are numbers.
//!
//! The headers are read once, in parallel over shards and skipping the contents; then every image is read on its own
//! by its offset, so that an epoch's order is global. Nothing is written into the data set, and the index is not kept:
//! reading it again is quick (`benches/runs/2026-11-24-2core-loader`).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use tar::Archive;

use crate::folder::list;
use crate::{DataError, Split};

const IMAGES: [&str; 3] = ["jpg", "jpeg", "png"];
/// More text than a class number can have.
const CLASS_BYTES: u64 = 32;

/// Where one image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    shard: u32,
    label: u16,
    /// Bytes of the image.
    size: u32,
    /// Where they begin in the shard.
    offset: u64,
}

/// The images of one split in tar files, not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardIndex {
    /// The data set's folder.
    pub dir: PathBuf,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// The tar files, sorted.
    shards: Vec<PathBuf>,
    members: Vec<Member>,
    /// The members' paths, one after the other, and where each ends: one allocation, not a million.
    names: String,
    name_ends: Vec<usize>,
}

/// What one shard holds.
struct Listing {
    members: Vec<Member>,
    names: Vec<String>,
}

impl ShardIndex {
    /// The tar files of a split, sorted; none where the folder has none.
    pub fn find(dir: &Path, split: Split) -> Result<Vec<PathBuf>, DataError> {
        let prefix = prefix(split);
        let tars = |dir: &Path, prefix: &str| -> Result<Vec<PathBuf>, DataError> {
            let names = list(dir)?.into_iter();
            Ok(names.filter(|n| n.starts_with(prefix) && n.ends_with(".tar")).map(|n| dir.join(n)).collect())
        };
        let inner = dir.join(prefix);
        let shards = if inner.is_dir() { tars(&inner, "")? } else { Vec::new() };
        if shards.is_empty() { tars(dir, prefix) } else { Ok(shards) }
    }

    /// Reads the headers of a split's shards.
    pub fn new(dir: &Path, split: Split) -> Result<Self, DataError> {
        let shards = Self::find(dir, split)?;
        if shards.is_empty() {
            let prefix = prefix(split);
            return Err(DataError::broken(
                dir,
                format!("no {prefix}*.tar and no {prefix}/*.tar"),
                "put the shards there, uncompressed",
            ));
        }
        let listings: Vec<Result<Listing, DataError>> =
            shards.par_iter().enumerate().map(|(i, path)| read_headers(path, i as u32)).collect();
        let mut index = Self {
            dir: dir.to_owned(),
            classes: Vec::new(),
            shards,
            members: Vec::new(),
            names: String::new(),
            name_ends: Vec::new(),
        };
        for listing in listings {
            let Listing { members, names } = listing?;
            index.members.extend(members);
            for name in names {
                index.names.push_str(&name);
                index.name_ends.push(index.names.len());
            }
        }
        if index.members.is_empty() {
            return Err(DataError::broken(
                &index.shards[0],
                "no sample in this or any other shard of the split",
                "a sample is NAME.jpg, .jpeg or .png, and beside it NAME.cls with the class number",
            ));
        }
        index.classes = index.read_classes()?;
        Ok(index)
    }

    fn read_classes(&self) -> Result<Vec<String>, DataError> {
        let most = self.members.iter().map(|m| m.label).max().unwrap_or(0);
        let path = self.dir.join("classes.txt");
        if !path.is_file() {
            return Ok((0..=most).map(|c| c.to_string()).collect());
        }
        let text = std::fs::read_to_string(&path).map_err(DataError::io("read", &path))?;
        let classes: Vec<String> =
            text.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
        match self.members.iter().position(|m| usize::from(m.label) >= classes.len()) {
            None => Ok(classes),
            Some(i) => Err(DataError::broken(
                &path,
                format!(
                    "{} classes, but {} is of class {} (the first is 0)",
                    classes.len(),
                    self.name(i),
                    self.members[i].label
                ),
                "name every class on a line of its own, in the order of the numbers",
            )),
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The tar files, sorted.
    pub fn shards(&self) -> &[PathBuf] {
        &self.shards
    }

    /// The class of image `i`.
    pub fn label(&self, i: usize) -> u16 {
        self.members[i].label
    }

    /// The member of image `i`, without its shard.
    fn member_name(&self, i: usize) -> &str {
        let start = if i == 0 { 0 } else { self.name_ends[i - 1] };
        &self.names[start..self.name_ends[i]]
    }

    /// Shard and member of image `i`: `train-000.tar/n01440764_10026.jpg`.
    pub fn name(&self, i: usize) -> String {
        let shard = &self.shards[self.members[i].shard as usize];
        format!("{}/{}", shard.file_name().unwrap_or_default().to_string_lossy(), self.member_name(i))
    }

    /// The same with the shard's whole path, for messages.
    pub(crate) fn path(&self, i: usize) -> PathBuf {
        self.shards[self.members[i].shard as usize].join(self.member_name(i))
    }

    /// The bytes of image `i`. The shard is opened for it: there may be more shards than a process may hold open, and
    /// opening takes some microseconds, decoding a thousand.
    pub fn read(&self, i: usize) -> Result<Vec<u8>, DataError> {
        let member = self.members[i];
        let path = &self.shards[member.shard as usize];
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(member.offset))?;
            let mut bytes = vec![0; member.size as usize];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(DataError::io("read", &self.path(i)))
    }
}

fn prefix(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Test => "val",
    }
}

/// A sample whose members are being read.
#[derive(Default)]
struct Sample {
    key: String,
    /// Name, offset, size.
    image: Option<(String, u64, u32)>,
    label: Option<u16>,
}

fn read_headers(path: &Path, shard: u32) -> Result<Listing, DataError> {
    let remedy = "pack the shard again, as an uncompressed tar file";
    let broken = |problem: String| DataError::broken(path, problem, remedy);
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let length = file.metadata().map_err(DataError::io("read", path))?.len();
    let mut archive = Archive::new(file);
    let mut listing = Listing { members: Vec::new(), names: Vec::new() };
    let mut sample = Sample::default();
    let mut last = None;
    let at = |last: &Option<String>| match last {
        Some(name) => format!("after the member {name}"),
        None => "at its beginning".to_owned(),
    };
    let entries = archive.entries_with_seek().map_err(|e| broken(format!("not a tar file ({e})")))?;
    for entry in entries {
        let mut entry = entry.map_err(|e| broken(format!("cannot be read {}: {e}", at(&last))))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.saturating_add(size) > length {
            return Err(broken(format!(
                "truncated: the member {name} ends beyond the file's {length} bytes"
            )));
        }
        if entry.header().entry_type().is_file() {
            let (key, extension) = key_and_extension(&name);
            if key != sample.key {
                finish(path, shard, &mut listing, std::mem::take(&mut sample))?;
                sample.key = key.to_owned();
            }
            if IMAGES.contains(&extension.as_str()) {
                let size = u32::try_from(size).map_err(|_| {
                    broken(format!("the member {name} has {size} bytes, too many for an image"))
                })?;
                if let Some((other, ..)) = sample.image.replace((name.clone(), offset, size)) {
                    let problem = format!("{other} and {name} are two images of one sample");
                    return Err(DataError::broken(path, problem, "give each its own key, with a .cls"));
                }
            } else if extension == "cls" {
                let mut text = String::new();
                let read = entry.by_ref().take(CLASS_BYTES).read_to_string(&mut text);
                let label = read.ok().and_then(|_| text.trim().parse::<u16>().ok()).filter(|&l| l < u16::MAX);
                sample.label = Some(label.ok_or_else(|| {
                    let text: String = text.trim().chars().take(20).collect();
                    let problem = format!("the member {name} holds {text:?}, not a class number");
                    DataError::broken(
                        path,
                        problem,
                        "write the class into it, a whole number from 0 to 65,534",
                    )
                })?);
            }
        }
        last = Some(name);
    }
    finish(path, shard, &mut listing, sample)?;
    // A tar file ends with blocks of zeros; one that was cut off between two members does not.
    if !ends_with_zeros(path, length).map_err(DataError::io("read", path))? {
        return Err(broken(format!("truncated {}: no end mark in its {length} bytes", at(&last))));
    }
    Ok(listing)
}

fn ends_with_zeros(path: &Path, length: u64) -> std::io::Result<bool> {
    let mut block = [1; 512];
    if length >= 1024 {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(length - 512))?;
        file.read_exact(&mut block)?;
    }
    Ok(block == [0; 512])
}

/// Takes a sample into the listing. Samples without image and class (texts, say) are passed over.
fn finish(path: &Path, shard: u32, listing: &mut Listing, sample: Sample) -> Result<(), DataError> {
    let Sample { key, image, label } = sample;
    let (problem, remedy) = match (image, label) {
        (None, None) => return Ok(()),
        (Some((name, offset, size)), Some(label)) => {
            listing.members.push(Member { shard, label, size, offset });
            listing.names.push(name);
            return Ok(());
        }
        (Some((name, ..)), None) => (
            format!("the member {name} has no class"),
            format!("put {key}.cls with the class number beside it"),
        ),
        (None, Some(_)) => (
            format!("the member {key}.cls has no image"),
            format!("put {key}.jpg, .jpeg or .png beside it, or remove it"),
        ),
    };
    Err(DataError::broken(path, problem, remedy))
}

/// A member's key, its path up to the first dot of the file's name, and its last extension in small letters.
fn key_and_extension(name: &str) -> (&str, String) {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name[file..].find('.').map_or(name.len(), |dot| file + dot);
    let extension = name[dot..].rsplit('.').next().unwrap_or_default();
    (&name[..dot], extension.to_ascii_lowercase())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::decode::tests::jpeg;
    use std::fs;

    /// Writes a tar file of these members.
    pub(crate) fn tar(path: &Path, members: &[(&str, &[u8])]) {
        let mut tar = tar::Builder::new(File::create(path).unwrap());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.finish().unwrap();
    }

    #[test]
    fn samples_of_several_shards() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, c) = (jpeg(20, 16), jpeg(21, 16), jpeg(22, 16));
        // Longer than the 100 bytes of a plain header.
        let long = format!("{}/n01.5.jpg", "folder/".repeat(30));
        let long_class = long.replace(".jpg", ".cls");
        tar(&dir.path().join("train-1.tar"), &[("x/b.json", b"{}"), ("x/b.cls", b"2\n"), ("x/b.JPEG", &b)]);
        tar(
            &dir.path().join("train-0.tar"),
            &[("readme.txt", b"hello"), ("a.jpg", &a), ("a.cls", b"0"), (&long, &c), (&long_class, b" 1 ")],
        );
        tar(&dir.path().join("val.tar"), &[("v.png", &a), ("v.cls", b"1")]);
        let index = ShardIndex::new(dir.path(), Split::Train).unwrap();
        assert_eq!(index.len(), 3);
        assert_eq!(index.name(0), "train-0.tar/a.jpg");
        assert_eq!(index.name(1), format!("train-0.tar/{long}"));
        assert_eq!(index.name(2), "train-1.tar/x/b.JPEG");
        assert_eq!((0..3).map(|i| index.label(i)).collect::<Vec<_>>(), [0, 1, 2]);
        for (i, want) in [a, c, b].into_iter().enumerate() {
            assert_eq!(index.read(i).unwrap(), want);
        }
        assert_eq!(index.classes, ["0", "1", "2"]);
        fs::write(dir.path().join("classes.txt"), "cat\ndog\nbird\n").unwrap();
        assert_eq!(ShardIndex::new(dir.path(), Split::Train).unwrap().classes, ["cat", "dog", "bird"]);
        assert_eq!(ShardIndex::new(dir.path(), Split::Test).unwrap().len(), 1);
        // Folders of tars go first.
        fs::create_dir(dir.path().join("train")).unwrap();
        fs::rename(dir.path().join("train-1.tar"), dir.path().join("train/0.tar")).unwrap();
        assert_eq!(ShardIndex::new(dir.path(), Split::Train).unwrap().name(0), "0.tar/x/b.JPEG");
    }

    #[test]
    fn broken_shards_are_named_with_their_member() {
        let image = jpeg(64, 64);
        type Break = Box<dyn Fn(&Path)>;
        let members = |list: &'static [(&'static str, &'static [u8])]| -> Break {
            Box::new(move |path: &Path| tar(path, list))
        };
        let cases: Vec<(Break, Vec<&str>)> = vec![
            (members(&[("a.jpg", b"x"), ("a.cls", b"cat")]), vec!["a.cls", "\"cat\"", "whole number"]),
            (members(&[("a.jpg", b"x"), ("a.cls", b"70000")]), vec!["a.cls", "70000"]),
            (members(&[("a.jpg", b"x"), ("a.cls", b"-1")]), vec!["a.cls"]),
            (members(&[("a.jpg", b"x"), ("a.cls", b"\xff\xfe")]), vec!["a.cls"]),
            (
                members(&[("a.jpg", b"x"), ("b.jpg", b"x"), ("b.cls", b"1")]),
                vec!["a.jpg has no class", "a.cls"],
            ),
            (members(&[("d/a.cls", b"1")]), vec!["d/a.cls has no image", "d/a.jpg"]),
            (members(&[("a.jpg", b"x"), ("a.png", b"x"), ("a.cls", b"1")]), vec!["a.jpg and a.png"]),
            (members(&[("notes.txt", b"x")]), vec!["no sample"]),
            (Box::new(|path| fs::write(path, "no tar").unwrap()), vec!["cannot be read at its beginning"]),
            (Box::new(|path| fs::write(path, [7; 4000]).unwrap()), vec!["cannot be read at its beginning"]),
            (
                Box::new(move |path| {
                    tar(path, &[("a.jpg", &image), ("a.cls", b"1"), ("b.jpg", &image), ("b.cls", b"1")]);
                    let whole = fs::read(path).unwrap();
                    fs::write(path, &whole[..512 * 4 + 2 * image.len()]).unwrap();
                }),
                vec!["truncated", "b.jpg"],
            ),
            (
                Box::new(|path| {
                    tar(path, &[("a.jpg", b"x"), ("a.cls", b"1")]);
                    fs::write(path, &fs::read(path).unwrap()[..512 * 4]).unwrap();
                }),
                vec!["truncated after the member a.cls", "no end mark"],
            ),
        ];
        for (breaks, wants) in cases {
            let dir = tempfile::tempdir().unwrap();
            breaks(&dir.path().join("train-7.tar"));
            let e = ShardIndex::new(dir.path(), Split::Train).unwrap_err().to_string();
            for want in wants.into_iter().chain(["train-7.tar"]) {
                assert!(e.contains(want), "{want:?} not in {e}");
            }
        }
        let dir = tempfile::tempdir().unwrap();
        tar(&dir.path().join("val-0.tar"), &[("a.jpg", b"x"), ("a.cls", b"2")]);
        fs::write(dir.path().join("classes.txt"), "cat\ndog\n").unwrap();
        let e = ShardIndex::new(dir.path(), Split::Test).unwrap_err().to_string();
        assert!(e.contains("classes.txt") && e.contains("2 classes") && e.contains("val-0.tar/a.jpg"), "{e}");
        let e = ShardIndex::new(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(e.contains("no train*.tar"), "{e}");
    }

    #[test]
    fn keys_end_at_the_first_dot_of_the_files_name() {
        for (name, want) in [
            ("a.jpg", ("a", "jpg")),
            ("v1.0/a.seg.PNG", ("v1.0/a", "png")),
            ("a", ("a", "")),
            ("./a.cls", ("./a", "cls")),
        ] {
            let (key, extension) = key_and_extension(name);
            assert_eq!((key, extension.as_str()), want);
        }
    }
}
