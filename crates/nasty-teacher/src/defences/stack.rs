//! Defences by name: a single one with its parameters, or several in order. `top-k:3+rounding:2` applies top-k first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ALL, Answers, Defence, DefenceError, Facts, Need, Query, Row, TopOne};

/// Other names, and what they stand for.
const ALIASES: &[(&str, &str)] = &[("top-1", "top-k:1")];

/// What stands between two defences of a stack.
const JOINT: char = '+';

/// A defence of the closed set with its parameters. Written as its text, in files too.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Layer {
    facts: &'static Facts,
    values: Vec<f64>,
    defence: Box<dyn Defence>,
}

impl Layer {
    fn new(facts: &'static Facts, values: Vec<f64>) -> Self {
        Self { facts, defence: (facts.build)(&values), values }
    }

    /// What it is and what it promises.
    pub fn facts(&self) -> &'static Facts {
        self.facts
    }

    /// The values of its parameters, in the order of [`Facts::parameters`].
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

impl Defence for Layer {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        self.defence.serve(row, query)
    }

    fn l1_bound(&self, row: &Row) -> f64 {
        self.defence.l1_bound(row).min(2.0)
    }
}

/// A copy begins without what the original has been asked.
impl Clone for Layer {
    fn clone(&self) -> Self {
        Self::new(self.facts, self.values.clone())
    }
}

impl PartialEq for Layer {
    fn eq(&self, other: &Self) -> bool {
        self.facts.name == other.facts.name && self.values == other.values
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { name, parameters, .. } = self.facts;
        f.write_str(name)?;
        if let ([_], [value]) = (*parameters, self.values.as_slice()) {
            return write!(f, ":{value}");
        }
        for (i, (parameter, value)) in parameters.iter().zip(&self.values).enumerate() {
            write!(f, "{}{}={value}", if i == 0 { ':' } else { ',' }, parameter.name)?;
        }
        Ok(())
    }
}

impl FromStr for Layer {
    type Err = DefenceError;

    fn from_str(text: &str) -> Result<Self, DefenceError> {
        let text = text.trim();
        if let Some((_, meaning)) = ALIASES.iter().find(|(alias, _)| *alias == text) {
            return meaning.parse();
        }
        let (name, settings) = text.split_once(':').unwrap_or((text, ""));
        let facts = named(name.trim())?;
        let mut values: Vec<Option<f64>> = vec![None; facts.parameters.len()];
        for setting in settings.split(',').filter(|setting| !setting.trim().is_empty()) {
            // `top-k:1`: a value without a name is the first parameter's.
            let (place, value) = match setting.split_once('=') {
                Some((key, value)) => (facts.parameters.iter().position(|p| p.name == key.trim()), value),
                None => ((!facts.parameters.is_empty()).then_some(0), setting),
            };
            let place = place.ok_or_else(|| DefenceError::UnknownParameter {
                defence: facts.name,
                key: setting.split('=').next().unwrap_or(setting).trim().to_owned(),
                usage: facts.usage(),
            })?;
            let parameter = &facts.parameters[place];
            if values[place].replace(parameter.value(facts.name, value)?).is_some() {
                return Err(refused(facts, place, "one value", "two of them"));
            }
        }
        let value = |(place, value): (usize, &Option<f64>)| {
            let parameter = &facts.parameters[place];
            value.or(parameter.default).ok_or_else(|| refused(facts, place, &parameter.to_string(), "none"))
        };
        let values: Vec<f64> = values.iter().enumerate().map(value).collect::<Result<_, _>>()?;
        Ok(Self::new(facts, values))
    }
}

