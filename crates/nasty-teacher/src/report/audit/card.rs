//! A model card as the Hugging Face hub reads it: YAML front matter, then Markdown.

use super::super::page::{Block, Page, Section};
use super::{tables, words};
use crate::audit::{Report, Verdict};

/// What a card says of the network itself.
#[derive(Clone, Debug)]
pub struct CardFacts {
    /// The model's name.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// Classes' names, in the order of the logits; empty if they have none.
    pub classes: Vec<String>,
    /// How many classes there are.
    pub class_count: usize,
    /// Channels, height and width of an image.
    pub input: [usize; 3],
    /// What is subtracted from each channel of an image in 0..1, and what it is divided by.
    pub normalisation: (Vec<f32>, Vec<f32>),
    /// The hub's name of the library that reads the file: `onnx`, or `pytorch` for safetensors.
    pub library: &'static str,
    /// The file.
    pub file: String,
    /// The licence's identifier on the hub, if known.
    pub license: Option<String>,
}

/// Text as YAML: a double-quoted scalar, which JSON's strings are.
fn yaml(text: &str) -> String {
    serde_json::to_string(text).expect("text")
}

/// The card, with a section *Clonability* where there is an audit.
pub fn card(facts: &CardFacts, audit: Option<(&Report, &Verdict)>) -> String {
    let page = Page { title: facts.name.clone(), subtitle: String::new(), sections: sections(facts, audit) };
    format!("---\n{}---\n\n{}", front_matter(facts, audit), page.to_markdown())
}

fn front_matter(facts: &CardFacts, audit: Option<(&Report, &Verdict)>) -> String {
    let mut out = String::new();
    if let Some(license) = &facts.license {
        out += &format!("license: {}\n", yaml(license));
    }
    out += &format!("library_name: {}\npipeline_tag: image-classification\n", facts.library);
    let Some((report, verdict)) = audit else {
        return out + "tags:\n- image-classification\n";
    };
    let data = yaml(&report.protocol.data);
    out += &format!(
        "datasets:\n- {data}\nmetrics:\n- accuracy\ntags:\n- image-classification\n- model-extraction\n"
    );
    let metric = |kind: &str, name: &str, value: f64| {
        format!("    - type: {kind}\n      name: {name}\n      value: {value:.4}\n")
    };
    let mut metrics = metric("accuracy", "Accuracy", report.victim.accuracy);
    if let Some(worst) = &verdict.worst_case {
        metrics += &metric("worst_case_clone_accuracy", "Worst-case clone accuracy", worst.accuracy.mean);
    }
    out + &format!(
        "model-index:\n- name: {}\n  results:\n  - task:\n      type: image-classification\n      name: Image Classification\n    \
         dataset:\n      type: {data}\n      name: {data}\n      split: test\n    metrics:\n{metrics}",
        yaml(&facts.name)
    )
}

fn sections(facts: &CardFacts, audit: Option<(&Report, &Verdict)>) -> Vec<Section> {
    let section =
        |title: &str, blocks: Vec<Block>| Section { id: String::new(), title: title.to_owned(), blocks };
    let [channels, height, width] = facts.input;
    let numbers = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(", ");
    let (mean, std) = &facts.normalisation;
    let mut network = vec![
        ("file", facts.file.clone()),
        ("architecture", facts.architecture.clone()),
        (
            "input",
            format!(
                "[batch, {channels}, {height}, {width}], values from 0 to 1, less the mean, divided by the deviation"
            ),
        ),
        ("mean", numbers(mean)),
        ("deviation", numbers(std)),
        ("output", format!("logits of {} classes", facts.class_count)),
    ];
    if !facts.classes.is_empty() {
        network.push(("classes", facts.classes.join(", ")));
    }
    let network = network.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut sections = vec![section("The network", vec![Block::Facts(network)])];
    let Some((report, verdict)) = audit else {
        let text = "How easily this network can be copied by its answers was not measured.".to_owned();
        sections.push(section("Clonability", vec![Block::Text(text)]));
        return sections;
    };
    let mut blocks: Vec<Block> = words::verdict(report, verdict).into_iter().map(Block::Text).collect();
    blocks.push(Block::Table(tables::thieves(report, verdict, tables::Which::LikeWorst)));
    let defences = &report.victim.defences;
    let mut audited = vec![
        ("audit", report.battery.to_string()),
        ("audited victim", report.victim.identity.clone()),
        ("what it reveals", report.victim.interface.to_string()),
        ("defences in front of it", if defences.is_empty() { "none".to_owned() } else { defences.clone() }),
        ("reliable", if verdict.reliable { "yes" } else { "no" }.to_owned()),
    ];
    audited.extend(report.protocol.data_digest.iter().map(|digest| ("images", digest.clone())));
    blocks.push(Block::Facts(audited.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()));
    blocks.push(Block::Command(report.made.command.clone()));
    sections.push(section("Clonability", blocks));
    let limits = words::limits(report).into_iter().map(Block::Text);
    sections.push(section("Limits", limits.collect()));
    sections
}
