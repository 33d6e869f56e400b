//! Real photos, where `GENAS_SHARED` names the folder that holds `data/`.

use std::path::PathBuf;

use genas_data::{Dataset, EvalSource, EvalTransform, Kind, Normalization, Split, open};

/// The folder of a real data set, or a line that says why the test is passed over.
fn shared(name: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("GENAS_SHARED") else {
        eprintln!("skipped: set GENAS_SHARED to the folder that holds data/{name}");
        return None;
    };
    let dir = PathBuf::from(root).join("data").join(name);
    if !dir.is_dir() {
        eprintln!("skipped: {} is not there", dir.display());
        return None;
    }
    Some(dir)
}

fn folder(name: &str) -> Option<genas_data::ImageFolder> {
    match open(&shared(name)?) {
        Ok(Dataset::Folder(folder)) => Some(folder),
        other => panic!("{name} was recognised as {other:?}"),
    }
}

#[test]
fn imagenet_photos_are_indexed_and_transformed() {
    let Some(folder) = folder("imagenet1k-sample") else { return };
    let mut index = folder.index(Split::Test).unwrap();
    assert_eq!((index.len(), index.classes.len()), (1000, 1000));
    assert_eq!(index.classes[0], "n01440764");
    index.files.truncate(20);
    let transform = EvalTransform { resize: 256, crop: 224, normalization: Normalization::IMAGENET };
    let source = EvalSource::from_index(&index, transform, 8).unwrap();
    let batches: Vec<_> = source.batches().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|b| b.len()).sum::<usize>(), 20);
    let values: Vec<f32> = batches.into_iter().flat_map(|b| b.images).collect();
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    assert!(mean.abs() < 0.5, "photos are near mean 0 after normalisation, not {mean}");
}

#[test]
fn tiny_imagenet_fits_into_memory() {
    let Some(folder) = folder("tiny-imagenet-subset") else { return };
    let index = folder.index(Split::Train).unwrap();
    let set = index.resident(64, "tiny-imagenet").unwrap();
    assert_eq!((set.len(), set.n_classes(), set.height), (index.len(), 13, 64));
}

#[test]
fn cifar10_has_its_published_size() {
    let Some(dir) = shared("cifar10") else { return };
    // The shared copy is packed; `unpack_cifar.py` writes the binary layout elsewhere.
    match open(&dir) {
        Ok(dataset) => {
            assert_eq!(dataset.kind(), Kind::Cifar10);
            assert_eq!(dataset.load(Split::Train, 32).unwrap().len(), 50_000);
        }
        Err(_) => eprintln!("skipped: {} is not in the binary layout", dir.display()),
    }
}
