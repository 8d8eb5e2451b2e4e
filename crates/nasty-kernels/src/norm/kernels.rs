//! The inner loops over one block, compiled for each instruction set. Slices named after a vector of the channels hold one
//! value for each lane of a wide row; the last row of a block may be shorter.
//!
//! Everything here computes the normal form `v = (x − mean) · scale + shift` (mean 0 where there is none). It is always
//! rounded in the same way, so a mask that the backward pass computes again from x is that of the forward pass.

use std::mem::MaybeUninit;

use crate::Activation;
use crate::isa::{MulAdd, per_isa};

/// max(v, 0), but NaN for NaN: a training run that has diverged must not look healthy.
#[inline(always)]
fn relu(v: f32) -> f32 {
    if v < 0.0 { 0.0 } else { v }
}

#[inline(always)]
fn relu6(v: f32) -> f32 {
    let v = relu(v);
    if v > 6.0 { 6.0 } else { v }
}

#[inline(always)]
fn opens_relu(v: f32) -> bool {
    v > 0.0
}

#[inline(always)]
fn opens_relu6(v: f32) -> bool {
    v > 0.0 && v < 6.0
}

#[inline(always)]
fn normal<M: MulAdd>(x: f32, mean: f32, scale: f32, shift: f32) -> f32 {
    M::mul_add(x - mean, scale, shift)
}

/// Adds Σ (x − pivot) and Σ (x − pivot)² of each lane.
#[inline(always)]
fn moments_body<M: MulAdd>(x: &[f32], pivot: &[f32], sum: &mut [f32], square: &mut [f32]) {
    for row in x.chunks(pivot.len()) {
        for (((s, q), x), p) in sum.iter_mut().zip(square.iter_mut()).zip(row).zip(pivot) {
            let d = x - p;
            *s += d;
            *q = M::mul_add(d, d, *q);
        }
    }
}

per_isa! { pub(super) fn moments(x: &[f32], pivot: &[f32], sum: &mut [f32], square: &mut [f32]) = moments_body }

/// Adds every pixel to the sums of its channels.
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn add_pixels_body<M>(sums: &mut [f64], pixels: &[f32]) {
    for pixel in pixels.chunks_exact(sums.len()) {
        for (s, v) in sums.iter_mut().zip(pixel) {
            *s += f64::from(*v);
        }
    }
}

per_isa! { pub(super) fn add_pixels(sums: &mut [f64], pixels: &[f32]) = add_pixels_body }

/// Adds `factor · part` to the sums.
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn add_part_body<M>(sums: &mut [f64], part: &[f64], factor: f64) {
    for (s, v) in sums.iter_mut().zip(part) {
        *s += factor * v;
    }
}

per_isa! { pub(super) fn add_part(sums: &mut [f64], part: &[f64], factor: f64) = add_part_body }

/// Adds a part's share to the variance of all rows. The part has `count` rows, this mean, and this Σ (x − mean)², which
/// rounding may have made negative.
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn add_scatter_body<M>(
    variance: &mut [f64],
    total: &[f64],
    [mean, scatter]: [&[f64]; 2],
    [count, rows]: [f64; 2],
) {
    let share = 1.0 / rows;
    for (((v, t), m), s) in variance.iter_mut().zip(total).zip(mean).zip(scatter) {
        let apart = m - t;
        *v += share * (s.max(0.0) + count * (apart * apart));
    }
}

per_isa! {
    pub(super) fn add_scatter(
        variance: &mut [f64], total: &[f64], mean_and_scatter: [&[f64]; 2], count_and_rows: [f64; 2],
    ) = add_scatter_body
}

/// The vectors of the normal form, repeated along a wide row.
#[derive(Clone, Copy)]
pub(super) struct Form<'a> {
    pub(super) mean: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) shift: &'a [f32],
}

