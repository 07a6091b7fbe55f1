//! Tables for programs (RFC 4180; numbers in full).

use super::{Cell, Table};

/// One table, unchanged.
pub fn csv(table: &Table) -> String {
    let mut out = line(table.columns.iter().map(String::as_str));
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(plain).collect();
        out += &line(cells.iter().map(String::as_str));
    }
    out
}

/// Several tables in one: a line per cell, with the table's title, the row's first cell and the column's name.
pub fn tidy_csv(tables: &[Table]) -> String {
    let mut out = line(["table", "row", "column", "value"]);
    for table in tables {
        for row in &table.rows {
            let Some((name, cells)) = row.split_first() else { continue };
            for (cell, column) in cells.iter().zip(table.columns.iter().skip(1)) {
                out += &line([table.title.as_str(), &plain(name), column, &plain(cell)]);
            }
        }
    }
    out
}

fn line<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    fields.into_iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_owned()
}

fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Number(number) => number.to_string(),
        Cell::Missing => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_line_is_quoted() {
        let mut table = Table::new("t", &["name", "a, b"]);
        table.row(["say \"hi\"".into(), 0.1.into()]);
        table.row(["none".into(), Cell::Missing]);
        assert_eq!(csv(&table), "name,\"a, b\"\r\n\"say \"\"hi\"\"\",0.1\r\nnone,\r\n");
        assert_eq!(
            tidy_csv(&[table]),
            "table,row,column,value\r\nt,\"say \"\"hi\"\"\",\"a, b\",0.1\r\nt,none,\"a, b\",\r\n"
        );
    }
}
