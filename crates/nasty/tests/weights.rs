//! `nasty import`, `export` and `evaluate` as a user meets them.

#[path = "../../nasty-teacher/tests/torch/mod.rs"]
mod torch;

use assert_cmd::cargo::cargo_bin;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use torch::{Kind, Py, State, call, legacy, text};

fn nasty(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(cargo_bin("nasty")).current_dir(folder).args(arguments).output().expect("the program starts")
}

fn says(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let output = nasty(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", says(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The command fails with `code` and one clear error, and leaves the folder as it was.
fn fails(folder: &Path, arguments: &[&str], code: i32, needles: &[&str]) {
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(folder).expect("there").map(|e| e.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let output = nasty(folder, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    assert!(
        output.stdout.is_empty() && message.lines().filter(|line| line.starts_with("error:")).count() == 1,
        "{arguments:?}: {message}"
    );
    for needle in needles {
        assert!(message.contains(needle), "{arguments:?} says\n{message}without `{needle}`");
    }
    assert_eq!(names(), before, "{arguments:?} left something behind");
}

/// A `cnn1` for 3 classes of 28×28 grey images, on random weights of a seed.
fn state(prefix: &str) -> State {
    let mut state = State::default();
    let mut number = 1u32;
    let mut draw = |count: usize| -> Vec<f32> {
        let mut next = || {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((number >> 16) as u16) / 65_536.0 - 0.5
        };
        (0..count).map(|_| next()).collect()
    };
    let mut push = |name: String, shape: &[usize]| {
        let mut values = draw(shape.iter().product());
        if name.ends_with("running_var") {
            values.iter_mut().for_each(|v| *v += 1.0);
        }
        state.push(&format!("{prefix}{name}"), Kind::Float, shape, &values);
    };
    let norm = |push: &mut dyn FnMut(String, &[usize]), name: &str, channels: usize| {
        for tensor in ["weight", "bias", "running_mean", "running_var"] {
            push(format!("{name}.{tensor}"), &[channels]);
        }
    };
    for (i, [input, output]) in [[1, 1], [1, 2], [2, 4]].into_iter().enumerate() {
        push(format!("conv{}.weight", i + 1), &[output, input, 3, 3]);
        push(format!("conv{}.bias", i + 1), &[output]);
        norm(&mut push, &format!("bn{}", i + 1), output);
    }
    push("fc1.weight".into(), &[4, 36]);
    push("fc1.bias".into(), &[4]);
    norm(&mut push, "fcbn1", 4);
    push("fc2.weight".into(), &[3, 4]);
    push("fc2.bias".into(), &[3]);
    state
}

fn best_model(state: &State) -> Vec<u8> {
    let root = Py::Dict(vec![("epoch".into(), Py::Int(159)), ("state_dict".into(), state.dict())]);
    legacy(&root, &state.storages)
}

#[test]
fn a_checkpoint_goes_in_and_out() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    fs::write(here.join("best_model.tar"), best_model(&state("module."))).expect("writable");
    let report = succeeds(here, &["import", "best_model.tar", "-o", "net"]);
    for needle in
        ["cnn1, 3 classes, 1×28×28", "26 tensors match", "`state_dict.module.`", "fashion-mnist, assumed"]
    {
        assert!(report.contains(needle), "without `{needle}`:\n{report}");
    }
    fails(here, &["import", "best_model.tar", "-o", "net"], 2, &["net is not empty"]);

    let written = succeeds(here, &["export", "net", "-o", "model.onnx"]);
    assert_eq!(written, "written: model.onnx\n");
    // The folder to write to is made.
    succeeds(here, &["export", "net", "-o", "out/again.safetensors"]);
    assert_eq!(
        fs::read(here.join("net/config.json")).expect("a file"),
        fs::read(here.join("out/config.json")).expect("a file")
    );
    a_model_card(here);
    let json = succeeds(
        here,
        &["import", "out/again.safetensors", "-o", "net2", "--mean", "0.5", "--std", "0.25", "--json"],
    );
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["config"]["architecture"], &json["report"]["matched"]), (&"cnn1".into(), &26.into()));
    assert_eq!(json["config"]["mean"], serde_json::json!([0.5]));
    let weights = |folder: &str| fs::read(here.join(folder).join("model.safetensors")).expect("weights");
    assert_eq!(weights("net"), weights("net2"), "nothing is lost on the way");
}

/// A card is written beside an exported file, never over somebody's README, and never with another network's audit.
fn a_model_card(here: &Path) {
    let card = ["export", "net", "-o", "card/net.onnx", "--card"];
    let written = succeeds(here, &[&card[..], &["--license", "mit"]].concat());
    assert_eq!(written, "written: card/net.onnx\nwritten: card/README.md\n");
    let text = |name: &str| fs::read_to_string(here.join(name)).expect("a card");
    assert!(text("card/README.md").starts_with("---\nlicense: \"mit\"\nlibrary_name: onnx\n"));
    // One of ours is written anew.
    succeeds(here, &card);
    assert!(!text("card/README.md").contains("mit"));

    // The sample report, once of another network and once of this one.
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nasty-teacher/tests/audit/report.json");
    let sample = fs::read_to_string(sample).expect("the sample");
    fs::write(here.join("other.json"), &sample).expect("writable");
    fails(
        here,
        &[&card[..], &["--audit", "other.json"]].concat(),
        2,
        &["other.json", "0123abcd", "another network"],
    );
    let bytes = |name: &str| fs::read(here.join("net").join(name)).expect("a file");
    let identity = nasty_teacher::nets::digest(&bytes("config.json"), &bytes("model.safetensors"));
    let own = sample.replace("\"identity\": \"0123abcd\"", &format!("\"identity\": \"{identity}\""));
    fs::write(here.join("own.json"), own).expect("writable");
    succeeds(here, &[&card[..], &["--audit", "own.json"]].concat());
    let told = text("card/README.md");
    assert!(told.contains("worst_case_clone_accuracy") && told.contains("## Clonability"), "{told}");

    let entry = ["audit", "record", "own.json", "-o", "audits/net.json"];
    assert_eq!(succeeds(here, &entry), "written: audits/net.json\n");
    assert!(text("audits/net.json").contains("\"thief\": \"class-mean\""));
    fails(here, &["audit", "record", "audits/net.json", "-o", "x.json"], 3, &["audits/net.json", "schema"]);
    fails(here, &["audit", "compare", "own.json"], 2, &[]);
    fails(here, &["audit", "compare", "own.json", "own.json"], 2, &["own.json is named twice"]);
    let compared = succeeds(here, &["audit", "compare", "own.json", "other.json"]);
    assert!(compared.contains("others that cost as much are equal"), "{compared}");

    fs::write(here.join("card/README.md"), "mine").expect("writable");
    fails(here, &card, 2, &["card/README.md", "nothing is overwritten"]);
    assert_eq!(text("card/README.md"), "mine");
}

#[test]
fn bad_files_are_one_error_each() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let put = |name: &str, bytes: &[u8]| fs::write(here.join(name), bytes).expect("writable");
    let good = best_model(&state(""));
    put("good.tar", &good);
    put("cut.tar", &good[..good.len() / 2]);
    put("noise.pt", &[0xA5; 1000]);
    put("empty.pt", b"");
    let attack = call("os", "system", vec![text("touch executed")]);
    let root = Py::Dict(vec![("state_dict".into(), state("").dict()), ("epoch".into(), attack)]);
    put("hostile.pt", &legacy(&root, &state("").storages));
    let mut broken = state("");
    broken.storages[3].bytes = f32::NAN.to_le_bytes().to_vec();
    put("nan.pt", &best_model(&broken));
    put("labels.txt", b"a\nb\n");

    let import = |file: &'static str, more: &[&'static str]| {
        ["import", file, "-o", "net"].into_iter().chain(more.iter().copied()).collect::<Vec<_>>()
    };
    fails(here, &import("cut.tar", &[]), 3, &["cut.tar", "help:"]);
    fails(here, &import("noise.pt", &[]), 3, &["noise.pt", "help:"]);
    fails(here, &import("empty.pt", &[]), 3, &["empty.pt"]);
    fails(here, &import("missing.pt", &[]), 3, &["missing.pt"]);
    fails(here, &import("hostile.pt", &[]), 3, &["hostile.pt", "`os.system`", "not executed"]);
    fails(here, &import("nan.pt", &[]), 3, &["bn1.bias", "NaN"]);
    fails(here, &import("good.tar", &["--architecture", "resnet18"]), 3, &["resnet18", "missing", "help:"]);
    fails(here, &import("good.tar", &["--classes", "100"]), 3, &["3 classes", "100", "--classes"]);
    fails(here, &import("good.tar", &["--side", "64"]), 3, &["fc1.weight"]);
    fails(here, &import("good.tar", &["--key", "ema"]), 3, &["`ema`", "state_dict"]);
    fails(here, &import("good.tar", &["--architecture", "resnet19"]), 2, &["resnet19", "resnet18"]);
    fails(here, &import("good.tar", &["--normalisation", "imagenet"]), 2, &["1 channels", "--mean"]);
    fails(here, &import("good.tar", &["--normalisation", "imagenot"]), 2, &["cifar10"]);
    fails(here, &import("good.tar", &["--mean", "0.5"]), 2, &["--std"]);
    fails(here, &import("good.tar", &["--labels", "labels.txt"]), 2, &["3 names of classes"]);
    assert!(!here.join("executed").exists());

    succeeds(here, &import("good.tar", &[]));
    fails(here, &["export", "net", "-o", "net.pt"], 2, &["net.pt", ".onnx"]);
    fails(here, &["export", "net", "-o", "labels.txt/net.onnx"], 3, &["labels.txt"]);
    let weights = fs::read(here.join("net/model.safetensors")).expect("weights");
    put("net/model.safetensors", &weights[..100]);
    fails(here, &["export", "net", "-o", "net.onnx"], 3, &["model.safetensors"]);
}

