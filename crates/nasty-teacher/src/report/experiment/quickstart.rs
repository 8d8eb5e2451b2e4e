//! The quickstart's page and table, from its experiment in the store.

use super::facts::{facts, machines_of};
use super::figures::part_figure;
use super::measure::at;
use super::words;
use crate::lab::experiment::{AxisKind, PartKind, Role, Source};
use crate::lab::quickstart::{Kind, Member, Teacher, members};
use crate::lab::{Findings, Outcome};
use crate::report::number::{count, fixed, grouped};
use crate::report::{
    Axis, BarGroup, BarPlot, Block, Cell, Column, Figure, LinePanel, LinePlot, Mark, Page, Plot, Section,
    Series, Table, Tone,
};
use crate::training::{Loss, Objective};

/// The table: accuracy of every network, and what a student lost against the one that learned alone.
pub fn table(findings: &Findings) -> Table {
    let members = members(findings);
    let rows = members.iter().map(|m| {
        let objective = &m.recipe.objective;
        vec![
            Cell::text(m.recipe.architecture.to_string()),
            Cell::text(role(m)),
            Cell::text(learned(m)),
            objective.temperature().map_or(Cell::Empty, |t| Cell::number(t, 0)),
            Cell::number(percent(m), 2),
            difference(&members, m).map_or(Cell::Empty, |d| Cell::difference(d, 2)),
            Cell::number(m.result.seconds, 1),
        ]
    });
    let damaged = members.iter().position(|m| m.entry.role == Role::Student(Source::Nasty));
    let seeds = findings.record.settings.seeds.iter().map(ToString::to_string).collect::<Vec<_>>();
    Table {
        title: "Accuracy on the test images".into(),
        columns: vec![
            Column::text("network"),
            Column::text("role"),
            Column::text("learns from"),
            Column::number("τ", ""),
            Column::number("accuracy", "%"),
            Column::number("difference", "points"),
            Column::number("training", "s"),
        ],
        rows: rows.collect(),
        note: Some(format!(
            "Difference: the nasty teacher against the normal one, a student against the same network trained alone. Seed {}.",
            words::list(&seeds)
        )),
        marks: damaged.map(|row| Mark { row, column: None, tone: Tone::Bad }).into_iter().collect(),
        ..Table::default()
    }
}

/// The page.
pub(super) fn page(findings: &Findings) -> Page {
    let record = &findings.record;
    let members = members(findings);
    let images = record.data.values().next().map_or_else(String::new, |facts| {
        format!(
            "{} training and {} test images of Fashion-MNIST\n",
            grouped(facts.train),
            grouped(facts.test)
        )
    });
    let mut sections = vec![results(findings, &members)];
    if let Some(figure) = part_figure(findings, PartKind::Responses) {
        let text = "A normal teacher's runner-up classes say which classes are alike, which is what a student learns from. Compare \
                    those of the nasty teacher.";
        sections.push(Section {
            id: "logit-responses".into(),
            title: "What the teachers answer".into(),
            blocks: vec![Block::Text(text.into()), Block::Figure(figure)],
        });
    }
    sections.push(Section {
        id: "learning-curves".into(),
        title: "Learning curves".into(),
        blocks: vec![Block::Figure(Figure {
            title: "Accuracy on held-out training images".into(),
            caption: format!(
                "These images choose the epoch whose weights are kept; the test images are not looked at. {}",
                words::conditions(findings)
            ),
            plot: Plot::Lines(curves(findings, &members)),
            name: "quickstart-curves".into(),
        })],
    });
    let recipes = members.iter().map(|m| (name(m), format!("recipe {}", m.result.recipe)));
    sections.push(Section {
        id: "again".into(),
        title: "Run it again".into(),
        blocks: vec![
            Block::Command(record.command.clone()),
            Block::Facts(facts(findings).into_iter().chain(recipes).collect()),
        ],
    });
    Page {
        title: record.settings.title.clone(),
        subtitle: images + &machines_of(findings).join("\n"),
        sections,
    }
}

