//! What a file or its description states besides the weights: normalisation, class names, input size, architecture.

use serde_json::Value as Json;

use crate::pickle::{Object, Pickled, Value};

/// What is said, and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) normalisations: Vec<Said<Figures>>,
    pub(super) labels: Vec<Said<Vec<String>>>,
    pub(super) sides: Vec<usize>,
    pub(super) margins: Vec<Said<Margin>>,
    pub(super) interpolations: Vec<Said<String>>,
    pub(super) architectures: Vec<String>,
    pub(super) classes: Vec<usize>,
}

/// Mean and standard deviation of each channel.
pub(super) type Figures = (Vec<f32>, Vec<f32>);

/// What is left around the image when it is cut from the middle of a resized picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Margin {
    /// The image's side, as a share of the picture's shorter side (timm's `crop_pct`).
    Share(f32),
    /// Pixels of the picture's shorter side.
    Shorter(usize),
}

/// A fact, and the place that says it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said<T> {
    pub(super) what: T,
    pub(super) place: String,
}

/// Names that people give to the mean and the standard deviation of the channels.
pub(super) const PAIRS: [[&str; 2]; 7] = [
    ["mean", "std"],
    ["mu", "sigma"],
    ["image_mean", "image_std"],
    ["pixel_mean", "pixel_std"],
    ["data_mean", "data_std"],
    ["norm_mean", "norm_std"],
    ["_mean", "_std"],
];
const LABELS: [&str; 7] =
    ["label_names", "class_names", "classes", "labels", "categories", "names", "class_list"];
/// Names by number.
const LABELS_BY_NUMBER: [&str; 2] = ["id2label", "idx_to_class"];
/// Numbers by name.
const NUMBERS_BY_LABEL: [&str; 2] = ["class_to_idx", "label2id"];

/// A dictionary in which facts may stand, whatever file it is from.
trait Dictionary {
    fn numbers(&self, key: &str) -> Option<Vec<f32>>;
    fn texts(&self, key: &str) -> Option<Vec<String>>;
    /// Text and number of each entry of a dictionary, in whichever order they stand.
    fn numbered(&self, key: &str) -> Option<Vec<(usize, String)>>;
}

impl Facts {
    /// Adds what a dictionary called `place` says; the one at the top has no name.
    fn read(&mut self, dictionary: &impl Dictionary, place: &str) {
        let placed = |keys: String| if place.is_empty() { keys } else { place.to_owned() };
        for [mean, std] in PAIRS {
            if let (Some(means), Some(deviations)) = (dictionary.numbers(mean), dictionary.numbers(std))
                && let Some(both) = normalisation(means, deviations)
            {
                self.normalisations.push(Said { what: both, place: placed(format!("`{mean}` and `{std}`")) });
                break;
            }
        }
        let listed = |key: &&str| dictionary.texts(key).filter(|names| names.len() > 1);
        let numbered = |key: &&str| in_order(dictionary.numbered(key)?);
        let listed = LABELS.iter().find_map(|key| Some((key, listed(key)?)));
        let named = listed.or_else(|| {
            LABELS_BY_NUMBER.iter().chain(&NUMBERS_BY_LABEL).find_map(|key| Some((key, numbered(key)?)))
        });
        if let Some((key, names)) = named {
            self.labels.push(Said { what: names, place: placed(format!("`{key}`")) });
        }
        if let Some(size) = dictionary.numbers("input_size").or_else(|| dictionary.numbers("image_size")) {
            // Channels, height, width; or one side for both.
            let side = match size[..] {
                [_, height, width] | [height, width] if height == width => Some(height),
                [side] => Some(side),
                _ => None,
            };
            self.read_side(side.as_ref());
        }
        if let Some([side]) = dictionary.numbers("crop_size").as_deref() {
            self.read_side(Some(side));
        }
        let centred = dictionary.texts("crop_mode").is_none_or(|mode| mode == ["center"]);
        if let Some([share]) = dictionary.numbers("crop_pct").as_deref()
            && centred
            && (0.25..=1.0).contains(share)
        {
            self.margins.push(Said { what: Margin::Share(*share), place: placed("`crop_pct`".into()) });
        }
        for key in ["shorter_side", "shortest_edge"] {
            if let Some([shorter]) = dictionary.numbers(key).as_deref()
                && (1.0..=16_384.0).contains(shorter)
            {
                let what = Margin::Shorter(*shorter as usize);
                self.margins.push(Said { what, place: placed(format!("`{key}`")) });
            }
        }
        let interpolation = dictionary.texts("interpolation").and_then(|names| names.into_iter().next());
        // Pillow's numbers, as preprocessor_config.json has them.
        let numbered = || match dictionary.numbers("resample").as_deref() {
            Some([number]) => {
                ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"].get(*number as usize).copied()
            }
            _ => None,
        };
        if let Some(what) = interpolation.or_else(|| numbered().map(str::to_owned)) {
            self.interpolations.push(Said { what, place: placed("interpolation".into()) });
        }
        if let Some([count]) = dictionary.numbers("num_classes").as_deref() {
            self.classes.push(*count as usize);
        }
        self.architectures
            .extend(dictionary.texts("architecture").and_then(|names| names.into_iter().next()));
    }

