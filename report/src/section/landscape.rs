//! Loss around trained weights.

use crate::html::{Cell, Section, Table, details};
use crate::model::Run;
use crate::page::Canvas;
use crate::section::segmentation::drawings;

pub(crate) fn section(run: &Run, canvas: &mut Canvas) -> Option<Section> {
    let landscape = &run.landscape;
    if !landscape.is_there() {
        return None;
    }
    let drawn: Vec<&String> = landscape.drawings.iter().collect();
    let mut html = drawings(run, canvas, &drawn, "Loss around the trained weights");
    for table in &landscape.tables {
        let head: Vec<&str> = table.head.iter().map(String::as_str).collect();
        let mut shown = Table::new(format!("Values of {}", table.file), &head);
        for row in &table.rows {
            let cell = |text: &String| {
                if text.parse::<f64>().is_ok() { Cell::digits(text) } else { Cell::text(text) }
            };
            shown.row(row.iter().map(cell).collect());
        }
        let part = if table.rows.len() < table.total {
            format!(", the first {} of {} rows", table.rows.len(), table.total)
        } else {
            String::new()
        };
        html += &details(&format!("Table: {}{part}", table.file), &shown.html());
    }
    Some(Section::new("landscape", "Loss landscape", html))
}
