//! The tensors among a pickle's objects, by name, and its other contents.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::MOST_OPCODES;
use super::python_names::{is_hostile, is_plain};
use super::tensors::{MOST_AXES, Rebuilt, rebuilt};
use crate::nets::import::archive::Archive;
use crate::nets::import::facts::Facts;
use crate::nets::import::stored::{Element, Storage, Stored, Values};
use crate::pickle::{Object, Pickled, Value, parse};

/// Dictionaries in each other, at most.
const MOST_LEVELS: usize = 64;
/// Steps through the objects that hold tensors, at most: the same object may stand at many places.
const MOST_STEPS: usize = 500_000;
/// Keys at the top that are named.
const MOST_ENTRIES: usize = 10_000;

/// A pickle that Python's `pickle` made of tensors.
pub(in crate::nets::import) const DUMPED: &str = "pickle with files of storages in it";

/// What a file holds.
#[derive(Debug, Default)]
pub(in crate::nets::import) struct Contents {
    pub(in crate::nets::import) tensors: Vec<Stored>,
    /// The kind of file.
    pub(in crate::nets::import) kind: &'static str,
    /// The keys at the top, and what stands there.
    pub(in crate::nets::import) entries: Vec<(String, String)>,
    /// Python names in the file that are neither tensors nor plain data.
    pub(in crate::nets::import) names: BTreeSet<String>,
    /// A Python name that no file of weights needs, and that would do harm if it were called.
    pub(in crate::nets::import) hostile: Option<String>,
    pub(in crate::nets::import) facts: Facts,
    /// Where values are still to be read from.
    pub(in crate::nets::import) archive: Option<Arc<Archive>>,
}

/// What `pickle` holds; `storage` gives the storages by their keys.
pub(super) fn contents(
    pickle: &[u8],
    storage: &mut dyn FnMut(&str) -> Arc<Storage>,
) -> Result<Contents, String> {
    let pickled = parse(pickle, MOST_OPCODES).map_err(|found| format!("its pickle: found {found}"))?;
    contents_of(&pickled, storage)
}

/// What a parsed pickle holds; `storage` gives the storages by their keys.
pub(in crate::nets::import) fn contents_of(
    pickled: &Pickled<'_>,
    storage: &mut dyn FnMut(&str) -> Arc<Storage>,
) -> Result<Contents, String> {
    named_tensors(pickled, &mut |number| {
        let tensor = rebuilt(pickled, Value::Object(number))?;
        let (shape, values) = match place(&tensor) {
            Ok((shape, strides, offset)) => {
                (shape, Values::View { storage: storage(&tensor.storage.key), offset, strides })
            }
            Err(problem) => (Vec::new(), Values::Broken(problem)),
        };
        Some(Stored { name: String::new(), shape, element: tensor.kind.float, values })
    })
}

/// A tensor's shape, strides and offset, if they are possible.
fn place(tensor: &Rebuilt) -> Result<(Vec<usize>, Vec<usize>, usize), String> {
    let sizes = |of: &[i64]| of.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>();
    let offset = tensor.offset.checked_add(tensor.storage.from).and_then(|at| usize::try_from(at).ok());
    let (Some(shape), Some(strides), Some(offset)) = (sizes(&tensor.shape), sizes(&tensor.strides), offset)
    else {
        return Err("it has a shape, strides or an offset below zero".into());
    };
    if shape.len() != strides.len() || shape.len() > MOST_AXES {
        return Err(format!("it has {} axes and {} strides", shape.len(), strides.len()));
    }
    // The claimed size of the storage bounds the tensor as the real one does.
    let last = |at: usize, (axis, stride): (&usize, &usize)| {
        at.checked_add(axis.saturating_sub(1).checked_mul(*stride)?)
    };
    let end = shape.iter().zip(&strides).try_fold(offset, last).and_then(|end| i64::try_from(end).ok());
    let empty = shape.contains(&0);
    let total = tensor.storage.elements.saturating_add(tensor.storage.from.max(0));
    // Types such as float8 lie in a storage of bytes, whose elements are not theirs.
    if !empty && tensor.kind == tensor.storage.kind && end.is_none_or(|end| end >= total) {
        return Err(format!("it lies outside its storage of {} elements", tensor.storage.elements));
    }
    Ok((shape, strides, offset))
}

