//! The axes of an experiment's grid, each listed once: its name in files, its label, and how it is plotted.

use crate::analysis::tsne::Layer;
use serde::de::{Deserializer, Error};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// An axis of the grid. A new one is a variant, its line in [`Self::ALL`] and its line in [`Self::spec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AxisKind {
    /// The data set.
    Data,
    /// The teacher's architecture.
    Teacher,
    /// The adversarial network's architecture, `same` or `none`.
    Adversary,
    /// ω, the weight of the undermining.
    Omega,
    /// τ of the undermining.
    TeacherTemperature,
    /// The student's architecture.
    Student,
    /// τ of the distillation.
    Temperature,
    /// α, the weight of the teacher in the distillation.
    Alpha,
    /// The share of the training images that the student sees.
    Share,
    /// Which of the two teachers is attacked or mapped.
    Side,
    /// Which outputs of a network are mapped.
    Layer,
}

/// How the values of an axis are plotted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AxisScale {
    /// Words, in the order of the grid.
    Words,
    /// Numbers on a linear scale.
    Linear,
    /// Numbers on a logarithmic scale.
    Logarithmic,
}

/// What is known of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisSpec {
    /// Its key in records and in `report.json`.
    pub key: &'static str,
    /// The heading of its column and the label of its plot axis.
    pub heading: &'static str,
    /// What stands before `=` in a sentence: `ω` in `ω = 0.04`.
    pub symbol: &'static str,
    /// How it is plotted.
    pub scale: AxisScale,
}

impl AxisKind {
    /// All axes, in the order of columns.
    pub const ALL: [Self; 11] = [
        Self::Data,
        Self::Teacher,
        Self::Adversary,
        Self::Omega,
        Self::TeacherTemperature,
        Self::Student,
        Self::Temperature,
        Self::Alpha,
        Self::Share,
        Self::Side,
        Self::Layer,
    ];

    /// What is known of it.
    pub fn spec(self) -> AxisSpec {
        use AxisScale::{Linear, Logarithmic, Words};
        let (key, heading, symbol, scale) = match self {
            Self::Data => ("data", "data", "data", Words),
            Self::Teacher => ("teacher", "teacher", "teacher", Words),
            Self::Adversary => ("adversary", "adversary", "adversary", Words),
            Self::Omega => ("omega", "ω", "ω", Logarithmic),
            Self::TeacherTemperature => {
                ("teacher_temperature", "τ of undermining", "τ of undermining", Linear)
            }
            Self::Student => ("student", "student", "student", Words),
            Self::Temperature => ("temperature", "τ of distillation", "τ", Linear),
            Self::Alpha => ("alpha", "α", "α", Linear),
            Self::Share => ("share", "share of data", "share of data", Linear),
            Self::Side => ("side", "teacher is", "teacher", Words),
            Self::Layer => ("layer", "space", "space", Words),
        };
        AxisSpec { key, heading, symbol, scale }
    }

    /// The axis with this key.
    fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.spec().key == key)
    }

    /// Whether its values are numbers.
    pub fn is_number(self) -> bool {
        self.spec().scale != AxisScale::Words
    }

    /// The value that `json` says, if it is one of this axis.
    fn read(self, json: Json) -> Result<Value, serde_json::Error> {
        Ok(match self {
            Self::Side => Value::Side(serde_json::from_value(json)?),
            Self::Layer => Value::Layer(serde_json::from_value(json)?),
            _ if self.is_number() => Value::Number(serde_json::from_value(json)?),
            _ => Value::Word(serde_json::from_value(json)?),
        })
    }
}

/// Which of the two teachers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The normal one.
    Normal,
    /// The nasty one.
    Nasty,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Normal, Self::Nasty];

    /// `normal` or `nasty`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Nasty => "nasty",
        }
    }
}

/// A value on an axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(f64),
    /// A name.
    Word(String),
    /// One of the two teachers.
    Side(Side),
    /// A network's outputs.
    Layer(Layer),
}

impl Value {
    /// As a person reads it: the shortest digits of a number.
    pub fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Word(word) => word.clone(),
            Self::Side(side) => side.name().to_owned(),
            Self::Layer(Layer::Features) => "features".to_owned(),
            Self::Layer(Layer::Logits) => "logits".to_owned(),
        }
    }
}

/// Where in an experiment's grid something stands: its values on the axes that apply to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place(BTreeMap<AxisKind, Value>);

impl Place {
    /// This place with `value` on `axis`.
    pub fn with(mut self, axis: AxisKind, value: Value) -> Self {
        self.0.insert(axis, value);
        self
    }

