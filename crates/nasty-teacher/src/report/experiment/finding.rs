//! The findings of an experiment, in sentences computed from its runs; they stand at the top of its page.

use super::super::number::count;
use super::measure::{ACCURACY, Measured, SCALED_KL, at, mean_and_spread, measure, places};
use super::{parts, words};
use crate::lab::experiment::{AxisKind, Place, Role, Source};
use crate::lab::{Findings, Outcome};

/// Students named one by one in a sentence, at most.
const NAMED: usize = 4;

/// The findings, the most important one first; none if too little is finished.
pub(super) fn findings(findings: &Findings) -> Vec<String> {
    let mut sentences: Vec<String> = students(findings).into_iter().collect();
    let parts = findings.record.settings.parts.keys();
    sentences.extend(parts.filter_map(|part| (parts::of(*part).finding)(findings)));
    if sentences.is_empty() {
        sentences.extend(teachers(findings));
    }
    let done = findings.outcomes.values().filter(|o| !matches!(o, Outcome::Missing)).count();
    if done < findings.outcomes.len() && !sentences.is_empty() {
        let all = count(findings.outcomes.len(), "run");
        sentences.push(format!("So far: {done} of {all} finished."));
    }
    sentences
}

/// What students of the nasty teacher lose at one place of the grid.
struct Damage<'a> {
    /// The place, without the student.
    place: Place,
    /// Student and difference to the same network alone.
    students: Vec<(String, Measured<'a>)>,
    /// Mean over the students, points.
    mean: f64,
}

/// The damage at each place of the grid that has some, students together.
fn damages<'a>(findings: &'a Findings, varying: &[AxisKind]) -> Vec<Damage<'a>> {
    let mut damages: Vec<Damage> = Vec::new();
    for place in places(findings, |role| role == Role::Student(Source::Nasty)) {
        let of = |source| measure(findings, Role::Student(source), &place, &ACCURACY);
        let lost = of(Source::Nasty).minus(&of(Source::Alone));
        if lost.mean().is_none() {
            continue;
        }
        let student = place.text(AxisKind::Student);
        let place = place.without(&[AxisKind::Student]);
        let same = |d: &&mut Damage| at(varying, &d.place) == at(varying, &place);
        match damages.iter_mut().find(same) {
            Some(damage) => damage.students.push((student, lost)),
            None => damages.push(Damage { place, students: vec![(student, lost)], mean: 0.0 }),
        }
    }
    for damage in &mut damages {
        let means = damage.students.iter().filter_map(|(_, lost)| lost.mean());
        damage.mean = mean_and_spread(means).0.unwrap_or(0.0);
    }
    damages
}

fn students(findings: &Findings) -> Option<String> {
    let rows = places(findings, |role| role == Role::Student(Source::Nasty));
    let varying: Vec<AxisKind> =
        Place::varying(&rows).into_iter().filter(|axis| *axis != AxisKind::Student).collect();
    let mut damages = damages(findings, &varying);
    damages.sort_by(|a, b| a.mean.total_cmp(&b.mean));
    let lost = |damage: &Damage| {
        let said = |(name, lost): &(String, Measured)| Some(format!("{name} {}", lost.signed(1)?));
        let named: Vec<String> = damage.students.iter().filter_map(said).take(NAMED).collect();
        let more = damage.students.len() - named.len();
        words::list(&named) + &if more > 0 { format!(" ({more} more in the table)") } else { String::new() }
    };
    let teacher = |damage: &Damage| {
        let of = |role| measure(findings, role, &damage.place, &ACCURACY);
        let change = of(Role::NastyTeacher).minus(&of(Role::NormalTeacher)).signed(1);
        change.map_or_else(String::new, |c| format!(" (the nasty teacher against the normal one: {c})"))
    };
    let worst = damages.first()?;
    let mut text = match damages.last() {
        Some(mildest) if damages.len() > 1 => format!(
            "Students of the nasty teacher lose most at {}: {} points against the same network trained alone{}. They lose least, \
             or gain, at {}: {} points{}.",
            at(&varying, &worst.place),
            lost(worst),
            teacher(worst),
            at(&varying, &mildest.place),
            lost(mildest),
            // A teacher that is the same for all is told of once.
            Some(teacher(mildest)).filter(|mild| *mild != teacher(worst)).unwrap_or_default(),
        ),
        _ => format!(
            "Students of the nasty teacher, against the same network trained alone: {} points{}.",
            lost(worst),
            teacher(worst)
        ),
    };
    for (source, who) in [
        (Source::NastyAsServed, "With its probabilities as they are served, and no labels (τ = 1)"),
        (Source::HardLabels, "With its predicted classes only"),
    ] {
        let of = |source| measure(findings, Role::Student(source), &worst.place, &ACCURACY);
        let students = places(findings, |role| role == Role::Student(source));
        let change = |place: &Place| {
            let of = |source| measure(findings, Role::Student(source), place, &ACCURACY);
            Some(format!(
                "{} {}",
                place.text(AxisKind::Student),
                of(source).minus(&of(Source::Alone)).signed(1)?
            ))
        };
        if students.is_empty() || of(source).values.is_empty() {
            continue;
        }
        let mut changes: Vec<String> =
            students.iter().filter(|p| p.agrees(&worst.place)).filter_map(change).collect();
        changes.dedup();
        if !changes.is_empty() {
            text += &format!(" {who}: {} points.", words::list(&changes));
        }
    }
    if let Some((false, distance)) = words::nastiness(findings, &SCALED_KL) {
        text += &match damages.len() {
            1 => format!(
                " But the teacher did not become nasty, or broke (τ²·KL {distance}): this says nothing about students of a nasty teacher."
            ),
            _ => " Not every teacher here became nasty; the table says which.".to_owned(),
        };
    }
    Some(text)
}

fn teachers(findings: &Findings) -> Option<String> {
    let place = places(findings, |role| role == Role::NastyTeacher).first()?.clone();
    let of = |role| measure(findings, role, &place, &ACCURACY);
    let change = of(Role::NastyTeacher).minus(&of(Role::NormalTeacher)).signed(1)?;
    Some(format!("The nasty teacher's accuracy differs from the normal one's by {change} points."))
}
