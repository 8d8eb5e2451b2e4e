//! ShuffleNetV2 ×1.0 (Ma et al., ECCV 2018) for small images, with the peculiarities of the published definition: no
//! ReLU and no pooling after the stem, a bias in every convolution, and the channel shuffle after the concatenation.

use burn::module::Module;

use super::layers::{Builder, ConvBn, Kernel, Linear, Maps, Scheme};

pub(crate) const SCHEME: Scheme = Scheme::DEFAULT;

/// Channels and units of each stage.
const STAGES: [[usize; 2]; 3] = [[116, 4], [232, 8], [464, 4]];
const HEAD: usize = 1024;

#[derive(Module, Debug)]
pub(crate) struct ShuffleNetV2 {
    stem: ConvBn,
    units: Vec<Unit>,
    head: ConvBn,
    fc: Linear,
}

/// A unit with stride 2 sees all channels twice; one with stride 1 works on the second half and leaves the first.
#[derive(Module, Debug)]
pub(crate) struct Unit {
    pub(crate) residual: Residual,
    pub(crate) shortcut: Option<Shortcut>,
}

#[derive(Module, Debug)]
pub(crate) struct Residual {
    pub(crate) first: ConvBn,
    pub(crate) depthwise: ConvBn,
    pub(crate) last: ConvBn,
}

#[derive(Module, Debug)]
pub(crate) struct Shortcut {
    pub(crate) depthwise: ConvBn,
    pub(crate) last: ConvBn,
}

impl ShuffleNetV2 {
    pub(crate) fn new(b: &Builder, channels: usize, classes: usize) -> Self {
        let stem = ConvBn::new(b, "pre.0", "pre.1", Kernel::new(3, channels, 24).biased());
        let mut units = Vec::new();
        let mut input = 24;
        for (stage, [output, repeats]) in STAGES.into_iter().enumerate() {
            for i in 0..repeats {
                let b = b.at(format_args!("stage{}.{i}", stage + 2));
                units.push(Unit::new(&b, input, output, i == 0));
                input = output;
            }
        }
        Self {
            stem,
            units,
            head: ConvBn::new(b, "conv5.0", "conv5.1", Kernel::new(1, input, HEAD).biased()),
            fc: Linear::new(b, "fc", HEAD, classes),
        }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = Channels::Whole(self.stem.forward(x));
        for unit in &self.units {
            x = unit.forward(x);
        }
        let mut features = self.head.relu(x.whole()).global_pool();
        (features.fork(), self.fc.forward(features))
    }
}

impl Unit {
    fn new(b: &Builder, input: usize, output: usize, strided: bool) -> Self {
        let half = output / 2;
        let (width, stride) = if strided { (input, 2) } else { (half, 1) };
        let depthwise = Kernel::new(3, width, width).stride(stride).groups(width).biased();
        let last = Kernel::new(1, width, half).biased();
        let residual = b.at("residual");
        let shortcut = b.at("shortcut");
        Self {
            residual: Residual {
                first: ConvBn::new(&residual, "0", "1", Kernel::new(1, width, width).biased()),
                depthwise: ConvBn::new(&residual, "3", "4", depthwise),
                last: ConvBn::new(&residual, "5", "6", last),
            },
            shortcut: strided.then(|| Shortcut {
                depthwise: ConvBn::new(&shortcut, "0", "1", depthwise),
                last: ConvBn::new(&shortcut, "2", "3", last),
            }),
        }
    }

    pub(crate) fn forward(&self, x: Channels) -> Channels {
        let (shortcut, x) = match &self.shortcut {
            Some(Shortcut { depthwise, last }) => {
                let mut x = x.whole();
                (last.relu(depthwise.forward(x.fork())), x)
            }
            None => x.halves(),
        };
        let Residual { first, depthwise, last } = &self.residual;
        let y = last.relu(depthwise.forward(first.relu(x)));
        Channels::Branches(shortcut, y)
    }
}

/// What a unit gives the next: a shuffle whose halves are wanted is best computed as these.
#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
pub(crate) enum Channels {
    Whole(Maps),
    /// Yet to be shuffled.
    Branches(Maps, Maps),
}

impl Channels {
    pub(crate) fn whole(self) -> Maps {
        match self {
            Self::Whole(x) => x,
            Self::Branches(a, b) => a.interleave(b),
        }
    }

    fn halves(self) -> (Maps, Maps) {
        match self {
            Self::Whole(x) => x.split_channels(),
            Self::Branches(a, b) => a.interleave_halves(b),
        }
    }
}
