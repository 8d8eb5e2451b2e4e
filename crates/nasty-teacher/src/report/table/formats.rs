//! A table as CSV, Markdown, LaTeX and aligned text.

use unicode_width::UnicodeWidthStr;

use super::super::number::{MINUS, fixed};
use super::{Align, Cell, Table, Tone};

impl Table {
    /// Comma-separated values (RFC 4180, a heading line first), for machines: every number in full, `NaN`, `inf`
    /// and `-inf` as such, a column's spreads in a column of their own after it. No title, note or marks.
    pub fn to_csv(&self) -> String {
        let spreads = |column| {
            (0..self.rows.len())
                .any(|row| matches!(self.cell(row, column), Cell::Number { spread: Some(_), .. }))
        };
        let with_spread: Vec<bool> = (0..self.columns.len()).map(spreads).collect();
        let mut out = String::new();
        let mut line = Vec::new();
        for (column, &has_spread) in self.columns.iter().zip(&with_spread) {
            line.push(csv_field(&column.heading()));
            if has_spread {
                line.push(csv_field(&format!("{} ± spread", column.heading())));
            }
        }
        push_line(&mut out, &line.join(","));
        for row in 0..self.rows.len() {
            line.clear();
            for (column, &has_spread) in with_spread.iter().enumerate() {
                let (value, spread) = match self.cell(row, column) {
                    Cell::Text(text) => (csv_field(text), String::new()),
                    Cell::Number { value, spread, .. } => {
                        (value.to_string(), spread.map(|spread| spread.to_string()).unwrap_or_default())
                    }
                    Cell::Empty => Default::default(),
                };
                line.push(value);
                if has_spread {
                    line.push(spread);
                }
            }
            push_line(&mut out, &line.join(","));
        }
        out
    }

    /// A GitHub-flavoured Markdown table, the title above it in bold, the note below it.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("**{}**\n\n", markdown(&self.title));
        let line = |fields: Vec<String>| format!("| {} |", fields.join(" | "));
        push_line(&mut out, &line(self.columns.iter().map(|column| markdown(&column.heading())).collect()));
        let rule = |align| match align {
            Align::Left => ":--",
            Align::Right => "--:",
            Align::Center => ":-:",
        };
        push_line(&mut out, &line(self.columns.iter().map(|column| rule(column.align).to_owned()).collect()));
        for row in 0..self.rows.len() {
            let field = |column| {
                let text = markdown(&joined(self.cell(row, column)));
                match self.tone(row, column).filter(|_| !text.trim().is_empty()) {
                    Some(Tone::Good) => format!("**{}**", text.trim()),
                    Some(Tone::Bad) => format!("*{}*", text.trim()),
                    None => text,
                }
            };
            push_line(&mut out, &line((0..self.columns.len()).map(field).collect()));
        }
        if let Some(note) = &self.note {
            out += &format!("\n{}\n", markdown(note));
        }
        out
    }

    /// A LaTeX `table` with the title as caption and the note below; it needs the package `booktabs`.
    pub fn to_latex(&self) -> String {
        let align = |align| match align {
            Align::Left => 'l',
            Align::Right => 'r',
            Align::Center => 'c',
        };
        let columns: String = self.columns.iter().map(|column| align(column.align)).collect();
        let mut out = String::from("% \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n");
        out += &format!("  \\caption{{{}}}\n", latex(&self.title));
        if !self.label.is_empty() {
            out += &format!("  \\label{{{}}}\n", self.label);
        }
        out += &format!("  \\begin{{tabular}}{{{columns}}}\n");
        let line = |fields: Vec<String>| format!("    {} \\\\\n", fields.join(" & "));
        out += "    \\toprule\n";
        out += &line(self.columns.iter().map(|column| latex(&column.heading())).collect());
        out += "    \\midrule\n";
        for row in 0..self.rows.len() {
            let field = |column| {
                let text = match self.cell(row, column) {
                    Cell::Number { value, spread, decimals, signed } => {
                        latex_number(*value, *spread, *decimals, *signed)
                    }
                    other => latex(&joined(other)),
                };
                match self.tone(row, column).filter(|_| !text.is_empty()) {
                    // Bold reaches into formulas only by \boldmath, which is inert outside of them.
                    Some(Tone::Good) => format!("\\textbf{{\\boldmath {text}}}"),
                    Some(Tone::Bad) => format!("\\textit{{{text}}}"),
                    None => text,
                }
            };
            out += &line((0..self.columns.len()).map(field).collect());
        }
        out += "    \\bottomrule\n  \\end{tabular}\n";
        if let Some(note) = &self.note {
            out += &format!("  \\par\\smallskip{{\\footnotesize {}}}\n", latex(note));
        }
        out + "\\end{table}\n"
    }

    /// Aligned text for a terminal, the title above and the note below. Values stand under values and spreads under
    /// spreads; widths are those of a terminal's cells (wide characters count two). Marks are not shown.
    pub fn to_text(&self) -> String {
        let headings: Vec<String> = self.columns.iter().map(|column| printable(&column.heading())).collect();
        let mut fields = vec![Vec::new(); self.rows.len()];
        let mut widths = Vec::new();
        for (column, heading) in headings.iter().enumerate() {
            let parts: Vec<_> = (0..self.rows.len()).map(|row| self.cell(row, column).parts()).collect();
            let spread_width = parts.iter().map(|(_, spread)| spread.width()).max().unwrap_or(0);
            for (row, (text, spread)) in parts.iter().enumerate() {
                let numeric = spread_width > 0 && matches!(self.cell(row, column), Cell::Number { .. });
                let tail = if numeric {
                    format!(" {}", pad(spread, spread_width, Align::Right))
                } else {
                    String::new()
                };
                fields[row].push(printable(text) + &tail);
            }
            let longest = fields.iter().map(|row| row[column].width()).max().unwrap_or(0);
            widths.push(longest.max(heading.width()));
        }
        let line = |fields: &[String]| {
            let padded = fields.iter().zip(&widths).zip(&self.columns);
            let padded: Vec<_> =
                padded.map(|((text, width), column)| pad(text, *width, column.align)).collect();
            padded.join("  ").trim_end().to_owned()
        };
        let mut out = String::new();
        if !self.title.is_empty() {
            push_line(&mut out, &printable(&self.title));
        }
        push_line(&mut out, &line(&headings));
        let rules: Vec<_> = widths.iter().map(|&width| "─".repeat(width)).collect();
        push_line(&mut out, &rules.join("  "));
        for row in &fields {
            push_line(&mut out, &line(row));
        }
        if let Some(note) = &self.note {
            push_line(&mut out, &printable(note));
        }
        out
    }
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