impl<'a> Form<'a> {
    /// The first `len` values of all vectors.
    #[inline(always)]
    fn rows(self, len: usize) -> (&'a [f32], &'a [f32], &'a [f32]) {
        (&self.mean[..len], &self.scale[..len], &self.shift[..len])
    }
}

#[inline(always)]
fn forward_with<M: MulAdd>(
    x: &[f32],
    residual: Option<&[f32]>,
    form: Form<'_>,
    y: &mut [MaybeUninit<f32>],
    act: impl Fn(f32) -> f32,
) {
    let width = form.mean.len();
    match residual {
        None => {
            for (y, x) in y.chunks_mut(width).zip(x.chunks(width)) {
                let (mean, scale, shift) = form.rows(y.len());
                for ((((y, x), m), a), b) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(shift) {
                    y.write(act(normal::<M>(*x, *m, *a, *b)));
                }
            }
        }
        Some(residual) => {
            for ((y, x), r) in y.chunks_mut(width).zip(x.chunks(width)).zip(residual.chunks(width)) {
                let (mean, scale, shift) = form.rows(y.len());
                for (((((y, x), r), m), a), b) in y.iter_mut().zip(x).zip(r).zip(mean).zip(scale).zip(shift) {
                    y.write(act(normal::<M>(*x, *m, *a, *b) + r));
                }
            }
        }
    }
}

#[inline(always)]
fn forward_body<M: MulAdd>(
    x: &[f32],
    residual: Option<&[f32]>,
    form: Form<'_>,
    activation: Activation,
    y: &mut [MaybeUninit<f32>],
) {
    match activation {
        Activation::None => forward_with::<M>(x, residual, form, y, |v| v),
        Activation::Relu => forward_with::<M>(x, residual, form, y, relu),
        Activation::Relu6 => forward_with::<M>(x, residual, form, y, relu6),
    }
}

per_isa! {
    /// y = activation(v + residual). Writes every element of y.
    pub(super) fn forward(
        x: &[f32], residual: Option<&[f32]>, form: Form<'_>, activation: Activation, y: &mut [MaybeUninit<f32>],
    ) = forward_body
}

#[inline(always)]
fn forward_in_place_with<M: MulAdd>(
    x: &mut [f32],
    residual: Option<&[f32]>,
    form: Form<'_>,
    act: impl Fn(f32) -> f32,
) {
    let width = form.mean.len();
    match residual {
        None => {
            for x in x.chunks_mut(width) {
                let (mean, scale, shift) = form.rows(x.len());
                for (((x, m), a), b) in x.iter_mut().zip(mean).zip(scale).zip(shift) {
                    *x = act(normal::<M>(*x, *m, *a, *b));
                }
            }
        }
        Some(residual) => {
            for (x, r) in x.chunks_mut(width).zip(residual.chunks(width)) {
                let (mean, scale, shift) = form.rows(x.len());
                for ((((x, r), m), a), b) in x.iter_mut().zip(r).zip(mean).zip(scale).zip(shift) {
                    *x = act(normal::<M>(*x, *m, *a, *b) + r);
                }
            }
        }
    }
}

#[inline(always)]
fn forward_in_place_body<M: MulAdd>(
    x: &mut [f32],
    residual: Option<&[f32]>,
    form: Form<'_>,
    activation: Activation,
) {
    match activation {
        Activation::None => forward_in_place_with::<M>(x, residual, form, |v| v),
        Activation::Relu => forward_in_place_with::<M>(x, residual, form, relu),
        Activation::Relu6 => forward_in_place_with::<M>(x, residual, form, relu6),
    }
}

per_isa! {
    /// x becomes activation(v + residual).
    pub(super) fn forward_in_place(
        x: &mut [f32], residual: Option<&[f32]>, form: Form<'_>, activation: Activation,
    ) = forward_in_place_body
}

#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn activate_body<M>(x: &mut [f32], activation: Activation) {
    match activation {
        Activation::None => {}
        Activation::Relu => x.iter_mut().for_each(|x| *x = relu(*x)),
        Activation::Relu6 => x.iter_mut().for_each(|x| *x = relu6(*x)),
    }
}