    /// This place with the name `word` on `axis`.
    pub fn word(self, axis: AxisKind, word: impl ToString) -> Self {
        self.with(axis, Value::Word(word.to_string()))
    }

    /// This place with `number` on `axis`; unchanged if there is none.
    pub fn number(self, axis: AxisKind, number: Option<f64>) -> Self {
        match number {
            Some(number) => self.with(axis, Value::Number(number)),
            None => self,
        }
    }

    /// This place without `axes`.
    pub fn without(mut self, axes: &[AxisKind]) -> Self {
        self.0.retain(|axis, _| !axes.contains(axis));
        self
    }

    /// The value on `axis`, if the axis applies.
    pub fn get(&self, axis: AxisKind) -> Option<&Value> {
        self.0.get(&axis)
    }

    /// The number on `axis`, if it applies and has numbers.
    pub fn get_number(&self, axis: AxisKind) -> Option<f64> {
        match self.get(axis)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The text on `axis`; empty if it does not apply.
    pub fn text(&self, axis: AxisKind) -> String {
        self.get(axis).map_or_else(String::new, Value::text)
    }

    /// Which teacher this is about, where it is about one.
    pub fn side(&self) -> Option<Side> {
        match self.get(AxisKind::Side)? {
            Value::Side(side) => Some(*side),
            _ => None,
        }
    }

    /// Which outputs this is about, where it is about some.
    pub fn layer(&self) -> Option<Layer> {
        match self.get(AxisKind::Layer)? {
            Value::Layer(layer) => Some(*layer),
            _ => None,
        }
    }

    /// Whether both have the same value on every axis that applies to both.
    pub fn agrees(&self, other: &Self) -> bool {
        self.0.iter().all(|(axis, value)| other.get(*axis).is_none_or(|of_other| of_other == value))
    }

    /// The axes on which `places` differ, of those that apply to them.
    pub fn varying(places: &[Self]) -> Vec<AxisKind> {
        let varies = |axis: &AxisKind| {
            let mut values = places.iter().filter_map(|place| place.get(*axis));
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        AxisKind::ALL.into_iter().filter(varies).collect()
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (axis, value) in &self.0 {
            map.serialize_entry(axis.spec().key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut place = Self::default();
        for (key, json) in BTreeMap::<String, Json>::deserialize(deserializer)? {
            let axis = AxisKind::of_key(&key).ok_or_else(|| D::Error::custom(format!("no axis `{key}`")))?;
            // Format 1 wrote null on axes that do not apply.
            if !json.is_null() {
                place = place.with(axis, axis.read(json).map_err(D::Error::custom)?);
            }
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_and_absent_axes_stay_absent() {
        let place = Place::default()
            .word(AxisKind::Data, "cifar10")
            .number(AxisKind::Omega, Some(0.04))
            .number(AxisKind::Alpha, None)
            .with(AxisKind::Side, Value::Side(Side::Nasty))
            .with(AxisKind::Layer, Value::Layer(Layer::Logits));
        let json = serde_json::to_string(&place).expect("plain data");
        assert_eq!(json, r#"{"data":"cifar10","omega":0.04,"side":"nasty","layer":"logits"}"#);
        assert_eq!(serde_json::from_str::<Place>(&json).expect("its own text"), place);
        let old: Place = serde_json::from_str(r#"{"data":"cifar10","alpha":null}"#).expect("format 1");
        assert_eq!(old, Place::default().word(AxisKind::Data, "cifar10"));
        for wrong in [r#"{"omgea":1}"#, r#"{"omega":"much"}"#, r#"{"side":"left"}"#] {
            assert!(serde_json::from_str::<Place>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_agree_where_both_have_a_value() {
        let teacher = Place::default().word(AxisKind::Teacher, "cnn");
        let nasty = teacher.clone().number(AxisKind::Omega, Some(0.1));
        assert!(teacher.agrees(&nasty) && nasty.agrees(&teacher));
        assert!(!nasty.agrees(&teacher.clone().number(AxisKind::Omega, Some(0.2))));
        assert_eq!(Place::varying(&[teacher, nasty.clone()]), [], "only one of them has an ω");
        let other = nasty.clone().number(AxisKind::Omega, Some(0.2));
        assert_eq!(Place::varying(&[nasty, other]), [AxisKind::Omega]);
    }

    #[test]
    fn every_axis_has_its_own_key() {
        for axis in AxisKind::ALL {
            assert_eq!(AxisKind::of_key(axis.spec().key), Some(axis));
        }
    }
}
