//! Photos made small and put into the page: a report must stay small enough for an e-mail.

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageReader, Limits, imageops::FilterType};

/// Quality of the photos in the page.
const QUALITY: u8 = 82;
/// Photos with more pixels on a side are not opened.
const LARGEST_SIDE: u32 = 20_000;

/// A picture as part of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// A `data:` address.
    pub uri: String,
    /// Its width and height in pixels.
    pub size: [u32; 2],
}

/// How many bytes of pictures a page may still take.
#[derive(Debug)]
pub struct Budget {
    left: usize,
    /// Pictures for which there was no room.
    pub left_out: usize,
}

impl Budget {
    /// For so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { left: bytes, left_out: 0 }
    }

    /// Takes a picture in, if there is room for it.
    pub fn take(&mut self, picture: Embedded) -> Option<Embedded> {
        if picture.uri.len() > self.left {
            self.left_out += 1;
            return None;
        }
        self.left -= picture.uri.len();
        Some(picture)
    }
}

/// Reads a photo and makes it at most `width` pixels wide.
///
/// # Errors
///
/// In words, if it is no photo.
pub fn photo(path: &Path, width: u32) -> Result<Embedded, String> {
    let mut reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|e| format!("cannot be read: {e}"))?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LARGEST_SIDE), Some(LARGEST_SIDE));
    reader.limits(limits);
    let image = reader.decode().map_err(|e| format!("is no picture, or damaged: {e}"))?;
    let image =
        if image.width() > width { image.resize(width, u32::MAX, FilterType::Triangle) } else { image };
    let image = DynamicImage::ImageRgb8(image.to_rgb8());
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
        .map_err(|e| format!("cannot be written as JPEG: {e}"))?;
    let uri = format!("data:image/jpeg;base64,{}", base64(bytes.get_ref()));
    Ok(Embedded { uri, size: [image.width(), image.height()] })
}

/// An SVG file as an address. As a picture of its own it can neither run scripts nor reach anything, and its styles do not
/// meet those of the page.
pub fn drawing(svg: &[u8]) -> String {
    format!("data:image/svg+xml;base64,{}", base64(svg))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_as_text() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn photos_are_made_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        image::RgbaImage::from_pixel(800, 400, image::Rgba([200, 10, 10, 255])).save(&path).unwrap();
        let small = photo(&path, 200).unwrap();
        assert_eq!(small.size, [200, 100]);
        assert!(small.uri.starts_with("data:image/jpeg;base64,/9j/") && small.uri.len() < 8000);
        assert_eq!(photo(&path, 1000).unwrap().size, [800, 400]);
        std::fs::write(&path, "text").unwrap();
        assert!(photo(&path, 200).unwrap_err().contains("no picture"));
        assert!(photo(&dir.path().join("b.png"), 200).unwrap_err().contains("cannot be read"));
        let mut budget = Budget::new(small.uri.len());
        assert!(budget.take(small.clone()).is_some() && budget.take(small).is_none());
        assert_eq!(budget.left_out, 1);
    }
}
