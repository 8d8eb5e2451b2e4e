//! What the built-in runtime computes otherwise than the standard says, without a word, and what has no other form for it
//! ([`super::rewrite`]): such a graph is refused.

use crate::protobuf::{Part, int, ints, messages, text};

const INT64: u64 = 7;

/// Why a node with the operator `operator` is refused; none if it is computed rightly, or with an error.
pub(super) fn of_node(operator: &str, attributes: &[Vec<Part<'_>>]) -> Option<String> {
    let named = |name: &str| attributes.iter().find(|attribute| text(attribute, 1) == Some(name));
    let word = |name: &str| named(name).and_then(|attribute| text(attribute, 4));
    let list = |name: &str| named(name).map(|attribute| ints(attribute, 8).unwrap_or_default());
    let silently = |what: &str, instead: &str| {
        Some(format!("it has {what}, which the built-in runtime would silently {instead}"))
    };
    match operator {
        "Resize" | "Upsample" if word("mode") == Some("cubic") => Some(
            "it resizes by cubic interpolation, which the built-in runtime would silently replace by linear"
                .into(),
        ),
        "CastLike" => silently("the operator CastLike", "not take for a truth value where it is one"),
        "BitCast" => silently("the operator BitCast", "apply to numbers of 32 bits in place of 64"),
        "NonMaxSuppression" => {
            silently("the operator NonMaxSuppression", "compute otherwise than the standard says")
        }
        _ => match word("auto_pad") {
            Some("SAME_LOWER") if !pads_evenly(&list) => {
                silently(&format!("{operator} with auto_pad SAME_LOWER"), "replace by SAME_UPPER")
            }
            Some("VALID") if list("pads").is_some_and(|pads| pads.iter().any(|pad| *pad != 0)) => {
                silently(&format!("{operator} with auto_pad VALID and pads"), "pad")
            }
            _ => None,
        },
    }
}

/// Whether as much is padded on both sides of every axis, so that it does not matter where an odd rest goes.
fn pads_evenly(list: &impl Fn(&str) -> Option<Vec<u64>>) -> bool {
    let Some(kernel) = list("kernel_shape") else { return false };
    let ones = vec![1; kernel.len()];
    let dilations = list("dilations").unwrap_or_else(|| ones.clone());
    let even =
        |(side, dilation): (&u64, &u64)| side.wrapping_sub(1).wrapping_mul(*dilation).is_multiple_of(2);
    list("strides").is_none_or(|strides| strides == ones) && kernel.iter().zip(&dilations).all(even)
}

/// Why a tensor is refused: the runtime has integers of 32 bits, and cuts longer ones off at the ends of their range. Numbers near
/// the ends of 64 bits are meant as "to the end", and stay so.
pub(super) fn of_tensor(name: &str, tensor: &[Part<'_>]) -> Option<String> {
    if int(tensor, 2) != Some(INT64) {
        return None;
    }
    let raw =
        messages(tensor, 9).flat_map(|raw| raw.as_chunks::<8>().0).map(|bytes| i64::from_le_bytes(*bytes));
    let typed = ints(tensor, 7).unwrap_or_default().into_iter().map(|v| v as i64);
    let far = |v: &i64| i32::try_from(*v).is_err() && v.unsigned_abs() < 1 << 62;
    let found = raw.chain(typed).find(far)?;
    Some(format!(
        "its weight {name} has the number {found}, and the built-in runtime has integers of 32 bits only"
    ))
}
