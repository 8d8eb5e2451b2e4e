//! The model card that `nasty export` can write.

use crate::failure::{Result, Trouble};
use clap::Args;
use nasty_teacher::audit::{Report, verdict};
use nasty_teacher::device::device;
use nasty_teacher::lab::network_folder;
use nasty_teacher::nets::{NetworkConfig, load_known};
use nasty_teacher::report::audit::{CardFacts, card};
use nasty_teacher::write_whole;
use std::path::{Path, PathBuf};

/// What every card of ours says, by which it is known that it may be overwritten.
const SIGNATURE: &str = "Model card written by nasty-teacher";

/// Options of a model card.
#[derive(Args)]
pub struct CardArgs {
    /// Write README.md beside the file: a model card for the Hugging Face hub
    #[arg(long)]
    card: bool,
    /// The audit of this network, whose verdict the card tells: report.json or its folder
    #[arg(long, value_name = "FILE", requires = "card")]
    audit: Option<PathBuf>,
    /// The licence that the card names, such as mit or apache-2.0
    #[arg(long, value_name = "ID", requires = "card")]
    license: Option<String>,
}

/// A card, not yet written.
pub struct Card {
    path: PathBuf,
    text: String,
}

impl CardArgs {
    /// Whether a card is to be written.
    pub fn is_wanted(&self) -> bool {
        self.card
    }

    /// The card of the network `reference`, to be exported to `output`; none if none is wanted.
    pub fn card(
        &self,
        reference: &str,
        store: &Path,
        config: &NetworkConfig,
        output: &Path,
    ) -> Result<Option<Card>> {
        if !self.card {
            return Ok(None);
        }
        let path = output.with_file_name("README.md");
        let there = std::fs::read_to_string(&path);
        if path.exists() && !there.is_ok_and(|text| text.contains(SIGNATURE)) {
            let help = "move it away, or export into another folder";
            let message = format!("{} is not a card of this program; nothing is overwritten", path.display());
            return Err(Trouble::usage(message, Some(help)).into());
        }
        let audit = self.audit.as_deref().map(Report::read).transpose()?;
        if let (Some(report), Some(file)) = (&audit, &self.audit) {
            let digest = load_known(&network_folder(reference, store)?, &device("flex")?)?.digest;
            let undefended = report.victim.undefended.as_ref().map(|u| u.identity.as_str());
            if report.victim.identity != digest && undefended != Some(digest.as_str()) {
                let message = format!(
                    "{} is the audit of another network: {} ({}), found {digest}",
                    file.display(),
                    report.victim.name,
                    report.victim.identity
                );
                return Err(
                    Trouble::usage(message, Some("audit this network, or leave the audit out")).into()
                );
            }
        }
        let stem = |path: &Path| path.file_stem().map(|name| name.to_string_lossy().into_owned());
        let onnx = output.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
        let facts = CardFacts {
            name: stem(output).unwrap_or_else(|| config.architecture.to_string()),
            architecture: config.architecture.to_string(),
            classes: config.label_names.clone(),
            class_count: config.num_classes,
            input: config.input_size,
            normalisation: (config.mean.clone(), config.std.clone()),
            library: if onnx { "onnx" } else { "pytorch" },
            file: output.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            license: self.license.clone(),
        };
        let found = audit.as_ref().map(verdict);
        let text = card(&facts, audit.as_ref().zip(found.as_ref()));
        let text = format!("{text}\n{SIGNATURE} {}.\n", env!("CARGO_PKG_VERSION"));
        Ok(Some(Card { path, text }))
    }
}

impl Card {
    /// Writes the card.
    pub fn write(self) -> Result<PathBuf> {
        write_whole(&self.path, self.text.as_bytes())
            .map_err(|e| Trouble::refused(self.path.display(), &e))?;
        Ok(self.path)
    }
}
