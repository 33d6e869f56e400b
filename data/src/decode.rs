//! Decoding JPEG and PNG files to RGB as `Image.open(path).convert("RGB")` of Pillow does.
//!
//! The format is read from the content, not the name (ImageNet has PNG files named `.JPEG`). Grey,
//! palette, CMYK (inverted, as Adobe writes it) and 16-bit images become 8-bit RGB, and alpha is dropped.
//! The JPEG decoder completes truncated files with grey; they are refused here instead, as Pillow refuses
//! them. `tests/pillow_images.py` records what Pillow does.
//!
//! Two habits of Pillow surprise, and published accuracies contain them: EXIF orientation is not applied
//! (torchvision's `ImageFolder` does not either), and 16-bit grey without alpha is cut off at 255, which
//! leaves white, where every other 16-bit image keeps its high byte.

use std::fs;
use std::path::Path;

use image::{DynamicImage, ImageFormat, ImageReader};

use crate::{DataError, Picture};

/// Reads and decodes an image file.
pub fn decode_file(path: &Path) -> Result<Picture, DataError> {
    let bytes = fs::read(path).map_err(DataError::io("read", path))?;
    decode(&bytes).map_err(|reason| DataError::decode(path, reason))
}

/// Decodes the content of an image file.
pub(crate) fn decode(bytes: &[u8]) -> Result<Picture, String> {
    if bytes.is_empty() {
        return Err("the file is empty (0 bytes)".to_owned());
    }
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => format,
        Ok(other) => return Err(format!("this is {other:?}; genas reads JPEG and PNG")),
        Err(_) => return Err(format!("not a JPEG or PNG image ({} bytes)", bytes.len())),
    };
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err(format!("the JPEG is truncated: no end marker in its {} bytes", bytes.len()));
    }
    let image = ImageReader::with_format(std::io::Cursor::new(bytes), format)
        .decode()
        .map_err(|e| format!("cannot decode ({} bytes): {e}", bytes.len()))?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    Ok(Picture { width, height, rgb: to_rgb(image) })
}

/// 8-bit RGB.
fn to_rgb(image: DynamicImage) -> Vec<u8> {
    let high = |v: u16| (v >> 8) as u8;
    match image {
        DynamicImage::ImageRgb8(i) => i.into_raw(),
        DynamicImage::ImageLuma16(i) => {
            i.into_raw().into_iter().flat_map(|v| [v.min(255) as u8; 3]).collect()
        }
        DynamicImage::ImageLumaA16(i) => i.into_raw().chunks_exact(2).flat_map(|p| [high(p[0]); 3]).collect(),
        DynamicImage::ImageRgb16(i) => i.into_raw().into_iter().map(high).collect(),
        DynamicImage::ImageRgba16(i) => {
            i.into_raw().chunks_exact(4).flat_map(|p| [high(p[0]), high(p[1]), high(p[2])]).collect()
        }
        other => other.into_rgb8().into_raw(),
    }
}

/// Whether the end-of-image marker follows the scans. Walks the marker segments, because
/// thumbnails inside them have end markers of their own.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (0xff, 0xd9) => return true,
            // A fill byte: the marker begins one later.
            (0xff, 0xff) => at += 1,
            // Compressed data, nearly all of a file: on to the next marker in blocks, which a fast search looks through.
            (..0xff, _) => {
                at += 1;
                while bytes.get(at..at + 32).is_some_and(|block| !block.contains(&0xff)) {
                    at += 32;
                }
            }
            // Stuffed zeros, TEM, restart and start markers have no length.
            (0xff, 0x00 | 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, _) => {
                let Some(length) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
        }
    }
    false
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageEncoder, Luma, LumaA, Rgba};

    /// The bytes of a JPEG with some detail.
    pub(crate) fn jpeg(width: usize, height: usize) -> Vec<u8> {
        let rgb: Vec<u8> = (0..width * height * 3).map(|i| (i * i / 7 % 256) as u8).collect();
        let mut out = Vec::new();
        JpegEncoder::new_with_quality(&mut out, 90)
            .write_image(&rgb, width as u32, height as u32, ExtendedColorType::Rgb8)
            .unwrap();
        out
    }

    fn png(image: DynamicImage) -> Vec<u8> {
        let mut out = std::io::Cursor::new(Vec::new());
        image.write_to(&mut out, ImageFormat::Png).unwrap();
        out.into_inner()
    }

    #[test]
    fn every_pixel_type_becomes_rgb() {
        for (value, byte) in [(0xfeffu16, 255), (0x0064, 100)] {
            let luma16 = image::ImageBuffer::from_pixel(2, 2, Luma([value]));
            assert_eq!(decode(&png(luma16.into())).unwrap().rgb, [byte; 12]);
        }
        let la = image::ImageBuffer::from_pixel(2, 2, LumaA([77u8, 3]));
        assert_eq!(decode(&png(la.into())).unwrap().rgb, [77; 12]);
        let rgba16 = image::ImageBuffer::from_pixel(1, 1, Rgba([0x01ffu16, 0x02ff, 0x03ff, 0]));
        assert_eq!(decode(&png(rgba16.into())).unwrap().rgb, [1, 2, 3]);
        let jpeg = decode(&jpeg(20, 10)).unwrap();
        assert_eq!((jpeg.width, jpeg.height, jpeg.rgb.len()), (20, 10, 600));
    }

    #[test]
    fn broken_content_is_refused() {
        let whole = jpeg(64, 64);
        let small = png(DynamicImage::new_rgb8(40, 40));
        for (bytes, says) in [
            (&b""[..], "empty"),
            (b"this is a text, not a photo", "not a JPEG or PNG image (27 bytes)"),
            (&whole[..whole.len() / 2], "truncated"),
            (&whole[..whole.len() - 2], "truncated"),
            (&whole[..20], "truncated"),
            (&whole[..3], "truncated"),
            (&small[..small.len() - 20], "cannot decode"),
            (b"GIF89a\0\0\0\0\0\0", "Gif"),
        ] {
            let e = decode(bytes).unwrap_err();
            assert!(e.contains(says), "{says:?} not in {e:?}");
        }
        let mut trailing = whole.clone();
        trailing.extend(b"garbage after the end");
        assert!(decode(&trailing).is_ok());
    }
}
