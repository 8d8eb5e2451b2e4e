//! Ids that security tools know, and what of an audit they stand for. Versions: MITRE ATLAS 5.6.0, OWASP Machine Learning
//! Security Top Ten 2023, NIST AI 100-2e2025.

use crate::audit::Report;
use crate::audit::report::Profile;

/// An id with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// Who gives the id.
    pub(super) by: &'static str,
    /// The id.
    pub(super) id: &'static str,
    /// Its name there.
    pub(super) name: &'static str,
}

const fn atlas(id: &'static str, name: &'static str) -> Tag {
    Tag { by: "MITRE ATLAS", id, name }
}

/// What an audit examines.
const THREATS: [Tag; 6] = [
    atlas("AML.T0024.002", "Extract AI Model"),
    atlas("AML.T0040", "AI Model Inference API Access"),
    atlas("AML.T0063", "Discover AI Model Outputs"),
    atlas("AML.T0048.004", "AI Intellectual Property Theft"),
    Tag { by: "OWASP", id: "ML05:2023", name: "Model Theft" },
    Tag { by: "NIST AI 100-2e2025", id: "NISTAML.031", name: "Model Extraction" },
];
const PROXY: Tag = atlas("AML.T0005.001", "Train Proxy via Replication");

/// What lowers the risk.
pub(super) const MITIGATIONS: [Tag; 3] = [
    atlas("AML.M0002", "Passive AI Output Obfuscation"),
    atlas("AML.M0004", "Restrict Number of AI Model Queries"),
    atlas("AML.M0024", "AI Telemetry Logging"),
];

/// The threats that the rows of a report are about.
pub(super) fn threats(report: &Report) -> Vec<Tag> {
    let mut tags = THREATS.to_vec();
    // Clones trained on images that are not the victim's own are proxies.
    if report.rows.iter().any(|row| matches!(row.profile, Profile::B | Profile::C | Profile::D)) {
        tags.push(PROXY);
    }
    tags
}
