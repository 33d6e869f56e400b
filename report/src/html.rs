//! Text, numbers, tables and charts as HTML, and the page around them.
//!
//! The page refers to nothing outside of itself. It is complete without scripts; the one script that it has takes tables that
//! need no scrolling out of the tab order.

use std::fmt::{Display, Write};

use genas_figure::Chart;
pub use genas_figure::svg::escaped;

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");

/// A number as people read it, with all its digits for programs.
pub fn data(value: impl Display, shown: impl Display) -> String {
    format!("<data value=\"{}\">{}</data>", escaped(&value.to_string()), escaped(&shown.to_string()))
}

/// A name of a file, a setting or a command.
pub fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

/// Text in which commands and names stand between backquotes.
pub fn marked(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { code(part) } else { escaped(part) }).collect()
}

/// A paragraph of HTML.
pub fn paragraph(html: &str) -> String {
    format!("<p>{html}</p>\n")
}

/// A heading inside a section.
pub fn heading(text: &str) -> String {
    format!("<h3>{}</h3>\n", escaped(text))
}

/// Names with values, such as the facts of a network.
pub fn facts(pairs: &[(&str, String)]) -> String {
    let rows =
        pairs.iter().map(|(name, html)| format!("<div><dt>{}</dt><dd>{html}</dd></div>\n", escaped(name)));
    format!("<dl>\n{}</dl>\n", rows.collect::<String>())
}

/// Something that is shown when asked for.
pub fn details(summary: &str, html: &str) -> String {
    format!("<details><summary>{}</summary>\n{html}</details>\n", escaped(summary))
}

/// Text as it is, which a keyboard can scroll.
pub fn verbatim(label: &str, text: &str) -> String {
    format!(
        "<pre class=\"scroll\" role=\"group\" aria-label=\"{}\" tabindex=\"0\"><code>{}</code></pre>\n",
        escaped(label),
        escaped_lines(text)
    )
}

/// Text with its line breaks.
fn escaped_lines(text: &str) -> String {
    text.lines().map(|line| escaped(line) + "\n").collect()
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    html: String,
    /// Aligned to the right where all cells of a column are.
    numeric: Option<bool>,
}

impl Cell {
    /// Text.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self { html: escaped(text.as_ref()), numeric: Some(false) }
    }

    /// HTML.
    pub fn html(html: String) -> Self {
        Self { html, numeric: Some(false) }
    }

    /// A number as people read it.
    pub fn number(value: impl Display, shown: impl Display) -> Self {
        Self { html: data(value, shown), numeric: Some(true) }
    }

    /// A number with all its digits.
    pub fn digits(value: impl Display) -> Self {
        Self { html: escaped(&value.to_string()), numeric: Some(true) }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self { html: "–".to_owned(), numeric: None }
    }

    /// A number, if there is one.
    pub fn maybe(value: Option<f64>, shown: impl Fn(f64) -> String) -> Self {
        value.map_or_else(Self::none, |value| Self::number(value, shown(value)))
    }
}

/// A table. The first cell of each row names the row.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    caption: String,
    head: Vec<String>,
    /// Rows in groups; the groups of a table of one have no name.
    groups: Vec<(Option<String>, Vec<Vec<Cell>>)>,
}

impl Table {
    /// A table without rows. Its caption is not that of another of the page.
    pub fn new(caption: impl Into<String>, head: &[&str]) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Self { caption: caption.into(), head, groups: vec![(None, Vec::new())] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        if let Some((_, rows)) = self.groups.last_mut() {
            rows.push(cells);
        }
    }

    /// Begins rows that have a name in common.
    pub fn group(&mut self, name: impl Into<String>) {
        self.groups.retain(|(_, rows)| !rows.is_empty());
        self.groups.push((Some(name.into()), Vec::new()));
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(|(_, rows)| rows.is_empty())
    }

    /// As HTML.
    pub fn html(&self) -> String {
        let cells =
            |n: usize| self.groups.iter().flat_map(|(_, rows)| rows).filter_map(move |row| row.get(n));
        let numeric: Vec<bool> = (0..self.head.len())
            .map(|n| {
                let mut known = cells(n).filter_map(|cell| cell.numeric).peekable();
                known.peek().is_some() && known.all(|numeric| numeric)
            })
            .collect();
        let class = |n: usize| if numeric.get(n) == Some(&true) { " class=\"n\"" } else { "" };
        let caption = escaped(&self.caption);
        let mut html = format!(
            "<div class=\"scroll\" role=\"group\" aria-label=\"{caption}\" tabindex=\"0\">\n<table>\n\
             <caption>{caption}</caption>\n<thead><tr>"
        );
        for (n, name) in self.head.iter().enumerate() {
            let _ = write!(html, "<th scope=\"col\"{}>{}</th>", class(n), escaped(name));
        }
        html.push_str("</tr></thead>\n");
        for (name, rows) in &self.groups {
            html.push_str("<tbody>\n");
            if let Some(name) = name {
                let width = self.head.len();
                let _ = writeln!(
                    html,
                    "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"{width}\">{}</th></tr>",
                    escaped(name)
                );
            }
            for row in rows {
                html.push_str("<tr>");
                for (n, cell) in row.iter().enumerate() {
                    let (tag, scope) = if n == 0 { ("th", " scope=\"row\"") } else { ("td", "") };
                    let _ = write!(html, "<{tag}{scope}{}>{}</{tag}>", class(n), cell.html);
                }
                html.push_str("</tr>\n");
            }
            html.push_str("</tbody>\n");
        }
        html + "</table>\n</div>\n"
    }
}

