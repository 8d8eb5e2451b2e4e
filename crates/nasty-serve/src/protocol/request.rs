//! The body of an inference request, JSON with or without binary tensors behind it, as images.

use serde::Deserialize;

use super::Refusal;
use super::bounded::Bounded;
use super::elements::Elements;
use super::refusal::shortened;
use super::scan;
use crate::about::{About, INPUT, Input};

/// Ids are echoed: they may not be arbitrarily long.
const LONGEST_ID: usize = 1024;
/// Models have one input and one output; a few more are read, to say which one is unknown.
const MOST_TENSORS: usize = 16;
const MOST_DIMENSIONS: usize = 16;
/// Characters of a client's name that a message repeats.
const LONGEST_NAME: usize = 64;
/// Normalised images have smaller numbers. Far larger ones would overflow in a network.
const LARGEST_NUMBER: f32 = 1e6;

/// A request that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// The client's id, which comes back.
    pub id: Option<String>,
    /// The images `[count, channels, height, width]`: normalised, or levels 0 to 255, as [`About::input`] says.
    pub images: Vec<f32>,
    /// How many they are; at least one.
    pub count: usize,
    /// How the output is wanted.
    pub wanted: Wanted,
}

/// How the output is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Behind the JSON in binary form, else in the JSON.
    pub binary: bool,
    /// As the `k` most probable classes in words, else as numbers.
    pub classes: Option<usize>,
}

#[derive(Deserialize)]
struct Header {
    id: Option<String>,
    parameters: Option<Parameters>,
    inputs: Bounded<Tensor, MOST_TENSORS>,
    outputs: Option<Bounded<Requested, MOST_TENSORS>>,
}

/// The parameters of the protocol's extensions; others are ignored.
#[derive(Clone, Copy, Default, Deserialize)]
struct Parameters {
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    binary_data_size: Option<u64>,
    classification: Option<u64>,
}

#[derive(Deserialize)]
struct Tensor {
    name: String,
    datatype: String,
    shape: Bounded<i64, MOST_DIMENSIONS>,
    parameters: Option<Parameters>,
    data: Option<Elements>,
}

#[derive(Deserialize)]
struct Requested {
    name: String,
    parameters: Option<Parameters>,
}

/// Bytes that [`parse`] takes beside `body`, at most.
///
/// # Errors
/// [`Refusal`] with status 400 for a body that would take many more than it has.
pub fn memory_for(body: &[u8], json_length: Option<usize>, about: &About) -> Result<usize, Refusal> {
    let json = &body[..json_length.unwrap_or(body.len()).min(body.len())];
    let growth = match about.input {
        Input::Normalised => 1,
        // A byte becomes an f32.
        Input::Pixels => size_of::<f32>(),
    };
    Ok(scan::memory_for(json)? + growth * (body.len() - json.len()))
}

/// What `body` asks of the model `about`. `json_length` is the value of the header `Inference-Header-Content-Length`: how
/// many bytes are JSON, 0 for a body that is one image and nothing else. At most `most` images are taken.
///
/// # Errors
/// [`Refusal`] with status 400, or 413 for too many images.
pub fn parse(
    body: &[u8],
    json_length: Option<usize>,
    about: &About,
    most: usize,
) -> Result<Inference, Refusal> {
    let (json, binary) = match json_length {
        None => (body, None),
        Some(0) => return raw(body, about),
        Some(length) => {
            let (json, binary) = body.split_at_checked(length).ok_or_else(|| {
                Refusal::bad(format!(
                    "Inference-Header-Content-Length is {length}, but the body has {} bytes",
                    body.len()
                ))
            })?;
            (json, Some(binary))
        }
    };
    let Header { id, parameters, inputs: Bounded(inputs), outputs } = serde_json::from_slice(json)
        .map_err(|e| Refusal::bad(format!("the request is not JSON of the inference protocol: {e}")))?;
    if let Some(id) = id.as_ref().filter(|id| id.len() > LONGEST_ID) {
        return Err(Refusal::bad(format!("id: expected at most {LONGEST_ID} bytes, found {}", id.len())));
    }
    let [tensor] = <[Tensor; 1]>::try_from(inputs)
        .map_err(|inputs| Refusal::bad(format!("expected 1 input, `{INPUT}`; found {}", inputs.len())))?;
    let wanted = wanted(parameters.unwrap_or_default(), outputs.map(|Bounded(outputs)| outputs), about)?;
    let count = checked_count(&tensor, about, most)?;
    let images = numbers(tensor, count, binary, about)?;
    Ok(Inference { id, images, count, wanted })
}

