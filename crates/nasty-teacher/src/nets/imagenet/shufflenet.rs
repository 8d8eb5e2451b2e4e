//! ShuffleNetV2 ×1.0 (Ma et al., ECCV 2018) as in torchvision.

use burn::module::Module;

use super::stem::STEM_POOL;
use crate::nets::layers::{Builder, ConvBn, Kernel, Linear, Maps, Scheme};
use crate::nets::shufflenet::{Channels, Residual, Shortcut, Unit};

pub(crate) const SCHEME: Scheme = Scheme::DEFAULT;

/// Channels and units of each stage.
const STAGES: [[usize; 2]; 3] = [[116, 4], [232, 8], [464, 4]];
const STEM: usize = 24;
const HEAD: usize = 1024;

#[derive(Module, Debug)]
pub(crate) struct ShuffleNetV2 {
    stem: ConvBn,
    units: Vec<Unit>,
    head: ConvBn,
    fc: Linear,
}

impl ShuffleNetV2 {
    pub(crate) fn new(b: &Builder, channels: usize, classes: usize) -> Self {
        let stem = ConvBn::new(b, "conv1.0", "conv1.1", Kernel::new(3, channels, STEM).stride(2));
        let mut units = Vec::new();
        let mut input = STEM;
        for (stage, [output, repeats]) in STAGES.into_iter().enumerate() {
            for i in 0..repeats {
                let b = b.at(format_args!("stage{}.{i}", stage + 2));
                units.push(unit(&b, input, output, i == 0));
                input = output;
            }
        }
        Self {
            stem,
            units,
            head: ConvBn::new(b, "conv5.0", "conv5.1", Kernel::new(1, input, HEAD)),
            fc: Linear::new(b, "fc", HEAD, classes),
        }
    }

    pub(crate) fn forward(&self, x: Maps) -> (Maps, Maps) {
        let mut x = Channels::Whole(self.stem.relu(x).max_pool_windows(STEM_POOL));
        for unit in &self.units {
            x = unit.forward(x);
        }
        let mut features = self.head.relu(x.whole()).global_pool();
        (features.fork(), self.fc.forward(features))
    }
}

fn unit(b: &Builder, input: usize, output: usize, strided: bool) -> Unit {
    let half = output / 2;
    let (width, stride) = if strided { (input, 2) } else { (half, 1) };
    let depthwise = Kernel::new(3, width, width).stride(stride).groups(width);
    // The state dictionary lists the shortcut first.
    let shortcut = strided.then(|| {
        let b = b.at("branch1");
        Shortcut {
            depthwise: ConvBn::new(&b, "0", "1", depthwise),
            last: ConvBn::new(&b, "2", "3", Kernel::new(1, width, half)),
        }
    });
    let b = b.at("branch2");
    let first = Kernel::new(1, width, half);
    let depthwise = Kernel::new(3, half, half).stride(stride).groups(half);
    let residual = Residual {
        first: ConvBn::new(&b, "0", "1", first),
        depthwise: ConvBn::new(&b, "3", "4", depthwise),
        last: ConvBn::new(&b, "5", "6", Kernel::new(1, half, half)),
    };
    Unit { residual, shortcut }
}