/// A picture that keeps a size at which its letters can be read; on a phone it is wider than the page and scrolls.
pub fn picture(label: &str, svg: &str) -> String {
    format!(
        "<div class=\"picture scroll\" role=\"group\" aria-label=\"{}\" tabindex=\"0\">\n{svg}\n</div>\n",
        escaped(label)
    )
}

/// A chart, what it shows in words, and the table behind it. Its heading is for those who go from heading to heading; the
/// picture has its own.
pub fn figure(id: &str, chart: &Chart) -> String {
    let (head, rows) = chart.table();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = Table::new(format!("Values of: {}", chart.title), &head);
    for row in rows {
        let cell = |text: String| match text.as_str() {
            "" => Cell::none(),
            number if number.parse::<f64>().is_ok() => Cell::digits(number),
            _ => Cell::text(text),
        };
        table.row(row.into_iter().map(cell).collect());
    }
    let caption = if chart.description.is_empty() {
        String::new()
    } else {
        format!("<figcaption>{}</figcaption>\n", escaped(&chart.description))
    };
    let behind = details(&format!("Table: {}", chart.title), &table.html());
    format!(
        "<h3 class=\"unseen\">{}</h3>\n<figure id=\"{id}\">\n{}{caption}{behind}</figure>\n",
        escaped(&chart.title),
        picture(&format!("Chart: {}", chart.title), &chart.inline(id))
    )
}

/// A part of the page with a heading.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// For links.
    pub id: &'static str,
    /// Its heading.
    pub title: String,
    /// What it says.
    pub html: String,
}

impl Section {
    /// A section.
    pub fn new(id: &'static str, title: impl Into<String>, html: String) -> Self {
        Self { id, title: title.into(), html }
    }
}

/// How wide a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// For text and small tables.
    Text,
    /// For tables of many columns.
    Tables,
}

/// A whole page: `lead` stands between the title and the contents, and `values` is what its numbers were made from.
pub fn document(
    title: &str,
    lead: &str,
    sections: &[Section],
    values: &serde_json::Value,
    width: Width,
) -> String {
    let title = escaped(title);
    let links =
        sections.iter().map(|s| format!("<li><a href=\"#{}\">{}</a></li>\n", s.id, escaped(&s.title)));
    let links: String = links.collect();
    let parts = sections.iter().map(|s| {
        format!(
            "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}</h2>\n{2}</section>\n",
            s.id,
            escaped(&s.title),
            s.html
        )
    });
    let parts: String = parts.collect();
    // Inside a script element only `<` can end it.
    let values = values.to_string().replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"generator\" content=\"genas {version}\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n\
         <style>\n{figures}\n{STYLE}</style>\n</head>\n<body{class}>\n\
         <a class=\"skip\" href=\"#content\">Skip to the content</a>\n\
         <header>\n<h1>{title}</h1>\n{lead}</header>\n\
         <nav aria-label=\"Contents\">\n<ul>\n{links}</ul>\n</nav>\n\
         <main id=\"content\" tabindex=\"-1\">\n{parts}</main>\n\
         <footer><p>Made by genas {version}. This file is complete: it loads nothing.</p></footer>\n\
         <script type=\"application/json\" id=\"genas-report\">{values}</script>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        class = if width == Width::Tables { " class=\"tables\"" } else { "" },
        version = env!("CARGO_PKG_VERSION"),
        figures = genas_figure::svg::STYLE,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_is_no_markup() {
        let mut table = Table::new("<b>", &["a", "b"]);
        table.row(vec![Cell::text("<i>"), Cell::number(0.1 + 0.2, "0.3")]);
        table.row(vec![Cell::text("x"), Cell::none()]);
        let html = table.html();
        assert!(html.contains("&lt;b&gt;") && html.contains("<th scope=\"row\">&lt;i&gt;</th>"), "{html}");
        assert!(
            html.contains("<td class=\"n\"><data value=\"0.30000000000000004\">0.3</data></td>"),
            "{html}"
        );
        let section = Section::new("s", "S & T", verbatim("text", "a\n<b>"));
        let page =
            document("</title>", "", &[section], &serde_json::json!({ "x": "</script>" }), Width::Text);
        assert!(page.contains("a\n&lt;b&gt;") && page.contains("S &amp; T"));
        assert!(
            page.contains("{\"x\":\"\\u003c/script>\"}") && page.contains("<title>&lt;/title&gt;</title>")
        );
        assert_eq!(page.matches("</script>").count(), 2);
    }

    #[test]
    fn groups_of_rows_are_named() {
        let mut table = Table::new("t", &["a"]);
        table.group("first");
        table.group("second");
        table.row(vec![Cell::text("x")]);
        let html = table.html();
        assert!(
            !html.contains("first") && html.contains("scope=\"rowgroup\" colspan=\"1\">second"),
            "{html}"
        );
    }
}
