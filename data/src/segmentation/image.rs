//! Reading a pair: the image beside its labels, and no more of it than is needed.

use std::fs;

use image::ImageFormat;
use png::{BitDepth, ColorType, Decoder};

use super::{ClassTable, LabelMap, SegmentationPair};
use crate::decode::decode;
use crate::{DataError, Picture};

impl SegmentationPair {
    /// The labels as train ids.
    ///
    /// # Errors
    ///
    /// As [`LabelMap::read_train_ids`].
    pub fn train_ids(&self, classes: &ClassTable) -> Result<LabelMap, DataError> {
        LabelMap::read_train_ids(&self.labels, classes)
    }

    /// The image.
    ///
    /// # Errors
    ///
    /// If it cannot be read or has another size than the labels.
    pub fn picture(&self, labels: &LabelMap) -> Result<Picture, DataError> {
        self.first_rows(labels, labels.height)
    }

    /// The image's first `rows`.
    ///
    /// The rows of an RGB PNG are decoded until there are enough. JPEG files and other PNGs are decoded as a whole: of
    /// JPEG the decoder offers neither parts nor smaller scales, and a smaller scale would not be OpenCV's resizing.
    ///
    /// # Errors
    ///
    /// If they cannot be read or the image has another size than the labels.
    pub(super) fn first_rows(&self, labels: &LabelMap, rows: usize) -> Result<Picture, DataError> {
        let path = &self.image;
        let bytes = fs::read(path).map_err(DataError::io("read", path))?;
        let read = png_rows(&bytes, rows).unwrap_or_else(|| {
            let picture = decode(&bytes)?;
            let size = [picture.width, picture.height];
            Ok((picture, size))
        });
        let (picture, size) = read.map_err(|reason| DataError::decode(path, reason))?;
        if size != [labels.width, labels.height] {
            return Err(self.sizes_differ(size, labels));
        }
        Ok(picture)
    }

    fn sizes_differ(&self, [width, height]: [usize; 2], labels: &LabelMap) -> DataError {
        DataError::broken(
            &self.labels,
            format!(
                "the labels are {} x {} pixels, but the image {} is {width} x {height}",
                labels.width,
                labels.height,
                self.image.display()
            ),
            "give labels of the image's size",
        )
    }
}

/// The first rows of a PNG whose rows are RGB bytes one after the other, and the width and height of the whole; `None`
/// of other files, and of all rows. What follows the rows is not looked at; `genas data check` reads everything.
fn png_rows(bytes: &[u8], rows: usize) -> Option<Result<(Picture, [usize; 2]), String>> {
    if !matches!(image::guess_format(bytes), Ok(ImageFormat::Png)) {
        return None;
    }
    let mut reader = Decoder::new(std::io::Cursor::new(bytes)).read_info().ok()?;
    let info = reader.info();
    let size = [info.width as usize, info.height as usize];
    let plain =
        (info.color_type, info.bit_depth, info.interlaced) == (ColorType::Rgb, BitDepth::Eight, false);
    if !plain || rows >= size[1] {
        return None;
    }
    let mut rgb = Vec::with_capacity(3 * size[0] * rows);
    for _ in 0..rows {
        match reader.next_row() {
            Ok(Some(row)) => rgb.extend_from_slice(row.data()),
            Ok(None) => return Some(Err("the PNG ends too early".to_owned())),
            Err(e) => return Some(Err(format!("cannot decode ({} bytes): {e}", bytes.len()))),
        }
    }
    Some(Ok((Picture { width: size[0], height: rows, rgb }, size)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::tests::jpeg;
    use crate::segmentation::label_map::tests::png;

    #[test]
    fn first_rows_are_those_of_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        let pair = SegmentationPair {
            name: "a".to_owned(),
            image: dir.path().join("a.png"),
            labels: dir.path().join("a_labels.png"),
        };
        let labels = LabelMap { width: 30, height: 20, labels: vec![0; 600] };
        let rgb: Vec<u8> = (0..1800).map(|v| (v * v / 7 % 256) as u8).collect();
        let whole = png([30, 20], ColorType::Rgb, BitDepth::Eight, &rgb);
        for (bytes, partial) in [
            (whole.clone(), true),
            (png([30, 20], ColorType::Grayscale, BitDepth::Eight, &rgb[..600]), false),
            (png([30, 20], ColorType::Indexed, BitDepth::Eight, &rgb[..600]), false),
            (jpeg(30, 20), false),
        ] {
            fs::write(&pair.image, &bytes).unwrap();
            let all = pair.picture(&labels).unwrap();
            assert_eq!(all, decode(&bytes).unwrap());
            let top = pair.first_rows(&labels, 7).unwrap();
            assert_eq!(top.height, if partial { 7 } else { 20 });
            assert_eq!(top.rgb[..], all.rgb[..top.rgb.len()]);
        }
        let other = LabelMap { width: 30, height: 19, labels: vec![0; 570] };
        fs::write(&pair.image, &whole).unwrap();
        for rows in [3, 19] {
            let e = pair.first_rows(&other, rows).unwrap_err().to_string();
            assert!(
                e.contains("a_labels.png: ") && e.contains("30 x 19 pixels") && e.contains("is 30 x 20"),
                "{e}"
            );
        }
        for (bytes, part) in
            [(&whole[..90], "a.png: cannot decode"), (b"", "empty"), (b"text", "not a JPEG or PNG")]
        {
            fs::write(&pair.image, bytes).unwrap();
            for rows in [7, 20] {
                let e = pair.first_rows(&labels, rows).unwrap_err().to_string();
                assert!(e.contains(part), "{e}");
            }
        }
    }
}
