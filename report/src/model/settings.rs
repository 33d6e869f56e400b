//! `config.toml`: what the run was told to do.

use serde::Serialize;
use toml::{Table, Value};

use super::Part;
use super::files::Reader;

/// The settings of a run, or of a training in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// The file, in the run's folder.
    pub file: String,
    /// As they are written.
    pub text: String,
    /// As values.
    #[serde(skip)]
    pub table: Table,
}

impl Settings {
    /// Reads a file.
    pub fn read(files: &Reader, file: &str) -> Part<Self> {
        let text = match files.text(file) {
            Part::Present(text) => text,
            Part::Absent => return Part::Absent,
            Part::Damaged(fault) => return Part::Damaged(fault),
        };
        match text.parse::<Table>() {
            Ok(table) => Part::Present(Self { file: file.to_owned(), text, table }),
            Err(e) => {
                let reason = format!("is no TOML: {}", e.message());
                Part::Damaged(files.fault(file, reason))
            }
        }
    }

    /// A setting by its name, such as `metric.name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let mut keys = name.split('.');
        let first = self.table.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }

    /// A text.
    pub fn string(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A count.
    pub fn count(&self, name: &str) -> Option<u64> {
        u64::try_from(self.get(name)?.as_integer()?).ok()
    }

    /// All settings: groups with names and values, by their names, those outside of a group first.
    pub fn groups(&self) -> Vec<(String, Vec<(String, String)>)> {
        let plain = |table: &Table| -> Vec<(String, String)> {
            let entries = table.iter().filter(|(_, value)| !value.is_table());
            entries.map(|(name, value)| (name.clone(), shown(value))).collect()
        };
        let mut groups = vec![(String::new(), plain(&self.table))];
        fn visit(
            name: &str,
            table: &Table,
            groups: &mut Vec<(String, Vec<(String, String)>)>,
            plain: &dyn Fn(&Table) -> Vec<(String, String)>,
        ) {
            for (key, value) in table {
                let Value::Table(inner) = value else { continue };
                let full = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                groups.push((full.clone(), plain(inner)));
                visit(&full, inner, groups, plain);
            }
        }
        visit("", &self.table, &mut groups, &plain);
        groups.retain(|(_, settings)| !settings.is_empty());
        groups
    }
}

/// A value as it is written in TOML, texts without quotes.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::files::tests::folder;

    #[test]
    fn settings_are_found_by_name() {
        let text = b"seed = 3\n[metric]\nname = \"flatness\"\nsigmas = [0.001, 0.003]\n[a.b]\nc = true\n";
        let (_dir, files) = folder(&[("config.toml", text), ("bad.toml", b"= what")]);
        let Part::Present(settings) = Settings::read(&files, "config.toml") else { panic!() };
        assert_eq!((settings.count("seed"), settings.string("metric.name")), (Some(3), Some("flatness")));
        assert_eq!((settings.count("metric.name"), settings.get("metric.nmae")), (None, None));
        let groups = settings.groups();
        let names: Vec<&str> = groups.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["", "a.b", "metric"]);
        assert_eq!(groups[2].1[1].1, "[0.001, 0.003]");
        assert!(matches!(Settings::read(&files, "bad.toml"), Part::Damaged(_)));
        assert!(files.faults()[0].reason.contains("no TOML"));
    }
}
