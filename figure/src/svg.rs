//! What all pictures share: the document, escaping, colours.

use std::fmt::Write;

/// The colours of all pictures, for light and dark ground. A picture of its own holds them; a page holds them once.
///
/// Eight colours that people who see no red or no green tell apart, with enough contrast on both grounds; after Okabe and
/// Ito (2008), darker.
pub const STYLE: &str = "\
.genas-figure { font-family: system-ui, sans-serif; font-size: 13px }
.genas-figure .ground { fill: #fff }
.genas-figure text { fill: #1f2328 }
.genas-figure .quiet { fill: #59636e }
.genas-figure .title { font-size: 15px; font-weight: 600 }
.genas-figure .small { font-size: 12px }
.genas-figure .frame { fill: none; stroke: #8c959f }
.genas-figure .grid { stroke: #e4e7eb }
.genas-figure .line { fill: none; stroke-width: 2; stroke-linejoin: round }
.genas-figure .dashed { stroke-dasharray: 6 4 }
.genas-figure .band { stroke: none; fill-opacity: 0.18 }
.genas-figure .edge { fill: none; stroke: #59636e; stroke-width: 1.4 }
.genas-figure .tip { fill: #59636e }
.genas-figure .box { stroke: #59636e }
.genas-figure .input { fill: #cdebd3 }
.genas-figure .node { fill: #cfe0fb }
.genas-figure .output { fill: #f7e6c4 }
.genas-figure .plain { fill: #f3f4f6 }
.genas-figure .halo { fill: #fff; fill-opacity: 0.9 }
.genas-figure .inside { fill: #fff; font-weight: 600 }
.genas-figure .f0 { fill: #2f5fd0 } .genas-figure .s0 { stroke: #2f5fd0 }
.genas-figure .f1 { fill: #c2570c } .genas-figure .s1 { stroke: #c2570c }
.genas-figure .f2 { fill: #12805c } .genas-figure .s2 { stroke: #12805c }
.genas-figure .f3 { fill: #b8336a } .genas-figure .s3 { stroke: #b8336a }
.genas-figure .f4 { fill: #7a4fbf } .genas-figure .s4 { stroke: #7a4fbf }
.genas-figure .f5 { fill: #8a6a00 } .genas-figure .s5 { stroke: #8a6a00 }
.genas-figure .f6 { fill: #0b7f9e } .genas-figure .s6 { stroke: #0b7f9e }
.genas-figure .f7 { fill: #6b7280 } .genas-figure .s7 { stroke: #6b7280 }
.genas-figure .open { fill: none; stroke-width: 2 }
.genas-figure .unseen { fill-opacity: 0; stroke: none }
@media (prefers-color-scheme: dark) {
.genas-figure .ground { fill: #14171c }
.genas-figure text { fill: #e6e9ee }
.genas-figure .quiet { fill: #a3adba }
.genas-figure .frame { stroke: #6e7681 }
.genas-figure .grid { stroke: #2b3038 }
.genas-figure .edge { stroke: #a3adba }
.genas-figure .tip { fill: #a3adba }
.genas-figure .box { stroke: #a3adba }
.genas-figure .input { fill: #1f4a2b }
.genas-figure .node { fill: #1f3a66 }
.genas-figure .output { fill: #574316 }
.genas-figure .plain { fill: #262b33 }
.genas-figure .halo { fill: #14171c }
.genas-figure .inside { fill: #14171c }
.genas-figure .f0 { fill: #8fb0ff } .genas-figure .s0 { stroke: #8fb0ff }
.genas-figure .f1 { fill: #f5a05c } .genas-figure .s1 { stroke: #f5a05c }
.genas-figure .f2 { fill: #4cc79a } .genas-figure .s2 { stroke: #4cc79a }
.genas-figure .f3 { fill: #f17fae } .genas-figure .s3 { stroke: #f17fae }
.genas-figure .f4 { fill: #bd9cf5 } .genas-figure .s4 { stroke: #bd9cf5 }
.genas-figure .f5 { fill: #dcb93f } .genas-figure .s5 { stroke: #dcb93f }
.genas-figure .f6 { fill: #58c4df } .genas-figure .s6 { stroke: #58c4df }
.genas-figure .f7 { fill: #a3a9b3 } .genas-figure .s7 { stroke: #a3a9b3 }
}
";

/// Colours of [`STYLE`] before they repeat.
pub const COLOURS: usize = 8;

/// Width of a letter of 13 pixels, on average and rather more.
pub(crate) const LETTER: f64 = 7.0;

/// How wide a text of 13 pixels is, about.
pub(crate) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// Text as it may stand in XML and HTML, in attributes too. Control characters other than the end of a line are in no XML, and become blanks.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            char if char.is_control() && char != '\n' || matches!(char, '\u{FFFE}' | '\u{FFFF}') => {
                out.push(' ')
            }
            char => out.push(char),
        }
    }
    out
}

/// A picture without its frame: what becomes a file or a part of a page.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    /// In SVG units, which are pixels at full size.
    pub width: f64,
    /// In SVG units.
    pub height: f64,
    /// What it shows, in a line.
    pub title: String,
    /// The rest that a person who does not see it should know.
    pub description: String,
    /// Elements.
    pub body: String,
}

impl Drawing {
    /// As a file of its own, with its colours.
    pub fn document(&self) -> String {
        format!(
            "{}<style>\n{STYLE}</style>\n<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n{}</svg>\n",
            self.head(" xmlns=\"http://www.w3.org/2000/svg\"", "picture"),
            self.body
        )
    }

    /// As a part of a page that holds [`STYLE`]; its ids begin with `id`.
    pub fn inline(&self, id: &str) -> String {
        format!("{}{}</svg>\n", self.head("", id), self.body)
    }

    fn head(&self, namespace: &str, id: &str) -> String {
        let mut head = format!(
            "<svg{namespace} class=\"genas-figure\" viewBox=\"0 0 {0:.0} {1:.0}\" width=\"{0:.0}\" height=\"{1:.0}\" role=\"img\" \
             aria-labelledby=\"{2}-title",
            self.width.ceil(),
            self.height.ceil(),
            escaped(id)
        );
        if !self.description.is_empty() {
            let _ = write!(head, " {}-description", escaped(id));
        }
        let _ = write!(head, "\">\n<title id=\"{}-title\">{}</title>\n", escaped(id), escaped(&self.title));
        if !self.description.is_empty() {
            let _ = writeln!(
                head,
                "<desc id=\"{}-description\">{}</desc>",
                escaped(id),
                escaped(&self.description)
            );
        }
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escaped("a<b>&\"c\"\u{7}d"), "a&lt;b&gt;&amp;&quot;c&quot; d");
        let drawing = Drawing {
            width: 10.2,
            height: 5.0,
            title: "<t>".to_owned(),
            description: String::new(),
            body: "<g/>".to_owned(),
        };
        let file = drawing.document();
        assert!(file.contains("viewBox=\"0 0 11 5\"") && file.contains(">&lt;t&gt;</title>"), "{file}");
        assert!(!file.contains("<desc") && file.contains("prefers-color-scheme"));
        let part = drawing.inline("x");
        assert!(part.contains("aria-labelledby=\"x-title\"") && !part.contains("<style>"), "{part}");
    }
}
