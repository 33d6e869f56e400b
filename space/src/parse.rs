//! Reads a cell as a user gives it: a name of the zoo or any written form of a genotype.

use std::str::FromStr;

use crate::candidate::Candidate;
use crate::error::SpaceError;
use crate::genotype::Genotype;
use crate::{human, json, python, zoo};

/// The written forms of a genotype.
#[derive(Copy, Clone)]
enum Form {
    Candidate,
    Json,
    Python,
    Human,
}

/// What a text is meant as, judged by its beginning and not by whether it can be read.
///
/// Errors can then speak about the form that the user had in mind.
fn form_of(text: &str) -> Option<Form> {
    let text = text.trim();
    if text.starts_with('{') {
        Some(Form::Json)
    } else if python::is_python(text) {
        Some(Form::Python)
    } else if human::is_human(text) {
        Some(Form::Human)
    } else {
        let inner = text.trim_start_matches(['(', '[', ' ', '-']);
        let several = inner.contains(|c: char| c == ',' || c.is_whitespace());
        (several && inner.starts_with(|c: char| c.is_ascii_digit())).then_some(Form::Candidate)
    }
}

fn read(form: Form, text: &str) -> Result<Genotype, SpaceError> {
    match form {
        Form::Candidate => {
            let candidate: Candidate = text.parse()?;
            candidate.validate()?;
            Ok(candidate.genotype())
        }
        Form::Json => json::from_text(text),
        Form::Python => python::from_python(text),
        Form::Human => human::from_human(text),
    }
}

impl FromStr for Genotype {
    type Err = SpaceError;

    /// Reads 28 integers, the JSON form, the Python form or the human form; the result is valid.
    fn from_str(text: &str) -> Result<Self, SpaceError> {
        let form = form_of(text).ok_or_else(|| SpaceError::UnknownForm(text.to_owned()))?;
        read(form, text)
    }
}

/// Reads a cell as a user gives it: a zoo name in any case, or a written form of a genotype.
pub fn parse_cell(text: &str) -> Result<Genotype, SpaceError> {
    if let Some(entry) = zoo::find(text) {
        return Ok(entry.genotype());
    }
    if let Some(row) = zoo::find_unpublished(text) {
        return Err(SpaceError::Unpublished { text: text.to_owned(), note: row.note });
    }
    match form_of(text) {
        Some(form) => read(form, text),
        None => Err(SpaceError::UnknownCell { text: text.to_owned(), nearest: zoo::nearest(text) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTS: &str = "3,5,0,4,4,0,0,4,5,0,4,0,0,7,6,3,2,0,5,0,5,0,7,0,1,1,0,0";

    #[test]
    fn every_form_of_one_cell_is_recognised() {
        let expected = parse_cell("GENAS_FLATNESS_CIFAR100").unwrap();
        let python = "Genotype(normal=[('skip_connect', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 1), \
            ('sep_conv_3x3', 2), ('sep_conv_3x3', 2), ('sep_conv_5x5', 3), ('sep_conv_3x3', 1), \
            ('dil_conv_5x5', 4)], normal_concat=[2, 3, 4, 5], reduce=[('dil_conv_3x3', 0), \
            ('skip_connect', 1), ('avg_pool_3x3', 0), ('sep_conv_5x5', 2), ('sep_conv_5x5', 1), \
            ('dil_conv_5x5', 3), ('max_pool_3x3', 1), ('max_pool_3x3', 2)], reduce_concat=[2, 3, 4, 5])";
        for text in [
            "genas_flatness_cifar100",
            INTS,
            &format!("[{INTS}]"),
            &format!("({})", INTS.replace(',', ", ")),
            &expected.to_string(),
            &format!("\n{}", expected.to_json()),
            python,
        ] {
            assert_eq!(parse_cell(text).as_ref(), Ok(&expected), "{text}");
        }
        assert_eq!(INTS.parse(), Ok(expected));
    }

    #[test]
    fn errors_say_what_was_wrong() {
        let check = |text: &str, part: &str| {
            let error = parse_cell(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check("NO_SUCH_CELL", "unknown cell `NO_SUCH_CELL`; the nearest names in the zoo are ");
        check("genas_flatnes_cifar10", "GENAS_FLATNESS_CIFAR10, GENAS_FLATNESS_CIFAR100, ");
        check("", "unknown cell ``");
        check("9", "unknown cell `9`");
        check("3cells.json", "unknown cell `3cells.json`");
        check(&["9"; 28].join(","), "operation 9 at position 0 is not in 0..7");
        check(&["-9"; 28].join(","), "operation -9 at position 0 is not in 0..7");
        check(&["3"; 27].join(","), "27 integers, expected 28");
        check(&["3"; 28].join(","), "normal cell: node 1 (state 3) has 3 live inputs");
        check("sanas", "`sanas` is not published");
        check("{}", "`normal` is missing");
        let error = "DARTS".parse::<Genotype>().unwrap_err().to_string();
        assert!(error.starts_with("`DARTS` is not a genotype: expected 28 integers"), "{error}");
    }
}
