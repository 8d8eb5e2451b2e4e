//! Axes: map values to pixels, with round tick values.

use super::super::number::tick;
use super::svg::{Px, Svg, text_width};

/// Larger values are gaps: they leave no room for arithmetic on ranges.
const LARGEST: f64 = 1e150;

/// A plot's axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// What it measures, with the unit, e.g. `held-out accuracy (%)`.
    pub label: String,
    /// Whether it is logarithmic; values that are not above zero are gaps then.
    pub log: bool,
    /// First and last value shown; found from the data if it is absent or makes no sense.
    pub range: Option<(f64, f64)>,
    /// Whether it counts: ticks are at whole numbers only.
    pub whole: bool,
    /// Where ticks are, if not at round numbers: the values of a sweep. On a logarithmic axis 0 may be one of them; it stands
    /// before the others.
    pub at: Vec<f64>,
}

impl Axis {
    /// A linear axis whose range comes from the data.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// A logarithmic axis whose range comes from the data.
    pub fn log(label: impl Into<String>) -> Self {
        Self { log: true, ..Self::new(label) }
    }

    /// A linear axis of numbers that count something.
    pub fn whole(label: impl Into<String>) -> Self {
        Self { whole: true, ..Self::new(label) }
    }
}

/// Maps values to pixels along one axis.
pub(super) struct Scale {
    log: bool,
    /// Place of the value 0 on a logarithmic axis that shows it.
    zero: Option<f64>,
    whole: bool,
    ticks: Vec<f64>,
    /// Ends of the range; of the logarithm's if `log`.
    lo: f64,
    hi: f64,
    /// Pixels at the ends.
    start: f64,
    end: f64,
}

/// A tick: where, and what it says.
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

impl Scale {
    /// A scale for `axis` with `values` in view, `margin` of the range left free at each end (none below zero if no
    /// value is).
    pub(super) fn new(axis: &Axis, values: impl Iterator<Item = f64>, margin: f64) -> Self {
        let zero = zero_place(axis);
        let place = |value: f64| place(axis.log, zero, value);
        let given = axis.range.and_then(|(lo, hi)| Some((place(lo)?, place(hi)?))).filter(|(lo, hi)| lo < hi);
        let found = || {
            let ends = values.filter_map(place).fold(None, |ends: Option<(f64, f64)>, value| {
                Some(ends.map_or((value, value), |(lo, hi)| (lo.min(value), hi.max(value))))
            });
            let (lo, hi) = ends?;
            let free = (hi - lo) * margin;
            let floor = if !axis.log && lo >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
            Some(((lo - free).max(floor), hi + free))
        };
        let (lo, hi) = given.or_else(found).unwrap_or((0.0, 1.0));
        // A range too small for its place on the number line is one value: it gets some room around it.
        let size = lo.abs().max(hi.abs());
        let (lo, hi) = match hi - lo > size * 1e-9 {
            true => (lo, hi),
            false if size == 0.0 => (0.0, 1.0),
            false if axis.log => (lo - 0.5, hi + 0.5),
            false => (lo - size * 0.1, hi + size * 0.1),
        };
        let (whole, ticks) = (axis.whole, axis.at.clone());
        Self { log: axis.log, zero, whole, ticks, lo, hi, start: 0.0, end: 1.0 }
    }

    /// The same scale from pixel `start` to pixel `end`.
    pub(super) fn between(self, start: f64, end: f64) -> Self {
        Self { start, end, ..self }
    }

    /// Where `value` lies; none for a gap. Values far outside of the range are brought near it.
    pub(super) fn at(&self, value: f64) -> Option<f64> {
        let share = (place(self.log, self.zero, value)? - self.lo) / (self.hi - self.lo);
        Some(self.pixel(share.clamp(-9.0, 9.0)))
    }

    /// Where `value` lies, moved to the nearer end of the range if it is outside; none for a gap.
    pub(super) fn inside(&self, value: f64) -> Option<f64> {
        let (low, high) = (self.start.min(self.end), self.start.max(self.end));
        self.at(value).map(|at| at.clamp(low, high))
    }

    /// Where bars start: at zero, or at the end of the range nearest to it.
    pub(super) fn base(&self) -> f64 {
        self.inside(0.0).unwrap_or(self.start)
    }

    fn pixel(&self, share: f64) -> f64 {
        self.start + share * (self.end - self.start)
    }

    /// Ticks about `spacing` pixels apart.
    pub(super) fn ticks(&self, spacing: f64) -> Vec<Tick> {
        if !self.ticks.is_empty() {
            return self.own_ticks(spacing);
        }
        let wanted = ((self.end - self.start).abs() / spacing).clamp(1.0, 20.0);
        let (values, step) = match (self.log, self.whole) {
            (true, _) => self.log_values(wanted),
            (false, false) => even(self.lo, self.hi, wanted),
            (false, true) => {
                let (values, step) = even(self.lo, self.hi, wanted.min((self.hi - self.lo).max(1.0)));
                (values, step.map(|step| step.max(1.0)))
            }
        };
        let shown =
            values.into_iter().filter(|value| !self.whole || value.fract() == 0.0).filter_map(|value| {
                let share = (place(self.log, self.zero, value)? - self.lo) / (self.hi - self.lo);
                // Rounding must not lose a tick at the very end.
                let inside = (-1e-6..=1.0 + 1e-6).contains(&share);
                inside.then(|| Tick {
                    at: self.pixel(share),
                    label: tick(value, step.unwrap_or(value.min(1.0))),
                })
            });
        shown.collect()
    }

