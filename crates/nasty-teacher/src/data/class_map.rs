//! Maps the outputs of a network to the classes of a data set, by name.
//!
//! This rule applies wherever a network meets data.

use std::collections::BTreeMap;

use miette::Diagnostic;

/// How a network's outputs belong to a data set's classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassMap {
    /// The same names in the same order.
    Same,
    /// The same names in another order: class `c` of the data is output `order[c]` of the network.
    ByName {
        /// For each class of the data, the network's output.
        order: Vec<usize>,
        /// Whether names that differ only in spelling (`01` and `1`, `Cat` and `cat`) were taken for the same.
        respelled: bool,
    },
    /// One side has numbers for names: output `c` is taken for class `c`.
    ByPosition {
        /// Which side that is.
        unnamed: Unnamed,
    },
}

/// Who does not know the names of the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// The network.
    Network,
    /// The data set.
    Data,
}

/// The names of a network's classes are not those of the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("the network's classes differ from the data set's: {difference}")]
#[diagnostic(help(
    "use the data set that the network was trained for; if only the names differ, correct label_names in the network's config.json, or import it again with the data set's names in the order of its outputs"
))]
pub struct ClassMismatch {
    /// What differs.
    pub difference: String,
}

/// How the outputs of a network, called `network`, belong to the classes of a data set, called `data`.
///
/// # Errors
/// [`ClassMismatch`] where counts differ, and where names differ that are no mere numbers.
///
/// ```
/// use nasty_teacher::data::{ClassMap, class_map};
///
/// let names = |names: [&str; 3]| names.map(String::from);
/// assert!(matches!(class_map(&names(["cat", "dog", "fox"]), &names(["cat", "dog", "fox"]))?, ClassMap::Same));
/// let apart = class_map(&names(["cat", "dog", "fox"]), &names(["cat", "dog", "owl"]));
/// assert!(apart.unwrap_err().to_string().contains("owl"));
/// # Ok::<(), nasty_teacher::data::ClassMismatch>(())
/// ```
pub fn class_map(network: &[String], data: &[String]) -> Result<ClassMap, ClassMismatch> {
    if network == data {
        return Ok(ClassMap::Same);
    }
    let differ = |difference| Err(ClassMismatch { difference });
    if network.len() != data.len() {
        return differ(format!(
            "the network has {} ({}), the data {} ({})",
            network.len(),
            first(network.iter()),
            data.len(),
            first(data.iter())
        ));
    }
    if let Some(order) = order(network, data, |name| name.to_owned()) {
        return Ok(ClassMap::ByName { order, respelled: false });
    }
    if let Some(order) = order(network, data, spelled) {
        return Ok(ClassMap::ByName { order, respelled: true });
    }
    if are_placeholders(network) {
        return Ok(ClassMap::ByPosition { unnamed: Unnamed::Network });
    }
    if are_placeholders(data) {
        return Ok(ClassMap::ByPosition { unnamed: Unnamed::Data });
    }
    let only = |here: &[String], there: &[String]| {
        let missing: Vec<String> = here.iter().filter(|name| !there.contains(name)).cloned().collect();
        (missing.len(), first(missing.iter()))
    };
    let ((of_network, network_only), (of_data, data_only)) = (only(network, data), only(data, network));
    if of_network + of_data == 0 {
        return differ("a name stands for several classes".to_owned());
    }
    differ(format!("only the network has {network_only}; only the data has {data_only}"))
}

impl ClassMap {
    /// For each class of the data, the network's output; `None` where both have the same order.
    pub fn order(&self) -> Option<&[usize]> {
        match self {
            Self::ByName { order, .. } if order.iter().enumerate().any(|(i, o)| i != *o) => Some(order),
            _ => None,
        }
    }

    /// Puts the rows of `answers` `[images, classes]` into the order of the data's classes.
    pub fn arrange(&self, answers: &mut [f32]) {
        let Some(order) = self.order() else { return };
        let mut row = vec![0.0; order.len()];
        for answer in answers.chunks_exact_mut(order.len()) {
            row.copy_from_slice(answer);
            answer.iter_mut().zip(order).for_each(|(to, from)| *to = row[*from]);
        }
    }

    /// What a person should know, if anything: `network` are the network's names, `data` the data's.
    pub fn note(&self, network: &[String], data: &[String]) -> Option<String> {
        match self {
            Self::Same => None,
            Self::ByName { respelled, .. } => {
                let same = if *respelled { "matched by name, spelled otherwise" } else { "matched by name" };
                let order = if self.order().is_some() { ", in another order" } else { "" };
                (*respelled || self.order().is_some()).then(|| {
                    format!(
                        "classes are {same}{order}: network {}; data {}",
                        first(network.iter()),
                        first(data.iter())
                    )
                })
            }
            Self::ByPosition { unnamed } => {
                let (who, names) = match unnamed {
                    Unnamed::Network => ("the network does not know the names of its classes", data),
                    Unnamed::Data => ("the data does not name its classes", network),
                };
                Some(format!(
                    "{who}: its outputs were taken to be, in this order, {}; if they are not, every figure is wrong \
                     (import the network with --labels, or correct label_names in its config.json)",
                    first(names.iter())
                ))
            }
        }
    }
}

/// For each of `data`, the place of the same name in `network`; `None` unless both have the same names, each once.
fn order(network: &[String], data: &[String], spelled: impl Fn(&str) -> String) -> Option<Vec<usize>> {
    let places: BTreeMap<String, usize> =
        network.iter().enumerate().map(|(i, name)| (spelled(name), i)).collect();
    let order: Vec<usize> =
        data.iter().map(|name| places.get(&spelled(name)).copied()).collect::<Option<_>>()?;
    let mut used = order.clone();
    used.sort_unstable();
    used.dedup();
    (places.len() == network.len() && used.len() == data.len()).then_some(order)
}