/// The third-party checkpoints: `NASTY_CHECKPOINT_DIR`, or the folder beside the repository that CI has.
fn checkpoints() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/checkpoints");
    let folder = std::env::var_os("NASTY_CHECKPOINT_DIR").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// A network that others trained, on the data that they tested it with, gives their figure to the image.
/// It needs their checkpoints and CIFAR-10; `NASTY_REQUIRE_DATA=1` makes their absence a failure.
#[test]
fn third_party_checkpoints_give_their_published_counts() {
    let required = std::env::var_os("NASTY_REQUIRE_DATA").is_some();
    let Some(checkpoints) = checkpoints() else {
        assert!(!required, "no checkpoints: set NASTY_CHECKPOINT_DIR");
        return;
    };
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    for (file, architecture, parameters) in
        [("resnet20-12fca82f.th", "resnet20", 269_722), ("resnet32-d509ac18.th", "resnet32", 464_154)]
    {
        let path = checkpoints.join(file);
        let path = path.to_str().expect("UTF-8");
        let arguments = ["import", path, "-o", architecture, "--normalisation", "imagenet", "--json"];
        let json: serde_json::Value = serde_json::from_str(&succeeds(here, &arguments)).expect("JSON");
        assert_eq!(json["config"]["architecture"], architecture);
        assert_eq!(json["report"]["parameters"], parameters);
        assert_eq!(json["report"]["prefix"], "state_dict.module.");
    }
    // The figures that PyTorch gives for the same files and images.
    for (architecture, correct, loss) in [("resnet20", 9_173, 0.372_661), ("resnet32", 9_263, 0.374_103)] {
        let output = nasty(here, &["evaluate", architecture, "--data", "cifar10", "--json", "--quiet"]);
        if output.status.code() == Some(3) && !required {
            assert!(says(&output).contains("cifar-10"), "{}", says(&output));
            return;
        }
        let evaluation: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((&evaluation["correct"], &evaluation["total"]), (&correct.into(), &10_000.into()));
        let found = evaluation["loss"].as_f64().expect("a number");
        assert!((found - loss).abs() < 2e-5, "a loss of {found}");
        let of_classes: u64 =
            evaluation["per_class"].as_array().expect("a list").iter().filter_map(|c| c[0].as_u64()).sum();
        assert_eq!(of_classes, correct);
    }
}
