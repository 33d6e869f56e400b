//! Every setting of the run.

use crate::html::{Cell, Section, Table, code, details, paragraph, verbatim};
use crate::model::Run;
use crate::model::settings::Settings;

pub(crate) fn section(run: &Run) -> Option<Section> {
    let files = [&run.settings, &run.retrained.settings, &run.coco.settings, &run.cityscapes.settings];
    let known: Vec<&Settings> = files.into_iter().filter_map(|part| part.get()).collect();
    let (first, others) = known.split_first()?;
    let mut html = paragraph("Every setting of the run, those included that nobody named.") + &table(first);
    html += &details(&format!("{} as it is", first.file), &verbatim(&first.file, &first.text));
    for settings in others {
        html += &details(&format!("Settings in {}", settings.file), &table(settings));
    }
    Some(Section::new("configuration", "Configuration", html))
}

fn table(settings: &Settings) -> String {
    let mut table = Table::new(format!("Settings in {}", settings.file), &["setting", "value"]);
    for (group, entries) in settings.groups() {
        if !group.is_empty() {
            table.group(group);
        }
        for (name, value) in entries {
            table.row(vec![Cell::html(code(&name)), Cell::html(code(&value))]);
        }
    }
    table.html()
}
