//! The generators of data-free attacks, after DCGAN: a linear layer to maps of a quarter of the side; twice [double the side,
//! 3×3 convolution, batch-norm, leaky ReLU]; and a 3×3 convolution to the image. They end differently.
//!
//! - *Data-Free Learning of Student Networks* (DAFL; Chen et al., ICCV 2019): tanh, then a batch-norm without scale and shift, which
//!   gives images mean 0 and variance 1, as a classifier's normalised inputs have. The inner batch-norms have ε = 0.8, as in the
//!   published definition (probably meant as a momentum there, but the published results use it).
//! - *Data-free model extraction* (DFME; Truong et al., CVPR 2021): the batch-norm without scale and shift, then tanh, which gives
//!   pixels from −1 to 1. The tanh is left to the caller, because DFME takes differences in front of it. The inner batch-norms are
//!   the usual ones.

use std::rc::Rc;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::layers::{
    BatchNorm, Builder, Conv, Kernel, Linear, Maps, Pass, Scheme, Spelling, Standardise, TensorEntry,
};
use super::state_dict::{self, elements};
use super::{Input, Mode, NamedTensor, NetError, Precision};

/// Of DAFL's inner batch-norms.
const EPSILON: f64 = 0.8;
const SLOPE: f64 = 0.2;

/// Limits on what is built, so that a wrong figure in a file cannot ask for all memory.
const MAX_LATENT: usize = 65_536;
const MAX_WIDTH: usize = 4_096;
const MAX_SIDE: usize = 512;

/// Makes images out of random numbers. A clone is independent of its original.
#[derive(Module, Debug)]
pub struct Generator {
    layers: Layers,
    #[module(skip)]
    about: Arc<About>,
}

#[derive(Module, Debug)]
struct Layers {
    linear: Linear,
    norm0: BatchNorm,
    conv1: Conv,
    norm1: BatchNorm,
    conv2: Conv,
    norm2: BatchNorm,
    conv3: Conv,
    norm3: Standardise,
}

#[derive(Debug)]
struct About {
    latent: usize,
    input: Input,
    end: End,
    tensors: Vec<TensorEntry>,
}

/// What follows the last convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// DAFL: tanh, then each channel gets mean 0 and variance 1.
    Standardised,
    /// DFME: each channel gets mean 0 and variance 1. The tanh is the caller's.
    BeforeTanh,
}

impl Generator {
    /// Whether a generator of these sizes can be built.
    ///
    /// # Errors
    /// [`NetError::Unbuildable`] naming what is allowed.
    pub fn check(latent: usize, width: usize) -> Result<(), NetError> {
        let sizes = [("latent", latent, 1, MAX_LATENT), ("width", width, 2, MAX_WIDTH)];
        match sizes.into_iter().find(|&(_, found, least, most)| !(least..=most).contains(&found)) {
            Some((what, found, least, most)) => {
                Err(unbuildable(format!("a {what} of {least} to {most}"), found.to_string()))
            }
            None => Ok(()),
        }
    }

    /// Whether a generator can make images of shape `input`.
    ///
    /// # Errors
    /// [`NetError::Unbuildable`] naming what is allowed.
    pub fn check_input(input: Input) -> Result<(), NetError> {
        let Input { channels, side } = input;
        if !matches!(channels, 1 | 3) {
            return Err(unbuildable("images of 1 or 3 channels".into(), format!("{channels} channels")));
        }
        if side % 4 != 0 || !(4..=MAX_SIDE).contains(&side) {
            let allowed = format!("images whose side is a multiple of 4, up to {MAX_SIDE} pixels");
            return Err(unbuildable(allowed, format!("a side of {side}")));
        }
        Ok(())
    }

