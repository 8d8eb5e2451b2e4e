//! Classes out of the labels of a table: numbers, or names.

use std::collections::BTreeSet;

use super::error::DataError;

/// A label as it stands in a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    Number(i64),
    Name(String),
}

impl Label {
    /// A label in a text table: a number where it is one.
    pub(super) fn of_text(text: &str) -> Self {
        text.trim().parse().map_or_else(|_| Self::Name(text.trim().to_owned()), Self::Number)
    }
}

/// The classes that the labels of both splits name, and the numbers of the labels. `names` are those of the numbers,
/// where they are known.
///
/// Numbers are in their own order, from 0 on unless one is missing in the names; names in ascending order.
pub(super) fn classes(
    place: &str,
    labels: &[Label],
    names: Option<Vec<String>>,
) -> Result<(Vec<String>, Vec<u16>), DataError> {
    let wrong = |expected: &str, found: String| DataError::malformed(place, expected, found);
    if let Some(names) = names {
        let number = |label: &Label| match label {
            Label::Number(number) => usize::try_from(*number).ok().filter(|number| *number < names.len()),
            Label::Name(name) => names.iter().position(|known| known == name),
        };
        let numbers = labels.iter().map(|label| {
            let number = number(label).and_then(|number| u16::try_from(number).ok());
            number.ok_or_else(|| {
                wrong(&format!("labels of the {} classes that it names", names.len()), format!("{label:?}"))
            })
        });
        return Ok((names.clone(), numbers.collect::<Result<_, _>>()?));
    }
    let distinct: BTreeSet<&Label> = labels.iter().collect();
    let text = |label: &&Label| match label {
        Label::Number(number) => number.to_string(),
        Label::Name(name) => name.clone(),
    };
    if distinct.len() < 2 {
        let found = distinct.iter().map(text).collect::<Vec<_>>().join(", ");
        return Err(wrong("labels of two or more classes", format!("only {found}")));
    }
    if distinct.len() > usize::from(u16::MAX) {
        return Err(wrong(&format!("at most {} classes", u16::MAX), distinct.len().to_string()));
    }
    let order: Vec<&Label> = distinct.into_iter().collect();
    let numbers =
        labels.iter().map(|label| order.binary_search(&label).expect("one of them") as u16).collect();
    Ok((order.iter().map(text).collect(), numbers))
}

/// The column with the labels among `columns`: the first of the usual names, else the only one that is no name of a file.
pub(super) fn column<'a>(columns: &[&'a str], others: &[&str]) -> Option<&'a str> {
    const USUAL: [&str; 9] =
        ["label", "labels", "class", "category", "target", "fine_label", "label_name", "class_name", "y"];
    let usual = USUAL.iter().find_map(|usual| columns.iter().find(|name| name.eq_ignore_ascii_case(usual)));
    let left: Vec<&&str> = columns.iter().filter(|name| !others.contains(*name)).collect();
    usual.or(if let [only] = left[..] { Some(only) } else { None }).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_become_classes() {
        let labels = ["10", "9", "cat", "10"].map(Label::of_text);
        let (names, numbers) = classes("t", &labels, None).unwrap();
        assert_eq!((names, numbers), (vec!["9".into(), "10".into(), "cat".into()], vec![1, 0, 2, 1]));
        let known = Some(vec!["cat".to_owned(), "dog".to_owned()]);
        let labels = [Label::Number(1), Label::Name("cat".into())];
        assert_eq!(classes("t", &labels, known.clone()).unwrap().1, [1, 0]);
        let says = |labels: &[Label], names| classes("t", labels, names).unwrap_err().to_string();
        assert!(says(&[Label::Number(2)], known.clone()).contains("labels of the 2 classes that it names"));
        assert!(says(&[Label::Number(-1)], known).contains("-1"));
        assert!(
            says(&[Label::Number(7), Label::Number(7)], None).contains("two or more classes, found only 7")
        );
    }

    #[test]
    fn the_column_of_labels_is_found() {
        assert_eq!(column(&["file_name", "Label", "x"], &["file_name"]), Some("Label"));
        assert_eq!(column(&["file_name", "species"], &["file_name"]), Some("species"));
        assert_eq!(column(&["file_name", "a", "b"], &["file_name"]), None);
    }
}