    /// Ticks at the axis's own values; those that would stand closer than half of `spacing` to the last are left out.
    fn own_ticks(&self, spacing: f64) -> Vec<Tick> {
        let mut values: Vec<f64> = self.ticks.clone();
        values.sort_by(f64::total_cmp);
        let mut shown: Vec<Tick> = Vec::new();
        for value in values {
            let Some(at) = self.at(value) else { continue };
            let free = shown.last().is_none_or(|last| (at - last.at).abs() >= 0.5 * spacing);
            if free && (at - self.start) * (at - self.end) <= 1e-6 {
                shown.push(Tick { at, label: super::super::number::brief(value) });
            }
        }
        shown
    }

    /// Powers of ten; 1, 2 and 5 times them where there is room; even steps where the range is less than that.
    fn log_values(&self, wanted: f64) -> (Vec<f64>, Option<f64>) {
        let decades = self.hi - self.lo;
        if decades < 0.7 {
            return even(10f64.powf(self.lo), 10f64.powf(self.hi), wanted);
        }
        let leads: &[f64] = if decades * 3.0 <= wanted.max(3.0) { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let stride = (decades / wanted).ceil().max(1.0) as i32;
        let powers = (self.lo.floor() as i32..=self.hi.ceil() as i32).filter(|power| power % stride == 0);
        (powers.flat_map(|power| leads.iter().map(move |lead| lead * 10f64.powi(power))).collect(), None)
    }
}

/// Where a logarithmic axis with the tick 0 has it: a step before its smallest other value.
fn zero_place(axis: &Axis) -> Option<f64> {
    if !axis.log || !axis.at.contains(&0.0) {
        return None;
    }
    let above = axis.at.iter().copied().filter(|value| *value > 0.0 && value.is_finite());
    let (lowest, highest) = above.fold((f64::INFINITY, 0.0f64), |(lo, hi), v| (lo.min(v), hi.max(v)));
    let decades = (highest.log10() - lowest.log10()).max(0.5);
    Some(lowest.log10() - 0.25 * decades).filter(|place| place.is_finite())
}

/// The value's place on a linear or logarithmic axis; none for a gap.
fn place(log: bool, zero: Option<f64>, value: f64) -> Option<f64> {
    let value = Some(value).filter(|value| value.abs() <= LARGEST)?;
    match log {
        true if value == 0.0 => zero,
        true => Some(value.log10()).filter(|place| place.is_finite()),
        false => Some(value),
    }
}

/// Multiples of 1, 2 or 5 times a power of ten within [lo, hi], about `wanted` of them, and their step (none where
/// they are not evenly spaced: each is labelled to its own last place).
fn even(lo: f64, hi: f64, wanted: f64) -> (Vec<f64>, Option<f64>) {
    let rough = (hi - lo) / wanted;
    let power = 10f64.powf(rough.log10().floor());
    let step = match rough / power {
        ratio if ratio <= 1.0 => power,
        ratio if ratio <= 2.0 => 2.0 * power,
        ratio if ratio <= 5.0 => 5.0 * power,
        _ => 10.0 * power,
    };
    let first = (lo / step - 1e-6).ceil();
    let count = ((hi / step + 1e-6).floor() - first).clamp(0.0, 50.0) as usize;
    ((0..=count).map(|index| (first + index as f64) * step).collect(), Some(step))
}

/// The part of a plot inside its axes, in pixels.
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

/// Scales of both axes and the frame between them, for a plot of `width` × `height` pixels.
pub(super) fn frame(width: f64, height: f64, x: Scale, y: Scale, y_label: &str) -> (Frame, Scale, Scale) {
    let top = if y_label.is_empty() { 10.0 } else { 30.0 };
    let bottom = height - 44.0;
    let y = y.between(bottom, top);
    let widest = y.ticks(44.0).iter().map(|tick| text_width(&tick.label)).fold(0.0, f64::max);
    let left = (widest + 12.0).min(width / 2.0);
    let frame = Frame { left, top, right: width - 16.0, bottom };
    let x = x.between(frame.left, frame.right);
    (frame, x, y)
}

/// Draws grid, ticks and labels of both axes.
pub(super) fn draw(svg: &mut Svg, frame: &Frame, (x, x_label): (&Scale, &str), (y, y_label): (&Scale, &str)) {
    for tick in y.ticks(44.0) {
        svg.line("grid", (frame.left, tick.at), (frame.right, tick.at));
        svg.text("tick end", frame.left - 8.0, tick.at + 4.5, &tick.label);
    }
    for tick in x.ticks(if x.whole { 40.0 } else { 72.0 }) {
        svg.line("axis", (tick.at, frame.bottom), (tick.at, frame.bottom + 5.0));
        svg.text("tick mid", tick.at, frame.bottom + 19.0, &tick.label);
    }
    svg.line("axis", (frame.left, frame.bottom), (frame.right, frame.bottom));
    if !y_label.is_empty() {
        svg.text("label", 0.0, 14.0, y_label);
    }
    svg.text("label end", frame.right, frame.bottom + 38.0, x_label);
}

/// Opens a group that shows nothing beyond the frame, but for `slack` pixels. Nested `svg` elements clip without the
/// ids that clip paths need; coordinates inside stay those outside.
pub(super) fn clip(svg: &mut Svg, frame: &Frame, slack: f64) {
    let (x, y) = (Px(frame.left - slack), Px(frame.top - slack));
    let width = Px(frame.right - frame.left + 2.0 * slack);
    let height = Px(frame.bottom - frame.top + 2.0 * slack);
    svg.push(format_args!(
        "<svg x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" viewBox=\"{x} {y} {width} {height}\">"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64], pixels: f64) -> String {
        let scale = Scale::new(axis, values.iter().copied(), 0.0).between(0.0, pixels);
        let labels: Vec<_> = scale.ticks(50.0).into_iter().map(|tick| tick.label).collect();
        labels.join(" ")
    }

    #[test]
    fn ticks_are_round() {
        let linear = Axis::new("");
        assert_eq!(labels(&linear, &[0.0, 1.0], 300.0), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(&linear, &[-7.3, 12.1], 300.0), "−5 0 5 10");
        assert_eq!(labels(&linear, &[79.2, 88.7], 250.0), "80 82 84 86 88");
        assert_eq!(labels(&linear, &[0.0, 50_000.0], 300.0), "0 10,000 20,000 30,000 40,000 50,000");
        assert_eq!(labels(&Axis { range: Some((0.0, 100.0)), ..linear }, &[3.0], 200.0), "0 50 100");
        let log = Axis::log("");
        assert_eq!(labels(&log, &[0.001, 100.0], 300.0), "0.001 0.01 0.1 1 10 100");
        assert_eq!(labels(&log, &[0.5, 20.0], 300.0), "0.5 1 2 5 10 20");
        assert_eq!(labels(&log, &[2.0, 4.0], 200.0), "2.0 2.5 3.0 3.5 4.0");
        assert_eq!(labels(&log, &[1e-120, 1e120], 200.0), "10⁻¹²⁰ 10⁻⁶⁰ 1 10⁶⁰ 10¹²⁰");
    }

    #[test]
    fn the_unusual_has_a_range_too() {
        let linear = Axis::new("");
        assert_eq!(labels(&linear, &[], 200.0), "0.0 0.5 1.0");
        assert_eq!(labels(&linear, &[f64::NAN, f64::INFINITY, 1e200], 200.0), "0.0 0.5 1.0");
        assert_eq!(labels(&linear, &[5.0], 200.0), "4.5 5.0 5.5");
        assert_eq!(
            labels(&Axis { range: Some((3.0, f64::NAN)), ..linear }, &[0.0, 1.0], 200.0),
            "0.0 0.5 1.0"
        );
        assert_eq!(labels(&Axis::log(""), &[0.0, -3.0, 1.0, 10.0], 90.0), "1 2 5 10");
    }

    #[test]
    fn epochs_are_whole_and_a_sweep_has_its_own_ticks() {
        assert_eq!(labels(&Axis::whole(""), &[1.0, 3.0], 760.0), "1 2 3");
        assert_eq!(labels(&Axis::whole(""), &[1.0, 12.0], 300.0), "2 4 6 8 10 12");
        assert_eq!(labels(&Axis::whole(""), &[1.0, 1.0], 300.0), "1");
        let omegas = [0.0, 0.005, 0.01, 0.025, 0.05, 0.1];
        let sweep = Axis { at: omegas.to_vec(), ..Axis::log("") };
        assert_eq!(labels(&sweep, &omegas, 600.0), "0 0.005 0.01 0.025 0.05 0.1");
        let scale = Scale::new(&sweep, omegas.into_iter(), 0.0).between(0.0, 600.0);
        assert_eq!(scale.at(0.0), Some(0.0), "0 stands first on its logarithmic axis");
        assert_eq!(scale.at(-1.0), None);
    }

    #[test]
    fn gaps_have_no_place() {
        let scale = Scale::new(&Axis::log(""), [1.0, 100.0].into_iter(), 0.0).between(0.0, 200.0);
        assert_eq!(scale.at(10.0), Some(100.0));
        for gap in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e200] {
            assert_eq!(scale.at(gap), None, "{gap}");
        }
    }
}
