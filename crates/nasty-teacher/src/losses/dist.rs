//! DIST (Huang et al., NeurIPS 2022): correlations instead of a divergence, invariant to the scale and offset of a row.

use burn::tensor::{Int, Tensor};

use super::{cross_entropy, scaled_log_softmax};

/// `w·CE + v·τ²·(β·inter + γ·intra)`: `inter = 1 − mean ρ` over the rows of `σ_τ`, `intra` the same over its columns,
/// `ρ(a, b) = â·b̂/(‖â‖‖b̂‖ + 1e-8)` on centred vectors. Public settings: w 1, v 2, β = γ = 1, τ 4 on CIFAR-100.
///
/// ```
/// use nasty_teacher::burn::tensor::{Device, Int, Tensor};
/// use nasty_teacher::losses::Dist;
///
/// let device = Device::flex();
/// let loss = Dist { temperature: 4.0, inter: 1.0, intra: 1.0, weight: 2.0, labels: 0.0 };
/// let teacher = Tensor::<2>::from_floats([[2.0, 0.0, -1.0], [0.0, 3.0, 1.0]], &device);
/// // Shifted rows correlate perfectly: nothing is left to learn.
/// let student = teacher.clone().add_scalar(0.5);
/// let labels = Tensor::<1, Int>::from_ints([0, 1], &device);
/// assert!(loss.loss(student, teacher, labels).into_scalar::<f32>().abs() < 1e-3);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dist {
    /// τ.
    pub temperature: f64,
    /// β: weight of the rows.
    pub inter: f64,
    /// γ: weight of the columns.
    pub intra: f64,
    /// v: weight of both.
    pub weight: f64,
    /// w: weight of the cross entropy.
    pub labels: f64,
}

const EPSILON: f64 = 1e-8;

impl Dist {
    /// The loss of `student` logits against `teacher` logits `[batch, classes]`.
    pub fn loss(&self, student: Tensor<2>, teacher: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
        let tempered =
            |z: Tensor<2>| scaled_log_softmax(z, self.temperature).div_scalar(self.temperature).exp();
        let (p, q) = (tempered(student.clone()), tempered(teacher));
        let inter = correlation(p.clone(), q.clone()).mean().neg().add_scalar(1.0);
        let intra = correlation(p.transpose(), q.transpose()).mean().neg().add_scalar(1.0);
        let relations = inter.mul_scalar(self.inter) + intra.mul_scalar(self.intra);
        cross_entropy(student, labels, 0.0).mul_scalar(self.labels)
            + relations.mul_scalar(self.weight * self.temperature * self.temperature)
    }
}

/// ρ of each pair of rows, `[rows, 1]`. A constant row has none: 0, and no gradient, which would be as large as 1/ε.
fn correlation(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let constant = |rows: &Tensor<2>| rows.clone().max_dim(1).equal(rows.clone().min_dim(1));
    let none = constant(&a).bool_or(constant(&b));
    let centred = |rows: Tensor<2>| rows.clone() - rows.mean_dim(1);
    let (a, b) = (centred(a), centred(b));
    let product = (a.clone() * b.clone()).sum_dim(1);
    let rho = product / (norm(a) * norm(b)).add_scalar(EPSILON);
    rho.mask_fill(none, 0.0)
}

/// ‖row‖ `[rows, 1]`; where the square underflows 0, with the gradient 0 in place of 0/0.
fn norm(rows: Tensor<2>) -> Tensor<2> {
    let square = (rows.clone() * rows).sum_dim(1);
    let vanishes = square.clone().lower_elem(f32::MIN_POSITIVE);
    square.mask_fill(vanishes.clone(), 1.0).sqrt().mask_fill(vanishes, 0.0)
}
