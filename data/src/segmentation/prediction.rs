//! Predictions as files: label ids, colours, and colours over the image.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::{ClassTable, LabelMap};
use crate::{DataError, Picture};

/// How much of an image its classes' colours cover, as in most publications.
pub const OVERLAY_OPACITY: f32 = 0.5;

impl LabelMap {
    /// Train ids as an 8-bit grey PNG of label ids, which the official evaluators take. Pixels without a class become
    /// `otherwise`.
    pub fn label_png(&self, classes: &ClassTable, otherwise: u8) -> Vec<u8> {
        png(&classes.label_ids(&self.labels, otherwise), self.width, self.height, ExtendedColorType::L8)
    }

    /// Train ids in the classes' colours; black where there is no class.
    pub fn colored(&self, classes: &ClassTable) -> Picture {
        let colors = classes.colors();
        let rgb = self.labels.iter().flat_map(|&id| colors[usize::from(id)]).collect();
        Picture { width: self.width, height: self.height, rgb }
    }

    /// Train ids in the classes' colours over the picture, with this opacity from 0 to 1; pixels without a class show the
    /// picture. Both must have one size.
    pub fn over(&self, picture: &Picture, classes: &ClassTable, opacity: f32) -> Picture {
        assert_eq!(
            (picture.width, picture.height),
            (self.width, self.height),
            "an overlay has its picture's size"
        );
        let (colors, mut rgb) = (classes.colors(), picture.rgb.clone());
        for (pixel, &id) in rgb.chunks_exact_mut(3).zip(&self.labels) {
            if usize::from(id) >= classes.len() {
                continue;
            }
            for (value, color) in pixel.iter_mut().zip(colors[usize::from(id)]) {
                let (below, above) = (f32::from(*value), f32::from(color));
                *value = (below + (above - below) * opacity.clamp(0.0, 1.0)).round() as u8;
            }
        }
        Picture { width: self.width, height: self.height, rgb }
    }
}

impl Picture {
    /// As an RGB PNG.
    pub fn png(&self) -> Vec<u8> {
        png(&self.rgb, self.width, self.height, ExtendedColorType::Rgb8)
    }
}

fn png(bytes: &[u8], width: usize, height: usize, color: ExtendedColorType) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    PngEncoder::new(&mut out)
        .write_image(bytes, width as u32, height as u32, color)
        .unwrap_or_else(|e| panic!("a PNG of {} bytes for {width} x {height} pixels: {e}", bytes.len()));
    out.into_inner()
}

/// Writes a file as a whole or not at all, and its folder if that is missing: predictions of an interrupted run are
/// never half a file.
///
/// # Errors
///
/// If that is not possible.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(DataError::io("create", folder))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = folder.join(format!(".{name}.unfinished-{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|source| {
        // Nothing is left to tell if this fails.
        let _ = fs::remove_file(&unfinished);
        DataError::io("write", path)(source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;

    #[test]
    fn predictions_are_written_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let classes = ClassTable::cityscapes();
        let map = LabelMap { width: 3, height: 2, labels: vec![0, 18, 13, 10, 255, 200] };
        let path = dir.path().join("deep/folder/a.png");
        write_whole(&path, &map.label_png(&classes, 0)).unwrap();
        assert_eq!(LabelMap::read(&path).unwrap().labels, [7, 33, 26, 23, 0, 0]);
        assert_eq!(LabelMap::read_train_ids(&path, &classes).unwrap().labels, [0, 18, 13, 10, 255, 255]);
        write_whole(&path, &map.label_png(&classes, 255)).unwrap();
        assert_eq!(LabelMap::read(&path).unwrap().labels[4..], [255, 255]);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing unfinished is left");
        let colored = map.colored(&classes);
        assert_eq!(colored.rgb[..6], [128, 64, 128, 119, 11, 32]);
        assert_eq!(colored.rgb[12..], [0; 6]);
        let picture = Picture { width: 3, height: 2, rgb: vec![100; 18] };
        let over = map.over(&picture, &classes, OVERLAY_OPACITY);
        assert_eq!(over.rgb[..3], [114, 82, 114]);
        assert_eq!(over.rgb[12..], [100; 6]);
        assert_eq!(map.over(&picture, &classes, 1.0).rgb[..12], colored.rgb[..12]);
        assert_eq!(decode(&over.png()).unwrap(), over);
        let e = write_whole(&path.join("below.png"), b"x").unwrap_err().to_string();
        assert!(e.contains("cannot create") && e.contains("a.png"), "{e}");
    }
}