/// Value and spread in one string.
fn joined(cell: &Cell) -> String {
    match cell.parts() {
        (text, spread) if spread.is_empty() => text,
        (text, spread) => format!("{text} {spread}"),
    }
}

/// One line, without what would move a terminal's cursor or change its colours.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn pad(text: &str, width: usize, align: Align) -> String {
    let room = width.saturating_sub(text.width());
    let left = match align {
        Align::Left => 0,
        Align::Right => room,
        Align::Center => room / 2,
    };
    format!("{}{text}{}", " ".repeat(left), " ".repeat(room - left))
}

fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Words in a Markdown cell: one line, every character that could start markup escaped.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Words in LaTeX, with the characters that results are full of as formulas.
fn latex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            '|' => out.push_str("$|$"),
            '−' => out.push_str("$-$"),
            '±' => out.push_str("$\\pm$"),
            '×' => out.push_str("$\\times$"),
            '≤' => out.push_str("$\\leq$"),
            '≥' => out.push_str("$\\geq$"),
            '∞' => out.push_str("$\\infty$"),
            '→' => out.push_str("$\\to$"),
            '²' => out.push_str("$^2$"),
            'α' => out.push_str("$\\alpha$"),
            'τ' => out.push_str("$\\tau$"),
            'ω' => out.push_str("$\\omega$"),
            'ε' => out.push_str("$\\varepsilon$"),
            '·' => out.push_str("$\\cdot$"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn latex_number(value: f64, spread: Option<f64>, decimals: usize, signed: bool) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let formula = |value: f64, signed| match format!("{value:.2e}").split_once('e') {
        Some((mantissa, power)) if value.abs() >= 1e15 => format!("{mantissa} \\times 10^{{{power}}}"),
        _ => fixed(value, decimals, signed).replace(MINUS, "-").replace('∞', "\\infty"),
    };
    let value = formula(value, signed);
    match spread.filter(|spread| spread.is_finite()) {
        Some(spread) => format!("${value} \\pm {}$", formula(spread.abs(), false)),
        None => format!("${value}$"),
    }
}
