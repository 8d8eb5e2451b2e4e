//! Errors of making a report.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// Why a page or a picture could not be made.
#[derive(Debug, Error, Diagnostic)]
pub enum ReportError {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    #[diagnostic(help("check that the folder exists, can be written to and has space left"))]
    Io {
        /// What was tried, as a verb: "write", "open", …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// An image's data does not fit its stated size, or the size is out of bounds.
    #[error(
        "an image of {width}×{height} pixels with {channels} channels and {found} bytes cannot be drawn: \
         expected 1 to 8192 pixels a side, 1, 3 or 4 channels, and width × height × channels bytes"
    )]
    #[diagnostic(help("pass pixels row by row, channels last, one byte a channel"))]
    Image {
        /// Stated width, pixels.
        width: usize,
        /// Stated height, pixels.
        height: usize,
        /// Stated number of channels.
        channels: usize,
        /// Bytes of data that came with it.
        found: usize,
    },
    /// The PNG encoder refused an image.
    #[error("an image could not be encoded as PNG")]
    Png(#[from] image::ImageError),
    /// The page's template could not be filled in.
    #[error("the page could not be rendered")]
    Template(#[from] askama::Error),
}

impl crate::Classified for ReportError {
    fn class(&self) -> crate::ErrorClass {
        match self {
            Self::Io { .. } => crate::ErrorClass::Data,
            Self::Image { .. } | Self::Png(_) | Self::Template(_) => crate::ErrorClass::Bug,
        }
    }
}

impl ReportError {
    /// Wraps a system error with what was tried on which path.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
