//! Formats numbers consistently in tables, on axes and in descriptions.

/// The typographic minus sign, as wide as a plus.
pub(crate) const MINUS: &str = "−";

/// `value` with `decimals` places (at most 17). `signed` puts a plus before what is above zero; what rounds to
/// zero has no sign; from 10¹⁵ on it goes scientific, so that no number is hundreds of digits long.
pub(crate) fn fixed(value: f64, decimals: usize, signed: bool) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let size = value.abs();
    let digits = match size {
        _ if size.is_infinite() => "∞".to_owned(),
        _ if size >= 1e15 => scientific(size),
        _ => format!("{size:.places$}", places = decimals.min(17)),
    };
    let zero = digits.bytes().all(|byte| byte == b'0' || byte == b'.');
    match (zero, value < 0.0, signed) {
        (false, true, _) => format!("{MINUS}{digits}"),
        (false, false, true) => format!("+{digits}"),
        _ => digits,
    }
}

/// `n` things: `1 seed`, `2 seeds`.
pub(crate) fn count(n: usize, thing: &str) -> String {
    match n {
        1 => format!("1 {thing}"),
        _ => format!("{} {thing}s", grouped(n)),
    }
}

/// `1,234,567`; four digits stay together on plots but not here.
pub(crate) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `size` (finite, not negative) as `1.5×10⁶`.
fn scientific(size: f64) -> String {
    let text = format!("{size:.2e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    let power: String = exponent.chars().map(superscript).collect();
    if mantissa == "1" { format!("10{power}") } else { format!("{mantissa}×10{power}") }
}

fn superscript(digit: char) -> char {
    match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4'..='9' => char::from_u32('⁴' as u32 + digit as u32 - '4' as u32).unwrap_or(digit),
        _ => '⁰',
    }
}

/// A tick's label on an axis whose ticks are `step` apart: just as many places as the step needs, commas in
/// thousands, scientific where neither reads well.
pub(crate) fn tick(value: f64, step: f64) -> String {
    let sign = if value < 0.0 { MINUS } else { "" };
    let size = value.abs();
    if size != 0.0 && (size >= 1e6 || step < 1e-5) {
        return format!("{sign}{}", scientific(size));
    }
    // The small push keeps a step of 0.1 (whose logarithm is −0.999…) at one place.
    let places = (-(step.log10() + 1e-9).floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{size:.places$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    if whole.len() <= 4 {
        return format!("{sign}{text}");
    }
    let (head, tail) = whole.split_at(whole.len() - 3);
    format!("{sign}{head},{tail}{fraction}")
}

/// A number in a sentence: four significant digits.
pub(crate) fn brief(value: f64) -> String {
    if !value.is_finite() {
        return fixed(value, 0, false);
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        let sign = if value < 0.0 { MINUS } else { "" };
        return format!("{sign}{}", scientific(size));
    }
    let places = if size == 0.0 { 0.0 } else { (3.0 - size.log10().floor()).clamp(0.0, 7.0) };
    let text = fixed(value, places as usize, false);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_places_signs_and_the_unusual() {
        let cases = [
            (88.66, 1, false, "88.7"),
            (-7.04, 1, true, "−7.0"),
            (0.3, 1, true, "+0.3"),
            (-0.04, 1, true, "0.0"),
            (f64::NAN, 2, true, "NaN"),
            (f64::NEG_INFINITY, 2, true, "−∞"),
            (f64::INFINITY, 0, false, "∞"),
            (-1.5e300, 2, false, "−1.5×10³⁰⁰"),
            (1.0, usize::MAX, false, "1.00000000000000000"),
        ];
        for (value, decimals, signed, expected) in cases {
            assert_eq!(fixed(value, decimals, signed), expected);
        }
    }

    #[test]
    fn ticks_have_the_places_of_their_step() {
        let cases = [
            (0.30000000000000004, 0.1, "0.3"),
            (20.0, 10.0, "20"),
            (-0.25, 0.05, "−0.25"),
            (12_000.0, 2_000.0, "12,000"),
            (2_000_000.0, 1_000_000.0, "2×10⁶"),
            (3e-7, 1e-7, "3×10⁻⁷"),
            (0.0, 1e-7, "0.000000"),
        ];
        for (value, step, expected) in cases {
            assert_eq!(tick(value, step), expected);
        }
    }

    #[test]
    fn brief_keeps_four_digits() {
        let cases = [(0.88664, "0.8866"), (2.0, "2"), (123456.7, "123457"), (-2.5e-9, "−2.5×10⁻⁹")];
        for (value, expected) in cases {
            assert_eq!(brief(value), expected);
        }
    }
}