/// The tensors that `resolve` finds among the objects, by their paths through the dictionaries.
pub(super) fn named_tensors(
    pickled: &Pickled<'_>,
    resolve: &mut dyn FnMut(usize) -> Option<Stored>,
) -> Result<Contents, String> {
    let mut tensors = HashMap::new();
    // The same bytes may stand behind many arrays.
    let mut array_bytes = 8 * pickled.length + (1 << 20);
    for number in 0..pickled.objects.len() {
        if let Some(tensor) = resolve(number) {
            tensors.insert(number, tensor);
        } else if let Some(Ok(array)) = pickled.array_within(Value::Object(number), array_bytes) {
            array_bytes = array_bytes.saturating_sub(array.bytes());
            if !array.is_float() || array.shape.is_empty() {
                continue;
            }
            let values = array.floats().iter().flat_map(|&v| (v as f32).to_le_bytes()).collect();
            let (shape, values) = (array.shape, Values::Bytes(Arc::new(values)));
            tensors
                .insert(number, Stored { name: String::new(), shape, element: Some(Element::F32), values });
        }
    }
    let mut walk =
        Walk { pickled, holds: holders(pickled, &tensors), tensors: &tensors, found: Vec::new(), steps: 0 };
    walk.visit(pickled.root, "", 0)?;
    let found = walk.found;
    let mut contents = Contents {
        tensors: found
            .into_iter()
            .map(|(name, number)| Stored { name, ..tensors[&number].clone() })
            .collect(),
        facts: Facts::of_pickle(pickled),
        ..Contents::default()
    };
    if let Value::Object(root) = pickled.root {
        for (key, value) in members(pickled, root).into_iter().take(MOST_ENTRIES) {
            let is_tensor = matches!(value, Value::Object(number) if tensors.contains_key(&number));
            let what = if is_tensor { "a tensor".to_owned() } else { describe(pickled, value) };
            contents.entries.extend(key.map(|key| (key, what)));
        }
    }
    for object in &pickled.objects {
        let Object::Global(name) = object else { continue };
        if name == "torch.storage._load_from_bytes" {
            contents.kind = DUMPED;
        }
        if is_hostile(name) {
            contents.hostile.get_or_insert_with(|| name.clone());
        } else if !is_plain(name) {
            contents.names.insert(name.clone());
        }
    }
    Ok(contents)
}

/// Which objects hold tensors, at whatever depth.
fn holders(pickled: &Pickled<'_>, tensors: &HashMap<usize, Stored>) -> Vec<bool> {
    let mut edges: Vec<(usize, usize)> = Vec::new();
    for number in 0..pickled.objects.len() {
        let parent = number;
        let mut link = |value: Value<'_>| {
            if let Value::Object(child) = value {
                edges.push((child, parent));
            }
        };
        match &pickled.objects[number] {
            Object::List(items) | Object::Tuple(items) | Object::Set(items) => {
                items.iter().for_each(|v| link(*v))
            }
            Object::Dict(entries) => entries.iter().for_each(|(_, v)| link(*v)),
            Object::Call(call) => {
                link(call.arguments);
                call.state.into_iter().for_each(&mut link);
                call.items.iter().for_each(|v| link(*v));
                call.entries.iter().for_each(|(_, v)| link(*v));
            }
            Object::Text(_) | Object::Long | Object::Global(_) | Object::Persistent(_) => {}
        }
    }
    edges.sort_unstable();
    let mut holds = vec![false; pickled.objects.len()];
    let mut open: Vec<usize> = tensors.keys().copied().collect();
    while let Some(child) = open.pop() {
        let from = edges.partition_point(|edge| edge.0 < child);
        for &(_, parent) in edges[from..].iter().take_while(|edge| edge.0 == child) {
            if !std::mem::replace(&mut holds[parent], true) {
                open.push(parent);
            }
        }
    }
    holds
}

struct Walk<'p, 'a> {
    pickled: &'p Pickled<'a>,
    holds: Vec<bool>,
    tensors: &'p HashMap<usize, Stored>,
    found: Vec<(String, usize)>,
    steps: usize,
}

impl<'a> Walk<'_, 'a> {
    fn visit(&mut self, value: Value<'a>, path: &str, level: usize) -> Result<(), String> {
        let Value::Object(number) = value else { return Ok(()) };
        if self.tensors.contains_key(&number) {
            self.found.push((path.to_owned(), number));
            return Ok(());
        }
        if !self.holds[number] {
            return Ok(());
        }
        if level == MOST_LEVELS {
            return Err(format!("its tensors lie in more than {MOST_LEVELS} objects, one in another"));
        }
        for (key, value) in members(self.pickled, number) {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Err(format!("its tensors stand at more than {MOST_STEPS} places"));
            }
            match key {
                None => self.visit(value, path, level + 1)?,
                Some(key) if path.is_empty() => self.visit(value, &key, level + 1)?,
                Some(key) => self.visit(value, &format!("{path}.{key}"), level + 1)?,
            }
        }
        Ok(())
    }
}

