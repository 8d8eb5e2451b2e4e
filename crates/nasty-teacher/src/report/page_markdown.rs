//! A page as Markdown.

use super::page::{Block, Page};
use super::table::markdown;

impl Page {
    /// The page as GitHub-flavoured Markdown. Figures are links to the files that [`Page::write`] makes beside it.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("# {}\n", markdown(&self.title));
        let mut paragraph = |text: String| {
            out.push('\n');
            out.push_str(text.trim_end());
            out.push('\n');
        };
        let lines = |text: &str| text.lines().map(markdown).collect::<Vec<_>>().join("\\\n");
        if !self.subtitle.is_empty() {
            paragraph(lines(&self.subtitle));
        }
        for section in &self.sections {
            paragraph(format!("## {}", markdown(&section.title)));
            for block in &section.blocks {
                match block {
                    Block::Finding(text) => paragraph(format!("**{}**", markdown(text))),
                    Block::Heading(text) => paragraph(format!("### {}", markdown(text))),
                    Block::Text(text) => paragraph(lines(text)),
                    Block::Callout { title, text } => {
                        let text: Vec<String> =
                            text.lines().map(|line| format!("> {}\\", markdown(line))).collect();
                        let text = text.join("\n");
                        paragraph(format!("> **{}**\\\n{}", markdown(title), text.trim_end_matches('\\')));
                    }
                    Block::Table(table) => paragraph(table.to_markdown()),
                    Block::Figure(figure) if !figure.name.is_empty() => {
                        let title = markdown(&figure.title);
                        paragraph(format!("![{title}](figures/{}.svg)", figure.name));
                        paragraph(lines(&figure.caption));
                    }
                    Block::Figure(_) => {}
                    Block::Command(command) => paragraph(fenced(command)),
                    Block::Facts(facts) => {
                        let facts: Vec<String> = facts
                            .iter()
                            .map(|(name, value)| format!("- {}: {}", markdown(name), markdown(value)))
                            .collect();
                        paragraph(facts.join("\n"));
                    }
                }
            }
        }
        out
    }
}

/// `text` in a fence that is longer than any row of backticks in it.
fn fenced(text: &str) -> String {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}\n{text}\n{fence}")
}
