//! A network with its outputs in a different order.

use burn::tensor::Device;

use super::{NetError, Network};

impl Network {
    /// The network whose output `c` is this one's output `order[c]`. `device` is where it is.
    ///
    /// # Errors
    /// What [`Architecture::build`](super::Architecture::build) and [`Network::load_state_dict`] report.
    ///
    /// # Panics
    /// If `order` is not as long as the network has classes.
    pub fn with_outputs(self, order: &[usize], device: &Device) -> Result<Self, NetError> {
        assert_eq!(order.len(), self.classes(), "one place for each class");
        // Two builds that differ in the class count show which axes are the classes.
        let built = |classes| self.architecture().build(classes, self.input(), 0, device);
        let (two, three) = (built(2)?, built(3)?);
        let axis = |(a, b): (&super::layers::TensorEntry, &super::layers::TensorEntry)| {
            a.shape.iter().zip(&b.shape).position(|(a, b)| a != b)
        };
        let axes: Vec<Option<usize>> = two.tensors().iter().zip(three.tensors()).map(axis).collect();
        let mut state = self.state_dict();
        for (tensor, axis) in state.iter_mut().zip(axes) {
            let Some(axis) = axis.filter(|axis| tensor.shape[*axis] == order.len()) else { continue };
            let inner: usize = tensor.shape[axis + 1..].iter().product();
            let old = tensor.data.clone();
            for (block, from) in
                tensor.data.chunks_exact_mut(inner * order.len()).zip(old.chunks_exact(inner * order.len()))
            {
                for (to, place) in block.chunks_exact_mut(inner).zip(order) {
                    to.copy_from_slice(&from[place * inner..][..inner]);
                }
            }
        }
        self.load_state_dict(&state)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData};

    use crate::device::device;
    use crate::nets::{Architecture, Input, Mode};

    #[test]
    fn the_answers_are_the_same_in_another_order() {
        let flex = device("flex").expect("the CPU");
        let order = [3, 0, 4, 1, 2];
        for name in ["cnn2", "mlp", "resnet20", "mobilenetv2", "densenet121", "shufflenetv2"] {
            let architecture: Architecture = name.parse().expect("a name");
            let network = architecture.build(5, Input { channels: 3, side: 16 }, 3, &flex).expect("built");
            let pixels: Vec<f32> = (0..2 * 16 * 16 * 3).map(|i| (i % 17) as f32 / 9.0 - 1.0).collect();
            let images = || Tensor::<4>::from_data(TensorData::new(pixels.clone(), [2, 16, 16, 3]), &flex);
            let answers = |network: &crate::nets::Network| -> Vec<f32> {
                network.forward(images(), Mode::Eval).into_data().convert::<f32>().try_to_vec().expect("f32")
            };
            let before = answers(&network);
            let after = answers(&network.clone().with_outputs(&order, &flex).expect("the same network"));
            for (row, old) in after.chunks_exact(5).zip(before.chunks_exact(5)) {
                for (c, place) in order.iter().enumerate() {
                    assert!((row[c] - old[*place]).abs() < 1e-5, "{name}: {row:?} from {old:?}");
                }
                assert!(
                    old.iter().any(|v| (v - old[0]).abs() > 1e-6),
                    "{name}: the answers tell classes apart"
                );
            }
        }
    }
}
