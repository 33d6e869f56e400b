//! Python pickles of data-set batches, read without Python and without running anything.
//!
//! A pickle is a program for a stack machine, and Python's own machine calls any function that the file
//! names. This one knows the few objects that batches consist of: dictionaries, lists, tuples, strings,
//! integers and numpy arrays of numbers, as Python 2 and 3 write them with the protocols 2 to 4. The only
//! functions it knows are those that rebuild these, and it does not call them but does what they would
//! do. Every other name or instruction is an error that names it.
//!
//! Memory is bounded by the file's size: every instruction makes at most one object.

use std::borrow::Cow;
use std::collections::HashMap;

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
        let mut machine = Machine {
            rest: bytes,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        let top = machine.run()?;
        match &machine.objects[top] {
            Object::Dict(entries) => Ok(Self { entries: entries.clone(), objects: machine.objects }),
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

struct Machine<'a> {
    rest: &'a [u8],
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

const TRUNCATED: &str = "it ends in the middle: the file is truncated";

impl<'a> Machine<'a> {
    /// Runs the program; the object that it leaves.
    fn run(&mut self) -> Result<Id, String> {
        const PROTO: u8 = 0x80;
        let (opcode, protocol) = match self.rest {
            [opcode, protocol, ..] => (*opcode, *protocol),
            _ => return Err(TRUNCATED.to_owned()),
        };
        if opcode != PROTO {
            return Err("it is not a pickle of protocol 2 or later".to_owned());
        }
        if !(2..=4).contains(&protocol) {
            return Err(format!("it is a pickle of protocol {protocol}; 2, 3 and 4 are read"));
        }
        self.rest = &self.rest[2..];
        loop {
            let opcode = self.take(1)?[0];
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
        }
    }

    /// One instruction, under its name in Python's `pickletools`.
    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            // MARK
            b'(' => self.marks.push(self.stack.len()),
            // FRAME: how much to read ahead.
            0x95 => _ = self.take(8)?,
            // EMPTY_DICT, EMPTY_LIST, EMPTY_TUPLE
            b'}' => self.push(Object::Dict(Vec::new())),
            b']' => self.push(Object::List(Vec::new())),
            b')' => self.push(Object::Tuple(Vec::new())),
            // TUPLE, TUPLE1 to TUPLE3
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items));
            }
            0x85..=0x87 => {
                let n = usize::from(opcode - 0x84);
                let first = self.stack.len().checked_sub(n).ok_or_else(underflow)?;
                let items = self.stack.split_off(first);
                self.push(Object::Tuple(items));
            }
            // NONE, NEWTRUE, NEWFALSE
            b'N' => self.push(Object::None),
            0x88 => self.push(Object::Int(1)),
            0x89 => self.push(Object::Int(0)),
            // BININT, BININT1, BININT2, LONG1
            b'J' => {
                let value = self.unsigned(4)? as u32 as i32;
                self.push(Object::Int(i64::from(value)));
            }
            b'K' | b'M' => {
                let value = self.unsigned(if opcode == b'K' { 1 } else { 2 })?;
                self.push(Object::Int(value as i64));
            }
            0x8a => {
                let value = self.long()?;
                self.push(Object::Int(value));
            }
            // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
            b'X' | 0x8c | 0x8d => {
                let bytes = self.counted(match opcode {
                    b'X' => 4,
                    0x8c => 1,
                    _ => 8,
                })?;
                let text =
                    std::str::from_utf8(bytes).map_err(|_| "it has text that is not UTF-8".to_owned())?;
                self.push(Object::Text(text));
            }
            // SHORT_BINSTRING, BINSTRING, SHORT_BINBYTES, BINBYTES, BINBYTES8: Python 2's str is bytes.
            b'U' | b'T' | b'C' | b'B' | 0x8e => {
                let bytes = self.counted(match opcode {
                    b'U' | b'C' => 1,
                    b'T' | b'B' => 4,
                    _ => 8,
                })?;
                self.push(Object::Bytes(Cow::Borrowed(bytes)));
            }
            // BINPUT, LONG_BINPUT, MEMOIZE
            b'q' | b'r' | 0x94 => {
                let place = match opcode {
                    b'q' => self.size(1)?,
                    b'r' => self.size(4)?,
                    _ => self.memo.len(),
                };
                let top = *self.stack.last().ok_or_else(underflow)?;
                self.memo.insert(place, top);
            }
            // BINGET, LONG_BINGET
            b'h' | b'j' => {
                let place = self.size(if opcode == b'h' { 1 } else { 4 })?;
                let id = self
                    .memo
                    .get(&place)
                    .ok_or_else(|| format!("it asks for memo {place}, which is not set"))?;
                self.stack.push(*id);
            }
            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Object::Function(Function::of(module, name)?));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Object::Text(module), Object::Text(name)) = (&self.objects[module], &self.objects[name])
                else {
                    return Err("it names a function by something else than text".to_owned());
                };
                let function = Function::of(module, name)?;
                self.push(Object::Function(function));
            }
            // REDUCE: call.
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let object = self.call(function, arguments)?;
                self.push(object);
            }
            // BUILD: set the state of what stands below it.
            b'b' => {
                let state = self.pop()?;
                let target = *self.stack.last().ok_or_else(underflow)?;
                self.objects[target] = self.built(target, state)?;
            }
            // APPEND, APPENDS
            b'a' | b'e' => {
                let items = if opcode == b'a' { vec![self.pop()?] } else { self.pop_to_mark()? };
                match self.top()? {
                    Object::List(list) => list.extend(items),
                    other => return Err(format!("it appends to {}", other.kind())),
                }
            }
            // SETITEM, SETITEMS
            b's' | b'u' => {
                let items = if opcode == b's' {
                    let (value, key) = (self.pop()?, self.pop()?);
                    vec![key, value]
                } else {
                    self.pop_to_mark()?
                };
                match self.top()? {
                    Object::Dict(_) if items.len() % 2 == 1 => return Err(underflow()),
                    Object::Dict(entries) => {
                        entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                    }
                    other => return Err(format!("it sets an entry of {}", other.kind())),
                }
            }
            other => {
                return Err(format!("it has the instruction 0x{other:02x}, which no batch of images needs"));
            }
        }
        Ok(())
    }

    /// What a call of an allowed function gives.
    fn call(&self, function: Id, arguments: Id) -> Result<Object<'a>, String> {
        let (Object::Function(function), Object::Tuple(arguments)) =
            (&self.objects[function], &self.objects[arguments])
        else {
            return Err(format!("it calls {}", self.objects[function].kind()));
        };
        let arguments: Vec<&Object> = arguments.iter().map(|&id| &self.objects[id]).collect();
        match (function, &arguments[..]) {
            (Function::Reconstruct, [Object::Function(Function::Ndarray), ..]) => Ok(Object::Array(None)),
            (Function::Dtype, [name, ..]) => Ok(Object::Dtype(dtype(name)?)),
            (Function::Encode, [Object::Text(text), Object::Text("latin1" | "latin-1")]) => {
                let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).map_err(|_| c));
                let bytes: Result<Vec<u8>, char> = bytes.collect();
                let bytes = bytes.map_err(|c| format!("it has {c:?} in bytes written as Latin-1"))?;
                Ok(Object::Bytes(Cow::Owned(bytes)))
            }
            (Function::Bytes, []) => Ok(Object::Bytes(Cow::Borrowed(&[]))),
            _ => Err(format!("it calls {function:?} with arguments that no batch of images needs")),
        }
    }

    /// An array or a type of numbers with its state set.
    fn built(&self, target: Id, state: Id) -> Result<Object<'a>, String> {
        let Object::Tuple(state) = &self.objects[state] else {
            return Err("it has a state that is not a tuple".to_owned());
        };
        let fields: Vec<&Object> = state.iter().map(|&id| &self.objects[id]).collect();
        match (&self.objects[target], &fields[..]) {
            (Object::Dtype(dtype), [Object::Int(_), order, ..]) => {
                let big_endian = match order {
                    Object::Text(order) => order.as_bytes() == b">",
                    Object::Bytes(order) => order.as_ref() == b">",
                    _ => return Err("it has a byte order that is not text".to_owned()),
                };
                Ok(Object::Dtype(Dtype { big_endian, ..*dtype }))
            }
            (
                Object::Array(None),
                [
                    Object::Int(_),
                    Object::Tuple(shape),
                    Object::Dtype(dtype),
                    Object::Int(fortran),
                    Object::Bytes(data),
                ],
            ) => {
                let length = |&id: &Id| match self.objects[id] {
                    Object::Int(length) => usize::try_from(length).ok(),
                    _ => None,
                };
                let shape: Option<Vec<usize>> = shape.iter().map(length).collect();
                let shape = shape.ok_or("it has an array whose shape is not of lengths")?;
                let bytes = shape.iter().try_fold(dtype.size, |bytes, &n| bytes.checked_mul(n));
                if bytes != Some(data.len()) {
                    return Err(format!(
                        "it has an array of {}{} with shape {shape:?} and {} bytes",
                        dtype.kind,
                        dtype.size,
                        data.len()
                    ));
                }
                Ok(Object::Array(Some(Array {
                    shape,
                    dtype: *dtype,
                    fortran: *fortran != 0,
                    data: state[4],
                })))
            }
            (Object::Array(_), [.., Object::List(_)]) => {
                Err("it has an array of Python objects, not of numbers".to_owned())
            }
            (other, _) => Err(format!("it sets the state of {} in a way that no batch needs", other.kind())),
        }
    }

    fn push(&mut self, object: Object<'a>) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    fn pop(&mut self) -> Result<Id, String> {
        // What stands below a mark belongs to whoever set it.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(underflow());
        }
        self.stack.pop().ok_or_else(underflow)
    }

    fn top(&mut self) -> Result<&mut Object<'a>, String> {
        let top = *self.stack.last().ok_or_else(underflow)?;
        Ok(&mut self.objects[top])
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A little-endian integer of up to 8 bytes.
    fn unsigned(&mut self, n: usize) -> Result<u64, String> {
        Ok(self.take(n)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn size(&mut self, n: usize) -> Result<usize, String> {
        usize::try_from(self.unsigned(n)?).map_err(|_| TRUNCATED.to_owned())
    }

    /// As many bytes as the `n` bytes before them say.
    fn counted(&mut self, n: usize) -> Result<&'a [u8], String> {
        let length = self.size(n)?;
        self.take(length)
    }

    /// A signed little-endian integer of as many bytes as the byte before it says.
    fn long(&mut self) -> Result<i64, String> {
        let bytes = self.counted(1)?;
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide.get_mut(..bytes.len()).ok_or("it has an integer of more than 8 bytes")?.copy_from_slice(bytes);
        Ok(i64::from_le_bytes(wide))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or(TRUNCATED)?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| "it has a name that is not UTF-8".to_owned())
    }
}

fn underflow() -> String {
    "it takes from an empty stack: the file is damaged".to_owned()
}

/// The type of numbers that numpy calls `u1`, `i8`, `f4`...
fn dtype(name: &Object) -> Result<Dtype, String> {
    let name = match name {
        Object::Text(name) => name.as_bytes(),
        Object::Bytes(name) => name,
        other => return Err(format!("it has an array of {}", other.kind())),
    };
    match name {
        [kind @ (b'u' | b'i'), size @ (b'1' | b'2' | b'4' | b'8')]
        | [kind @ b'f', size @ (b'2' | b'4' | b'8')] => {
            Ok(Dtype { kind: char::from(*kind), size: usize::from(size - b'0'), big_endian: false })
        }
        _ => Err(format!("it has an array of type {:?}, not of numbers", String::from_utf8_lossy(name))),
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
