//! A running statistic: part of the state dictionary, changed by training-mode forward passes, not by the optimiser.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param,
    ParamId,
};
use burn::tensor::{Device, Tensor};

/// A vector `[channels]` that a forward pass through a shared reference may replace. A clone is independent of its
/// original (Burn's own running state is shared among clones, so a copy of a network would drift with it).
#[derive(Debug)]
pub(crate) struct Running {
    id: ParamId,
    value: Mutex<Tensor<1>>,
}

impl Running {
    pub(crate) fn new(id: ParamId, value: Tensor<1>) -> Self {
        Self { id, value: Mutex::new(value) }
    }

    pub(crate) fn value(&self) -> Tensor<1> {
        self.lock().clone()
    }

    /// The state dictionary's number.
    pub(crate) fn number(&self) -> usize {
        self.id.val() as usize
    }

    /// Moves the statistic towards `observed` by `momentum`.
    pub(crate) fn update(&self, observed: Tensor<1>, momentum: f64) {
        let mut value = self.lock();
        *value = (value.clone() * (1.0 - momentum) + observed * momentum).detach();
    }

    /// A tensor is replaced in one step, so a panic elsewhere cannot leave it half-written.
    fn lock(&self) -> MutexGuard<'_, Tensor<1>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(self, change: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Self {
        Self::new(self.id, change(self.value()))
    }

    fn as_param(&self) -> Param<Tensor<1>> {
        Param::initialized(self.id, self.value())
    }
}

impl Clone for Running {
    fn clone(&self) -> Self {
        Self::new(self.id, self.value())
    }
}

impl Module for Running {
    fn collect_devices(&self, mut devices: Devices) -> Devices {
        let device = self.value().device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn to_device(self, device: &Device) -> Self {
        self.with(|value| value.to_device(device).detach())
    }

    fn train(self) -> Self {
        self.with(Tensor::from_inner)
    }

    fn valid(&self) -> Self {
        self.clone().with(Tensor::without_autodiff)
    }

    fn materialize(self) -> Self {
        self
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&self.as_param());
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let mapped = mapper.map_float(self.as_param());
        self.with(|_| mapped.into_value().set_require_grad(false))
    }
}

impl std::fmt::Display for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "running statistic {}", self.id.val())
    }
}

impl ModuleDisplayDefault for Running {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(self).optional()
    }
}

impl ModuleDisplay for Running {}
