//! The batteries: fixed lists of thieves with the grids that they choose their settings from. A battery has no settings; a
//! changed list is a new [`VERSION`].

use super::report::{self, Profile};
use crate::attacks::thieves::{
    Alone, ClassMean, Dfme, Dist, Dkd, HardLabel, Htc, HtcSymmetric, JbdaTr, Kd, LabelSmoothing,
    LinearRecovery, QueryAveraging, Rotation, Signal, Skeptical, TableRecovery, Thief,
};
use crate::defences::Stack;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Version of all batteries.
pub(super) const VERSION: u32 = 3;

/// Weight of the answers against the labels where a grid has no other.
const ALPHA: f64 = 0.9;
/// Levels that a pixel moves by in DFME's differences.
const LEVELS: f64 = 2.0;

/// A battery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Battery {
    /// A first answer in minutes: the small student, few fresh images without labels.
    Quick,
    /// What a verdict should rest on: also labelled images, a pool of other images if there is one, and a student as large as
    /// the victim.
    Standard,
    /// Every setting and every share of the data.
    Full,
}

/// What a battery tries, and how hard.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The ladder of budgets: images asked about.
    pub rungs: &'static [usize],
    /// Shares of the labelled images that a thief has; none if labelled images are left out.
    pub shares: &'static [f64],
    /// Optimiser steps of each clone.
    pub steps: usize,
    /// Whether a student as large as the victim is tried too.
    pub large_student: bool,
    /// Whether students other than the small one are tried on the last rung of the ladder only, and not on labelled images.
    pub others_on_last_rung: bool,
}

/// Which student a thief trains. One as large as the victim takes many times as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Student {
    /// The small one, which every thief is tried with.
    Small,
    /// Any other.
    Other,
}

/// A thief of a battery with one of its settings.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    /// The thief.
    pub thief: Thief,
    /// Whether the verdict rests on it.
    pub in_verdict: bool,
}

/// What decides which thieves make sense.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'a> {
    /// The defences in front of the victim that is asked, as far as they are known.
    pub defences: &'a Stack,
    /// Whether the same image was answered differently.
    pub random: bool,
}

impl Battery {
    /// All batteries.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Standard, Self::Full];

    fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Full => "full",
        }
    }

    /// As it stands in a report.
    pub fn facts(self) -> report::Battery {
        report::Battery { name: self.name().to_owned(), version: VERSION }
    }

    /// How hard it tries.
    pub fn effort(self) -> Effort {
        match self {
            Self::Quick => Effort {
                rungs: &[500, 2_000],
                shares: &[],
                steps: 600,
                large_student: false,
                others_on_last_rung: false,
            },
            Self::Standard => Effort {
                rungs: &[500, 2_000, 10_000],
                shares: &[1.0],
                steps: 2_000,
                large_student: true,
                others_on_last_rung: true,
            },
            Self::Full => Effort {
                rungs: &[500, 2_000, 10_000],
                shares: &[0.1, 0.3, 1.0],
                steps: 5_000,
                large_student: true,
                others_on_last_rung: false,
            },
        }
    }

    /// The floors that need no victim.
    pub(super) fn floors(self, student: Student) -> Vec<Member> {
        let smoothings: &[f64] = match (self, student) {
            (Self::Quick, _) | (Self::Standard, Student::Other) => &[0.1],
            (Self::Standard, Student::Small) => &[0.1, 0.3],
            (Self::Full, _) => &[0.05, 0.1, 0.2, 0.4],
        };
        let smoothed = |&smoothing: &f64| Thief::LabelSmoothing(LabelSmoothing { smoothing });
        let all = std::iter::once(Thief::Alone(Alone {})).chain(smoothings.iter().map(smoothed));
        all.map(|thief| Member { thief, in_verdict: true }).collect()
    }

    /// The thieves that ask, of profile `profile`, with `student`.
    pub(super) fn thieves(self, profile: Profile, at: Circumstances<'_>, student: Student) -> Vec<Member> {
        if profile == Profile::D {
            let dfme = Member { thief: Thief::Dfme(Dfme { levels: LEVELS }), in_verdict: false };
            return if self == Self::Full { vec![dfme] } else { Vec::new() };
        }
        if self == Self::Standard && student == Student::Other {
            return Self::few(at);
        }
        let mut members = vec![Thief::HardLabel(HardLabel {})];
        members.extend(self.kd());
        let alpha = ALPHA;
        members.push(Thief::ClassMean(ClassMean { temperature: 4.0, alpha }));
        let recovered = [1.0, 4.0];
        members.extend(
            recovered.map(|temperature| Thief::LinearRecovery(LinearRecovery { temperature, alpha })),
        );
        if !at.defences.layers().is_empty() {
            members.extend(recovered.map(|temperature| {
                Thief::TableRecovery(TableRecovery { defence: at.defences.clone(), temperature, alpha })
            }));
        }
        if at.random {
            members.extend(
                recovered.map(|temperature| Thief::QueryAveraging(QueryAveraging { temperature, alpha })),
            );
        }
        if self != Self::Quick || profile == Profile::A {
            members.extend([1.0, 4.0].map(|temperature| Thief::Dist(Dist { temperature })));
            members.push(Thief::Htc(Htc { temperature: 50.0, alpha }));
            members.extend(self.skeptical());
        }
        let mut all: Vec<Member> =
            members.into_iter().map(|thief| Member { thief, in_verdict: true }).collect();
        if self == Self::Full {
            let mut extras: Vec<Thief> =
                [2.0, 8.0].map(|others| Thief::Dkd(Dkd { temperature: 4.0, others })).into();
            extras.push(Thief::HtcSymmetric(HtcSymmetric { temperature: 4.0, alpha }));
            extras.extend([1.0, 4.0].map(|temperature| Thief::Rotation(Rotation { temperature, alpha })));
            // It has no labels of the images that it makes.
            if profile != Profile::A {
                extras.push(Thief::JbdaTr(JbdaTr { temperature: 1.0, alpha }));
            }
            all.extend(extras.into_iter().map(|thief| Member { thief, in_verdict: false }));
        }
        all
    }

    /// Skeptical students with all settings that this battery tries.
    fn skeptical(self) -> Vec<Thief> {
        let settings: &[(usize, f64)] = match self {
            Self::Quick | Self::Standard => &[(2, 4.0)],
            Self::Full => &[(1, 4.0), (2, 4.0), (1, 20.0), (2, 20.0)],
        };
        let skeptical = |&(stage, temperature)| Thief::Skeptical(Skeptical { stage, temperature });
        settings.iter().map(skeptical).collect()
    }

    /// The thieves that a student as large as the victim is worth the time for: how the copy of each kind of answer fares.
    fn few(at: Circumstances<'_>) -> Vec<Member> {
        let (temperature, alpha) = (1.0, ALPHA);
        let mut members = vec![Thief::HardLabel(HardLabel {})];
        members.extend([1.0, 4.0, 10.0].map(|temperature| Thief::Kd(Kd { temperature, alpha, floor: 0.0 })));
        if !at.defences.layers().is_empty() {
            let defence = at.defences.clone();
            members.push(Thief::TableRecovery(TableRecovery { defence, temperature, alpha }));
        }
        if at.random {
            members.push(Thief::QueryAveraging(QueryAveraging { temperature, alpha }));
        }
        members.into_iter().map(|thief| Member { thief, in_verdict: true }).collect()
    }

    /// Distillation with all settings that this battery tries.
    fn kd(self) -> Vec<Thief> {
        let kd = |temperature, alpha, floor| Thief::Kd(Kd { temperature, alpha, floor });
        let temperatures: &[f64] = match self {
            Self::Quick => &[0.5, 1.0, 4.0, 10.0, 20.0],
            Self::Standard => &[1.0, 2.0, 4.0, 10.0, 20.0],
            Self::Full => &[0.5, 1.0, 2.0, 4.0, 10.0, 20.0],
        };
        let mut all: Vec<Thief> = temperatures.iter().map(|&t| kd(t, ALPHA, 0.0)).collect();
        match self {
            Self::Quick => {}
            Self::Standard => all.push(kd(4.0, 1.0, 0.0)),
            Self::Full => {
                for &temperature in temperatures {
                    all.extend([0.5, 1.0].map(|alpha| kd(temperature, alpha, 0.0)));
                }
            }
        }
        all.push(kd(4.0, ALPHA, 1e-3));
        all
    }
}

/// Why a thief cannot try the victim, which gives out its answers as `label_only` says, with `budget` queries; none if it can.
pub(super) fn obstacle(thief: &Thief, label_only: bool, budget: usize) -> Option<String> {
    if label_only && thief.signal() == Signal::Probabilities {
        return Some("the victim gives out predicted classes only".into());
    }
    if let Some(least) = thief.forger().map(|forger| forger.least()).filter(|least| budget < *least) {
        return Some(format!("without images it needs {least} queries or more, the budget is {budget}"));
    }
    match thief {
        Thief::TableRecovery(TableRecovery { defence, .. }) if !defence.needs().is_empty() => {
            Some("the defence needs inputs that only its owner has".into())
        }
        _ => None,
    }
}