fn refused(facts: &'static Facts, place: usize, expected: &str, found: &str) -> DefenceError {
    DefenceError::Value {
        defence: facts.name,
        key: facts.parameters[place].name,
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

fn named(name: &str) -> Result<&'static Facts, DefenceError> {
    let lower = name.to_ascii_lowercase();
    if let Some(facts) = ALL.iter().find(|facts| facts.name == lower) {
        return Ok(facts);
    }
    let names = || ALL.iter().map(|facts| facts.name).chain(ALIASES.iter().map(|(alias, _)| *alias));
    let nearest = names()
        .max_by(|a, b| strsim::jaro_winkler(&lower, a).total_cmp(&strsim::jaro_winkler(&lower, b)))
        .unwrap_or_default();
    Err(DefenceError::Unknown {
        name: name.to_owned(),
        nearest,
        known: names().collect::<Vec<_>>().join(", "),
    })
}

impl TryFrom<String> for Layer {
    type Error = DefenceError;

    fn try_from(text: String) -> Result<Self, DefenceError> {
        text.parse()
    }
}

impl From<Layer> for String {
    fn from(layer: Layer) -> Self {
        layer.to_string()
    }
}

/// Defences in the order in which a row goes through them; `none` without any. Written as its text, in files too.
///
/// ```
/// use nasty_teacher::defences::{Defence, ImageId, Query, Row, Secret, Stack};
///
/// let stack: Stack = "flat-tail+rounding:2".parse()?;
/// let row = Row::from_probabilities(&[0.7, 0.2, 0.06, 0.04])?;
/// let secret = Secret::of(b"the owner's");
/// let served = stack.serve(&row, &Query::new(ImageId::of(b"an image's pixels"), &secret, 0))?;
/// for (served, expected) in served.probabilities().iter().zip([0.7, 0.1, 0.1, 0.1]) {
///     assert!((served - expected).abs() < 1e-9);
/// }
/// # Ok::<(), nasty_teacher::defences::DefenceError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Stack(Vec<Layer>);

impl Stack {
    /// Defences in this order.
    pub fn new(layers: impl IntoIterator<Item = Layer>) -> Self {
        Self(layers.into_iter().collect())
    }

    /// The defences, the first served through first.
    pub fn layers(&self) -> &[Layer] {
        &self.0
    }

    /// What all of them together promise about the predicted class.
    pub fn top1(&self) -> TopOne {
        let join = |before: TopOne, layer: &Layer| match (before, layer.facts.top1) {
            (TopOne::Kept, next) => next,
            // Where there are ties, the next defence may take another class for the predicted one.
            (TopOne::KeptUpToTies | TopOne::Changed, _) => TopOne::Changed,
        };
        self.0.iter().fold(TopOne::Kept, join)
    }

    /// What an answer depends on: the least predictable of them decides.
    pub fn answers(&self) -> Answers {
        self.0.iter().map(|layer| layer.facts.answers).max().unwrap_or(Answers::Fixed)
    }

    /// What any of them needs beside the row.
    pub fn needs(&self) -> Vec<Need> {
        self.0.iter().fold(Vec::new(), |mut needs, layer| {
            needs.extend(
                layer.facts.needs.iter().filter(|need| !needs.contains(need)).copied().collect::<Vec<_>>(),
            );
            needs
        })
    }
}

impl Defence for Stack {
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError> {
        let mut served = row.clone();
        for (layer, defence) in self.0.iter().enumerate() {
            served = defence.serve(&served, &Query { layer, ..*query })?;
        }
        Ok(served)
    }

    fn l1_bound(&self, row: &Row) -> f64 {
        match self.0.as_slice() {
            [] => 0.0,
            [one] => one.l1_bound(row),
            // The bounds of later layers are for rows that are not known here.
            _ => 2.0,
        }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (i, layer) in self.0.iter().enumerate() {
            if i > 0 {
                write!(f, "{JOINT}")?;
            }
            write!(f, "{layer}")?;
        }
        Ok(())
    }
}

impl FromStr for Stack {
    type Err = DefenceError;

    fn from_str(text: &str) -> Result<Self, DefenceError> {
        if text.trim() == "none" {
            return Ok(Self::default());
        }
        let mut layers = Vec::new();
        let mut begin = 0;
        for (at, _) in text.match_indices(JOINT) {
            // The plus of 1e+5 joins nothing: names begin with a letter.
            if text[at + JOINT.len_utf8()..].trim_start().starts_with(|c: char| c.is_ascii_alphabetic()) {
                layers.push(text[begin..at].parse()?);
                begin = at + JOINT.len_utf8();
            }
        }
        layers.push(text[begin..].parse()?);
        Ok(Self(layers))
    }
}

impl TryFrom<String> for Stack {
    type Error = DefenceError;

    fn try_from(text: String) -> Result<Self, DefenceError> {
        text.parse()
    }
}

impl From<Stack> for String {
    fn from(stack: Stack) -> Self {
        stack.to_string()
    }
}
