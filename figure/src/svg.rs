//! What all pictures share: the document, escaping, the palette.

/// Text as it may stand in XML. Control characters are in no XML, and become blanks.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            char if char.is_control() => out.push(' '),
            char => out.push(char),
        }
    }
    out
}

/// The colours of all pictures, for light and dark ground. A picture of its own holds them; a page holds them once.
pub const STYLE: &str = "";
