//! Plain loops.

use super::geometry::{ConvShape, Taps};

/// Calls `f(output element, input element, weight element)` for every product.
fn for_each_product(s: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    let (per_group, out_group) = (s.cin / s.groups, s.cout / s.groups);
    for (b, oy, ox) in (0..s.n).flat_map(|b| (0..s.oh).flat_map(move |oy| (0..s.ow).map(move |ox| (b, oy, ox)))) {
        for (ky, iy) in Taps::forward(oy, s.kh, s.h, s.stride, s.padding).iter() {
            for (kx, ix) in Taps::forward(ox, s.kw, s.w, s.stride, s.padding).iter() {
                for o in 0..s.cout {
                    let y = ((b * s.oh + oy) * s.ow + ox) * s.cout + o;
                    let x = ((b * s.h + iy) * s.w + ix) * s.cin + o / out_group * per_group;
                    for i in 0..per_group {
                        f(y, x + i, ((o * per_group + i) * s.kh + ky) * s.kw + kx);
                    }
                }
            }
        }
    }
}

pub(crate) fn forward(s: &ConvShape, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let mut y = vec![0.0; s.y().iter().product()];
    if let Some(bias) = bias {
        y.chunks_mut(s.cout).for_each(|p| p.copy_from_slice(bias));
    }
    for_each_product(s, |o, i, k| y[o] += x[i] * weight[k]);
    y
}

pub(crate) fn backward_input(s: &ConvShape, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dx = vec![0.0; s.x().iter().product()];
    for_each_product(s, |o, i, k| dx[i] += dy[o] * weight[k]);
    dx
}

pub(crate) fn backward_weight(s: &ConvShape, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dw = vec![0.0; s.weight().iter().product()];
    for_each_product(s, |o, i, k| dw[k] += dy[o] * x[i]);
    dw
}

pub(crate) fn backward_bias(s: &ConvShape, dy: &[f32]) -> Vec<f32> {
    let mut db = vec![0.0; s.cout];
    dy.chunks(s.cout).for_each(|p| db.iter_mut().zip(p).for_each(|(s, v)| *s += v));
    db
}
