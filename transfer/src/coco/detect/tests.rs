//! A detector of a few constants on generated images.

use std::cell::Cell;
use std::fs;

use image::{ImageBuffer, Rgb};

use super::*;
use crate::coco::draw::{DrawOptions, draw_split};
use crate::coco::{evaluate, read_results, write_results};
use crate::testing::{end_to_end, metadata, raw};

const ANY: [Option<usize>; 4] = [None, Some(3), None, None];
const IMAGES: usize = 7;

/// Images that grow brighter, with ids that fall, each with a cat of 16 x 12 pixels at (8, 8).
fn coco(dir: &Path, classes: &str) -> Annotations {
    for i in 0..IMAGES {
        let grey = Rgb([30 * (i as u8 + 1); 3]);
        ImageBuffer::from_pixel(40, 20 + i as u32, grey).save(dir.join(format!("{i}.png"))).unwrap();
    }
    let images = (0..IMAGES).map(|i| {
        format!(r#"{{"id": {}, "file_name": "{i}.png", "width": 40, "height": {}}}"#, 90 - i, 20 + i)
    });
    let objects = (0..IMAGES).map(|i| {
        format!(r#"{{"id": {i}, "image_id": {}, "category_id": 3, "bbox": [8, 8, 16, 12]}}"#, 90 - i)
    });
    let text = format!(
        r#"{{"images": [{}], "annotations": [{}], "categories": [{classes}]}}"#,
        images.collect::<Vec<_>>().join(","),
        objects.collect::<Vec<_>>().join(",")
    );
    Annotations::parse(Path::new("gt.json"), text.as_bytes()).unwrap()
}

const CLASSES: &str = r#"{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}"#;

fn run(
    bytes: &[u8],
    annotations: &Annotations,
    dir: &Path,
    threads: usize,
    progress: &dyn Fn(usize, usize) -> ControlFlow<()>,
) -> Result<Detections> {
    genas_runtime::ensure(&|_| {}).unwrap();
    let options =
        SessionOptions { provider: Provider::Cpu, intra_threads: threads, ..SessionOptions::default() };
    let open = |options: &SessionOptions| Detector::from_bytes("d.onnx", bytes, options);
    detect_split(open, annotations, dir, &options, progress)
}

const ON: &dyn Fn(usize, usize) -> ControlFlow<()> = &|_, _| ControlFlow::Continue(());

#[test]
fn every_image_is_searched_whatever_the_threads() {
    let dir = tempfile::tempdir().unwrap();
    let annotations = coco(dir.path(), CLASSES);
    // Pictures of 40 x 20 are shown as they are.
    let objects = [([8.0, 8.0, 24.0, 20.0], 0, 1.0), ([1.0, 2.0, 5.0, 7.5], 1, -1.0)];
    let bytes = end_to_end(&objects, ANY, &metadata());
    let steps = Cell::new(0);
    let counted = |done: usize, total: usize| {
        steps.set(steps.get().max(done));
        assert_eq!(total, IMAGES);
        ControlFlow::Continue(())
    };
    let one = run(&bytes, &annotations, dir.path(), 1, &counted).unwrap();
    assert_eq!((one.images, one.provider, steps.get()), (IMAGES, Provider::Cpu, IMAGES));
    let ids: Vec<_> = one.detections.iter().map(|d| (d.image_id, d.category_id)).collect();
    let want: Vec<_> = (0..IMAGES as i64).flat_map(|i| [(90 - i, 3), (90 - i, 9)]).collect();
    assert_eq!(ids, want);
    assert_eq!(one.detections[0].bbox, [8.0, 8.0, 16.0, 12.0]);
    assert!(one.detections[2].score > one.detections[0].score);
    for threads in [2, 5, 64] {
        assert_eq!(run(&bytes, &annotations, dir.path(), threads, ON).unwrap().detections, one.detections);
    }
    let numbers = run(&raw(&objects, ANY, &metadata()), &annotations, dir.path(), 3, ON).unwrap();
    for (a, b) in numbers.detections.iter().zip(&one.detections) {
        assert_eq!((a.image_id, a.category_id, a.bbox), (b.image_id, b.category_id, b.bbox));
        assert!((a.score - b.score).abs() < 1e-6);
    }
    // Written, read and evaluated: the same numbers.
    let path = dir.path().join("new folder/found.json");
    write_results(&path, &one.detections).unwrap();
    let read = read_results(&path, &annotations).unwrap();
    assert_eq!(read, one.detections);
    assert_eq!(evaluate(&annotations, &read), evaluate(&annotations, &one.detections));

    let options = DrawOptions { images: 2, score_above: 0.5 };
    let drawn =
        draw_split(&annotations, dir.path(), &one.detections, &dir.path().join("drawn"), &options).unwrap();
    let names: Vec<_> = drawn.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["0.png", "1.png"]);
    let picture = genas_data::decode_file(&drawn[1]).unwrap();
    assert_eq!((picture.width, picture.height), (40, 21));
}

#[test]
fn broken_images_and_interruptions_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let annotations = coco(dir.path(), CLASSES);
    let bytes = end_to_end(&[([8.0, 8.0, 24.0, 20.0], 0, 1.0)], ANY, &metadata());
    let stop = |done: usize, _: usize| {
        if done < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    for threads in [1, 3] {
        let stopped = run(&bytes, &annotations, dir.path(), threads, &stop);
        assert!(matches!(stopped, Err(TransferError::Interrupted)));
    }
    fs::remove_file(dir.path().join("5.png")).unwrap();
    fs::write(dir.path().join("3.png"), "text").unwrap();
    for (file, parts) in [("3.png", "not a JPEG"), ("5.png", "cannot read")] {
        for threads in [1, 4] {
            let said = run(&bytes, &annotations, dir.path(), threads, ON).unwrap_err().to_string();
            assert!(said.contains(file) && said.contains(parts), "{said}");
        }
        ImageBuffer::from_pixel(40, 23, Rgb([9u8; 3])).save(dir.path().join("3.png")).unwrap();
    }
}

#[test]
fn classes_are_matched_by_name_or_by_id() {
    let dir = tempfile::tempdir().unwrap();
    let info = DetectorInfo::from_metadata(
        &metadata().into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    )
    .unwrap();
    for (classes, want) in [
        (CLASSES, Some(vec![3, 9])),
        (r#"{"id": 1, "name": "dog"}, {"id": 2, "name": "cow"}, {"id": 7, "name": "cat"}"#, Some(vec![7, 1])),
        (r#"{"id": 9, "name": "Hund"}, {"id": 3, "name": "Katze"}"#, Some(vec![3, 9])),
        (r#"{"id": 9, "name": "Hund"}, {"id": 4, "name": "Katze"}"#, None),
        (r#"{"id": 3, "name": "a"}, {"id": 9, "name": "b"}, {"id": 10, "name": "c"}"#, None),
    ] {
        let annotations = coco(dir.path(), classes);
        let annotations = Annotations { objects: Vec::new(), ..annotations };
        match (category_ids(&info, &annotations), want) {
            (Ok(ids), Some(want)) => assert_eq!(ids, want),
            (Err(error), None) => {
                let said = error.to_string();
                assert!(said.contains("3 cat, 9 dog") && said.contains("gt.json"), "{said}");
            }
            (found, want) => panic!("{classes}: {found:?}, not {want:?}"),
        }
    }
}
