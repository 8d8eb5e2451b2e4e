//! Recognises the network that a set of tensors belongs to, by trying all of them.
//!
//! This file knows no architectures: two builds with different class counts show which axes of which tensors are the
//! classes, and likewise for the input.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use burn::tensor::Device;

use super::options::{ImportOptions, Side};
use super::spellings::pair;
use crate::nets::{Architecture, Input, Network};

/// Sides tried first, in this order, where the tensors depend on the side.
const SIDES: [usize; 6] = [32, 28, 64, 96, 224, 16];
/// Assumed for grey images where any side fits and the network is one for small images: MNIST's.
const GREY_SIDE: usize = 28;
/// Where a network has other tensors than at a small side, if they depend on the side at all.
const OTHER_SIDE: usize = 224;
const MAX_SIDE: usize = 512;

/// How well a network fits the tensors of a file.
pub(super) struct Fit {
    pub(super) architecture: Architecture,
    pub(super) classes: usize,
    pub(super) input: Input,
    pub(super) side: Side,
    /// The network's names to the file's, in name and shape.
    pub(super) matched: BTreeMap<String, String>,
    missing: Vec<String>,
    left_over: Vec<String>,
    misshapen: Vec<String>,
}

impl Fit {
    pub(super) fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.left_over.is_empty() && self.misshapen.is_empty()
    }

    /// Everything that keeps it from being exact.
    pub(super) fn differences(&self) -> String {
        crate::nets::error::listing(&self.missing, &self.left_over, &self.misshapen)
    }

    /// For a person.
    pub(super) fn name(&self) -> String {
        let Input { channels, side } = self.input;
        format!("{} ({} classes, {channels}×{side}×{side})", self.architecture, self.classes)
    }
}

/// Shapes of a file's tensors by their names in the network.
pub(super) type Shapes = BTreeMap<String, Vec<usize>>;

/// Names and shapes of a network's tensors.
type Layout = Vec<(String, Vec<usize>)>;

/// What is asked of [`Layouts`]: architecture, classes, channels, side.
type Build = (Architecture, usize, usize, usize);

/// The tensors of networks, each built once.
pub(super) struct Layouts<'d> {
    device: &'d Device,
    built: RefCell<HashMap<Build, Option<Rc<Layout>>>>,
}

impl<'d> Layouts<'d> {
    pub(super) fn new(device: &'d Device) -> Self {
        Self { device, built: RefCell::new(HashMap::new()) }
    }

    fn of(
        &self,
        architecture: Architecture,
        classes: usize,
        channels: usize,
        side: usize,
    ) -> Option<Rc<Layout>> {
        let build = || {
            let network = architecture.build(classes, Input { channels, side }, 0, self.device).ok()?;
            Some(Rc::new(network.tensors().iter().map(|t| (t.name.clone(), t.shape.clone())).collect()))
        };
        let key = (architecture, classes, channels, side);
        self.built.borrow_mut().entry(key).or_insert_with(build).clone()
    }

    /// The side that an architecture is first built for, and its tensors then.
    fn probe(&self, architecture: Architecture) -> Option<(usize, Rc<Layout>)> {
        SIDES.into_iter().find_map(|side| Some((side, self.of(architecture, 2, 3, side)?)))
    }

    /// An architecture's names to the file's, in the spelling that most of the file's names have.
    fn pairs<'t>(&self, architecture: Architecture, tensors: &'t Shapes) -> BTreeMap<String, &'t String> {
        let Some((side, layout)) = self.probe(architecture) else { return BTreeMap::new() };
        let names: Vec<String> = layout.iter().map(|(name, _)| name.clone()).collect();
        let own = pair(&names, tensors.keys());
        let others = architecture.other_spellings().iter().map(|spelling| {
            let input = Input { channels: 3, side };
            let spelled = Network::names(architecture, 2, input, *spelling, self.device);
            let pairs = pair(&spelled, tensors.keys());
            let place = |(own, spelled): (&String, &String)| Some((own.clone(), *pairs.get(spelled)?));
            names.iter().zip(&spelled).filter_map(place).collect()
        });
        std::iter::once(own).chain(others).rev().max_by_key(BTreeMap::len).unwrap_or_default()
    }

    /// Every architecture's fit, the best one first.
    pub(super) fn fits(&self, tensors: &Shapes, others: &[String], options: &ImportOptions) -> Vec<Fit> {
        self.fits_of(candidates(tensors, options), tensors, others, options)
    }

    /// The fits that are exact, of a set of tensors that may be any.
    pub(super) fn whole(&self, tensors: &Shapes, options: &ImportOptions) -> Vec<Fit> {
        let is_whole = |architecture: &Architecture| {
            self.probe(*architecture).is_some_and(|(_, layout)| {
                layout.len() == tensors.len() && self.pairs(*architecture, tensors).len() == layout.len()
            })
        };
        let candidates = candidates(tensors, options).into_iter().filter(is_whole).collect();
        let mut fits = self.fits_of(candidates, tensors, &[], options);
        fits.retain(Fit::is_exact);
        fits
    }

    fn fits_of(
        &self,
        candidates: Vec<Architecture>,
        tensors: &Shapes,
        others: &[String],
        options: &ImportOptions,
    ) -> Vec<Fit> {
        let mut fits: Vec<Fit> = candidates
            .into_iter()
            .filter_map(|a| Attempt { architecture: a, tensors, others, layouts: self }.fit(options))
            .collect();
        fits.sort_by_key(|fit| {
            (
                !fit.is_exact(),
                std::cmp::Reverse(fit.matched.len()),
                fit.missing.len() + fit.left_over.len() + fit.misshapen.len(),
            )
        });
        fits
    }
}

