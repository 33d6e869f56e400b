//! [`ContactSheet`]: the first pictures of a split with true and predicted classes, on one page.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use genas_data::Picture;
use genas_data::segmentation::{ClassTable, LabelMap, SegmentationPair, write_whole};

use super::predictions::{GAP, beside, overlays};
use crate::canvas::Canvas;
use crate::error::{Result, TransferError};

/// Pixels around the letters of headings and of the legend.
const MARGIN: i64 = 4;
/// What stands above the columns.
const COLUMNS: [&str; 3] = ["picture", "truth", "prediction"];

/// A page in the making; threads of [`segment_split`](super::segment_split) add to it.
#[derive(Debug)]
pub struct ContactSheet<'a> {
    pairs: &'a [SegmentationPair],
    classes: &'a ClassTable,
    width: usize,
    /// By the position of the pair.
    rows: Mutex<BTreeMap<usize, Picture>>,
}

impl<'a> ContactSheet<'a> {
    /// Of the first `images` of `pairs`; each column is `width` pixels wide at most.
    pub fn new(pairs: &'a [SegmentationPair], images: usize, classes: &'a ClassTable, width: usize) -> Self {
        let pairs = &pairs[..images.min(pairs.len())];
        Self { pairs, classes, width: width.max(1), rows: Mutex::new(BTreeMap::new()) }
    }

    /// Adds a picture, if it is one of the first.
    ///
    /// # Errors
    ///
    /// If its labels cannot be read.
    pub fn add(&self, pair: &SegmentationPair, picture: &Picture, predicted: &LabelMap) -> Result<()> {
        let Some(n) = self.pairs.iter().position(|wanted| wanted == pair) else { return Ok(()) };
        let width = self.width.min(picture.width);
        let height = (picture.height * width).div_ceil(picture.width.max(1)).max(1);
        let smaller = |picture: &Picture| {
            picture.resized(width, height).map_err(|reason| {
                TransferError::Request(format!(
                    "{}: it cannot be made smaller: {reason}",
                    pair.image.display()
                ))
            })
        };
        let shown = overlays(pair, picture, predicted, self.classes)?;
        let shown = shown.iter().map(smaller).collect::<Result<Vec<_>>>()?;
        // What a thread that failed has added is whole.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).insert(n, beside(&shown));
        Ok(())
    }

    /// The page: headings, a row for each picture, and the classes' colours. Nothing if there are no pictures.
    pub fn page(&self) -> Option<Picture> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let width = rows.values().map(|row| row.width).max()?;
        let line = Canvas::text_size("x")[1] + 2 * MARGIN;
        let legend = self.legend(width as i64);
        let lines = 1 + legend.last().map_or(0, |entry| entry.line + 1);
        let height = rows.values().map(|row| row.height + GAP).sum::<usize>() + (line * lines) as usize;
        let mut canvas = Canvas::plain(width, height, [255; 3]);
        let column = (rows.values().next()?.width + GAP) / COLUMNS.len();
        for (n, heading) in COLUMNS.iter().enumerate() {
            canvas.text((n * column) as i64 + MARGIN, MARGIN, [255; 3], heading);
        }
        let mut top = line as usize;
        for row in rows.values() {
            canvas.paste(row, 0, top);
            top += row.height + GAP;
        }
        for entry in legend {
            let y = top as i64 + line * entry.line;
            canvas.fill([entry.left, y + 1, entry.width, line - 2], entry.class.color);
            canvas.text(entry.left + MARGIN, y + MARGIN, entry.class.color, &entry.class.name);
        }
        Some(canvas.0)
    }

    /// Writes the page as a PNG.
    ///
    /// # Errors
    ///
    /// If there are no pictures on it, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let page = self.page().ok_or_else(|| {
            TransferError::Request(format!(
                "{}: there is no picture to draw; ask for at least one",
                path.display()
            ))
        })?;
        Ok(write_whole(path, &page.png())?)
    }

    /// Where the names of the classes stand: line by line, as many as fit.
    fn legend(&self, width: i64) -> Vec<Entry<'_>> {
        let (mut left, mut line) = (0, 0);
        let mut entries = Vec::new();
        for class in self.classes.classes() {
            let needed = Canvas::text_size(&class.name)[0] + 2 * MARGIN;
            if left > 0 && left + needed > width {
                (left, line) = (0, line + 1);
            }
            entries.push(Entry { class, left, line, width: needed });
            left += needed + MARGIN;
        }
        entries
    }
}

struct Entry<'a> {
    class: &'a genas_data::segmentation::SegmentationClass,
    left: i64,
    line: i64,
    width: i64,
}

#[cfg(test)]
mod tests {
    use genas_data::segmentation::IGNORED;

    use super::*;

    #[test]
    fn the_first_pictures_stand_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let classes = ClassTable::camvid();
        let pairs: Vec<SegmentationPair> = (0..4)
            .map(|n| {
                let labels = dir.path().join(format!("{n}.png"));
                let truth = LabelMap { width: 400, height: 100, labels: vec![3; 40_000] };
                write_whole(&labels, &truth.label_png(&classes, IGNORED)).unwrap();
                SegmentationPair { name: n.to_string(), image: "i.png".into(), labels }
            })
            .collect();
        let sheet = ContactSheet::new(&pairs, 2, &classes, 200);
        assert!(sheet.page().is_none());
        assert!(
            sheet
                .write(&dir.path().join("page.png"))
                .unwrap_err()
                .to_string()
                .contains("page.png: there is no")
        );
        // In another order, as threads give them, and more than wanted.
        for n in [3, 1, 0] {
            let grey = 50 + 50 * n as u8;
            let picture = Picture { width: 400, height: 100, rgb: vec![grey; 120_000] };
            let seen = LabelMap { width: 400, height: 100, labels: vec![8; 40_000] };
            sheet.add(&pairs[n], &picture, &seen).unwrap();
        }
        let path = dir.path().join("new/page.png");
        sheet.write(&path).unwrap();
        let page = genas_data::decode_file(&path).unwrap();
        assert_eq!(page.width, 3 * 200 + 2 * GAP);
        let at =
            |x: usize, y: usize| <[u8; 3]>::try_from(&page.rgb[3 * (y * page.width + x)..][..3]).unwrap();
        let line = 16 + 2 * MARGIN as usize;
        for (row, grey) in [(0, 50), (1, 100)] {
            let y = line + row * (50 + GAP) + 25;
            let mixed =
                |color: [u8; 3]| color.map(|v| ((f32::from(v) + f32::from(grey)) / 2.0).round() as u8);
            assert_eq!(at(100, y), [grey; 3]);
            assert_eq!(at(300 + GAP, y), mixed([128, 64, 128]));
            assert_eq!(at(500 + 2 * GAP, y), mixed([64, 0, 128]));
        }
        // The colours of all classes, in lines that end before the border.
        let legend = (line + 2 * (50 + GAP)..page.height).flat_map(|y| (0..page.width).map(move |x| (x, y)));
        for class in classes.classes() {
            assert!(legend.clone().any(|(x, y)| at(x, y) == class.color), "{}", class.name);
        }
        let heading = (0..line).flat_map(|y| (0..600).map(move |x| (x, y)));
        assert!(heading.into_iter().any(|(x, y)| at(x, y) == [0; 3]));
    }
}
