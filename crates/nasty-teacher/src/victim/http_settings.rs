//! How a server is spoken to. Plain data: secrets are named, never held.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// How a server is spoken to; what is absent has a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Headers whose values are secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<SecretHeader>,
    /// The file with the template of requests, for servers that speak no known protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PathBuf>,
    /// The file with the certificates (PEM) that the server's must be signed by, in place of those of the public authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// How tensors are sent.
    #[serde(skip_serializing_if = "is_auto")]
    pub tensors: Tensors,
    /// Images a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Requests at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<usize>,
    /// Seconds for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// How often a request is sent that was not answered because the server was busy or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
}

impl HttpSettings {
    /// In words, what is not as by default.
    pub fn said(&self) -> Vec<&'static str> {
        let Self { headers, template, ca, tensors, batch, requests, timeout, tries } = self;
        let said = [
            (!headers.is_empty(), "header"),
            (template.is_some(), "template"),
            (ca.is_some(), "certificates of authorities"),
            (!is_auto(tensors), "tensors"),
            (batch.is_some(), "images a request"),
            (requests.is_some(), "requests at once"),
            (timeout.is_some(), "seconds to wait for an answer"),
            (tries.is_some(), "tries"),
        ];
        said.into_iter().filter_map(|(said, what)| said.then_some(what)).collect()
    }
}

/// How tensors of the Open Inference Protocol are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tensors {
    /// As bytes, or as JSON to a server that does not take bytes.
    #[default]
    Auto,
    /// As JSON.
    Json,
}

fn is_auto(tensors: &Tensors) -> bool {
    *tensors == Tensors::Auto
}

impl FromStr for Tensors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            _ => Err("expected auto or json".into()),
        }
    }
}

/// A header whose value is in a variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretHeader {
    /// Its name.
    pub name: String,
    /// The variable.
    pub variable: String,
}

impl FromStr for SecretHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, from) = text.split_once('=').ok_or("expected NAME=env:VARIABLE")?;
        // A value on the command line would be in the shell's history and in reports.
        let variable = from
            .strip_prefix("env:")
            .ok_or("expected NAME=env:VARIABLE: values come from the environment")?;
        let named = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if !named(name) || !named(variable) {
            return Err("expected NAME=env:VARIABLE, both of letters, digits, - and _".into());
        }
        Ok(Self { name: name.to_owned(), variable: variable.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_headers_are_never_typed() {
        let header: SecretHeader = "Authorization=env:API_KEY".parse().expect("a header");
        assert_eq!((header.name.as_str(), header.variable.as_str()), ("Authorization", "API_KEY"));
        for text in ["Authorization", "Authorization=Bearer x", "=env:X", "A=env:", "A b=env:X", "A=env:X Y"]
        {
            assert!(text.parse::<SecretHeader>().expect_err(text).contains("NAME=env:VARIABLE"));
        }
    }
}
