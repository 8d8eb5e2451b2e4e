//! Classes are matched by name wherever a network meets data, and what is known of a network is never dropped.

#[path = "../../nasty-teacher/tests/torch/mod.rs"]
mod torch;

use assert_cmd::cargo::cargo_bin;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use torch::{Kind, State, legacy};

fn nasty(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(cargo_bin("nasty")).current_dir(folder).args(arguments).output().expect("the program starts")
}

fn succeeds(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = nasty(folder, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

fn refused(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = nasty(folder, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    message
}

/// Weights of a `cnn1` for 3 classes of 8×8 colour images.
fn weights() -> Vec<u8> {
    let mut state = State::default();
    let mut number = 1u32;
    let mut push = |name: String, shape: &[usize]| {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from((number >> 16) as u16) / 65_536.0
                    - if name.ends_with("running_var") { -0.5 } else { 0.5 }
            })
            .collect();
        state.push(&name, Kind::Float, shape, &values);
    };
    let norm = |push: &mut dyn FnMut(String, &[usize]), name: &str, channels: usize| {
        for tensor in ["weight", "bias", "running_mean", "running_var"] {
            push(format!("{name}.{tensor}"), &[channels]);
        }
    };
    for (i, [input, output]) in [[3, 1], [1, 2], [2, 4]].into_iter().enumerate() {
        push(format!("conv{}.weight", i + 1), &[output, input, 3, 3]);
        push(format!("conv{}.bias", i + 1), &[output]);
        norm(&mut push, &format!("bn{}", i + 1), output);
    }
    push("fc1.weight".into(), &[4, 4]);
    push("fc1.bias".into(), &[4]);
    norm(&mut push, "fcbn1", 4);
    push("fc2.weight".into(), &[3, 4]);
    push("fc2.bias".into(), &[3]);
    legacy(&state.dict(), &state.storages)
}

/// An 8×8 picture of noise of a seed, as PNG with stored data.
fn png(mut seed: u32) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    // Each row begins with its filter: none.
    let raw: Vec<u8> = (0..8).flat_map(|_| std::iter::once(0).chain((0..24).map(|_| 1))).collect();
    let raw: Vec<u8> = raw.into_iter().map(|byte| if byte == 0 { 0 } else { next() }).collect();
    let (a, b) = raw.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    let length = (raw.len() as u16).to_le_bytes();
    let zlib = [&[0x78, 1, 1][..], &length, &length.map(|b| !b), &raw, &(b << 16 | a).to_be_bytes()].concat();
    let chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        let crc = body.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (!(crc & 1)).wrapping_add(1))
            })
        });
        [&(data.len() as u32).to_be_bytes()[..], &body, &(!crc).to_be_bytes()].concat()
    };
    let header = [0, 0, 0, 8, 0, 0, 0, 8, 8, 2, 0, 0, 0];
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &zlib), chunk(b"IEND", b"")]
        .concat()
}

/// A data set whose class `names[i]` has the pictures of number `i`.
fn data(here: &Path, folder: &str, names: [&str; 3]) {
    for (i, name) in names.iter().enumerate() {
        for split in ["train", "test"] {
            let place = here.join(folder).join(split).join(name);
            fs::create_dir_all(&place).expect("writable");
            for picture in 0..6 + 3 * i as u32 {
                fs::write(place.join(format!("{picture}.png")), png(1_000 * i as u32 + picture))
                    .expect("writable");
            }
        }
    }
}

fn import(here: &Path, labels: &str, net: &str) {
    fs::write(here.join("weights.pth"), weights()).expect("writable");
    fs::write(here.join("labels.txt"), labels).expect("writable");
    let mut arguments = vec!["import", "weights.pth", "-o", net, "--side", "8"];
    if !labels.is_empty() {
        arguments.extend(["--labels", "labels.txt"]);
    }
    succeeds(here, &arguments);
}

/// What `evaluate` says: right ones of each class by name, and everything on standard error.
fn counts(here: &Path, net: &str, data: &str) -> (Vec<String>, String) {
    let (stdout, stderr) = succeeds(here, &["evaluate", net, "--data", data]);
    (stdout.lines().skip(1).map(|line| line.trim().to_owned()).collect(), stderr)
}

