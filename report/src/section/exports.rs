//! The ONNX files, and how they were checked.

use crate::html::{Cell, Section, Table, code, paragraph};
use crate::model::{Part, Run};
use crate::number::{bytes, significant};

pub(crate) fn section(run: &Run) -> Option<Section> {
    if run.exports.is_empty() {
        return None;
    }
    let mut table = Table::new(
        "Exported files",
        &["file", "kind", "format", "opset", "size", "largest difference from burn", "inputs", "outputs"],
    );
    for export in &run.exports {
        let mut row = vec![Cell::html(code(&export.file))];
        let size = export.bytes.map_or_else(Cell::none, |n| Cell::number(n, bytes(n)));
        match &export.about {
            Part::Present(about) => {
                let kind = [about.kind.as_deref(), about.form.as_deref()];
                let format = [
                    about.precision.as_deref().map(str::to_owned),
                    about.batch_norm.as_deref().map(|state| format!("BatchNorm {state}")),
                ];
                row.extend([
                    Cell::text(kind.into_iter().flatten().collect::<Vec<_>>().join(", ")),
                    Cell::text(format.into_iter().flatten().collect::<Vec<_>>().join(", ")),
                    about.opset.map_or_else(Cell::none, |opset| Cell::number(opset, opset)),
                    size,
                    Cell::maybe(about.max_abs_error, |error| significant(error, 2)),
                    Cell::text(about.inputs.join("; ")),
                    Cell::text(about.outputs.join("; ")),
                ]);
            }
            other => {
                let reason =
                    if other.is_absent() { "no description beside it" } else { "its description is damaged" };
                row.extend([Cell::text(reason), Cell::none(), Cell::none(), size]);
                row.extend([Cell::none(), Cell::none(), Cell::none()]);
            }
        }
        table.row(row);
    }
    let words = "Every file was loaded in ONNX Runtime when it was written, and its outputs were compared with burn’s on the \
                 same inputs; a file that differs is not written. The checks are in the JSON files of the same names.";
    Some(Section::new("exports", "Exported files", paragraph(words) + &table.html()))
}
