//! [`LabelMap`]: a class for every pixel, read from a PNG of one channel.
//!
//! The values of an 8-bit grey PNG and the indices of a palette PNG are the labels, as in Pillow's
//! `np.asarray(Image.open(path))`. Everything else is refused: other programs disagree about what its values are.

use std::fs;
use std::path::Path;

use png::{BitDepth, ColorType, Decoder};

use super::ClassTable;
use crate::DataError;

/// A label for every pixel: values of a file, or train ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    /// Pixels per row.
    pub width: usize,
    /// Pixels per column.
    pub height: usize,
    /// Row by row.
    pub labels: Vec<u8>,
}

impl LabelMap {
    /// Reads the values of a file.
    ///
    /// # Errors
    ///
    /// If it is no PNG, damaged, or has not one channel of up to 8 bits.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let bytes = fs::read(path).map_err(DataError::io("read", path))?;
        if !bytes.starts_with(b"\x89PNG") {
            let problem = format!("labels must be a PNG, which this is not ({} bytes)", bytes.len());
            return Err(DataError::broken(
                path,
                problem,
                "save label files as PNG: other formats change values",
            ));
        }
        let damaged = |e: &dyn ToString| DataError::decode(path, e.to_string());
        let mut reader = Decoder::new(std::io::Cursor::new(&bytes)).read_info().map_err(|e| damaged(&e))?;
        let (width, height) = reader.info().size();
        let (width, height) = (width as usize, height as usize);
        let bits = match (reader.info().color_type, reader.info().bit_depth) {
            (ColorType::Grayscale, BitDepth::Eight) => 8,
            (ColorType::Indexed, depth) => depth as usize,
            (color, depth) => {
                let color = match color {
                    ColorType::Grayscale => "grey",
                    ColorType::GrayscaleAlpha => "grey with alpha",
                    ColorType::Rgba => "RGB with alpha",
                    _ => "RGB",
                };
                return Err(DataError::broken(
                    path,
                    format!(
                        "labels are one value per pixel, but this is {color} of {} bits a channel",
                        depth as usize
                    ),
                    "save class numbers as 8-bit grey or as a palette PNG; colours that mean classes must be turned into \
                     numbers first",
                ));
            }
        };
        let size = reader.output_buffer_size().ok_or_else(|| damaged(&"it is too large"))?;
        let mut packed = vec![0; size];
        reader.next_frame(&mut packed).map_err(|e| damaged(&e))?;
        // Pixels behind the picture are read too, so that a file cut off at its end is noticed.
        reader.finish().map_err(|e| damaged(&e))?;
        let labels = if bits == 8 { packed } else { unpacked(&packed, width, bits) };
        Ok(Self { width, height, labels })
    }

    /// Reads the train ids of a file.
    ///
    /// # Errors
    ///
    /// As [`Self::read`], and if a value does not stand in the table.
    pub fn read_train_ids(path: &Path, classes: &ClassTable) -> Result<Self, DataError> {
        let read = Self::read(path)?;
        Ok(Self { labels: classes.train_ids(read.labels, path)?, ..read })
    }
}

/// One byte for each of the pixels that rows of whole bytes hold, the first in the highest bits.
fn unpacked(packed: &[u8], width: usize, bits: usize) -> Vec<u8> {
    let per_byte = 8 / bits;
    let mask = (1u8 << bits) - 1;
    let row = |row: &[u8]| -> Vec<u8> {
        (0..width).map(|x| row[x / per_byte] >> (8 - bits - x % per_byte * bits) & mask).collect()
    };
    packed.chunks_exact(width.div_ceil(per_byte)).flat_map(row).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A PNG of packed samples.
    pub(crate) fn png(size: [usize; 2], color: ColorType, depth: BitDepth, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, size[0] as u32, size[1] as u32);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette(
                (0..=255).flat_map(|v| [v, 255 - v, 7]).take(3 << depth as usize).collect::<Vec<u8>>(),
            );
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    }

    #[test]
    fn grey_values_and_palette_indices_are_labels() {
        use {BitDepth::*, ColorType::*};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        for (color, depth, data, want) in [
            (Grayscale, Eight, &[0, 7, 255, 1, 2, 3][..], [0, 7, 255, 1, 2, 3]),
            (Indexed, Eight, &[0, 7, 255, 1, 2, 3], [0, 7, 255, 1, 2, 3]),
            (Indexed, Four, &[0x1f, 0x30, 0x25, 0xe0], [1, 15, 3, 2, 5, 14]),
            (Indexed, Two, &[0b0111_1000, 0b1001_0000], [1, 3, 2, 2, 1, 0]),
            (Indexed, One, &[0b1010_0000, 0b0110_0000], [1, 0, 1, 0, 1, 1]),
        ] {
            fs::write(&path, png([3, 2], color, depth, data)).unwrap();
            let read = LabelMap::read(&path).unwrap();
            assert_eq!(read, LabelMap { width: 3, height: 2, labels: want.to_vec() }, "{color:?} {depth:?}");
        }
    }

    #[test]
    fn other_files_are_refused() {
        use {BitDepth::*, ColorType::*};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let whole =
            png([40, 30], Grayscale, Eight, &(0..1200).map(|v| (v * v % 251) as u8).collect::<Vec<_>>());
        for (bytes, part) in [
            (png([1, 1], Rgb, Eight, &[1, 2, 3]), "RGB of 8 bits"),
            (png([1, 1], Rgba, Eight, &[1, 2, 3, 4]), "RGB with alpha"),
            (png([1, 1], Grayscale, Sixteen, &[1, 2]), "grey of 16 bits"),
            (png([1, 1], Grayscale, Four, &[0x10]), "grey of 4 bits"),
            (png([1, 1], GrayscaleAlpha, Eight, &[1, 2]), "grey with alpha"),
            (crate::decode::tests::jpeg(8, 8), "must be a PNG"),
            (Vec::new(), "must be a PNG, which this is not (0 bytes)"),
            (whole[..whole.len() / 2].to_vec(), "replace the file"),
            (whole[..20].to_vec(), "replace the file"),
        ] {
            fs::write(&path, bytes).unwrap();
            let e = LabelMap::read(&path).unwrap_err().to_string();
            assert!(e.contains("a.png: ") && e.contains(part), "{part}: {e}");
        }
    }
}