    /// Adds a side, if images can have it.
    fn read_side(&mut self, side: Option<&f32>) {
        self.sides.extend(side.filter(|side| (1.0..=4096.0).contains(*side)).map(|side| *side as usize));
    }

    /// What the dictionaries of a pickle say.
    pub(super) fn of_pickle(pickled: &Pickled<'_>) -> Self {
        // A dictionary is called by the key under which it stands.
        let mut names = vec![None; pickled.objects.len()];
        for object in &pickled.objects {
            let entries = match object {
                Object::Dict(entries) => entries,
                Object::Call(call) => &call.entries,
                _ => continue,
            };
            for (key, value) in entries {
                if let (Value::Object(number), Some(key)) = (value, pickled.text(*key)) {
                    names[*number].get_or_insert(key);
                }
            }
        }
        let mut facts = Self::default();
        for (number, object) in pickled.objects.iter().enumerate() {
            let (entries, of) = match object {
                Object::Dict(entries) => (entries.as_slice(), None),
                Object::Call(call) => match call.state.and_then(|state| pickled.entries(state)) {
                    Some(state) => (state, pickled.global(call.function)),
                    None => (call.entries.as_slice(), None),
                },
                _ => continue,
            };
            // What describes data is small; a state dictionary is not looked through for every name.
            if entries.is_empty() || entries.len() > 400 {
                continue;
            }
            let name = names[number].as_deref().or(of).map(|name| format!("`{name}`"));
            facts.read(&Entries { pickled, entries }, &name.unwrap_or_default());
        }
        facts
    }

    /// What a JSON file says, at whatever depth.
    pub(super) fn of_json(json: &Json, place: &str) -> Self {
        let mut facts = Self::default();
        facts.read_json(json, place, 0);
        facts
    }

    fn read_json(&mut self, json: &Json, place: &str, level: usize) {
        let Json::Object(entries) = json else { return };
        self.read(entries, place);
        // A hub writes the crop's side as a number or as two.
        if let Some(Json::Object(size)) = entries.get("crop_size")
            && let (Some(height), Some(width)) = (size.numbers("height"), size.numbers("width"))
            && height == width
        {
            self.read_side(height.first());
        }
        for (key, value) in entries.iter().filter(|_| level < 8) {
            self.read_json(value, &format!("`{key}` of {}", place.trim_start_matches("the ")), level + 1);
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.normalisations.extend(other.normalisations);
        self.labels.extend(other.labels);
        self.sides.extend(other.sides);
        self.margins.extend(other.margins);
        self.interpolations.extend(other.interpolations);
        self.architectures.extend(other.architectures);
        self.classes.extend(other.classes);
    }
}

/// Mean and standard deviation as they apply to pixels in 0..1, if the numbers can be such.
pub(super) fn normalisation(mean: Vec<f32>, std: Vec<f32>) -> Option<Figures> {
    let channels = mean.len();
    let fits = matches!(channels, 1..=4)
        && std.len() == channels
        && mean.iter().all(|m| (-1.0..=255.0).contains(m))
        && std.iter().all(|s| *s > 0.0 && *s <= 255.0);
    // Figures for pixels in 0..255.
    let scale = if mean.iter().chain(&std).any(|&v| v > 2.0) { 255.0 } else { 1.0 };
    fits.then(|| {
        let scaled = |of: Vec<f32>| of.into_iter().map(|v| v / scale).collect();
        (scaled(mean), scaled(std))
    })
}

/// The names by their numbers, if the numbers are 0, 1, 2, …
fn in_order(mut numbered: Vec<(usize, String)>) -> Option<Vec<String>> {
    numbered.sort();
    let complete = numbered.iter().enumerate().all(|(i, (number, _))| i == *number);
    (complete && numbered.len() > 1).then(|| numbered.into_iter().map(|(_, name)| name).collect())
}

impl Dictionary for serde_json::Map<String, Json> {
    fn numbers(&self, key: &str) -> Option<Vec<f32>> {
        let number = |value: &Json| value.as_f64().map(|v| v as f32);
        match self.get(key)? {
            Json::Array(items) => items.iter().map(number).collect(),
            one => number(one).map(|one| vec![one]),
        }
    }

    fn texts(&self, key: &str) -> Option<Vec<String>> {
        let text = |value: &Json| value.as_str().map(str::to_owned);
        match self.get(key)? {
            Json::Array(items) => items.iter().map(text).collect(),
            one => text(one).map(|one| vec![one]),
        }
    }

    fn numbered(&self, key: &str) -> Option<Vec<(usize, String)>> {
        let Json::Object(entries) = self.get(key)? else { return None };
        let entry = |(key, value): (&String, &Json)| match value {
            Json::String(name) => Some((key.parse().ok()?, name.clone())),
            Json::Number(number) => Some((usize::try_from(number.as_u64()?).ok()?, key.clone())),
            _ => None,
        };
        entries.iter().map(entry).collect()
    }
}

struct Entries<'p, 'a> {
    pickled: &'p Pickled<'a>,
    entries: &'p [(Value<'a>, Value<'a>)],
}

impl<'a> Entries<'_, 'a> {
    fn get(&self, key: &str) -> Option<Value<'a>> {
        let is_it = |name: Value<'a>| match name {
            Value::Text(name) => name == key.as_bytes(),
            Value::Object(_) => {
                self.pickled.short_bytes(name, 64).is_some_and(|name| *name == *key.as_bytes())
            }
            _ => false,
        };
        self.entries.iter().find(|(name, _)| is_it(*name)).map(|(_, value)| *value)
    }
}