/// What an object holds, by key; without one, what stands for the object itself.
fn members<'a>(pickled: &Pickled<'a>, number: usize) -> Vec<(Option<String>, Value<'a>)> {
    let keyed = |entries: &[(Value<'a>, Value<'a>)]| -> Vec<_> {
        entries.iter().map(|(key, value)| (Some(key_text(pickled, *key)), *value)).collect()
    };
    let numbered = |items: &[Value<'a>]| -> Vec<_> {
        items.iter().enumerate().map(|(i, value)| (Some(i.to_string()), *value)).collect()
    };
    match &pickled.objects[number] {
        Object::Dict(entries) => keyed(entries),
        Object::List(items) | Object::Tuple(items) | Object::Set(items) => numbered(items),
        Object::Call(call) => {
            let mut all = Vec::new();
            // A dictionary's class called on a dictionary or on pairs, an object's on its fields.
            for argument in pickled.tuple(call.arguments).unwrap_or_default() {
                match pairs(pickled, *argument) {
                    Some(pairs) => all.extend(keyed(&pairs)),
                    None => all.push((None, *argument)),
                }
            }
            all.extend(numbered(&call.items));
            all.extend(keyed(&call.entries));
            all.extend(call.state.into_iter().flat_map(|state| attributes(pickled, state)));
            all
        }
        Object::Text(_) | Object::Long | Object::Global(_) | Object::Persistent(_) => Vec::new(),
    }
}

/// What an object's state holds. A module's parameters, buffers and members are named as by `state_dict`.
fn attributes<'a>(pickled: &Pickled<'a>, state: Value<'a>) -> Vec<(Option<String>, Value<'a>)> {
    match pickled.object(state) {
        Some(Object::Dict(entries)) => {
            let name = |key: Value<'a>| match key_text(pickled, key) {
                key if ["_parameters", "_buffers", "_modules"].contains(&key.as_str()) => None,
                key => Some(key),
            };
            entries.iter().map(|(key, value)| (name(*key), *value)).collect()
        }
        // Attributes and slots.
        Some(Object::Tuple(parts)) => {
            let dicts = parts.iter().filter(|part| matches!(pickled.object(**part), Some(Object::Dict(_))));
            dicts.flat_map(|part| attributes(pickled, *part)).collect()
        }
        _ => vec![(None, state)],
    }
}

/// A list of keys and values.
fn pairs<'a>(pickled: &Pickled<'a>, value: Value<'a>) -> Option<Vec<(Value<'a>, Value<'a>)>> {
    let Some(Object::List(items)) = pickled.object(value) else { return None };
    let pair = |item: &Value<'a>| match pickled.object(*item) {
        Some(Object::List(pair) | Object::Tuple(pair))
            if pair.len() == 2 && pickled.text(pair[0]).is_some() =>
        {
            Some((pair[0], pair[1]))
        }
        _ => None,
    };
    items.iter().map(pair).collect::<Option<Vec<_>>>().filter(|pairs| !pairs.is_empty())
}

/// A key, whatever it is, as a part of a name.
fn key_text<'a>(pickled: &Pickled<'a>, key: Value<'a>) -> String {
    let text = match key {
        Value::None => "None".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(_) | Value::Object(_) => match (pickled.text(key), pickled.number(key)) {
            (Some(text), _) => text,
            (None, Some(number)) => number.to_string(),
            (None, None) => describe(pickled, key),
        },
    };
    shortened(text)
}

/// Keys are shown to people; a long one must not be able to fill their screens.
fn shortened(text: String) -> String {
    const MOST: usize = 300;
    if text.len() <= MOST { text } else { text.chars().take(MOST).chain(['…']).collect() }
}

/// What a value is, for a person.
fn describe<'a>(pickled: &Pickled<'a>, value: Value<'a>) -> String {
    let number = match value {
        Value::None => return "None".into(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => return "a number".into(),
        Value::Text(_) => return "text".into(),
        Value::Object(number) => number,
    };
    match &pickled.objects[number] {
        Object::List(items) => format!("a list of {}", items.len()),
        Object::Tuple(_) => "a tuple".into(),
        Object::Set(_) => "a set".into(),
        Object::Dict(entries) => format!("a dictionary of {}", entries.len()),
        Object::Text(_) => "text".into(),
        Object::Long => "a number".into(),
        Object::Global(name) => shortened(name.clone()),
        Object::Persistent(_) => "a storage".into(),
        Object::Call(_) if pickled.text(value).is_some() => "text".into(),
        Object::Call(_) if pickled.number(value).is_some() => "a number".into(),
        Object::Call(call) => match (pickled.global(call.function), pickled.tuple(call.arguments)) {
            // Protocols 0 and 1 make objects so.
            (Some("copy_reg._reconstructor" | "copyreg._reconstructor"), Some([class, ..])) => {
                shortened(pickled.global(*class).unwrap_or("an object").to_owned())
            }
            (Some(name), _) => shortened(name.to_owned()),
            (None, _) => "an object".into(),
        },
    }
}
