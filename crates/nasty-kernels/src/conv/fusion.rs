//! Work that is fused into a convolution: done block by block on what the convolution reads and writes, while the block
//! is in the cache.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::output::Shared;
use crate::Activation;
use crate::scratch::Scratch;

/// Computes from whole pixels what the convolution reads instead of them. Gets the index of their first element, the
/// pixels, and the target; it must write every element of the target.
pub(crate) type Prologue<'a> = dyn Fn(usize, &[f32], &mut [MaybeUninit<f32>]) + Sync + 'a;

/// Reads or changes finished pixels of the result. Gets the index of their first element, and the pixels.
pub(crate) type Epilogue<'a> = dyn Fn(usize, &mut [f32]) + Sync + 'a;

/// What a convolution does besides its products.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fusion<'a> {
    /// Applied to x as it is read. Only algorithms that [take one](super::choose::Choice::takes_prologue) can do that.
    pub(crate) prologue: Option<&'a Prologue<'a>>,
    /// Applied to the forward pass's result before it is stored.
    pub(crate) activation: Activation,
    /// Applied to the result after the activation.
    pub(crate) epilogue: Option<&'a Epilogue<'a>>,
    /// Applied to dy as it is read, if [both gradients](super::choose::Choice::gradients_together) are computed together.
    pub(crate) gradient: Option<GradientPrologue<'a>>,
}

/// A [`Prologue`] of dy.
#[derive(Clone, Copy)]
pub(crate) struct GradientPrologue<'a> {
    pub(crate) compute: &'a Prologue<'a>,
    /// The tensor that it reads besides dy, of dy's shape; prefetched together with dy.
    pub(crate) beside: &'a [f32],
}

impl Fusion<'_> {
    /// Calls `with` on the elements `pixels` of x after the prologue. The range must be whole pixels.
    pub(super) fn x<T>(&self, pixels: Range<usize>, x: &[f32], with: impl FnOnce(&[f32]) -> T) -> T {
        read(self.prologue, pixels, x, with)
    }

    /// Calls `with` on the elements `pixels` of dy after its prologue. The range must be whole pixels.
    pub(super) fn dy<T>(&self, pixels: Range<usize>, dy: &[f32], with: impl FnOnce(&[f32]) -> T) -> T {
        read(self.gradient.map(|gradient| gradient.compute), pixels, dy, with)
    }

    /// What dy's prologue reads besides the elements `pixels` of dy.
    pub(super) fn beside_dy(&self, pixels: Range<usize>) -> &[f32] {
        self.gradient.map_or(&[], |gradient| &gradient.beside[pixels])
    }
}

fn read<T>(
    prologue: Option<&Prologue<'_>>,
    pixels: Range<usize>,
    x: &[f32],
    with: impl FnOnce(&[f32]) -> T,
) -> T {
    let (at, x) = (pixels.start, &x[pixels]);
    let Some(prologue) = prologue else { return with(x) };
    let mut scratch = Scratch::take(x.len());
    let read = &mut scratch.elements::<f32>()[..x.len()];
    // SAFETY: f32 and MaybeUninit<f32> have the same layout, and a prologue writes values, never the lack of one.
    prologue(at, x, unsafe { &mut *(std::ptr::from_mut(read) as *mut [MaybeUninit<f32>]) });
    with(read)
}

/// Applies the epilogue to some rows of some images of a result `[images, rows, columns, channels]`.
///
/// # Safety
/// These rows have been written, and no other thread reads or writes them.
pub(super) unsafe fn finish(
    epilogue: Option<&Epilogue<'_>>,
    y: Shared<'_>,
    [rows, columns, channels]: [usize; 3],
    images: Range<usize>,
    of_image: Range<usize>,
) {
    let Some(epilogue) = epilogue else { return };
    let len = of_image.len() * columns * channels;
    for image in images {
        let at = (image * rows + of_image.start) * columns * channels;
        // SAFETY: the caller's promise; `at` checks that the rows lie in y.
        epilogue(at, unsafe { std::slice::from_raw_parts_mut(y.at(at, len), len) });
    }
}
