//! Rotation by whole degrees: the source of each pixel.

/// Fixed-point numbers with 16 fractional bits.
const ONE: f64 = 65536.0;

/// A rotation about the image's centre, nearest neighbour, in Pillow's 16.16 fixed-point arithmetic, so that
/// it gives the pixels of torchvision's `RandomRotation` on PIL images at the same angle.
#[derive(Clone, Copy)]
pub(super) struct Rotation {
    height: i64,
    width: i64,
    /// Source column = across · (x, y, 1), source row = down · (x, y, 1).
    across: [i64; 3],
    down: [i64; 3],
}

impl Rotation {
    /// Counter-clockwise by `degrees` for images of `height` × `width`.
    pub(super) fn new(degrees: isize, height: usize, width: usize) -> Self {
        let fixed = |value: f64| (value * ONE + 0.5).floor() as i64;
        let round = |value: f64| (value * 1e15).round() / 1e15;
        let angle = -(degrees.rem_euclid(360) as f64).to_radians();
        let (cos, sin) = (round(angle.cos()), round(angle.sin()));
        let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
        let column = |a: f64, b: f64, centre: f64| {
            let offset = a * -x + b * -y + centre;
            [fixed(a), fixed(b), fixed(offset + a * 0.5 + b * 0.5)]
        };
        Self {
            height: height as i64,
            width: width as i64,
            across: column(cos, sin, x),
            down: column(round(-angle.sin()), cos, y),
        }
    }

    /// The pixel (row, column) of the image that lands at row `y`, column `x`; none: black.
    pub(super) fn source(&self, y: usize, x: usize) -> Option<(usize, usize)> {
        let at = |[a, b, c]: [i64; 3]| (a * x as i64 + b * y as i64 + c) >> 16;
        let (row, column) = (at(self.down), at(self.across));
        let inside = (0..self.height).contains(&row) && (0..self.width).contains(&column);
        inside.then_some((row as usize, column as usize))
    }
}
