//! Numbers for people.

/// A number with about four digits, thousands set apart: `44 840`, `6581`, `185.2`, `0.003704`, `1.2e-9`.
pub fn readable(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if !(1e-4..1e15).contains(&size) {
        return format!("{value:.2e}");
    }
    if size >= 1e4 {
        return grouped(value);
    }
    let digits = 3 - size.log10().floor() as i32;
    let fixed = format!("{value:.*}", usize::try_from(digits).unwrap_or(0));
    if fixed.contains('.') { fixed.trim_end_matches('0').trim_end_matches('.').to_owned() } else { fixed }
}

/// A whole number in groups of three.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_are_enough() {
        let cases = [
            (0.0, "0"),
            (44841.667, "44 842"),
            (6580.556, "6581"),
            (185.185, "185.2"),
            (4.0, "4"),
            (0.0037037, "0.003704"),
            (1.2e-9, "1.20e-9"),
            (3e6, "3 000 000"),
            (-0.5, "-0.5"),
            (999.96, "1000"),
        ];
        for (value, expected) in cases {
            assert_eq!(readable(value), expected);
        }
    }
}