fn results(findings: &Findings, members: &[Member]) -> Section {
    let mut blocks = Vec::new();
    if let Some(finding) = finding(members) {
        blocks.push(Block::Finding(finding));
    }
    if let Some(figure) = headline(findings, members) {
        blocks.push(Block::Figure(figure));
    }
    blocks.push(Block::Text(
        "A nasty teacher is trained to answer correctly while its answers as a whole stay far from those of a normally \
         trained network (self-undermining knowledge distillation, Ma et al., ICLR 2021). These are the networks of this run."
            .into(),
    ));
    blocks.push(Block::Table(table(findings)));
    let judged = members.iter().find_map(|m| m.result.nastiness.as_ref().map(|n| (m, n)));
    if let Some((m, nastiness)) = judged {
        let verdict = nastiness.explain(&m.result.test, &m.recipe.objective);
        blocks.push(Block::Text(format!("Check after training: {verdict}.")));
    }
    if let Some(lesson) = lesson(findings) {
        let title = "What this defence does and does not do".to_owned();
        blocks.push(Block::Callout { title, text: lesson });
    }
    let unfinished = findings.outcomes.values().filter(|o| matches!(o, Outcome::Missing)).count();
    if unfinished > 0 {
        let text = format!("{} not finished; the command below goes on.", count(unfinished, "run"));
        blocks.push(Block::Callout { title: "Unfinished".into(), text });
    }
    Section { id: "results".into(), title: "What came out".into(), blocks }
}

/// The result in a sentence; none before its networks are finished.
fn finding(members: &[Member]) -> Option<String> {
    let change = |wanted: &dyn Fn(&Member) -> bool| {
        let member = members.iter().find(|m| wanted(m))?;
        Some(fixed(difference(members, member)?, 1, true))
    };
    let teacher = change(&|m| m.entry.role == Role::NastyTeacher)?;
    let nasty = change(&|m| m.entry.role == Role::Student(Source::Nasty))?;
    let normal = change(&|m| m.entry.role == Role::Student(Source::Normal))?;
    Some(format!(
        "A student that imitates the nasty teacher at τ = {} changes by {nasty} points against the same network trained alone; \
         from the normal teacher it changes by {normal}. The nasty teacher's own accuracy changes by {teacher} points.",
        made_at(members)
    ))
}

/// What the figures of this run say about thieves who do not play by the book; none before all of them are finished.
pub fn lesson(findings: &Findings) -> Option<String> {
    let members = members(findings);
    let change = |source: Source| {
        let member = members.iter().find(|m| m.entry.role == Role::Student(source))?;
        difference(&members, member)
    };
    let said = |points: f64| fixed(points, 1, true);
    let (own, served, hard) =
        (change(Source::Nasty)?, change(Source::NastyAsServed)?, change(Source::HardLabels)?);
    let made_at = made_at(&members);
    let lower: Vec<String> = members
        .iter()
        .filter(|m| m.entry.role == Role::Student(Source::Nasty))
        .filter_map(|m| {
            let tau = m.recipe.objective.temperature().filter(|tau| tau.to_string() != made_at)?;
            Some(format!("{} at τ = {tau}", said(difference(&members, m)?)))
        })
        .collect();
    let lower = match lower.is_empty() {
        true => String::new(),
        false => format!(" A thief who lowers the temperature gets {}.", words::list(&lower)),
    };
    // A quarter of the damage, or less, is getting away.
    let away = |points: f64| points > 0.25 * own;
    let conclusion = match (own < -1.0, away(served), away(hard)) {
        (false, ..) => "In this run the defence did little to any of them.",
        (true, true, true) => {
            "So the defence hurts a thief who softens the probabilities with a high temperature. One who takes them as they are, \
             or only the classes, is hardly affected."
        }
        (true, true, false) => {
            "In this run taking the probabilities as they are is the way around the defence."
        }
        (true, false, true) => "In this run using only the classes is the way around the defence.",
        (true, false, false) => "In this run none of them got around the defence.",
    };
    Some(format!(
        "Points against a student that learns from true labels alone. Imitating the nasty teacher at the temperature it was \
         made for (τ = {made_at}): {}.{lower} The thief that everyone tries first trains on the probabilities just as they are \
         served (τ = 1), without any labels: {}. One that uses only the predicted classes: {}. {conclusion}",
        said(own),
        said(served),
        said(hard)
    ))
}

