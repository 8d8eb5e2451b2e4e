//! Identifies this host and its live processes, read from `/proc` where it exists. Elsewhere nothing is known about
//! other processes, so their leases are waited for.

use std::path::Path;

/// A host.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// Its name.
    pub(super) name: String,
    /// This start of it, and where it has containers, which of them: process numbers mean the same only within one.
    pub(super) machine: String,
    /// The batch job that this process is part of, as its queue calls it.
    pub(super) job: Option<String>,
}

impl Host {
    /// This one.
    pub(super) fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let name =
            read("/proc/sys/kernel/hostname").or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| {
                let output = std::process::Command::new("hostname").output().ok()?;
                Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
            });
        let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let processes = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let machine = format!("{boot} {}", processes.display());
        Self { name: name.unwrap_or_default(), machine, job: job() }
    }
}

/// The job's name in Slurm, LSF or SGE, with the place in its array.
fn job() -> Option<String> {
    let read =
        |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty() && value != "undefined");
    let kinds = [
        ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"),
        ("SLURM_JOB_ID", ""),
        ("LSB_JOBID", "LSB_JOBINDEX"),
        ("JOB_ID", "SGE_TASK_ID"),
    ];
    kinds.iter().find_map(|(job, place)| {
        let job = read(job)?;
        Some(read(place).map_or(job.clone(), |place| format!("{job}_{place}")))
    })
}

/// Whether the process with this number is alive on this host, or may be.
pub(super) fn is_alive(process: u32) -> bool {
    !Path::new("/proc/self").exists() || Path::new(&format!("/proc/{process}")).exists()
}
