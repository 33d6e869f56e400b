//! The stack machine whose programs pickles are.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Array, Dtype, Function, Id, Object};

struct Machine<'a> {
    rest: &'a [u8],
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

const TRUNCATED: &str = "it ends in the middle: the file is truncated";

/// Runs the program: all objects that it makes, and the one that it leaves.
pub(super) fn run(bytes: &[u8]) -> Result<(Vec<Object<'_>>, Id), String> {
    let mut machine = Machine {
        rest: bytes,
        objects: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let top = machine.run()?;
    Ok((machine.objects, top))
}

impl<'a> Machine<'a> {
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
