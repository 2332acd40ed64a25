//! Tables as rkt always wrote them: cells are followed by tabs, as many as bring the next column to the
//! same place in every line, so that people see columns and scripts split at tabs.

use crate::escape::cell;

/// Columns of a terminal from one tab stop to the next.
const STOP: usize = 8;

/// Lines of cells.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    /// Adds a line. All lines have the same number of cells.
    pub(crate) fn line<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.lines.push(cells.into_iter().map(|text| cell(text.as_ref()).into_owned()).collect());
    }

    /// The table as text.
    pub(crate) fn text(&self) -> String {
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        let mut text = String::new();
        for line in &self.lines {
            for (index, cell) in line.iter().enumerate() {
                text.push_str(cell);
                if index + 1 < line.len() {
                    let missing = widths[index] - cell.chars().count();
                    text.extend(std::iter::repeat_n('\t', missing.div_ceil(STOP)));
                }
            }
            text.push('\n');
        }
        text
    }

    /// The width of a column with its padding: up to the first tab stop after its widest cell.
    fn width(&self, column: usize) -> usize {
        let widest = self.lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
        (widest.unwrap_or(0) + 1).next_multiple_of(STOP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_at_tab_stops_and_the_last_has_no_tab() {
        let mut table = Table::default();
        table.line(["UUID", "APP", "IMAGE NAME"]);
        table.line(["0123abcd", "a-longer-name", "example.com/x"]);
        table.line(["", "1234567", ""]);
        let expected = "UUID\t\tAPP\t\tIMAGE NAME\n\
                        0123abcd\ta-longer-name\texample.com/x\n\
                        \t\t1234567\t\t\n";
        assert_eq!(table.text(), expected);
        assert_eq!(Table::default().text(), "");
    }
}
