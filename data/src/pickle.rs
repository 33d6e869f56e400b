//! Python pickles of data-set batches, read without Python and without running anything.
//!
//! A pickle is a program for a stack machine, and Python's own machine calls any function that the file
//! names. This one knows the few objects that batches consist of: dictionaries, lists, tuples, strings,
//! integers and numpy arrays of numbers, as Python 2 and 3 write them with the protocols 2 to 4. The only
//! functions it knows are those that rebuild these, and it does not call them but does what they would
//! do. Every other name or instruction is an error that names it.
//!
//! Memory is bounded by the file's size: every instruction makes at most one object.

mod machine;

use std::borrow::Cow;

/// What a pickle holds: a dictionary at its top.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    entries: Vec<(Id, Id)>,
}

/// A place in the list of all objects; lists and dictionaries change after others refer to them.
type Id = usize;

#[derive(Debug, Clone)]
enum Object<'a> {
    None,
    Int(i64),
    Bytes(Cow<'a, [u8]>),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Function(Function),
    Dtype(Dtype),
    Array(Option<Array>),
}

/// What a pickle of a batch may name.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    /// `numpy.core.multiarray._reconstruct`: an array, filled later.
    Reconstruct,
    /// `numpy.ndarray`, its argument.
    Ndarray,
    /// `numpy.dtype`.
    Dtype,
    /// `_codecs.encode`: Python 3 writes bytes as text and its encoding in protocol 2.
    Encode,
    /// `bytes`: no bytes, in protocol 2.
    Bytes,
}

impl Function {
    fn of(module: &str, name: &str) -> Result<Self, String> {
        match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Ok(Self::Reconstruct),
            ("numpy", "ndarray") => Ok(Self::Ndarray),
            ("numpy", "dtype") => Ok(Self::Dtype),
            ("_codecs", "encode") => Ok(Self::Encode),
            ("__builtin__" | "builtins", "bytes") => Ok(Self::Bytes),
            _ => Err(format!("it names {module}.{name}, which no batch of images needs: it was not run")),
        }
    }
}

/// Numbers of an array: `u`, `i` or `f`, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Dtype {
    kind: char,
    size: usize,
    big_endian: bool,
}

#[derive(Debug, Clone)]
struct Array {
    shape: Vec<usize>,
    dtype: Dtype,
    /// Columns first.
    fortran: bool,
    data: Id,
}