/// A body that is one image in binary form.
fn raw(body: &[u8], about: &About) -> Result<Inference, Refusal> {
    let images = from_bytes(body, about.datatypes()[0], about.image_len())?;
    Ok(Inference {
        id: None,
        images: checked(images, about.datatypes()[0], about)?,
        count: 1,
        wanted: Wanted::default(),
    })
}

fn wanted(request: Parameters, outputs: Option<Vec<Requested>>, about: &About) -> Result<Wanted, Refusal> {
    let output = about.output.name();
    let default = request.binary_data_output.unwrap_or(false);
    let outputs = outputs.unwrap_or_default();
    if let Some(unknown) = outputs.iter().find(|o| o.name != output) {
        return Err(Refusal::bad(format!(
            "outputs: expected `{output}`, the one output of {}; found `{}`",
            about.name,
            shortened(&unknown.name, LONGEST_NAME)
        )));
    }
    match outputs.as_slice() {
        [] => Ok(Wanted { binary: default, classes: classes(request, about)? }),
        [one] => {
            let parameters = one.parameters.unwrap_or_default();
            let binary = parameters.binary_data.unwrap_or(default);
            Ok(Wanted { binary, classes: classes(parameters, about)? })
        }
        several => Err(Refusal::bad(format!("outputs: `{output}` is requested {} times", several.len()))),
    }
}

/// Of `classification`, the number of classes wanted; 0 is none, and more than there are is all.
fn classes(parameters: Parameters, about: &About) -> Result<Option<usize>, Refusal> {
    let k = parameters.classification.filter(|k| *k > 0);
    Ok(k.map(|k| usize::try_from(k).unwrap_or(usize::MAX).min(about.classes())))
}

/// The number of images, after checking all that the tensor says about itself.
fn checked_count(tensor: &Tensor, about: &About, most: usize) -> Result<usize, Refusal> {
    if tensor.name != INPUT {
        return Err(Refusal::bad(format!(
            "expected the input `{INPUT}`, found `{}`",
            shortened(&tensor.name, LONGEST_NAME)
        )));
    }
    if !about.datatypes().contains(&tensor.datatype.as_str()) {
        return Err(Refusal::bad(format!(
            "{INPUT}: expected datatype {}, found `{}`",
            about.datatypes().join(" or "),
            shortened(&tensor.datatype, LONGEST_NAME)
        )));
    }
    let [channels, height, width] = about.image;
    let found = &tensor.shape.0;
    let count = match found.as_slice() {
        [count, image @ ..] if image == [channels, height, width].map(|n| n as i64) => *count,
        _ => {
            return Err(Refusal::bad(format!(
                "{INPUT}: expected shape [-1, {channels}, {height}, {width}], found {found:?}"
            )));
        }
    };
    match usize::try_from(count) {
        Ok(count) if count > most => Err(Refusal::too_large(format!(
            "{INPUT}: {count} images in one request, at most {most} are taken"
        ))),
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Refusal::bad(format!("{INPUT}: expected at least one image, found shape {found:?}"))),
    }
}

