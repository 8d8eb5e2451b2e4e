//! Which thieves work at all. A thief that learns nothing from an undefended victim says nothing about a defended one.

use super::Report;
use super::cells::{Cell, asks, best};
use super::report::Against;

/// A working clone covers at least this share of the way from chance to the victim's accuracy.
const WAY: f64 = 0.1;
/// A thief that is this much below the best, against the same victim under the same conditions, failed.
const BEHIND: f64 = 0.1;

/// What the check of the thieves found.
#[derive(Debug)]
pub(super) struct Working {
    /// Every thief that was checked, with the first reason why it failed; none if it works under some conditions.
    checked: Vec<(String, Option<String>)>,
}

impl Working {
    /// Checks every thief of the battery: against the victim without its defences, or against the victim where that was not
    /// asked. Against a defended victim only chance counts as a failure: to be behind the best may be what the defence does.
    pub(super) fn of(report: &Report, cells: &[Cell<'_>]) -> Self {
        let known = cells.iter().any(|cell| asks(cell, Against::Undefended));
        let against = if known { Against::Undefended } else { Against::Victim };
        let undefended = report.victim.undefended.as_ref().map(|u| u.accuracy);
        let victim = undefended.filter(|_| known).unwrap_or(report.victim.accuracy);
        let chance = report.probes.chance;
        let least = chance + WAY * (victim - chance).max(0.0);
        let whom = if known { "the victim without defences" } else { "the victim" };
        let mut found = Self { checked: Vec::new() };
        for cell in cells.iter().filter(|cell| asks(cell, against)) {
            let row = cell.first();
            let top = best(cells, |other| asks(other, against) && other.comparable(row));
            let (Some(mean), Some(top)) = (cell.mean(), top.and_then(Cell::mean)) else { continue };
            let reason = if mean <= least {
                let (mean, chance) = (100.0 * mean, 100.0 * chance);
                Some(format!(
                    "its clones of {whom} are {mean:.1} % accurate, where guessing gives {chance:.1} %"
                ))
            } else if top - mean > BEHIND && (known || report.victim.defences.is_empty()) {
                let points = 100.0 * (top - mean);
                Some(format!("its clones of {whom} are {points:.1} points below those of the best thief"))
            } else {
                None
            };
            match found.checked.iter_mut().find(|(thief, _)| *thief == row.thief) {
                Some((_, earlier)) => *earlier = earlier.take().filter(|_| reason.is_some()),
                None => found.checked.push((row.thief.clone(), reason)),
            }
        }
        found
    }

    /// The thieves that work nowhere, with the reason.
    pub(super) fn failed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.checked.iter().filter_map(|(thief, reason)| Some((thief.as_str(), reason.as_deref()?)))
    }

    /// Whether any thief works.
    pub(super) fn any(&self) -> bool {
        self.checked.iter().any(|(_, reason)| reason.is_none())
    }
}
