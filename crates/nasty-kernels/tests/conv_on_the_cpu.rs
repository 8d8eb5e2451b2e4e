//! How convolutions reach the CPU kernels: views, frozen networks, and gradients of some arguments only.

use burn::tensor::{Device, Distribution, Tensor};
use nasty_kernels::{ConvOptions, Precision, conv2d};

const OPTIONS: ConvOptions = ConvOptions { stride: 1, padding: 1, groups: 1, precision: Precision::F32 };

fn random<const D: usize>(dims: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(dims, Distribution::Uniform(-1.0, 1.0), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("an f32 tensor")
}

/// The same elements in memory of their own.
fn copy(tensor: &Tensor<4>, device: &Device) -> Tensor<4> {
    Tensor::from_data(tensor.clone().into_data(), device)
}

#[test]
fn views_are_read_as_what_they_show() {
    let device = Device::flex();
    let weight = random([5, 4, 3, 3], &device);
    let whole = random([6, 8, 7, 4], &device);
    // A prefix of its storage, one that begins inside, one with gaps, and one that is permuted.
    let views = [
        whole.clone().narrow(0, 0, 2),
        whole.clone().narrow(0, 3, 2),
        whole.clone().narrow(2, 1, 5),
        random([4, 4, 4, 4], &device).permute([0, 3, 1, 2]),
    ];
    for view in views {
        let expected = values(conv2d(copy(&view, &device), weight.clone(), None, OPTIONS));
        assert_eq!(values(conv2d(view, weight.clone(), None, OPTIONS)), expected);
    }
    let x = whole.narrow(0, 1, 3);
    let weights = random([7, 4, 3, 3], &device).narrow(0, 2, 5);
    let expected = values(conv2d(x.clone(), copy(&weights, &device), None, OPTIONS));
    assert_eq!(values(conv2d(x, weights, None, OPTIONS)), expected);
}

#[test]
fn a_frozen_network_computes_the_same_bits() {
    let (plain, autodiff) = (Device::flex(), Device::flex().autodiff());
    let (x, weight) = (random([3, 9, 9, 20], &plain), random([33, 20, 3, 3], &plain));
    let bias = random([33], &plain);
    let frozen = conv2d(x.clone(), weight.clone(), Some(bias.clone()), OPTIONS);
    let tracked = |t: &Tensor<4>| copy(t, &autodiff).require_grad();
    let bias = Tensor::<1>::from_data(bias.into_data(), &autodiff).require_grad();
    let trained = conv2d(tracked(&x), tracked(&weight), Some(bias), OPTIONS);
    assert_eq!(values(frozen), values(trained));
}

#[test]
fn each_argument_gets_its_gradient_alone() {
    let device = Device::flex().autodiff();
    let (x, weight) = (random([2, 6, 6, 3], &device), random([4, 3, 3, 3], &device));
    let both = (x.clone().require_grad(), weight.clone().require_grad());
    let grads = conv2d(both.0.clone(), both.1.clone(), None, OPTIONS).sum().backward();
    let (dx, dw) = (both.0.grad(&grads).expect("dx"), both.1.grad(&grads).expect("dw"));

    let only_x = x.clone().require_grad();
    let grads = conv2d(only_x.clone(), weight.clone(), None, OPTIONS).sum().backward();
    assert_eq!(values(only_x.grad(&grads).expect("dx")), values(dx));
    assert!(weight.grad(&grads).is_none());

    let only_weight = weight.require_grad();
    let grads = conv2d(x.clone(), only_weight.clone(), None, OPTIONS).sum().backward();
    assert_eq!(values(only_weight.grad(&grads).expect("dw")), values(dw));
    assert!(x.grad(&grads).is_none());
}