fn numbers(tensor: Tensor, count: usize, binary: Option<&[u8]>, about: &About) -> Result<Vec<f32>, Refusal> {
    let expected = count * about.image_len();
    let Tensor { datatype, shape: Bounded(shape), parameters, data, .. } = tensor;
    let values = match (data, parameters.unwrap_or_default().binary_data_size) {
        (Some(_), Some(_)) => {
            return Err(Refusal::bad(format!("{INPUT}: both data and binary_data_size")));
        }
        (None, None) => {
            return Err(Refusal::bad(format!("{INPUT}: expected data, or the parameter binary_data_size")));
        }
        (None, Some(size)) => {
            let Some(binary) = binary else {
                return Err(Refusal::bad(format!(
                    "{INPUT}: binary_data_size needs the header Inference-Header-Content-Length"
                )));
            };
            if size != binary.len() as u64 {
                return Err(Refusal::bad(format!(
                    "{INPUT}: binary_data_size is {size}, but {} bytes follow the JSON",
                    binary.len()
                )));
            }
            from_bytes(binary, &datatype, expected)?
        }
        (Some(elements), None) => {
            if let Some(left @ 1..) = binary.map(<[u8]>::len) {
                return Err(Refusal::bad(format!("{left} bytes follow the JSON, but no input is binary")));
            }
            from_json(elements, &datatype, &shape, expected)?
        }
    };
    checked(values, &datatype, about)
}

fn from_json(
    elements: Elements,
    datatype: &str,
    shape: &[i64],
    expected: usize,
) -> Result<Vec<f32>, Refusal> {
    let Elements { values, shape: nested } = elements;
    if values.len() != expected {
        return Err(Refusal::bad(format!(
            "{INPUT}: expected {expected} numbers for shape {shape:?}, found {}",
            values.len()
        )));
    }
    if nested.len() > 1 && !nested.iter().map(|n| *n as i64).eq(shape.iter().copied()) {
        return Err(Refusal::bad(format!(
            "{INPUT}: data is nested as {nested:?}, but the shape is {shape:?}"
        )));
    }
    if datatype == "UINT8"
        && let Some(value) = values.iter().find(|value| value.fract() != 0.0)
    {
        return Err(Refusal::bad(format!("{INPUT}: expected whole numbers for UINT8, found {value}")));
    }
    Ok(values)
}

/// Numbers in binary form, little-endian.
fn from_bytes(bytes: &[u8], datatype: &str, expected: usize) -> Result<Vec<f32>, Refusal> {
    let width = if datatype == "UINT8" { 1 } else { 4 };
    if bytes.len() != expected * width {
        return Err(Refusal::bad(format!(
            "{INPUT}: expected {} bytes for {expected} numbers of {datatype}, found {}",
            expected * width,
            bytes.len()
        )));
    }
    Ok(match width {
        1 => bytes.iter().map(|byte| f32::from(*byte)).collect(),
        _ => bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect(),
    })
}

/// The numbers as the model takes them: finite, and pixels as levels from 0 to 255.
fn checked(mut values: Vec<f32>, datatype: &str, about: &About) -> Result<Vec<f32>, Refusal> {
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(Refusal::bad(format!("{INPUT}: number {at} is {}, expected finite ones", values[at])));
    }
    if about.input == Input::Normalised {
        return match values.iter().position(|value| value.abs() > LARGEST_NUMBER) {
            None => Ok(values),
            Some(at) => Err(Refusal::bad(format!(
                "{INPUT}: number {at} is {}, expected numbers of a normalised image, at most {LARGEST_NUMBER}",
                values[at]
            ))),
        };
    }
    let (most, range) = if datatype == "UINT8" { (255.0, "0 to 255") } else { (1.0, "0 to 1") };
    for (at, value) in values.iter_mut().enumerate() {
        let level = (*value * (255.0 / most)).round();
        if !(0.0..=255.0).contains(&level) {
            return Err(Refusal::bad(format!(
                "{INPUT}: number {at} is {value}, expected pixels from {range}"
            )));
        }
        *value = level;
    }
    Ok(values)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
