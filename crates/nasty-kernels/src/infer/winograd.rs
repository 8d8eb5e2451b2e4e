//! 3×3 convolutions of a plan by Winograd's method, with filters that were transformed beforehand.

use super::fusible::{Affine, Finisher, Fusible, Weights};
use super::operation::{Cost, Operation, Part, Values};
use crate::Activation;
use crate::conv::{ConvShape, Winograd};
use crate::simd::{Element, Path};

/// A unit is some rows of tiles along pixels, and a tile of channels across.
pub(super) struct Transformed<E> {
    winograd: Winograd<E>,
    /// Rows of tiles in a unit.
    unit: usize,
    shape: ConvShape,
    finisher: Finisher,
}

/// Tiles that the inner loop takes at once.
const ROUND: usize = 8;

impl<E: Element> Transformed<E> {
    pub(super) fn new(path: Path, shape: ConvShape, weights: Weights<'_>, finisher: Finisher) -> Self {
        let winograd = Winograd::prepared(path, &shape, weights.weight, weights.bias);
        let [rows, columns] = winograd.tiles();
        let unit = ROUND.div_ceil(columns).min(rows);
        let unit = if rows.is_multiple_of(unit) { unit } else { 1 };
        Self { winograd, unit, shape, finisher }
    }
}

impl<E: Element> Operation for Transformed<E> {
    fn name(&self) -> &'static str {
        "winograd"
    }

    fn extent(&self, images: usize) -> [usize; 2] {
        [images * self.winograd.tiles()[0] / self.unit, self.winograd.channel_tiles()]
    }

    fn cost(&self) -> Cost {
        let s = &self.shape;
        let tiles = s.oh.div_ceil(2) * s.ow.div_ceil(2);
        let (inputs, outputs) = ((s.cin / s.groups).div_ceil(E::VALUES), s.cout.div_ceil(16));
        Cost {
            image: 16 * tiles * inputs * outputs + 64 * tiles * (s.cin.div_ceil(16) + outputs),
            along: 16 * inputs * outputs * 4,
            across: 64 * tiles * s.cin.div_ceil(16),
        }
    }

    unsafe fn part(&self, _: usize, [units, tiles]: Part, values: &Values<'_>) {
        let rows = units.start * self.unit..units.end * self.unit;
        let finish = self.finisher.finish(values, 0);
        // SAFETY: the caller's promise.
        unsafe { self.winograd.rows(rows, tiles, values.inputs[0], values.output(), finish) };
    }
}

impl<E: Element> Fusible for Transformed<E> {
    fn takes_second(&self) -> bool {
        self.finisher.second.is_none()
    }

    fn set_second(&mut self, scale: Vec<f32>, shift: Vec<f32>, activation: Activation) {
        let [scale, shift] = [scale, shift].map(|values| self.winograd.pad(&values));
        self.finisher.second = Some(Affine { scale, shift, activation });
    }
}