per_isa! {
    /// The activation alone, in place of x.
    pub(crate) fn activate(x: &mut [f32], activation: Activation) = activate_body
}

#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn add_body<M>(x: &mut [f32], residual: &[f32], activation: Activation) {
    let both = x.iter_mut().zip(residual);
    match activation {
        Activation::None => both.for_each(|(x, r)| *x += r),
        Activation::Relu => both.for_each(|(x, r)| *x = relu(*x + r)),
        Activation::Relu6 => both.for_each(|(x, r)| *x = relu6(*x + r)),
    }
}

per_isa! {
    /// x becomes activation(x + residual).
    pub(crate) fn add(x: &mut [f32], residual: &[f32], activation: Activation) = add_body
}

/// dy where the activation lets it through, else 0. y is the result of the activation.
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "per_isa! gives every body its instruction set")]
fn mask_body<M>(dy: &mut [f32], y: &[f32], activation: Activation) {
    let both = dy.iter_mut().zip(y);
    match activation {
        Activation::None => {}
        Activation::Relu => both.for_each(|(d, y)| *d = if opens_relu(*y) { *d } else { 0.0 }),
        Activation::Relu6 => both.for_each(|(d, y)| *d = if opens_relu6(*y) { *d } else { 0.0 }),
    }
}

per_isa! { pub(super) fn mask(dy: &mut [f32], y: &[f32], activation: Activation) = mask_body }

#[inline(always)]
fn sums_with(
    dy: &[f32],
    x: &[f32],
    form: Form<'_>,
    sum: &mut [f32],
    product: &mut [f32],
    add: impl Fn(f32, f32, f32, f32) -> bool,
    mul_add: impl Fn(f32, f32, f32) -> f32,
) {
    let width = form.mean.len();
    for (dy, x) in dy.chunks(width).zip(x.chunks(width)) {
        let (mean, scale, shift) = form.rows(dy.len());
        let lanes = sum.iter_mut().zip(product.iter_mut());
        for ((((((s, q), d), x), m), a), b) in lanes.zip(dy).zip(x).zip(mean).zip(scale).zip(shift) {
            let d = if add(*x, *m, *a, *b) { *d } else { 0.0 };
            *s += d;
            *q = mul_add(d, x - m, *q);
        }
    }
}

#[inline(always)]
fn sums_body<M: MulAdd>(
    dy: &[f32],
    x: &[f32],
    form: Form<'_>,
    activation: Activation,
    sum: &mut [f32],
    product: &mut [f32],
) {
    let v = normal::<M>;
    match activation {
        Activation::None => sums_with(dy, x, form, sum, product, |_, _, _, _| true, M::mul_add),
        Activation::Relu => {
            sums_with(dy, x, form, sum, product, |x, m, a, b| opens_relu(v(x, m, a, b)), M::mul_add);
        }
        Activation::Relu6 => {
            sums_with(dy, x, form, sum, product, |x, m, a, b| opens_relu6(v(x, m, a, b)), M::mul_add);
        }
    }
}

per_isa! {
    /// Adds Σ d and Σ d (x − mean) of each lane, where d is dy masked by activation(v).
    pub(super) fn sums(
        dy: &[f32], x: &[f32], form: Form<'_>, activation: Activation, sum: &mut [f32], product: &mut [f32],
    ) = sums_body
}

/// The vectors of `dx = scale · d + slope · (x − mean) + offset`, repeated along a wide row; `scale` and `mean` are the
/// form's.
#[derive(Clone, Copy)]
pub(super) struct Correction<'a> {
    pub(super) slope: &'a [f32],
    pub(super) offset: &'a [f32],
}