impl<'a> Pickle<'a> {
    /// Reads a pickle whose top is a dictionary. The error says what is wrong with it.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let (objects, top) = machine::run(bytes)?;
        match &objects[top] {
            Object::Dict(entries) => Ok(Self { entries: entries.clone(), objects }),
            other => Err(format!("it holds {}, not a dictionary", other.kind())),
        }
    }

    /// The entry of a key that was written as text or as bytes; the last, if there are several.
    fn get(&self, key: &str) -> Result<&Object<'a>, String> {
        let found = self.entries.iter().rev().find(|(id, _)| match &self.objects[*id] {
            Object::Text(text) => *text == key,
            Object::Bytes(bytes) => bytes.as_ref() == key.as_bytes(),
            _ => false,
        });
        found.map(|(_, value)| &self.objects[*value]).ok_or_else(|| format!("it has no entry {key:?}"))
    }

    fn bytes(&self, array: &Array) -> &[u8] {
        match &self.objects[array.data] {
            Object::Bytes(bytes) => bytes,
            other => unreachable!("an array was built from {}", other.kind()),
        }
    }

    /// The matrix of bytes under `key`: its numbers of rows and columns, and its values row by row.
    pub(crate) fn byte_matrix(&self, key: &str) -> Result<(usize, usize, Cow<'_, [u8]>), String> {
        let array = match self.get(key)? {
            Object::Array(Some(array)) => array,
            other => return Err(format!("{key:?} is {}, not an array", other.kind())),
        };
        let (&[rows, columns], Dtype { kind: 'u', size: 1, .. }) = (&array.shape[..], array.dtype) else {
            return Err(format!(
                "{key:?} is an array of {}{} with shape {:?}, not a matrix of bytes (u1)",
                array.dtype.kind, array.dtype.size, array.shape
            ));
        };
        let data = self.bytes(array);
        if !array.fortran {
            return Ok((rows, columns, Cow::Borrowed(data)));
        }
        let by_rows = (0..rows).flat_map(|row| data.iter().skip(row).step_by(rows)).copied().collect();
        Ok((rows, columns, Cow::Owned(by_rows)))
    }

    /// The integers under `key`: a list of them, or an array of one dimension.
    pub(crate) fn integers(&self, key: &str) -> Result<Vec<i64>, String> {
        match self.get(key)? {
            Object::List(items) => items
                .iter()
                .map(|&item| match &self.objects[item] {
                    Object::Int(value) => Ok(*value),
                    other => Err(format!("{key:?} holds {}, not integers only", other.kind())),
                })
                .collect(),
            Object::Array(Some(array)) if array.shape.len() == 1 && array.dtype.kind != 'f' => {
                let Dtype { kind, size, big_endian } = array.dtype;
                let value = |bytes: &[u8]| {
                    let mut wide = [0; 8];
                    wide[..size].copy_from_slice(bytes);
                    if big_endian {
                        wide[..size].reverse();
                    }
                    let shift = 64 - 8 * size as u32;
                    let shifted = u64::from_le_bytes(wide) << shift;
                    // Unsigned values of 8 bytes beyond i64 are no labels, and become negative.
                    if kind == 'i' { shifted as i64 >> shift } else { (shifted >> shift) as i64 }
                };
                Ok(self.bytes(array).chunks_exact(size).map(value).collect())
            }
            other => Err(format!("{key:?} is {}, not a list of integers", other.kind())),
        }
    }
}