/// τ of the undermining, as text.
fn made_at(members: &[Member]) -> String {
    let nasty = members.iter().find(|m| m.entry.role == Role::NastyTeacher);
    nasty.map_or_else(String::new, |m| m.entry.place.text(AxisKind::TeacherTemperature))
}

/// What each thief gains or loses, as bars from zero.
fn headline(findings: &Findings, members: &[Member]) -> Option<Figure> {
    let students: Vec<&Member> = members
        .iter()
        .filter(|m| m.kind() == Kind::Student && m.entry.role != Role::Student(Source::Alone))
        .collect();
    let normal = members.iter().find(|m| m.entry.role == Role::NormalTeacher)?;
    let nasty = members.iter().find(|m| m.entry.role == Role::NastyTeacher)?;
    // Short, for the names must fit a phone.
    let name = |m: &Member| {
        let whose = m.teacher().map_or("", Teacher::name);
        match (m.kind(), m.recipe.objective.temperature()) {
            (Kind::Teacher, _) => "nasty teacher itself".to_owned(),
            (_, Some(_)) if m.without_labels() => format!("{whose}, as served, no labels (τ = 1)"),
            (_, Some(tau)) => format!("{whose}, imitated at τ = {tau}"),
            (_, None) => format!("{whose}, predicted classes only"),
        }
    };
    let shown: Vec<&Member> = [nasty].into_iter().chain(students).collect();
    if shown.len() < 2 || difference(members, nasty).is_none() {
        return None;
    }
    let of_normal = |m: &Member| m.teacher() == Some(Teacher::Normal);
    let group = |title: &str, from_normal: bool, color: usize| BarGroup {
        name: title.into(),
        values: shown
            .iter()
            .filter(|m| of_normal(m) == from_normal)
            .map(|m| difference(members, m).unwrap_or(f64::NAN))
            .collect(),
        color: Some(color),
        ..BarGroup::default()
    };
    // One bar a category: those of the nasty teacher first, as it is what the page is about.
    let sides = [
        ("of the nasty teacher", false, Role::NastyTeacher),
        ("of the normal teacher", true, Role::NormalTeacher),
    ];
    let mut categories = Vec::new();
    let mut groups = Vec::new();
    for (title, from_normal, role) in sides {
        let before = categories.len();
        categories.extend(shown.iter().filter(|m| of_normal(m) == from_normal).map(|m| name(m)));
        let mut of_side = group(title, from_normal, words::color(role));
        let gap = vec![f64::NAN; before];
        of_side.values = gap.into_iter().chain(of_side.values).collect();
        groups.push(of_side);
    }
    Some(Figure {
        title: "What imitating a teacher does to a student".into(),
        caption: format!(
            "Test accuracy, points: of students against the same network trained on labels alone, of the nasty teacher against the \
             normal one, which has {} %. {}",
            fixed(percent(normal), 1, false),
            words::conditions(findings)
        ),
        plot: Plot::Bars(BarPlot {
            categories,
            groups,
            axis: Axis::new("difference of test accuracy (points)"),
            decimals: 1,
            signed: true,
            single: true,
            ..BarPlot::default()
        }),
        name: "quickstart-headline".into(),
    })
}

fn percent(m: &Member) -> f64 {
    100.0 * m.result.test.accuracy
}

