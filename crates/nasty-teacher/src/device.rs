//! Devices by name. This is the only file that names devices: a GPU backend is a cargo feature and a line here.

use burn::tensor::{Device, DeviceType};
use miette::Diagnostic;

/// A device that cannot be had.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DeviceError {
    /// Not a name that this binary knows.
    #[error("expected a device of this binary ({known}), found `{name}`")]
    #[diagnostic(help("GPUs need a build with --features vulkan, webgpu, metal, cuda or rocm"))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The kinds built in.
        known: String,
    },
    /// A kind that is built in, but no such device is on this machine.
    #[error("no device `{name}` on this machine: {found} of that kind found")]
    #[diagnostic(help("`nasty devices` lists what can be used here; is the driver installed?"))]
    Absent {
        /// What was asked for.
        name: String,
        /// Devices of that kind.
        found: usize,
    },
}

impl crate::Classified for DeviceError {
    fn class(&self) -> crate::ErrorClass {
        crate::ErrorClass::Usage
    }
}

/// The kinds of device built into this binary, by name.
fn kinds() -> Vec<(&'static str, DeviceType)> {
    vec![
        ("flex", DeviceType::Flex),
        #[cfg(feature = "vulkan")]
        ("vulkan", DeviceType::Vulkan),
        // WGSL on whichever graphics API there is; what Burn calls WebGpu is a browser's.
        #[cfg(feature = "webgpu")]
        ("webgpu", DeviceType::Wgpu),
        #[cfg(feature = "metal")]
        ("metal", DeviceType::Metal),
        #[cfg(feature = "cuda")]
        ("cuda", DeviceType::Cuda),
        #[cfg(feature = "rocm")]
        ("rocm", DeviceType::Rocm),
    ]
}

/// The device called `name`: `flex` (the CPU), or `vulkan`, `vulkan:1`, … where built in. Without autodiff.
pub fn device(name: &str) -> Result<Device, DeviceError> {
    let unknown = || DeviceError::Unknown {
        name: name.to_owned(),
        known: kinds().iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join(", "),
    };
    let (kind, index) = match name.split_once(':') {
        None => (name, 0),
        Some((kind, index)) => (kind, index.parse().map_err(|_| unknown())?),
    };
    let (_, kind) = kinds().into_iter().find(|(known, _)| *known == kind).ok_or_else(unknown)?;
    let devices = Device::enumerate(kind).into_vec();
    let absent = DeviceError::Absent { name: name.to_owned(), found: devices.len() };
    devices.into_iter().nth(index).ok_or(absent)
}

/// Every device that this binary can use on this machine: the name to ask for it by, and what it is.
pub fn list() -> Vec<(String, String)> {
    let numbered = |(name, kind): (&'static str, DeviceType)| {
        let devices = Device::enumerate(kind).into_vec();
        devices.into_iter().enumerate().map(move |(i, device)| {
            let name = if i == 0 { name.to_owned() } else { format!("{name}:{i}") };
            (name, format!("{device:?}"))
        })
    };
    kinds().into_iter().flat_map(numbered).collect()
}

/// The kind of GPU built into this binary, the first of several; none if there is none.
pub fn gpu_kind() -> Option<&'static str> {
    kinds().into_iter().map(|(name, _)| name).find(|name| *name != "flex")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_absent_devices_are_told_apart() {
        assert!(device("flex").is_ok());
        for name in ["flexx", "flex:x", ""] {
            let message = device(name).expect_err(name).to_string();
            assert!(message.contains("flex") && message.contains(&format!("`{name}`")), "{message}");
        }
        assert!(matches!(device("flex:9"), Err(DeviceError::Absent { found: 1, .. })));
        assert_eq!(list()[0].0, "flex");
    }
}