impl Object<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Int(_) => "an integer",
            Self::Bytes(_) => "bytes",
            Self::Text(_) => "text",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Function(_) => "a function",
            Self::Dtype(_) => "a type of numbers",
            Self::Array(_) => "an array",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The pickles of tests/imagenet16_pickles.py whose names end so, with their names.
    pub(crate) fn recorded(end: &str) -> Vec<(&'static str, Vec<u8>)> {
        let lines = include_str!("../tests/imagenet16_pickles.txt").lines();
        let pickles: Vec<_> = lines
            .filter_map(|line| line.split_once(' '))
            .filter(|(name, _)| name.ends_with(end))
            .map(|(name, hex)| {
                let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                (name, (0..hex.len()).step_by(2).map(byte).collect())
            })
            .collect();
        assert!(!pickles.is_empty(), "{end}");
        pickles
    }

    fn expected() -> Vec<u8> {
        (0..36).map(|value| if value < 24 { value } else { value + 200 }).collect()
    }

    #[test]
    fn batches_of_python_2_and_3_are_read() {
        let mut read = 0;
        let ends = ["2_batch", "3_batch", "4_batch", "_fortran", "2_array_labels", "4_bytes_keys"];
        for (name, bytes) in ends.into_iter().flat_map(recorded) {
            let pickle = Pickle::read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            let (rows, columns, data) = pickle.byte_matrix("data").unwrap();
            assert_eq!((rows, columns, data.as_ref()), (3, 12, &expected()[..]), "{name}");
            assert_eq!(pickle.integers("labels").unwrap(), [1, 120, 121], "{name}");
            assert_eq!(pickle.integers("means").unwrap_err(), "it has no entry \"means\"");
            assert!(pickle.byte_matrix("mean").unwrap_err().contains("array of f8 with shape [12]"));
            assert!(pickle.byte_matrix("labels").unwrap_err().contains("\"labels\" is "));
            assert!(pickle.integers("mean").unwrap_err().contains("an array, not a list"));
            read += 1;
        }
        assert_eq!(read, 11);
        for (name, bytes) in recorded("_many") {
            let labels = Pickle::read(&bytes).unwrap().integers("labels").unwrap();
            assert_eq!(
                (labels.len(), labels[1000], &labels[1001..]),
                (1004, 7, &[300, -1, 70000][..]),
                "{name}"
            );
        }
    }

    #[test]
    fn nothing_else_is_accepted() {
        for (end, says) in [
            (
                "python2_protocol2_unsafe",
                "names posix.system, which no batch of images needs: it was not run",
            ),
            ("python3_protocol4_unsafe", "names posix.system"),
            ("_ordered", "names collections.OrderedDict"),
            ("_objects", "an array of type \"O8\""),
            ("0_batch", "not a pickle of protocol 2 or later"),
            ("5_batch", "protocol 5; 2, 3 and 4 are read"),
        ] {
            for (name, bytes) in recorded(end) {
                let error = Pickle::read(&bytes).unwrap_err();
                assert!(error.contains(says), "{name}: {error}");
            }
        }
        for (_, bytes) in recorded("_floats") {
            let pickle = Pickle::read(&bytes).unwrap();
            assert!(pickle.byte_matrix("data").unwrap_err().contains("array of f8 with shape [3, 12]"));
        }
        for (bytes, says) in [
            (&b"\x80\x02."[..], "empty stack"),
            (b"\x80\x02(.", "empty stack"),
            (b"\x80\x02N.", "holds None, not a dictionary"),
            (b"\x80\x02h\x07.", "memo 7"),
            (b"\x80\x02Nu.", "empty stack"),
            (b"\x80\x02NNs.", "empty stack"),
            (b"\x80\x02NNNs.", "sets an entry of None"),
            (b"\x80\x02Na", "empty stack"),
            (b"\x80\x02NN\x86R.", "empty stack"),
            (b"\x80\x02NNR.", "calls None"),
            (b"\x80\x02T\xff\xff\xff\xffabc.", "truncated"),
            (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "truncated"),
            (b"\x80\x02\x8a\x09000000000.", "more than 8 bytes"),
            (b"\x80\x02P1\n.", "instruction 0x50"),
            (b"\x80\x02c__builtin__\neval\n.", "names __builtin__.eval"),
            (b"\x80", "truncated"),
            (b"", "truncated"),
        ] {
            let error = Pickle::read(bytes).unwrap_err();
            assert!(error.contains(says), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn damaged_files_are_errors_and_never_panic() {
        for (name, bytes) in
            ["4_batch", "python2_protocol2_batch", "2_array_labels"].into_iter().flat_map(recorded)
        {
            for end in 0..bytes.len() {
                assert!(Pickle::read(&bytes[..end]).is_err(), "{name} cut at {end}");
            }
            for at in 0..bytes.len() {
                for value in 0..=255 {
                    let mut bytes = bytes.clone();
                    bytes[at] = value;
                    if let Ok(pickle) = Pickle::read(&bytes) {
                        let _ = (pickle.byte_matrix("data"), pickle.integers("labels"));
                    }
                }
            }
        }
    }

    #[test]
    fn integers_of_every_type() {
        for (dtype, order, data, expected) in [
            ("i2", "<", &b"\xff\xff\x02\x01"[..], [-1, 258]),
            ("i2", ">", b"\xff\xff\x01\x02", [-1, 258]),
            ("u1", "|", b"\xff\x02", [255, 2]),
            ("u4", "<", b"\xff\xff\xff\xff\x00\x00\x00\x00", [4_294_967_295, 0]),
        ] {
            let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
            let array = [
                &b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"[..],
                b"cnumpy\ndtype\n",
                &text(dtype),
                b"K\x00K\x01\x87R(K\x03",
                &text(order),
                b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U",
                &[data.len() as u8],
                data,
                b"tb",
            ]
            .concat();
            let pickle = [&b"\x80\x02}"[..], &text("labels"), &array, b"s."].concat();
            assert_eq!(
                Pickle::read(&pickle).unwrap().integers("labels").unwrap(),
                expected,
                "{dtype}{order}"
            );
        }
    }
}