/// Points of a nasty teacher to the normal one, of a student to one that learned alone; none for the baselines.
fn difference(members: &[Member], m: &Member) -> Option<f64> {
    let baseline = match m.kind() {
        Kind::Teacher => Role::NormalTeacher,
        Kind::Student => Role::Student(Source::Alone),
    };
    if m.entry.role == baseline {
        return None;
    }
    let same_seed = |other: &&Member| other.entry.role == baseline && other.entry.seed == m.entry.seed;
    let baseline = members.iter().find(same_seed)?;
    Some(percent(m) - percent(baseline))
}

fn role(m: &Member) -> &'static str {
    match m.entry.role {
        Role::NormalTeacher => "normal teacher",
        Role::NastyTeacher => "nasty teacher",
        _ => "student",
    }
}

fn learned(m: &Member) -> String {
    let teacher = m.teacher().map_or("", Teacher::name);
    match m.recipe.objective {
        Objective::CrossEntropy(_) => "labels".into(),
        Objective::SelfUndermining(_) => "labels, against the normal teacher".into(),
        Objective::Distillation(_) if m.without_labels() => {
            format!("{teacher} teacher's probabilities as served, no labels")
        }
        Objective::Distillation(_) => format!("{teacher} teacher's probabilities, labels"),
        Objective::HardLabel(_) => format!("{teacher} teacher's predicted classes"),
        ref thief => format!("{teacher} teacher's probabilities, by {}", thief.name()),
    }
}

/// What a student learned from and at which temperature.
fn learned_at(m: &Member) -> String {
    match m.recipe.objective.temperature() {
        Some(tau) => format!("{}, τ = {tau}", learned(m)),
        None => learned(m),
    }
}

/// A network in a few words.
fn name(m: &Member) -> String {
    match m.kind() {
        Kind::Teacher => format!("{} {}", role(m), m.recipe.architecture),
        Kind::Student => format!("{} {}", at(&[AxisKind::Student], &m.entry.place), learned_at(m)),
    }
}

/// Teachers and thieves in plots of their own, each with its baseline.
fn curves(findings: &Findings, members: &[Member]) -> LinePlot {
    let series = |m: &Member| {
        let points = match findings.outcomes.get(&m.entry.task) {
            Some(Outcome::Trained(_, rows)) => rows
                .iter()
                .filter_map(|row| Some((row.epoch as f64 + 1.0, 100.0 * row.selection.as_ref()?.accuracy)))
                .collect(),
            _ => Vec::new(),
        };
        let baseline = m.entry.role == Role::Student(Source::Alone);
        Series {
            name: match m.kind() {
                Kind::Teacher => role(m).to_owned(),
                Kind::Student if baseline => "student: labels".to_owned(),
                Kind::Student => format!("student: {}", learned_at(m)),
            },
            points,
            dashed: baseline || lower(m),
            band: Vec::new(),
            color: Some(words::color(m.entry.role)),
        }
    };
    let panel = |title: &str, wanted: &dyn Fn(&Member) -> bool| LinePanel {
        title: title.into(),
        series: members.iter().filter(|m| wanted(m)).map(series).collect(),
    };
    let alone = |m: &Member| m.entry.role == Role::Student(Source::Alone);
    let panels = vec![
        panel("teachers", &|m| m.kind() == Kind::Teacher),
        panel("students of the normal teacher", &|m| alone(m) || m.teacher() == Some(Teacher::Normal)),
        panel("students of the nasty teacher", &|m| alone(m) || m.teacher() == Some(Teacher::Nasty)),
    ];
    let y = Axis::new("held-out accuracy (%)");
    LinePlot { x: Axis::whole("epoch"), y, panels, ..LinePlot::default() }
}

/// Whether a student lowered the temperature: its curve has the colour of its role, and is dashed.
fn lower(m: &Member) -> bool {
    let own = m.entry.place.get_number(AxisKind::TeacherTemperature);
    let imitates = matches!(m.entry.role, Role::Student(Source::Normal | Source::Nasty));
    imitates && m.recipe.objective.temperature() != own
}
