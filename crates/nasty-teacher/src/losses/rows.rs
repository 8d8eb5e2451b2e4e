//! Helpers for rows: the label's position, the largest entries, the predicted class.

use burn::tensor::{Bool, Int, Tensor};

/// `[batch, classes]`: true at each row's label.
pub(super) fn at_label(labels: Tensor<1, Int>, classes: usize) -> Tensor<2, Bool> {
    let shape = [labels.dims()[0], classes];
    let counted: Tensor<1, Int> = Tensor::arange(0..classes as i64, &labels.device());
    let counted: Tensor<2, Int> = counted.unsqueeze_dim(0);
    let labels: Tensor<2, Int> = labels.unsqueeze_dim(1);
    counted.expand(shape).equal(labels.expand(shape))
}

/// The predicted class of each row `[batch, classes]`; among equals the lowest, on every device.
pub fn predicted(rows: Tensor<2>) -> Tensor<1, Int> {
    let [batch, classes] = rows.dims();
    let most = rows.clone().max_dim(1).expand([batch, classes]);
    let downward: Tensor<1, Int> = Tensor::arange(0..classes as i64, &rows.device());
    let downward: Tensor<2, Int> = downward.mul_scalar(-1).add_scalar(classes as i64).unsqueeze_dim(0);
    let first = (rows.equal(most).int() * downward.expand([batch, classes])).max_dim(1);
    first.mul_scalar(-1).add_scalar(classes as i64).squeeze_dim(1)
}

/// `[batch, classes]`: true at the `keep` largest entries of each row; among equals at the lowest classes.
pub(super) fn largest(rows: Tensor<2>, keep: usize) -> Tensor<2, Bool> {
    let [batch, classes] = rows.dims();
    let keep = keep.clamp(1, classes);
    let last = rows.clone().sort_descending(1).narrow(1, keep - 1, 1).expand([batch, classes]);
    let above = rows.clone().greater(last.clone());
    let equal = rows.equal(last);
    // As many of the equals as are left over, from the lowest class on.
    let left = above.clone().int().sum_dim(1).mul_scalar(-1).add_scalar(keep as i64);
    let among_the_first = equal.clone().int().cumsum(1).lower_equal(left.expand([batch, classes]));
    above.bool_or(equal.bool_and(among_the_first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn ties_go_to_the_lowest_class() {
        let device = Device::flex();
        let rows = Tensor::<2>::from_data(
            [[1.0f32, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0], [0.0, 1.0, -1.0, 5.0]],
            &device,
        );
        let classes: Vec<i64> = predicted(rows.clone()).into_data().iter::<i64>().collect();
        assert_eq!(classes, [1, 0, 3]);
        let kept =
            |keep| -> Vec<i64> { largest(rows.clone(), keep).int().into_data().iter::<i64>().collect() };
        assert_eq!(kept(1), [0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(kept(2), [0, 1, 1, 0, 1, 1, 0, 0, 0, 1, 0, 1]);
        assert_eq!(kept(9), [1; 12]);
        let labels = Tensor::<1, Int>::from_data(TensorData::from([1i32, 0]), &device);
        let at: Vec<i64> = at_label(labels, 3).int().into_data().iter::<i64>().collect();
        assert_eq!(at, [0, 1, 0, 1, 0, 0]);
    }
}
