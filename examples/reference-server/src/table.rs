//! Columns for people.

use crate::ui::Ui;

/// Prints rows below a heading, each column as wide as its widest cell.
pub(crate) fn show(ui: &Ui, heading: &[&str], rows: &[Vec<String>]) {
    for (at, line) in lines(heading, rows).into_iter().enumerate() {
        ui.say(if at == 0 { ui.dim(&line) } else { line });
    }
}

fn lines(heading: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    let all = || std::iter::once(&heading).chain(rows);
    let width = |column: usize| {
        all()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all().map(line).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["Łódź".to_owned(), "live".to_owned()],
            vec!["a".to_owned(), String::new()],
        ];
        assert_eq!(
            super::lines(&["NAME", "STATE"], &rows),
            ["NAME  STATE", "Łódź  live", "a"]
        );
    }
}
