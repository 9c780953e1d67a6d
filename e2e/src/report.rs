//! Tables for people: aligned on a terminal, and as Markdown.

use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

/// Rows under headings.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        let mut table = Self::default();
        table.row(headings);
        table
    }

    /// Adds a row.
    pub fn row<T: Display>(&mut self, cells: &[T]) -> &mut Self {
        self.rows.push(cells.iter().map(ToString::to_string).collect());
        self
    }

    /// The same as a Markdown table.
    pub fn markdown(&self) -> String {
        let mut lines = Vec::new();
        for (index, row) in self.rows.iter().enumerate() {
            lines.push(format!("| {} |\n", row.join(" | ")));
            if index == 0 {
                lines.push(format!("|{}\n", " --- |".repeat(row.len())));
            }
        }
        lines.concat()
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

impl Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("   ");
            writeln!(out, "  {}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The sections of a Markdown file, by heading: a part of it can be written anew.
#[derive(Clone, Debug, Default)]
pub struct Sections(BTreeMap<String, String>);

impl Sections {
    /// Reads a file; none are in one that does not exist.
    pub fn read(file: &Path) -> Result<Self> {
        let text = if file.exists() {
            fs::read_to_string(file)?
        } else {
            String::new()
        };
        let mut sections = Self::default();
        for section in text.split("\n## ").skip(1) {
            let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
            sections.put(heading, text.trim().to_owned());
        }
        Ok(sections)
    }

    /// Puts one in the place of that with the same heading.
    pub fn put(&mut self, heading: &str, text: String) {
        self.0.insert(heading.to_owned(), text);
    }

    /// The file: an introduction, and the sections in this order; others are dropped.
    pub fn write<'a>(&self, introduction: &str, order: impl IntoIterator<Item = &'a str>) -> String {
        let mut file = format!("# Figures\n\n{introduction}\n");
        for heading in order {
            if let Some(text) = self.0.get(heading) {
                file.push_str(&format!("\n## {heading}\n\n{text}\n"));
            }
        }
        file
    }
}

/// Minimum, median and maximum of some figures; the median of an even number is the mean of the middle two.
pub fn spread(figures: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    let median = match middle.checked_sub(1).and_then(|lower| sorted.get(lower)) {
        Some(lower) if sorted.len().is_multiple_of(2) => f64::midpoint(*lower, *upper),
        _ => *upper,
    };
    Some((*sorted.first()?, median, *sorted.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["pod", "role"]);
        table.row(&["redis-example-0", "master"]).row(&["x", "replica"]);
        let lines = [
            "  pod               role",
            "  redis-example-0   master",
            "  x                 replica",
            "",
        ];
        assert_eq!(table.to_string(), lines.join("\n"));
        assert_eq!(table.markdown().lines().nth(1), Some("| --- | --- |"));
    }

    #[test]
    fn what_is_not_measured_anew_stays() {
        let file = std::env::temp_dir().join(format!("sections-{}", std::process::id()));
        let order = ["a", "b", "c"];
        let mut sections = Sections::read(&file).unwrap();
        sections.put("c", "old".to_owned());
        sections.put("a", "| x |\n\nof a".to_owned());
        fs::write(&file, sections.write("How.", order)).unwrap();
        let mut sections = Sections::read(&file).unwrap();
        sections.put("c", "new".to_owned());
        fs::remove_file(&file).unwrap();
        assert_eq!(
            sections.write("How.", order),
            "# Figures\n\nHow.\n\n## a\n\n| x |\n\nof a\n\n## c\n\nnew\n"
        );
    }

    #[test]
    fn the_spread_of_figures() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((1.0, 2.0, 3.0)));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some((1.0, 2.5, 4.0)));
        assert_eq!(spread(&[]), None);
    }
}
