//! The inverted residual block of MobileNets and EfficientNets: expand, filter each channel, squeeze and excite,
//! project without activation.

use burn::module::Module;

use crate::nets::layers::{
    AnyActivation, Builder, ConvBn, Curve, DropPath, Kernel, Maps, Spelling, SqueezeExcite,
};

/// A block's measures.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) input: usize,
    /// Channels inside; where they are the input's, nothing is expanded.
    pub(super) expanded: usize,
    pub(super) output: usize,
    /// Side of the depthwise kernel.
    pub(super) side: usize,
    pub(super) stride: usize,
    pub(super) activation: AnyActivation,
    pub(super) excite: Option<Excite>,
}

/// Squeeze and excitation.
#[derive(Clone, Copy)]
pub(super) struct Excite {
    pub(super) squeezed: usize,
    /// Between its convolutions.
    pub(super) activation: AnyActivation,
    /// Behind them.
    pub(super) gate: Curve,
}

/// Where torchvision puts the last convolution and its norm.
#[derive(Clone, Copy)]
pub(super) enum LastNames {
    /// Into a part of the sequence, as the others.
    Nested,
    /// Into the sequence itself (MobileNetV2).
    Flat,
}

/// ε and momentum of batch-norms.
#[derive(Clone, Copy)]
pub(super) struct Norm(pub(super) f64, pub(super) f64);

impl Norm {
    /// PyTorch's.
    pub(super) const DEFAULT: Self = Self(1e-5, 0.1);

    pub(super) fn conv_bn(self, b: &Builder, conv: &str, norm: &str, kernel: Kernel) -> ConvBn {
        ConvBn::new(b, conv, norm, kernel).norm(self.0, self.1)
    }
}

#[derive(Module, Debug)]
pub(super) struct Inverted {
    expand: Option<ConvBn>,
    depthwise: ConvBn,
    excite: Option<SqueezeExcite>,
    project: ConvBn,
    #[module(skip)]
    activation: AnyActivation,
    /// Whether the block's input is added.
    #[module(skip)]
    residual: bool,
    #[module(skip)]
    path: DropPath,
}

impl Inverted {
    /// torchvision calls the sequence of a block's parts `sequence`.
    pub(super) fn new(
        b: &Builder,
        (sequence, last): (&str, LastNames),
        shape: Shape,
        norm: Norm,
        path: DropPath,
    ) -> Self {
        let Shape { input, expanded, output, side, stride, activation, excite } = shape;
        let timm = b.spelling() == Spelling::Timm;
        let expands = usize::from(expanded != input);
        // Places in torchvision's sequence.
        let [depthwise_at, excite_at] = [expands, expands + 1];
        let project_at = excite_at + usize::from(excite.is_some());
        let layer = |own: [String; 2], timm_conv: &str, timm_norm: usize, kernel| {
            let [conv, bn] = if timm { [timm_conv.to_owned(), format!("bn{timm_norm}")] } else { own };
            norm.conv_bn(b, &conv, &bn, kernel)
        };
        let part = |at: usize| [0, 1].map(|i| format!("{sequence}.{at}.{i}"));
        let expand = (expands == 1).then(|| layer(part(0), "conv_pw", 1, Kernel::new(1, input, expanded)));
        let kernel = Kernel::new(side, expanded, expanded).stride(stride).groups(expanded);
        let depthwise = layer(part(depthwise_at), "conv_dw", 1 + expands, kernel);
        let excite = excite.map(|Excite { squeezed, activation, gate }| {
            let own = format!("{sequence}.{excite_at}");
            let b = b.at(b.own_or_timm(&own, "se"));
            let names = if timm { ["conv_reduce", "conv_expand"] } else { ["fc1", "fc2"] };
            SqueezeExcite::new(&b, names, [expanded, squeezed], activation, gate)
        });
        let own = match last {
            LastNames::Nested => part(project_at),
            LastNames::Flat => [0, 1].map(|i| format!("{sequence}.{}", project_at + i)),
        };
        let conv = if expands == 1 { "conv_pwl" } else { "conv_pw" };
        let project = layer(own, conv, 2 + expands, Kernel::new(1, expanded, output));
        let residual = stride == 1 && input == output;
        Self { expand, depthwise, excite, project, activation, residual, path }
    }

    pub(super) fn forward(&self, mut x: Maps) -> Maps {
        let shortcut = self.residual.then(|| x.fork());
        if let Some(expand) = &self.expand {
            x = expand.activate(x, self.activation);
        }
        let mut y = self.depthwise.activate(x, self.activation);
        if let Some(excite) = &self.excite {
            y = excite.forward(y);
        }
        match shortcut {
            Some(shortcut) => self.project.add_or_drop(y, shortcut, self.path),
            None => self.project.forward(y),
        }
    }
}