impl Dictionary for Entries<'_, '_> {
    fn numbers(&self, key: &str) -> Option<Vec<f32>> {
        let (pickled, value) = (self.pickled, self.get(key)?);
        if let Some(number) = pickled.number(value) {
            return Some(vec![number as f32]);
        }
        if let Some(items) = pickled.sequence(value).filter(|items| items.len() <= 8) {
            return items.iter().map(|item| pickled.number(*item).map(|n| n as f32)).collect();
        }
        let array = pickled.array_within(value, 64)?.ok()?;
        Some(array.floats().into_iter().map(|v| v as f32).collect())
    }

    fn texts(&self, key: &str) -> Option<Vec<String>> {
        let (pickled, value) = (self.pickled, self.get(key)?);
        if let Some(text) = pickled.text(value) {
            return Some(vec![text]);
        }
        let items = pickled.sequence(value).filter(|items| items.len() <= 100_000)?;
        items.iter().map(|item| pickled.text(*item)).collect()
    }

    fn numbered(&self, key: &str) -> Option<Vec<(usize, String)>> {
        let pickled = self.pickled;
        let entries = pickled.entries(self.get(key)?).filter(|entries| entries.len() <= 100_000)?;
        let entry = |(key, value): &(Value<'_>, Value<'_>)| {
            let number = |value| pickled.integer(value).and_then(|n| usize::try_from(n).ok());
            match (pickled.text(*key), pickled.text(*value)) {
                (Some(name), None) => Some((number(*value)?, name)),
                (None, Some(name)) => Some((number(*key)?, name)),
                (Some(key), Some(name)) => Some((key.parse().ok()?, name)),
                (None, None) => None,
            }
        };
        entries.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn how_pictures_become_images() {
        let margins = |json: Json| {
            let facts = Facts::of_json(&json, "x");
            let margins: Vec<Margin> = facts.margins.iter().map(|said| said.what).collect();
            let names: Vec<String> = facts.interpolations.into_iter().map(|said| said.what).collect();
            (margins, facts.sides, names)
        };
        let timm = json!({"pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 0.875, "crop_mode": "center",
                                             "interpolation": "bicubic"}});
        assert_eq!(margins(timm), (vec![Margin::Share(0.875)], vec![224], vec!["bicubic".into()]));
        let squashed = json!({"crop_pct": 0.9, "crop_mode": "squash"});
        assert_eq!(margins(squashed).0, []);
        let hugging = json!({"size": {"shortest_edge": 256}, "crop_size": 224, "resample": 2});
        assert_eq!(margins(hugging), (vec![Margin::Shorter(256)], vec![224], vec!["bilinear".into()]));
        let nested = json!({"size": {"shortest_edge": 292}, "crop_size": {"height": 256, "width": 256}});
        assert_eq!(margins(nested), (vec![Margin::Shorter(292)], vec![256], vec![]));
        let stretched = json!({"size": {"height": 224, "width": 224}, "crop_pct": 7, "resample": 99});
        assert_eq!(margins(stretched), (vec![], vec![], vec![]));
    }

    #[test]
    fn the_ways_in_which_json_files_describe_networks() {
        let timm = json!({
            "architecture": "resnet18", "num_classes": 2,
            "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.2],
                               "label_names": ["cat", "dog"]},
        });
        let facts = Facts::of_json(&timm, "config.json");
        assert_eq!(facts.normalisations.len(), 1);
        assert_eq!(facts.normalisations[0].what.0, [0.4, 0.5, 0.6]);
        assert_eq!(facts.normalisations[0].place, "`pretrained_cfg` of config.json");
        assert_eq!(
            (facts.sides, facts.classes, facts.architectures),
            (vec![32], vec![2], vec!["resnet18".into()])
        );
        assert_eq!(facts.labels[0].what, ["cat", "dog"]);
        assert_eq!((facts.margins, facts.interpolations), (vec![], vec![]));
        let hugging = json!({"id2label": {"1": "dog", "0": "cat", "10": "x"}});
        assert_eq!(Facts::of_json(&hugging, "x").labels, []);
        let hugging = json!({"id2label": {"1": "dog", "0": "cat"}, "image_mean": [127.5], "image_std": [51]});
        let facts = Facts::of_json(&hugging, "x");
        assert_eq!(facts.labels[0].what, ["cat", "dog"]);
        assert_eq!(facts.normalisations[0].what, (vec![0.5], vec![0.2]));
        let other = json!({"mean": [0.1, 0.2], "std": [0.1, 0.0], "classes": ["one"]});
        assert_eq!(Facts::of_json(&other, "x"), Facts::default());
    }
}
