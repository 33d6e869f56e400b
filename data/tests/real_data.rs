//! Real photos, where `GENAS_SHARED` names the folder that holds `data/`.

use std::path::PathBuf;

use genas_data::segmentation::{
    ClassTable, IGNORED, LabelMap, SegmentationDataConfig, SegmentationFolder, SegmentationTest,
    SegmentationTrainSet,
};
use genas_data::{
    Dataset, EvalSource, EvalTransform, GroundTruth, Kind, Nb201Set, Normalization, Split, check, open,
};
use genas_space::Streams;

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

#[test]
fn camvid_is_paired_read_and_trained_on() {
    let Some(dir) = shared("camvid") else { return };
    let report = check(&dir).unwrap();
    // Without a class table: 11 classes and void.
    assert_eq!((report.kind, report.n_images, report.n_classes), (Kind::Segmentation, 240, 12));
    assert_eq!(report.bad, []);
    let folder = SegmentationFolder::find(&dir).unwrap();
    assert_eq!(folder.splits(), ["train", "val", "test"]);
    assert_eq!(["train", "val", "test"].map(|split| folder.pairs(split).unwrap().len()), [120, 40, 80]);
    assert!(folder.classes().unwrap_err().to_string().contains("camvid"));

    let classes = ClassTable::camvid();
    let config = SegmentationDataConfig {
        scale_width: 480,
        scale_height: 360,
        crop_height: 180,
        crop_width: 240,
        ..SegmentationDataConfig::default()
    };
    let open = |classes| {
        let streams = Streams::new(1);
        SegmentationTrainSet::open(
            &folder,
            "train",
            classes,
            config.clone(),
            &Normalization::IMAGENET,
            streams,
        )
    };
    let set = open(classes.clone()).unwrap();
    let pixels = set.pixels_of_classes().unwrap();
    assert!(
        pixels.len() == 11 && pixels.iter().all(|class| class.own > 10_000 && class.with > class.own),
        "{pixels:?}"
    );
    let batch = set.batch(0, &set.order(4).batch()).unwrap();
    assert_eq!((batch.n, batch.height, batch.width, batch.images.len()), (4, 180, 240, 4 * 3 * 180 * 240));
    assert!(batch.labels.iter().all(|id| (0..11).contains(id) || *id == 255));
    assert!(batch.labelled() > batch.labels.len() / 3, "{}", batch.labelled());
    let error = open(ClassTable::cityscapes()).unwrap().batch(0, &[0]);
    assert!(error.is_ok(), "0 to 11 are Cityscapes' ids too");
    let few = ClassTable::new(classes.classes()[..3].to_vec(), vec![11]).unwrap();
    let error = open(few).unwrap().batch(0, &[0]).unwrap_err().to_string();
    assert!(
        error.contains("trainannot") && error.contains("value ") && error.contains("classes.toml"),
        "{error}"
    );
}

#[test]
fn a_real_cityscapes_frame_is_mapped_as_officially() {
    let Some(dir) = shared("cityscapes-sample") else { return };
    let report = check(&dir).unwrap();
    assert_eq!((report.kind, report.n_images, report.n_classes), (Kind::Cityscapes, 1, 19));
    assert_eq!(report.bad, []);
    let folder = SegmentationFolder::find(&dir).unwrap();
    let pairs = folder.pairs("val").unwrap();
    assert_eq!(pairs[0].name, "frankfurt_000000_000294");
    let classes = folder.classes().unwrap();
    let labels = pairs[0].train_ids(&classes).unwrap();
    // The same frame's official train ids. Both files were made smaller, each for itself: some borders differ.
    let official = dir.join("gtFine/frankfurt_000000_000294_gtFine_labelTrainIds.png");
    let official = LabelMap::read(&official).unwrap();
    assert_eq!((labels.width, labels.height), (official.width, official.height));
    let differ = labels.labels.iter().zip(&official.labels).filter(|(ours, theirs)| ours != theirs).count();
    assert!(1000 * differ < 3 * labels.labels.len(), "{differ}");
    assert!(labels.labels.contains(&IGNORED));
    let picture = pairs[0].picture(&labels).unwrap();
    let input = SegmentationTest::new(&Normalization::IMAGENET).apply(&picture).unwrap();
    assert_eq!((input.size, input.values.len()), ([256, 128], 3 * 256 * 128));

    // The table of helpers/labels.py: name, id, train id, ..., r, g, b.
    let table = std::fs::read_to_string(dir.join("labels.tsv")).unwrap();
    let mut found = 0;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |n: usize| fields[n].parse::<i32>().unwrap();
        // -1 is 255 in a byte, and ignored.
        let (id, train_id) = (number(1) as u8, if number(2) < 0 { IGNORED } else { number(2) as u8 });
        assert_eq!(classes.train_ids(vec![id], &dir).unwrap(), [train_id], "{line}");
        if train_id == IGNORED {
            continue;
        }
        let class = &classes.classes()[usize::from(train_id)];
        let color = [7, 8, 9].map(|n| number(n) as u8);
        assert_eq!((class.name.as_str(), &class.labels[..], class.color), (fields[0], &[id][..], color));
        found += 1;
    }
    assert_eq!(found, 19);
}

#[test]
fn the_ground_truth_of_nas_bench_201_has_its_published_maxima() {
    let Some(dir) = shared("nb201") else { return };
    let truth = GroundTruth::read(&dir).unwrap();
    for (set, best, cells) in [
        (Nb201Set::Cifar10, 94.3733, &[6111, 13_714][..]),
        (Nb201Set::Cifar100, 73.5133, &[9930][..]),
        (Nb201Set::Imagenet16, 47.3111, &[857][..]),
    ] {
        let accuracies = truth.accuracies(set).unwrap();
        assert_eq!(accuracies.iter().copied().fold(0.0, f64::max), best);
        let found: Vec<usize> = (0..accuracies.len()).filter(|&index| accuracies[index] == best).collect();
        assert_eq!(found, cells);
    }
    assert_eq!(truth.names().count(), 9);
}
