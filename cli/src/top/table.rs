//! Tables of plain text.

/// A table: rows of cells, each column as wide as its widest cell.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The names of the columns; those that end in a colon hold numbers, which stand at the right.
    columns: &'static [&'static str],
    rows: Vec<Row>,
}

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) cells: Vec<String>,
    /// Whether an operator should look at it.
    pub(super) is_bad: bool,
}

impl Table {
    /// No rows yet.
    pub(super) fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, cells: Vec<String>, is_bad: bool) {
        self.rows.push(Row { cells: cells.iter().map(|cell| plain(cell)).collect(), is_bad });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many lines it has.
    pub(super) fn height(&self) -> usize {
        self.rows.len().saturating_add(1)
    }

    /// Its lines, the names of the columns first; where there are more rows than fit, the last line says how many.
    /// `true` where an operator should look at the line.
    pub(super) fn lines(&self, most: usize) -> Vec<(String, bool)> {
        let fits = self.height() <= most;
        let shown = if fits { self.rows.len() } else { most.saturating_sub(2) };
        let rows = self.rows.iter().take(shown);
        let width = |column: usize| {
            let cells = rows.clone().filter_map(|row| row.cells.get(column)).map(String::len);
            cells.chain(self.columns.get(column).map(|name| heading(name).len())).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[&str]| {
            let mut line = String::new();
            for ((cell, width), column) in cells.iter().zip(&widths).zip(self.columns) {
                line += &if column.ends_with(':') {
                    format!("{cell:>width$}  ")
                } else {
                    format!("{cell:<width$}  ")
                };
            }
            line.truncate(line.trim_end().len());
            line
        };
        let names: Vec<&str> = self.columns.iter().map(|name| heading(name)).collect();
        let mut lines = vec![(line(&names), false)];
        for row in rows.clone() {
            let cells: Vec<&str> = row.cells.iter().map(String::as_str).collect();
            lines.push((line(&cells), row.is_bad));
        }
        if !fits && most > 1 {
            let more = self.rows.len().saturating_sub(shown);
            lines.push((format!("... {more} more"), self.rows.iter().skip(shown).any(|row| row.is_bad)));
        }
        lines.truncate(most);
        lines
    }
}

fn heading(column: &str) -> &str {
    column.strip_suffix(':').unwrap_or(column)
}

/// A text as visible ASCII, whatever it holds, and not too long.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        if letter.is_ascii_graphic() || letter == ' ' {
            plain.push(letter);
        } else {
            plain.extend(letter.escape_default());
        }
        if plain.len() > MAX_CELL {
            plain.truncate(MAX_CELL.saturating_sub(3));
            plain.push_str("...");
            break;
        }
    }
    plain
}

/// The longest name of a configuration.
const MAX_CELL: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_shown_as_what_it_is() {
        assert_eq!(plain("a\u{1b}[2J\nb\u{9b}é"), r"a\u{1b}[2J\nb\u{9b}\u{e9}");
        assert_eq!(plain(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(plain(&"x".repeat(65)), format!("{}...", "x".repeat(61)));
        assert_eq!(plain(&"\u{1b}".repeat(100)).len(), 64);
    }

    #[test]
    fn a_table_fits_the_lines_that_it_gets() {
        let mut table = Table::new(&["NAME", "N:"]);
        for number in 0..5 {
            table.push(vec![format!("row{number}"), number.to_string()], number == 4);
        }
        let lines = |most| table.lines(most).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
        assert_eq!(lines(6), ["NAME  N", "row0  0", "row1  1", "row2  2", "row3  3", "row4  4"]);
        assert_eq!(lines(3), ["NAME  N", "row0  0", "... 4 more"]);
        assert_eq!(lines(1).len(), 1);
        assert!(lines(0).is_empty());
        assert!(table.lines(3)[2].1, "what is hidden and bad is told");
    }
}