impl fmt::Display for Battery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Battery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<&str> = Self::ALL.iter().map(|battery| battery.name()).collect();
        let found = Self::ALL.into_iter().find(|battery| battery.name() == text);
        found.ok_or_else(|| format!("expected {}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(battery: Battery, defences: &str, random: bool) -> Vec<&'static str> {
        let defences =
            if defences.is_empty() { Stack::default() } else { defences.parse().expect("a stack") };
        let at = Circumstances { defences: &defences, random };
        battery.thieves(Profile::B, at, Student::Small).iter().map(|member| member.thief.name()).collect()
    }

    #[test]
    fn thieves_come_where_they_make_sense() {
        let plain = names(Battery::Quick, "", false);
        assert!(plain.contains(&"hard-label") && plain.contains(&"kd"));
        assert!(!plain.contains(&"table-recovery") && !plain.contains(&"query-averaging"));
        assert!(names(Battery::Quick, "rounding:decimals=1", false).contains(&"table-recovery"));
        assert!(names(Battery::Quick, "", true).contains(&"query-averaging"));
        assert!(names(Battery::Full, "", false).contains(&"dkd"));
        let none = Stack::default();
        let at = Circumstances { defences: &none, random: false };
        let without_images = |battery: Battery| battery.thieves(Profile::D, at, Student::Small);
        assert!(matches!(&without_images(Battery::Full)[..], [Member { in_verdict: false, .. }]));
        assert!(without_images(Battery::Standard).is_empty());
    }

    #[test]
    fn the_standard_battery_spends_little_on_large_students() {
        let defences: Stack = "rounding:decimals=1".parse().expect("a stack");
        let at = Circumstances { defences: &defences, random: false };
        let of = |battery: Battery, student| battery.thieves(Profile::B, at, student);
        let (small, other) = (of(Battery::Standard, Student::Small), of(Battery::Standard, Student::Other));
        assert!(other.len() < small.len() / 2, "{} of {}", other.len(), small.len());
        assert!(other.iter().any(|member| member.thief == Thief::HardLabel(HardLabel {})));
        assert!(Battery::Standard.effort().others_on_last_rung);
        assert_eq!(of(Battery::Full, Student::Other), of(Battery::Full, Student::Small));
    }

    #[test]
    fn every_thief_can_steal_and_no_setting_is_there_twice() {
        let defences: Stack = "rounding:decimals=1".parse().expect("a stack");
        for battery in Battery::ALL {
            let students = [Student::Small, Student::Other];
            let profiles = [Profile::A, Profile::B, Profile::C, Profile::D];
            let cases = profiles.map(|profile| students.map(|s| (profile, s)));
            for (profile, student) in cases.into_iter().flatten() {
                let at = Circumstances { defences: &defences, random: true };
                let mut all = battery.thieves(profile, at, student);
                all.extend(battery.floors(student));
                for (i, member) in all.iter().enumerate() {
                    assert_eq!(member.thief.problem(), None, "{}", member.thief.name());
                    assert!(!all[..i].contains(member), "{member:?}");
                }
            }
            assert_eq!(battery.to_string().parse(), Ok(battery));
        }
    }

    #[test]
    fn obstacles_are_said() {
        let kd = Thief::Kd(Kd { temperature: 4.0, alpha: 0.9, floor: 0.0 });
        assert!(obstacle(&kd, true, 500).expect("nothing to learn").contains("predicted classes"));
        assert_eq!(obstacle(&kd, false, 500), None);
        assert_eq!(obstacle(&Thief::HardLabel(HardLabel {}), true, 500), None);
        let dfme = Thief::Dfme(Dfme { levels: LEVELS });
        let few = obstacle(&dfme, false, 999_999).expect("too few");
        assert_eq!(few, "without images it needs 1000000 queries or more, the budget is 999999");
        assert_eq!(obstacle(&dfme, false, 1_000_000), None);
        assert!(obstacle(&dfme, true, 1_000_000).expect("nothing to learn").contains("predicted classes"));
        let of = |text: &str| {
            let defence = text.parse().expect("a stack");
            Thief::TableRecovery(TableRecovery { defence, temperature: 1.0, alpha: 0.9 })
        };
        assert!(
            obstacle(&of("class-tail"), false, 500).is_some()
                && obstacle(&of("rounding:decimals=1"), false, 500).is_none()
        );
    }
}
