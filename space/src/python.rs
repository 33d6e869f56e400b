//! Reads what DARTS code bases print and keep in their `genotypes.py`:
//!
//! ```text
//! DARTS_V2 = Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=[2, 3, 4, 5])
//! ```
//!
//! This is not Python: keyword arguments made of lists, tuples, strings, integers and `range(a, b)` are
//! understood, turned into JSON values and read as the JSON form, triples of FairDARTS included.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Map, Value};

use crate::error::SpaceError;
use crate::genotype::Genotype;

const FORM: &str = "Python form";
const CALL: &str = "Genotype(";

/// Lists of tuples nest twice; deeper input is refused before it can exhaust the stack.
const MAX_DEPTH: usize = 4;

/// Longest `range` that is written out; cells have at most a dozen states.
const MAX_RANGE: u64 = 64;

/// Whether a text is meant as the Python form.
pub(crate) fn is_python(text: &str) -> bool {
    text.contains(CALL)
}

/// Reads the first `Genotype(...)` of a text. What stands before it (a name, a log prefix) is skipped,
/// what stands after it is refused.
pub fn from_python(text: &str) -> Result<Genotype, SpaceError> {
    let (_, arguments) =
        text.split_once(CALL).ok_or_else(|| SpaceError::syntax(FORM, "there is no `Genotype(`"))?;
    let mut reader = Reader { chars: arguments.chars().peekable() };
    let mut object = Map::new();
    while !reader.take(')') {
        let keyword = reader.word()?;
        reader.expect('=')?;
        let value = reader.value(0)?;
        object.insert(keyword, value);
        if !reader.take(',') {
            reader.expect(')')?;
            break;
        }
    }
    reader.skip_space();
    if let Some(next) = reader.chars.next() {
        return Err(SpaceError::syntax(FORM, format!("`{next}` after the end")));
    }
    Genotype::from_json(&Value::Object(object))
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
}

impl Reader<'_> {
    /// Skips white space and comments.
    fn skip_space(&mut self) {
        while let Some(&next) = self.chars.peek() {
            if next == '#' {
                while self.chars.next_if(|&c| c != '\n').is_some() {}
            } else if next.is_whitespace() {
                self.chars.next();
            } else {
                return;
            }
        }
    }

    fn take(&mut self, expected: char) -> bool {
        self.skip_space();
        self.chars.next_if_eq(&expected).is_some()
    }

    fn expect(&mut self, expected: char) -> Result<(), SpaceError> {
        if self.take(expected) { Ok(()) } else { Err(self.unexpected(&format!("`{expected}`"))) }
    }

    fn unexpected(&mut self, expected: &str) -> SpaceError {
        let found = self.chars.peek().map_or("the end".to_owned(), |c| format!("`{c}`"));
        SpaceError::syntax(FORM, format!("{found} where {expected} was expected"))
    }

    fn collect_while(&mut self, accept: impl Fn(char) -> bool) -> String {
        let mut collected = String::new();
        while let Some(next) = self.chars.next_if(|&c| accept(c)) {
            collected.push(next);
        }
        collected
    }

    fn word(&mut self) -> Result<String, SpaceError> {
        self.skip_space();
        let word = self.collect_while(|c| c.is_ascii_alphanumeric() || c == '_');
        if word.is_empty() { Err(self.unexpected("a keyword")) } else { Ok(word) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, SpaceError> {
        self.skip_space();
        match self.chars.peek().copied() {
            Some(open @ ('[' | '(')) if depth < MAX_DEPTH => {
                self.chars.next();
                self.items(if open == '[' { ']' } else { ')' }, depth).map(Value::Array)
            }
            Some(quote @ ('\'' | '"')) => {
                self.chars.next();
                let text = self.collect_while(|c| c != quote && c != '\n');
                self.expect(quote)?;
                Ok(Value::String(text))
            }
            Some(c) if c.is_ascii_digit() => self.integer().map(Value::from),
            Some('r') => self.range(),
            _ => Err(self.unexpected("a list, a string, an integer or range(a, b)")),
        }
    }

    fn items(&mut self, close: char, depth: usize) -> Result<Vec<Value>, SpaceError> {
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.value(depth + 1)?);
            if !self.take(',') {
                self.expect(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn integer(&mut self) -> Result<u64, SpaceError> {
        self.skip_space();
        let digits = self.collect_while(|c| c.is_ascii_digit());
        digits.parse().map_err(|_| SpaceError::syntax(FORM, format!("`{digits}` is not an integer")))
    }

    fn range(&mut self) -> Result<Value, SpaceError> {
        let word = self.word()?;
        if word != "range" {
            return Err(SpaceError::syntax(FORM, format!("`{word}` where a value was expected")));
        }
        self.expect('(')?;
        let first = self.integer()?;
        self.expect(',')?;
        let end = self.integer()?;
        self.expect(')')?;
        if end.saturating_sub(first) > MAX_RANGE {
            return Err(SpaceError::syntax(FORM, format!("range({first}, {end}) is longer than any cell")));
        }
        Ok((first..end).map(Value::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DARTS_V2: &str = "normal: s3(0) s3(1) | s3(0) s3(1) | s3(1) sk(0) | sk(0) d3(2); \
                            reduce: mp(0) mp(1) | sk(2) mp(1) | mp(0) sk(2) | sk(2) mp(1)";

    #[test]
    fn a_printed_genotype() {
        // As `print(genotype)` of the namedtuple shows it.
        let text = "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), \
            ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), \
            ('dil_conv_3x3', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), \
            ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), \
            ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])";
        assert_eq!(from_python(text).unwrap().to_string(), DARTS_V2);
        assert_eq!(from_python(&format!("04:19 genotype = {text}\n")).unwrap().to_string(), DARTS_V2);
    }

    #[test]
    fn a_source_file_with_triples_comments_and_trailing_commas() {
        let text = "A = Genotype(\n  normal=[ # first\n    (\"sep_conv_3x3\", 2, 0),\n  ('skip_connect', 3, 2,),\n ],\n \
                    normal_concat=(3,), reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1)], reduce_concat=range(2,3),\n)  # end";
        let expected = "normal: s3(0) | sk(2); concat 3; reduce: mp(0) mp(1)";
        assert_eq!(from_python(text).unwrap().to_string(), expected);
    }

    #[test]
    fn departures_are_named() {
        let check = |text: &str, part: &str| {
            let error = from_python(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        };
        check("Genotype(", "the end where a keyword was expected");
        check("Genotype()", "`normal` is missing");
        check("Genotype(normal=[('sep", "the end where `'` was expected");
        check("Genotype(normal=None)", "`N` where a list");
        check("Genotype(normal=rng(2, 3))", "`rng` where a value");
        check("Genotype(normal=range(0, 99999999999))", "longer than any cell");
        check("Genotype(normal=99999999999999999999999)", "is not an integer");
        check(&format!("Genotype(normal={}", "[".repeat(100_000)), "where a list");
        check("Genotype(normal=[]) + 1", "`+` after the end");
    }
}