#[inline(always)]
fn gradient_with<M: MulAdd>(
    dy: &mut [f32],
    x: &[f32],
    form: Form<'_>,
    correction: Option<Correction<'_>>,
    opens: impl Fn(f32) -> bool,
) {
    let width = form.mean.len();
    for (dy, x) in dy.chunks_mut(width).zip(x.chunks(width)) {
        let (mean, scale, shift) = form.rows(dy.len());
        let lanes = dy.iter_mut().zip(x).zip(mean).zip(scale).zip(shift);
        match correction {
            None => {
                for ((((d, x), m), a), b) in lanes {
                    *d = if opens(normal::<M>(*x, *m, *a, *b)) { *d * a } else { 0.0 };
                }
            }
            Some(Correction { slope, offset }) => {
                for ((((((d, x), m), a), b), p), o) in lanes.zip(slope).zip(offset) {
                    let masked = if opens(normal::<M>(*x, *m, *a, *b)) { *d } else { 0.0 };
                    *d = M::mul_add(masked, *a, M::mul_add(x - m, *p, *o));
                }
            }
        }
    }
}

#[inline(always)]
fn gradient_body<M: MulAdd>(
    dy: &mut [f32],
    x: &[f32],
    form: Form<'_>,
    activation: Activation,
    correction: Option<Correction<'_>>,
) {
    match activation {
        Activation::None => gradient_with::<M>(dy, x, form, correction, |_| true),
        Activation::Relu => gradient_with::<M>(dy, x, form, correction, opens_relu),
        Activation::Relu6 => gradient_with::<M>(dy, x, form, correction, opens_relu6),
    }
}

per_isa! {
    /// dy becomes dx; d is dy masked by activation(v).
    pub(super) fn gradient(
        dy: &mut [f32], x: &[f32], form: Form<'_>, activation: Activation, correction: Option<Correction<'_>>,
    ) = gradient_body
}

#[inline(always)]
fn gradient_beside_with<M: MulAdd>(
    dy: &[f32],
    x: &[f32],
    form: Form<'_>,
    correction: Option<Correction<'_>>,
    dx: &mut [MaybeUninit<f32>],
    opens: impl Fn(f32) -> bool,
) {
    let width = form.mean.len();
    for ((dx, dy), x) in dx.chunks_mut(width).zip(dy.chunks(width)).zip(x.chunks(width)) {
        let (mean, scale, shift) = form.rows(dx.len());
        let lanes = dx.iter_mut().zip(dy).zip(x).zip(mean).zip(scale).zip(shift);
        match correction {
            None => {
                for (((((dx, d), x), m), a), b) in lanes {
                    dx.write(if opens(normal::<M>(*x, *m, *a, *b)) { *d * a } else { 0.0 });
                }
            }
            Some(Correction { slope, offset }) => {
                for (((((((dx, d), x), m), a), b), p), o) in lanes.zip(slope).zip(offset) {
                    let masked = if opens(normal::<M>(*x, *m, *a, *b)) { *d } else { 0.0 };
                    dx.write(M::mul_add(masked, *a, M::mul_add(x - m, *p, *o)));
                }
            }
        }
    }
}

#[inline(always)]
fn gradient_beside_body<M: MulAdd>(
    dy: &[f32],
    x: &[f32],
    form: Form<'_>,
    activation: Activation,
    correction: Option<Correction<'_>>,
    dx: &mut [MaybeUninit<f32>],
) {
    match activation {
        Activation::None => gradient_beside_with::<M>(dy, x, form, correction, dx, |_| true),
        Activation::Relu => gradient_beside_with::<M>(dy, x, form, correction, dx, opens_relu),
        Activation::Relu6 => gradient_beside_with::<M>(dy, x, form, correction, dx, opens_relu6),
    }
}

per_isa! {
    /// [`gradient`] that leaves dy as it is. Writes every element of dx.
    pub(super) fn gradient_beside(
        dy: &[f32], x: &[f32], form: Form<'_>, activation: Activation, correction: Option<Correction<'_>>,
        dx: &mut [MaybeUninit<f32>],
    ) = gradient_beside_body
}