    /// DAFL's generator of images of shape `input` out of `latent` numbers each, with first maps of `width` channels
    /// (published: 128) and initial weights that `seed` alone decides.
    ///
    /// # Errors
    /// [`NetError::Unbuildable`] unless the side is a multiple of 4 and all sizes are within bounds.
    pub fn build(
        latent: usize,
        width: usize,
        input: Input,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NetError> {
        Self::ending(End::Standardised, latent, width, input, seed, device)
    }

    /// DFME's generator, as [`Self::build`] makes DAFL's. What it gives has yet to go through tanh.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn before_tanh(
        latent: usize,
        width: usize,
        input: Input,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NetError> {
        Self::ending(End::BeforeTanh, latent, width, input, seed, device)
    }

    fn ending(
        end: End,
        latent: usize,
        width: usize,
        input: Input,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NetError> {
        Self::check(latent, width)?;
        Self::check_input(input)?;
        let Input { channels, side } = input;
        let (last, epsilon) = match end {
            End::Standardised => ("conv_blocks2.5", Some(EPSILON)),
            End::BeforeTanh => ("conv_blocks2.4", None),
        };
        let b = Builder::new(seed, Scheme::DEFAULT, Spelling::Own, device);
        let half = width / 2;
        let inner = |name, channels| {
            let norm = BatchNorm::new(&b, name, channels);
            match epsilon {
                Some(epsilon) => norm.epsilon(epsilon),
                None => norm,
            }
        };
        let conv = |name, input, output| Conv::new(&b, name, Kernel::new(3, input, output).biased());
        let layers = Layers {
            linear: Linear::new(&b, "l1.0", latent, width * (side / 4) * (side / 4)),
            norm0: BatchNorm::new(&b, "conv_blocks0.0", width),
            conv1: conv("conv_blocks1.0", width, width),
            norm1: inner("conv_blocks1.1", width),
            conv2: conv("conv_blocks2.0", width, half),
            norm2: inner("conv_blocks2.1", half),
            conv3: conv("conv_blocks2.3", half, channels),
            norm3: Standardise::new(&b, last, channels),
        };
        let tensors = b.entries();
        Ok(Self { layers, about: Arc::new(About { latent, input, end, tensors }) })
    }

    /// Images `[batch, side, side, channels]` of noise `[batch, latent]`: normalised ones (DAFL), or what tanh makes pixels from −1 to
    /// 1 of (DFME).
    pub fn forward(&self, noise: Tensor<2>, mode: Mode) -> Tensor<4> {
        let [n, latent] = noise.dims();
        assert_eq!(latent, self.about.latent, "the noise does not have the generator's latent size");
        let Layers { linear, norm0, conv1, norm1, conv2, norm2, conv3, norm3 } = &self.layers;
        let pass = Rc::new(Pass {
            mode,
            precision: Precision::F32,
            statistics: None,
            stages: None,
            dropping: None,
            frozen: 0,
        });
        let norm = |norm: &BatchNorm, x| norm.forward(x, None, super::layers::Activation::None);
        let x = linear.forward(Maps::new(noise.reshape([n, 1, 1, latent]), pass));
        let x = norm(norm0, x.unflatten(self.about.input.side / 4));
        let x = norm(norm1, conv1.forward(x.double())).leaky_relu(SLOPE);
        let x = norm(norm2, conv2.forward(x.double())).leaky_relu(SLOPE);
        let x = conv3.forward(x);
        let x = match self.about.end {
            End::Standardised => x.tanh(),
            End::BeforeTanh => x,
        };
        norm3.forward(x).into_tensor()
    }

    /// Random numbers an image is made of.
    pub fn latent(&self) -> usize {
        self.about.latent
    }

    /// The shape of the images.
    pub fn input(&self) -> Input {
        self.about.input
    }

    /// The number of trainable parameters.
    pub fn parameters(&self) -> usize {
        self.about.tensors.iter().filter(|t| t.trainable).map(elements).sum()
    }

    /// Multiply-accumulates of convolutions and the linear layer for one image.
    pub fn macs(&self) -> u64 {
        let Input { channels, side } = self.about.input;
        let of = |name: &str| self.about.tensors.iter().find(|t| t.name == name).map_or(0, elements) as u64;
        let pixels = (side * side) as u64;
        debug_assert_eq!(of("conv_blocks2.3.bias"), channels as u64);
        of("l1.0.weight")
            + of("conv_blocks1.0.weight") * pixels / 4
            + (of("conv_blocks2.0.weight") + of("conv_blocks2.3.weight")) * pixels
    }

    /// All tensors, running statistics included, under the names of the published PyTorch definition.
    pub fn state_dict(&self) -> Vec<NamedTensor> {
        state_dict::read(&self.layers, &self.about.tensors)
    }

    /// The generator with the values of `tensors`, in any order. Whether parameters are tracked for gradients stays.
    ///
    /// # Errors
    /// [`NetError::State`] unless names and shapes match one to one; [`NetError::NotFinite`] for a value that is not.
    pub fn load_state_dict(self, tensors: &[NamedTensor]) -> Result<Self, NetError> {
        let layers = state_dict::write(self.layers, "the generator", &self.about.tensors, tensors)?;
        Ok(Self { layers, about: self.about })
    }
}

fn unbuildable(allowed: String, found: String) -> NetError {
    NetError::Unbuildable { architecture: "a generator".into(), allowed, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    fn noise(n: usize, latent: usize, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = (0..n * latent).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
        Tensor::from_data(TensorData::new(values, [n, latent]), device)
    }

    fn host(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_to_vec().expect("f32")
    }

    #[test]
    fn the_published_generator_has_the_published_parameters() {
        let input = Input { channels: 3, side: 32 };
        let generator =
            Generator::build(1000, 128, input, 0, &Device::flex()).expect("32 is a multiple of 4");
        // Linear 1000→8192, BN 128, conv 128→128, BN, conv 128→64, BN 64, conv 64→3, all with biases.
        let expected = 1001 * 8192 + 256 + (1152 + 1) * 128 + 256 + (1152 + 1) * 64 + 128 + (576 + 1) * 3;
        assert_eq!(generator.parameters(), expected);
        let macs = 8_192_000 + 1152 * 128 * 256 + 1152 * 64 * 1024 + 576 * 3 * 1024;
        assert_eq!(generator.macs(), macs);
    }

    #[test]
    fn images_of_a_batch_have_mean_0_and_variance_1() {
        for (channels, side) in [(1, 28), (3, 32), (3, 8)] {
            let input = Input { channels, side };
            let generator = Generator::build(10, 8, input, 1, &Device::flex()).expect("fits");
            let before_tanh = Generator::before_tanh(10, 8, input, 1, &Device::flex()).expect("fits");
            for generator in [generator, before_tanh] {
                let images = generator.forward(noise(6, 10, &Device::flex()), Mode::Train);
                assert_eq!(images.dims(), [6, side, side, channels]);
                let images = host(images);
                for c in 0..channels {
                    let of: Vec<f64> =
                        images.iter().skip(c).step_by(channels).map(|&v| f64::from(v)).collect();
                    let mean = of.iter().sum::<f64>() / of.len() as f64;
                    let variance = of.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / of.len() as f64;
                    assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-2, "{mean} {variance}");
                }
            }
        }
    }

    #[test]
    fn running_statistics_move_in_training_mode_only_and_decide_evaluation_mode() {
        let device = Device::flex();
        let input = Input { channels: 3, side: 8 };
        let generator = Generator::build(4, 4, input, 2, &device).expect("fits");
        let before = generator.state_dict();
        let first = host(generator.forward(noise(5, 4, &device), Mode::Eval));
        assert_eq!(generator.state_dict(), before, "evaluation mode changes nothing");
        let alone = host(generator.forward(noise(1, 4, &device), Mode::Eval));
        let near = first.iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near, "in evaluation mode an image does not depend on the others of its batch");

        generator.forward(noise(5, 4, &device), Mode::Train);
        let after = generator.state_dict();
        for (before, after) in before.iter().zip(&after) {
            let moved = before.data != after.data;
            assert_eq!(moved, before.name.contains("running"), "{}", before.name);
        }
        let restored = Generator::build(4, 4, input, 9, &device).expect("fits");
        let restored = restored.load_state_dict(&after).expect("its own state");
        let [a, b] = [&generator, &restored].map(|g| host(g.forward(noise(2, 4, &device), Mode::Eval)));
        assert_eq!(a, b);
        assert!(
            restored.load_state_dict(&after[1..]).expect_err("one is missing").to_string().contains("l1.0")
        );
    }

    #[test]
    fn doubling_repeats_pixels_and_unflattening_undoes_flattening() {
        let device = Device::flex();
        let pass = || {
            Rc::new(Pass {
                mode: Mode::Eval,
                precision: Precision::F32,
                statistics: None,
                stages: None,
                dropping: None,
                frozen: 0,
            })
        };
        let x = || {
            Tensor::<4>::from_data(TensorData::new((0..8).map(|v| v as f32).collect(), [1, 2, 2, 2]), &device)
        };
        let doubled = host(Maps::new(x(), pass()).double().into_tensor());
        let row = [0.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 3.0];
        assert_eq!(doubled[..8], row);
        assert_eq!(doubled[8..16], row);
        assert_eq!(doubled[16..20], [4.0, 5.0, 4.0, 5.0]);
        let back = host(Maps::new(x(), pass()).flatten().unflatten(2).into_tensor());
        assert_eq!(back, host(x()));
    }

    #[test]
    fn dfmes_generator_ends_before_the_tanh_and_has_the_usual_norms_inside() {
        let input = Input { channels: 1, side: 8 };
        let [dafl, dfme] = [Generator::build, Generator::before_tanh]
            .map(|build| build(4, 4, input, 2, &Device::flex()).expect("fits"));
        assert_eq!(dafl.layers.norm1.epsilon, EPSILON);
        assert!(dfme.layers.norm1.epsilon < 1e-4);
        let names = |g: &Generator| g.state_dict().into_iter().map(|t| t.name).collect::<Vec<_>>();
        assert!(names(&dafl).contains(&"conv_blocks2.5.running_mean".to_owned()));
        assert!(names(&dfme).contains(&"conv_blocks2.4.running_mean".to_owned()));
        let largest = |g: &Generator| {
            host(g.forward(noise(6, 4, &Device::flex()), Mode::Train)).into_iter().fold(0f32, |m, v| m.max(v))
        };
        assert!(largest(&dfme) > 1.5, "tanh would have cut it");
    }

    #[test]
    fn sizes_that_cannot_be_built_are_refused() {
        let build = |latent, width, channels, side| {
            Generator::build(latent, width, Input { channels, side }, 0, &Device::flex()).map(|_| ())
        };
        assert!(build(4, 4, 3, 30).expect_err("30").to_string().contains("multiple of 4"));
        assert!(build(0, 4, 3, 32).is_err() && build(4, 1, 3, 32).is_err() && build(4, 4, 2, 32).is_err());
        assert!(build(usize::MAX, 4, 3, 32).is_err() && build(4, 4, 3, 0).is_err());
    }
}
