//! Settings as TOML text: every verb that trains reads a file and then `--set KEY=VALUE`.
//!
//! What a setting may be is the type's business: `serde` refuses keys that do not exist, and its owner checks values.

use crate::error::TrainError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Reads a file, with `key.key=value` overrides applied.
pub fn read<T: DeserializeOwned>(path: &Path, overrides: &[String]) -> Result<T, TrainError> {
    let text = std::fs::read_to_string(path).map_err(TrainError::io(path, "read"))?;
    parse(&text, overrides).map_err(|reason| TrainError::format(path, reason))
}

/// Parses TOML text, with `key.key=value` overrides applied.
pub fn parse<T: DeserializeOwned>(text: &str, overrides: &[String]) -> Result<T, String> {
    // The text is deserialized first, so that its errors point at its lines.
    let plain: T = toml::from_str(text).map_err(|e| e.to_string())?;
    if overrides.is_empty() {
        return Ok(plain);
    }
    let mut table: toml::Table = toml::from_str(text).map_err(|e| e.to_string())?;
    for item in overrides {
        apply(&mut table, item)?;
    }
    table.try_into().map_err(|e: toml::de::Error| format!("--set: {e}"))
}

/// As TOML text, every setting written out.
pub fn to_toml<T: Serialize>(settings: &T) -> String {
    toml::to_string_pretty(settings).unwrap_or_else(|e| format!("# {e}\n"))
}

/// Sets `a.b` to the value in `a.b=value`; what is no TOML value is taken as a string.
fn apply(table: &mut toml::Table, item: &str) -> Result<(), String> {
    let (key, value) = item.split_once('=').ok_or_else(|| format!("--set {item}: expected KEY.KEY=VALUE"))?;
    let value = format!("v = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.trim().to_owned()));
    let mut keys: Vec<&str> = key.trim().split('.').collect();
    let last = keys.pop().unwrap_or_default();
    let mut place = table;
    for key in keys {
        let entry = place.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = entry.as_table_mut().ok_or_else(|| format!("--set {item}: {key} is not a table"))?;
    }
    place.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
    struct Detector {
        name: String,
        warm_up: Steps,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Steps {
        steps: usize,
        factors: Vec<f64>,
    }

    fn read_back(text: &str, set: &[&str]) -> Result<Detector, String> {
        parse(text, &set.iter().map(|s| s.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn overrides_reach_any_depth() {
        let set = ["name=retina net", "warm-up.steps = 3", "warm-up.factors=[0.5, 1e-3]"];
        let expected =
            Detector { name: "retina net".into(), warm_up: Steps { steps: 3, factors: vec![0.5, 1e-3] } };
        let found = read_back("name = 'x'\n[warm-up]\nsteps = 9", &set).unwrap();
        assert_eq!(found, expected);
        assert_eq!(read_back(&to_toml(&found), &[]).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_named() {
        let cases: [(&str, &[&str], &str); 5] = [
            ("nmae = 'x'", &[], "nmae"),
            ("[warm-up]\nsteps = 'many'", &[], "line 2"),
            ("", &["warm-up.stps=3"], "--set: unknown field `stps`"),
            ("", &["warm-up.steps"], "--set warm-up.steps: expected KEY.KEY=VALUE"),
            ("name = 'x'", &["name.first=3"], "name is not a table"),
        ];
        for (text, set, expected) in cases {
            let error = read_back(text, set).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("detector.toml");
        assert!(read::<Detector>(&path, &[]).unwrap_err().to_string().contains("detector.toml: cannot read"));
        std::fs::write(&path, "nmae = 'x'").unwrap();
        let error = read::<Detector>(&path, &[]).unwrap_err().to_string();
        assert!(error.contains("detector.toml: ") && error.contains("nmae"), "{error}");
    }
}