#[test]
fn a_network_is_evaluated_by_the_names_of_its_classes() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    // The outputs are classes 2, 10 and 1, in this order; folders come as 1, 10, 2.
    data(here, "numbered", ["2", "10", "1"]);
    data(here, "ordered", ["a", "b", "c"]);
    import(here, "2\n10\n1\n", "by-name");
    import(here, "a\nb\nc\n", "ordered-net");
    let (expected, said) = counts(here, "ordered-net", "folder:ordered");
    assert_eq!(said, "", "the same names in the same order need no word");
    let (found, said) = counts(here, "by-name", "folder:numbered");
    assert!(said.contains("matched by name, in another order"), "{said}");
    let figures = |lines: &[String], class: &str| {
        let line =
            lines.iter().find(|line| line.split_whitespace().next() == Some(class)).expect("the class");
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    for (one, other) in [("a", "2"), ("b", "10"), ("c", "1")] {
        assert_eq!(figures(&expected, one), figures(&found, other), "{expected:?} {found:?}");
    }
    let right = |lines: &[String]| {
        lines.iter().map(|l| l.split_whitespace().nth(1).expect("a count").to_owned()).collect::<Vec<_>>()
    };
    assert_ne!(right(&expected), right(&found), "the order matters for this network");
    // Spelled otherwise.
    import(here, "02\n10\n01\n", "spelled");
    let (respelled, said) = counts(here, "spelled", "folder:numbered");
    assert!(respelled == found && said.contains("spelled otherwise"), "{said}");
    let (json, _) =
        succeeds(here, &["evaluate", "by-name", "--data", "folder:numbered", "--json", "--quiet"]);
    assert!(json.contains("\"classes\": \"classes are matched by name"), "{json}");

    // Without names the outputs are taken by position, and the warning stands even under --quiet.
    import(here, "", "unnamed");
    let (by_position, said) = counts(here, "unnamed", "folder:ordered");
    assert!(by_position == expected && said.contains("does not know the names"), "{said}");
    let (_, said) = succeeds(here, &["evaluate", "unnamed", "--data", "folder:ordered", "--quiet"]);
    assert!(said.contains("every figure is wrong"), "{said}");

    // Other names, or another number of them, are refused, also as teacher and as adversary.
    let message = refused(here, &["evaluate", "ordered-net", "--data", "folder:numbered"], 2);
    assert!(
        message.contains("only the network has a, b, c") && message.contains("only the data has 1, 10, 2"),
        "{message}"
    );
    for command in [["distill", "--teacher"], ["undermine", "--adversary"]] {
        let rest = [
            "ordered-net",
            "--data",
            "folder:numbered",
            "--architecture",
            "cnn1",
            "epochs=1",
            "batch=8",
            "--quiet",
        ];
        let message = refused(here, &[&command[..], &rest].concat(), 2);
        assert!(message.contains("only the network has a, b, c"), "{message}");
    }
    let rest = ["by-name", "--data", "folder:numbered", "--architecture", "cnn1", "epochs=1", "batch=8"];
    let (_, said) = succeeds(here, &[&["distill", "--teacher"][..], &rest].concat());
    assert!(said.contains("matched by name, in another order"), "{said}");
}

#[test]
fn what_export_writes_is_known_to_import() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    import(here, "", "unused");
    fs::write(here.join("labels.txt"), "cat\ndog\nfox\n").expect("writable");
    let (text, _) = succeeds(
        here,
        &[
            "import",
            "weights.pth",
            "-o",
            "net",
            "--side",
            "8",
            "--mean",
            "0.1,0.2,0.3",
            "--std",
            "0.4,0.5,0.6",
            "--labels",
            "labels.txt",
        ],
    );
    assert!(text.contains("not confirmed: shapes do not show strides") && text.contains("--check"), "{text}");
    fs::create_dir(here.join("out")).expect("writable");
    succeeds(here, &["export", "net", "-o", "out/net.safetensors"]);
    for (i, path) in ["out/net.safetensors", "out", "net"].into_iter().enumerate() {
        let again = format!("again{i}");
        let (text, _) = succeeds(here, &["import", path, "-o", &again]);
        assert!(
            !text.contains("assumed") && text.contains("normalisation: from the config.json beside it"),
            "{text}"
        );
        let config =
            |folder: &str| fs::read_to_string(here.join(folder).join("config.json")).expect("a description");
        assert_eq!(config("net"), config(&again), "{path}");
    }
    let (text, _) = succeeds(here, &["import", "out", "-o", "other", "--mean", "0,0,0", "--std", "1,1,1"]);
    assert!(text.contains("warning: the config.json beside it says mean [0.1, 0.2, 0.3]"), "{text}");
}

#[test]
fn what_is_hardly_meant_is_told() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    data(here, "photos", ["a", "b", "c"]);
    let train = |more: &[&str]| {
        let base = ["train", "--data", "folder:photos", "--architecture", "cnn1", "epochs=1", "--quiet"];
        nasty(here, &[&base[..], more].concat())
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let told = train(&["batch=64"]);
    assert!(
        told.status.success() && said(&told).contains("batch is 64, but there are only 24 training images"),
        "{}",
        said(&told)
    );
    let told = train(&["batch=4", "epochs=2", "schedule.kind=step"]);
    let text = said(&told);
    assert!(text.contains("schedule.milestones has 80, 120, but there are only 2 epochs"), "{text}");
    assert!(text.contains("only 3 held-out images choose the epoch"), "{text}");
    for class in ["a", "b", "c"] {
        for picture in 1..12 {
            let _ = fs::remove_file(here.join(format!("photos/train/{class}/{picture}.png")));
        }
    }
    let refused = train(&["batch=2"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("nothing is left to train on of 1 of 3 classes"), "{}", said(&refused));
}
