//! Every setting of the run.

use crate::html::{Section, code, details, facts, heading, paragraph, verbatim};
use crate::model::Run;
use crate::model::settings::Settings;

pub(crate) fn section(run: &Run) -> Option<Section> {
    let files = [&run.settings, &run.retrained.settings, &run.coco.settings, &run.cityscapes.settings];
    let known: Vec<&Settings> = files.into_iter().filter_map(|part| part.get()).collect();
    let (first, others) = known.split_first()?;
    let mut html = paragraph("Every setting of the run, those included that nobody named.") + &groups(first);
    html += &details(&format!("{} as it is", first.file), &verbatim(&first.file, &first.text));
    for settings in others {
        html += &details(&format!("Settings in {}", settings.file), &groups(settings));
    }
    Some(Section::new("configuration", "Configuration", html))
}

/// All settings, group by group.
fn groups(settings: &Settings) -> String {
    let group = |(name, entries): (String, Vec<(String, String)>)| {
        let title = if name.is_empty() { "run" } else { &name };
        let pairs: Vec<(&str, String)> =
            entries.iter().map(|(name, value)| (name.as_str(), code(value))).collect();
        format!("<div>\n{}{}</div>\n", heading(title), facts(&pairs))
    };
    let groups: String = settings.groups().into_iter().map(group).collect();
    format!("<div class=\"settings\">\n{groups}</div>\n")
}