/// One spelling for names that differ in case, in what joins words, or in leading zeros.
fn spelled(name: &str) -> String {
    let lower = name.trim().to_lowercase().replace(['_', '-'], " ");
    let words = lower.split_whitespace().map(|word| {
        let is_number = word.bytes().all(|b| b.is_ascii_digit());
        let short = word.trim_start_matches('0');
        match (is_number, short) {
            (true, "") => "0",
            (true, short) => short,
            (false, _) => word,
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether the names only count: `0`, `1`, …; `class_0`, `class_1`, …; `LABEL_0`, ….
fn are_placeholders(names: &[String]) -> bool {
    const WORDS: [&str; 6] = ["", "class", "label", "c", "category", "output"];
    let number = |name: &String| {
        let lower = name.to_lowercase();
        let word = lower.trim_end_matches(|c: char| c.is_ascii_digit());
        let number: usize = lower[word.len()..].parse().ok()?;
        WORDS.contains(&word.trim_end_matches(['_', '-', ' '])).then_some((word.to_owned(), number))
    };
    let Some((word, from)) = names.first().and_then(number) else { return false };
    from <= 1 && names.iter().enumerate().all(|(i, name)| number(name) == Some((word.clone(), from + i)))
}

/// The first few names.
fn first<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 6;
    let (count, shown) = (names.len(), names.take(SHOWN).map(String::as_str).collect::<Vec<_>>());
    match count {
        0 => "none".to_owned(),
        _ if count > SHOWN => format!("{}, … ({count} in all)", shown.join(", ")),
        _ => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn map(network: &str, data: &str) -> Result<ClassMap, ClassMismatch> {
        class_map(&names(network), &names(data))
    }

    #[test]
    fn names_decide() {
        assert_eq!(map("cat dog fox", "cat dog fox"), Ok(ClassMap::Same));
        let other = map("1 2 3 10", "1 10 2 3").expect("the same names");
        assert_eq!(other, ClassMap::ByName { order: vec![0, 3, 1, 2], respelled: false });
        let mut answers = [10.0, 20.0, 30.0, 100.0, 1.0, 2.0, 3.0, 4.0];
        other.arrange(&mut answers);
        assert_eq!(answers, [10.0, 100.0, 20.0, 30.0, 1.0, 4.0, 2.0, 3.0]);
        let note = other.note(&names("1 2 3 10"), &names("1 10 2 3")).expect("it is said");
        assert!(note.contains("another order") && note.contains("1, 10, 2, 3"), "{note}");
        let spelled = map("01 02 10", "1 10 2").expect("the same numbers");
        assert_eq!(spelled.order(), Some(&[0, 2, 1][..]));
        let spelled = map("Maple_Tree cat", "maple-tree Cat").expect("the same words");
        assert_eq!(spelled, ClassMap::ByName { order: vec![0, 1], respelled: true });
        assert!(spelled.order().is_none() && spelled.note(&names("A b"), &names("a b")).is_some());
    }

    #[test]
    fn numbers_for_names_are_taken_by_position_and_told() {
        for (network, data, unnamed) in [
            ("0 1 2", "cat dog fox", Unnamed::Network),
            ("class_0 class_1", "cat dog", Unnamed::Network),
            ("LABEL_0 LABEL_1", "cat dog", Unnamed::Network),
            ("0 1 2 3 4 5 6 7 8 9 10", "1 10 11 2 3 4 5 6 7 8 9", Unnamed::Network),
            ("zero one", "0 1", Unnamed::Data),
            ("class1 class2", "cat dog", Unnamed::Network),
        ] {
            let map = map(network, data).expect("a placeholder");
            assert_eq!(map, ClassMap::ByPosition { unnamed }, "{network}");
            let note = map.note(&names(network), &names(data)).expect("it is said");
            assert!(note.contains("every figure is wrong"), "{note}");
            assert!(map.order().is_none());
        }
    }

    #[test]
    fn other_names_are_refused_with_the_first_differences() {
        let refused = |network: &str, data: &str| map(network, data).expect_err("other classes").difference;
        let said = refused("plane car cat", "airplane automobile cat");
        assert_eq!(said, "only the network has plane, car; only the data has airplane, automobile");
        let said = refused("cat dog", "cat dog fox");
        assert_eq!(said, "the network has 2 (cat, dog), the data 3 (cat, dog, fox)");
        assert!(refused("0 2 1", "a b c").starts_with("only the network has 0, 2, 1"), "no mere count");
        assert!(refused("crane crane", "crane kite").contains("only the data has kite"));
        assert_eq!(map("crane crane", "crane crane"), Ok(ClassMap::Same));
        assert!(refused("crane kite crane", "kite crane crane").contains("several classes"));
        assert!(refused("Cat cat", "cat dog").contains("Cat"));
        let many: Vec<String> = (0..20).map(|i| format!("n{i}x")).collect();
        let said = class_map(&many, &names(&"y ".repeat(20))).expect_err("others").difference;
        assert!(said.contains("n5x, … (20 in all)") && !said.contains("n6x"), "{said}");
    }

    proptest! {
        #[test]
        fn any_order_is_undone(order in Just((0..12usize).collect::<Vec<_>>()).prop_shuffle()) {
            let network: Vec<String> = (0..12).map(|i| format!("name {i}")).collect();
            let data: Vec<String> = order.iter().map(|&i| network[i].clone()).collect();
            let map = class_map(&network, &data).expect("the same names");
            let mut answers: Vec<f32> = (0..12).map(|i| i as f32).collect();
            map.arrange(&mut answers);
            prop_assert_eq!(answers, order.iter().map(|&i| i as f32).collect::<Vec<_>>());
        }
    }
}