/// The architectures that are tried.
fn candidates(tensors: &Shapes, options: &ImportOptions) -> Vec<Architecture> {
    match options.architecture {
        Some(one) => vec![one],
        None => {
            let mut all: Vec<_> = Architecture::all().chain(members_of_families(tensors)).collect();
            let mut seen = BTreeSet::new();
            all.retain(|architecture| seen.insert(architecture.to_string()));
            all
        }
    }
}

/// Members of the families (`cnnW`, `wrn-D-W`) that the tensors' shapes and number speak for.
fn members_of_families(tensors: &Shapes) -> Vec<Architecture> {
    let outputs = |name: &str| tensors.get(name).and_then(|shape| shape.first().copied());
    let cnn = outputs("conv1.weight").map(|width| format!("cnn{width}"));
    let block = |i: usize| outputs(&format!("block1.layer.{i}.conv1.weight"));
    let wide = block(0).map(|width| {
        let blocks = (0..).take_while(|&i| block(i).is_some()).count();
        format!("wrn-{}-{}", 6 * blocks + 4, width / 16)
    });
    cnn.into_iter().chain(wide).filter_map(|name| name.parse().ok()).collect()
}

struct Attempt<'a> {
    architecture: Architecture,
    tensors: &'a Shapes,
    others: &'a [String],
    layouts: &'a Layouts<'a>,
}

impl Attempt<'_> {
    fn layout(&self, classes: usize, channels: usize, side: usize) -> Option<Rc<Layout>> {
        self.layouts.of(self.architecture, classes, channels, side)
    }

    fn fit(&self, options: &ImportOptions) -> Option<Fit> {
        let (probe, base) = self.layouts.probe(self.architecture)?;
        let pairs = self.layouts.pairs(self.architecture, self.tensors);
        let buildable = |classes: &usize| self.layout(*classes, 3, probe).is_some();
        let read = self.classes(&base, self.layout(3, 3, probe)?.as_ref(), &pairs).filter(buildable);
        let classes = read.or(options.classes).unwrap_or(10);
        let by_side = self.layout(2, 3, OTHER_SIDE).is_some_and(|layout| layout != base);
        // All sides are worth trying only for a network whose names are all there.
        let all_sides = by_side && pairs.len() == base.len();
        let mut best: Option<Fit> = None;
        let usual = self.architecture.usual_side();
        for (channels, default) in [(3, usual), (1, if usual == 32 { GREY_SIDE } else { usual })] {
            let sides: Vec<usize> = match options.side {
                Some(side) => vec![side],
                None if all_sides => SIDES.into_iter().chain(1..=MAX_SIDE).collect(),
                None if by_side => SIDES.into(),
                None => vec![default],
            };
            for side in sides {
                let Some(layout) = self.layout(classes, channels, side) else { continue };
                let known = match options.side {
                    Some(_) => Side::Given,
                    // Several neighbouring sides have the same tensors where a pooling rounds.
                    None if by_side
                        && [side + 1, side - 1]
                            .iter()
                            .all(|&s| self.layout(classes, channels, s).as_ref() != Some(&layout)) =>
                    {
                        Side::Read
                    }
                    None => Side::Assumed,
                };
                let fit = self.compare(&layout, &pairs, classes, Input { channels, side }, known);
                if fit.is_exact() {
                    return Some(fit);
                }
                if best.as_ref().is_none_or(|b| fit.matched.len() > b.matched.len()) {
                    best = Some(fit);
                }
            }
        }
        best
    }

    /// The class count that the file's tensors have where the network's depend on it.
    fn classes(&self, two: &Layout, three: &Layout, pairs: &BTreeMap<String, &String>) -> Option<usize> {
        two.iter().zip(three).find_map(|((name, a), (_, b))| {
            let axis = a.iter().zip(b).position(|(a, b)| a != b)?;
            self.tensors[*pairs.get(name)?].get(axis).copied()
        })
    }

    fn compare(
        &self,
        layout: &Layout,
        pairs: &BTreeMap<String, &String>,
        classes: usize,
        input: Input,
        side: Side,
    ) -> Fit {
        let (mut matched, mut missing, mut misshapen) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (name, shape) in layout {
            match pairs.get(name) {
                None => missing.push(name.clone()),
                Some(given) if !same_values(&self.tensors[*given], shape) => {
                    misshapen.push(format!("{given} (expected {shape:?}, found {:?})", self.tensors[*given]));
                }
                Some(given) => {
                    matched.insert(name.clone(), (*given).clone());
                }
            }
        }
        let used: BTreeSet<&String> = pairs.values().copied().collect();
        let left_over =
            self.tensors.keys().filter(|name| !used.contains(name)).chain(self.others).cloned().collect();
        Fit { architecture: self.architecture, classes, input, side, matched, missing, left_over, misshapen }
    }
}

/// Whether two shapes hold the same elements in the same order, by output channel: a linear layer may be spelled as a convolution,
/// a vector with further axes of length 1.
fn same_values(given: &[usize], wanted: &[usize]) -> bool {
    given.first() == wanted.first() && given.iter().product::<usize>() == wanted.iter().product::<usize>()
}
