//! Numbers as servers write them: nested or flat JSON, raw bytes, and classes with their scores.

use half::f16;
use serde_json::Value;

/// Lists in lists, at most.
const DEEPEST: usize = 8;

/// All numbers of nested lists, row by row.
pub(super) fn flat(value: &Value) -> Option<Vec<f32>> {
    fn add(value: &Value, depth: usize, out: &mut Vec<f32>) -> Option<()> {
        match value {
            Value::Number(number) => out.push(number.as_f64()? as f32),
            Value::Array(list) if depth < DEEPEST => {
                list.iter().try_for_each(|item| add(item, depth + 1, out))?
            }
            _ => return None,
        }
        Some(())
    }
    let mut out = Vec::new();
    add(value, 0, &mut out)?;
    Some(out)
}

/// `values` as nested lists of the shape `axes`.
pub(super) fn nested(values: &[f32], axes: &[usize]) -> Value {
    match axes {
        [] | [_] => Value::from(values.to_vec()),
        [_, rest @ ..] => values
            .chunks_exact(rest.iter().product::<usize>().max(1))
            .map(|part| nested(part, rest))
            .collect(),
    }
}

/// Little-endian numbers of a type of the protocol.
pub(super) fn raw(bytes: &[u8], datatype: &str) -> Option<Vec<f32>> {
    fn all<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Option<Vec<f32>> {
        let (numbers, rest) = bytes.as_chunks::<N>();
        rest.is_empty().then(|| numbers.iter().map(|n| number(*n)).collect())
    }
    match datatype {
        "FP32" => all(bytes, f32::from_le_bytes),
        "FP64" => all(bytes, |b| f64::from_le_bytes(b) as f32),
        "FP16" => all(bytes, |b| f16::from_le_bytes(b).to_f32()),
        _ => None,
    }
}

/// The texts of a tensor of type BYTES: each with its length in front.
pub(super) fn texts(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        texts.push(std::str::from_utf8(text).ok()?.to_owned());
        bytes = rest;
    }
    Some(texts)
}

/// Rows `[count, classes]` of texts `score:class` or `score:class:label`, as many an image; classes that are not there have 0.
pub(super) fn classified(texts: &[String], count: usize, classes: usize) -> Option<Vec<f32>> {
    let mut rows = vec![0.0; count * classes];
    let each = texts.len().checked_div(count).filter(|each| *each > 0 && each * count == texts.len())?;
    for (row, texts) in rows.chunks_exact_mut(classes).zip(texts.chunks_exact(each)) {
        for text in texts {
            let mut parts = text.splitn(3, ':');
            let (score, class) = (parts.next()?.parse().ok()?, parts.next()?.parse::<usize>().ok()?);
            *row.get_mut(class)? = score;
        }
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_come_back_in_every_form() {
        let values = [1.0, 2.5, -3.0, 0.125];
        let list = nested(&values, &[2, 1, 2]);
        assert_eq!(list, json!([[[1.0, 2.5]], [[-3.0, 0.125]]]));
        assert_eq!(
            (flat(&list).expect("numbers"), flat(&json!([1, 2]))),
            (values.to_vec(), Some(vec![1.0, 2.0]))
        );
        assert!(flat(&json!([1, "x"])).is_none() && flat(&json!([null])).is_none());
        let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
        assert!(flat(&deep).is_none());
        let bytes: Vec<u8> = values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
        assert_eq!(raw(&bytes, "FP64").expect("numbers"), values);
        assert_eq!(raw(&f16::from_f32(2.5).to_le_bytes(), "FP16").expect("a number"), [2.5]);
        assert!(raw(&bytes[..3], "FP32").is_none() && raw(&bytes, "INT8").is_none());
    }

    #[test]
    fn classes_with_scores_become_rows() {
        let texts: Vec<String> = ["0.75:2:owl", "0.25:0", "0.5:1:a:b", "0.5:0"].map(str::to_owned).to_vec();
        assert_eq!(classified(&texts, 2, 3).expect("rows"), [0.25, 0.0, 0.75, 0.5, 0.5, 0.0]);
        for bad in [&["0.5:3"][..], &["x:1"], &["0.5"], &[]] {
            let texts: Vec<String> = bad.iter().map(|t| (*t).to_owned()).collect();
            assert!(classified(&texts, 1, 3).is_none());
        }
        let bytes = [&5u32.to_le_bytes()[..], b"0.5:1", &1u32.to_le_bytes(), b"x"].concat();
        assert_eq!(super::texts(&bytes).expect("texts"), ["0.5:1", "x"]);
        assert!(super::texts(&bytes[..7]).is_none());
    }
}
