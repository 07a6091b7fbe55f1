//! Tables for a terminal.

use super::{Cell, Table, readable};

/// Tables, one below the other, columns aligned: words to the left, numbers to the right.
pub fn text(tables: &[Table]) -> String {
    tables.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(table: &Table) -> String {
    let cells: Vec<Vec<String>> = table.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    let widths: Vec<usize> = (0..table.columns.len())
        .map(|column| {
            let body = cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            body.chain([table.columns[column].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let numeric: Vec<bool> = (0..table.columns.len()).map(|column| is_numeric(table, column)).collect();
    let line = |cells: &[String]| {
        let parts = cells.iter().zip(&widths).zip(&numeric).map(|((cell, &width), &numeric)| {
            if numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("  {}", parts.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    let mut out = vec![table.title.clone(), line(&table.columns)];
    out.push(line(&widths.iter().map(|&width| "-".repeat(width)).collect::<Vec<_>>()));
    out.extend(cells.iter().map(|row| line(row)));
    out.extend(table.notes.iter().map(|note| format!("  {note}")));
    out.join("\n") + "\n"
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Number(number) => readable(*number),
        Cell::Missing => "-".to_owned(),
    }
}

fn is_numeric(table: &Table, column: usize) -> bool {
    let mut cells = table.rows.iter().filter_map(|row| row.get(column)).peekable();
    cells.peek().is_some() && cells.all(|cell| !matches!(cell, Cell::Text(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new("Mixes", &["class", "Mb/s"]);
        table.row(["volunteer".into(), 1.0.into()]);
        table.row(["t1".into(), 1.544.into()]);
        table.row(["?".into(), Cell::Missing]);
        let expected = "Mixes\n  class       Mb/s\n  ---------  -----\n  volunteer      1\n  t1         1.544\n  ?              -\n";
        assert_eq!(text(&[table]), expected);
    }
}
