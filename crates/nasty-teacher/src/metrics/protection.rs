//! How much accuracy a defence took from a thief.

/// `max(0, 1 − thief/victim)`, the common public form. It flatters where thieves are weak: printed beside ours only.
pub fn common_protection(thief: f64, victim: f64) -> f64 {
    if victim > 0.0 { (1.0 - thief / victim).max(0.0) } else { 0.0 }
}

/// The accuracy that soft answers of the undefended victim are worth beyond hard ones: the most that a defence which keeps
/// the predicted class can take away in the worst case.
pub fn soft_label_advantage(soft: f64, hard: f64) -> f64 {
    soft - hard
}

/// The share of what was at stake that a defence took away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Protection {
    /// `(reference − thief)/(reference − floor)`: at most 0 is no protection, 1 makes soft answers worthless, more than 1
    /// hurts naive thieves only, since the floor remains attainable.
    Score(f64),
    /// The best clone of the undefended victim is not clearly better than the floor.
    NothingToProtect,
}

/// Protection by accuracies: of the best thief on the undefended victim under the same budget (`reference`), of the thief
/// on the defended one, and of the best that does without soft answers (`floor`: alone where labels are held, label-smoothed,
/// hard-label clone). A stake `reference − floor` of no more than `noise` is none; `noise` is not negative.
///
/// ```
/// use nasty_teacher::metrics::{Protection, protection};
///
/// // The best clone falls from 84 to 83 %, and 82 % can be had without soft answers: half of what was at stake.
/// let Protection::Score(half) = protection(0.84, 0.83, 0.82, 0.005) else { panic!("two points are at stake") };
/// assert!((half - 0.5).abs() < 1e-9);
/// assert_eq!(protection(0.84, 0.83, 0.838, 0.005), Protection::NothingToProtect);
/// ```
pub fn protection(reference: f64, thief: f64, floor: f64, noise: f64) -> Protection {
    let stake = reference - floor;
    if stake > noise.max(0.0) {
        Protection::Score((reference - thief) / stake)
    } else {
        Protection::NothingToProtect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protection_is_a_share_of_what_is_at_stake() {
        assert_eq!(protection(0.75, 0.5, 0.25, 0.0), Protection::Score(0.5));
        assert_eq!(protection(0.75, 0.875, 0.25, 0.0), Protection::Score(-0.25));
        assert_eq!(protection(0.75, 0.0, 0.25, 0.0), Protection::Score(1.5));
        assert_eq!(protection(0.75, 0.5, 0.75, 0.0), Protection::NothingToProtect);
        assert_eq!(protection(0.75, 0.5, 0.74, 0.02), Protection::NothingToProtect);
        assert_eq!(protection(0.5, 0.5, f64::NAN, 0.0), Protection::NothingToProtect);
        assert_eq!(common_protection(0.9, 0.0), 0.0);
        assert_eq!(common_protection(0.9, 0.8), 0.0);
        assert!((soft_label_advantage(0.83, 0.81) - 0.02).abs() < 1e-12);
    }
}
