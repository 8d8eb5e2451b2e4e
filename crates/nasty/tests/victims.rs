//! Victims that are not our networks: ONNX files and servers, as the program meets them.

use assert_cmd::cargo::cargo_bin;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn nasty(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("nasty"));
    command.current_dir(folder).env("NASTY_DATA_DIR", folder).args(arguments).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(folder: &Path, arguments: &[&str], code: i32) -> (String, String) {
    let Output { status, stdout, stderr } = nasty(folder, arguments).output().expect("the program starts");
    let (out, err) = (text(&stdout), text(&stderr));
    assert_eq!(status.code(), Some(code), "{arguments:?}: {out}\n{err}");
    (out, err)
}

/// A network trained a little, exported to `net.onnx`; its hash.
fn exported(folder: &Path) -> String {
    let recipe = ["epochs=3", "data.subset=400", "data.validation=50", "batch=32"];
    run(
        folder,
        &[&["train", "--data", "quickstart", "--architecture", "cnn4", "-q"], &recipe[..]].concat(),
        0,
    );
    let runs = fs::read_dir(folder.join("runs")).expect("a store").flatten().map(|e| e.path());
    let path = runs.into_iter().find(|path| path.join("model.safetensors").is_file()).expect("a run");
    let hash = path.file_name().expect("a hash").to_string_lossy().into_owned();
    run(folder, &["export", &hash, "-o", "net.onnx"], 0);
    hash
}

#[test]
fn an_onnx_file_goes_wherever_a_network_goes() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let hash = exported(here);
    let (own, _) = run(here, &["evaluate", &hash, "--data", "quickstart"], 0);
    let (onnx, said) = run(here, &["evaluate", "net.onnx", "--data", "quickstart"], 0);
    let counts = |text: &str| {
        text.lines()
            .map(|line| line.split(" correct").next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(counts(&own), counts(&onnx));
    assert!(
        said.contains("[N, 1, 28, 28]") && !said.contains("guessed") && !said.contains("warning"),
        "{said}"
    );

    // Without its metadata the normalisation is a guess, which labelled images contradict.
    let mut bytes = fs::read(here.join("net.onnx")).expect("written");
    for key in [&b"mean"[..], b"std"] {
        let field = [&[10, key.len() as u8][..], key].concat();
        let at = bytes.windows(field.len()).position(|window| window == field).expect("a property");
        bytes[at + 2] = b'x';
    }
    fs::write(here.join("bare.onnx"), &bytes).expect("writable");
    let (_, said) = run(here, &["evaluate", "bare.onnx", "--data", "quickstart", "-q"], 0);
    assert!(said.contains("what was guessed is probably wrong") && said.contains("--mean 0."), "{said}");
    let options = said.rsplit(" with ").next().expect("options").trim();
    let words: Vec<&str> = options.split(' ').collect();
    let (again, said) =
        run(here, &[&["evaluate", "bare.onnx", "--data", "quickstart"][..], &words].concat(), 0);
    assert_eq!(counts(&again), counts(&own), "{said}");

    let student = [
        "--data",
        "quickstart",
        "--architecture",
        "cnn2",
        "epochs=1",
        "data.subset=200",
        "data.validation=50",
    ];
    let distil = |teacher: &str| {
        let (out, _) = run(here, &[&["distill", "--teacher", teacher, "-q"][..], &student].concat(), 0);
        out.lines().next().expect("a result").to_owned()
    };
    let _ = distil(&hash);
    let first = distil("net.onnx");
    // The store stands alone.
    fs::rename(here.join("net.onnx"), here.join("moved.onnx")).expect("it can be");
    assert_eq!(distil("moved.onnx"), first);
    let victims = fs::read_dir(here.join("runs")).expect("a store").flatten();
    assert_eq!(victims.filter(|entry| entry.file_name().to_string_lossy().starts_with("victim-")).count(), 1);
    let refused = run(here, &[&["undermine", "--adversary", "moved.onnx"][..], &student].concat(), 3).1;
    assert!(refused.contains("no finished run `moved.onnx`"), "{refused}");

    let audit = [
        "--data",
        "quickstart",
        "--battery",
        "quick",
        "--budget",
        "60",
        "--seeds",
        "1",
        "--steps",
        "4",
        "--test-images",
        "100",
    ];
    // Clones of so few steps learn nothing, which the audit says.
    let (_, said) = run(here, &[&["audit", "moved.onnx"][..], &audit].concat(), 3);
    assert!(said.contains("moved.onnx: [N, 1, 28, 28]"), "{said}");
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(here.join("audit/report.json")).expect("a report")).expect("JSON");
    assert_eq!(report["made"]["complete"], true);
    let told = run(here, &["evaluate", &hash, "--data", "quickstart", "--scale", "255"], 2).1;
    assert!(told.contains("is a network of this program"), "{told}");
}

/// Protobuf: a field that is bytes, and one that is a number.
fn bytes(field: u8, contents: &[u8]) -> Vec<u8> {
    [&[field << 3 | 2][..], &varint(contents.len() as u64), contents].concat()
}

fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let node: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input.as_bytes())).collect();
    bytes(1, &[node, bytes(2, output.as_bytes()), bytes(4, operator.as_bytes())].concat())
}

/// A model of `nodes` for 28×28 grey images, with integer constants.
fn model(nodes: &[Vec<u8>], constants: &[(&str, &[i64])]) -> Vec<u8> {
    let value = |name: &str, axes: &[u64]| {
        let shape: Vec<u8> = axes.iter().flat_map(|axis| bytes(1, &number(1, *axis))).collect();
        let tensor = [number(1, 1), bytes(2, &shape)].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
    };
    let constant = |(name, values): &(&str, &[i64])| {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        bytes(
            5,
            &[number(1, values.len() as u64), number(2, 7), bytes(8, name.as_bytes()), bytes(9, &raw)]
                .concat(),
        )
    };
    let mut graph = nodes.concat();
    graph.extend(constants.iter().flat_map(constant));
    graph.extend(
        [bytes(11, &value("input", &[1, 1, 28, 28])), bytes(12, &value("output", &[1, 10]))].concat(),
    );
    [number(1, 8), bytes(7, &graph), bytes(8, &[bytes(1, b""), number(2, 13)].concat())].concat()
}

#[test]
fn hostile_and_broken_files_are_one_error() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let huge = i64::from(i32::MAX);
    for (name, bytes, words) in [
        ("empty", Vec::new(), "found no graph"),
        ("text", b"this is no model".to_vec(), "no protobuf message"),
        (
            "memory",
            model(&[node("Expand", &["input", "shape"], "output")], &[("shape", &[huge, 64, 28, 28])]),
            "of memory or crashes the runtime",
        ),
        (
            "constant",
            model(
                &[node("ConstantOfShape", &["shape"], "a"), node("Add", &["a", "input"], "output")],
                &[("shape", &[1 << 14, 1 << 14, 1 << 10])],
            ),
            "of memory or crashes the runtime",
        ),
        ("shape", model(&[node("Relu", &["input"], "output")], &[]), "expected answers [1, classes]"),
        ("unknown", model(&[node("Conjure", &["input"], "output")], &[]), "Conjure"),
    ] {
        let file = format!("{name}.onnx");
        fs::write(here.join(&file), &bytes).expect("writable");
        let (out, said) = run(here, &["evaluate", &file, "--data", "quickstart"], 3);
        assert!(out.is_empty() && said.contains(words) && said.contains(&file), "{name}: {said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("error:")).count(), 1, "{said}");
    }
    let (_, said) = run(here, &["evaluate", "absent.onnx", "--data", "quickstart"], 3);
    assert!(said.contains("cannot read absent.onnx"), "{said}");
}

#[test]
fn the_owner_s_networks_steer_defences() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let hash = exported(here);
    let served = |defence: &str, more: [&str; 2]| {
        let all = ["evaluate", &hash, "--data", "quickstart", "--json", "--defence", defence];
        let (out, _) = run(here, &[&all[..], &more].concat(), 0);
        let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let cost = |name: &str| report["cost"][name].as_f64().expect("a number");
        (cost("l1"), cost("l1_max"), cost("top1_kept"))
    };
    let redirected = ("gradient-redirection:0.4", ["--surrogate", "cnn2"]);
    for (defence, more) in
        [("mad:0.4", ["--surrogate", "preresnet20"]), ("mad:0.4", ["--surrogate", &hash]), redirected]
    {
        let (l1, most, kept) = served(defence, more);
        assert!(l1 > 0.3 && most < 0.4001 && (0.5..1.0).contains(&kept), "{defence} {l1} {most} {kept}");
    }
    let by = |surrogate| served("mad-argmax:0.4", ["--surrogate", surrogate]);
    let (untrained, trained) = (by("preresnet20"), by(&hash));
    assert!(untrained != trained && untrained.1 < 0.4001 && untrained.2 == 1.0, "{untrained:?} {trained:?}");
    for defence in ["margin-budget-clipping:0.5", "margin-budget-scaling:0.5"] {
        let (l1, _, kept) = served(defence, ["--proxy", &hash]);
        assert!(l1 > 0.001 && kept == 1.0, "{defence} {l1} {kept}");
    }
    // Two experts who agree change nothing.
    assert!(served("product-of-experts:0.3", ["--proxy", &hash]).0 < 1e-5);
    assert!(served("product-of-experts:0.3", ["--proxy", "net.onnx"]).0 < 1e-5);

    // A folder with a network is that network, though an architecture is called so.
    let run_folder = here.join("runs").join(&hash);
    let copied = |name: &str, side: u32| {
        fs::create_dir(here.join(name)).expect("writable");
        let [from, to] = [&run_folder, &here.join(name)].map(|folder| folder.join("model.safetensors"));
        fs::copy(from, to).expect("there");
        let config = fs::read(run_folder.join("config.json")).expect("there");
        let mut config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
        config["input_size"] = serde_json::json!([1, side, side]);
        fs::write(here.join(name).join("config.json"), config.to_string()).expect("writable");
    };
    copied("cnn2", 28);
    assert_eq!(by("cnn2"), trained);
    // With one more pixel a side the weights are of the same shapes.
    copied("larger", 29);
    for (defence, more, words) in [
        ("mad", &[][..], "needs a surrogate's gradients, found none"),
        ("margin-budget-clipping:0.5", &["--proxy", "net.onnx"], "expected a network of this program"),
        ("gradient-redirection:0.4", &["--surrogate", "absent"], "no finished run `absent`"),
        (
            "gradient-redirection:0.4",
            &["--surrogate", "larger"],
            "takes images of 1×29×29, the data set has 1×28×28",
        ),
        (
            "margin-budget-clipping:0.5",
            &["--proxy", "larger"],
            "larger, which the defences need, does not fit",
        ),
        ("mad", &["--surrogate", "larger"], "29"),
    ] {
        let all = ["evaluate", &hash, "--data", "quickstart", "--defence", defence];
        let said = nasty(here, &[&all[..], more].concat()).output().expect("the program starts").stderr;
        assert!(text(&said).contains(words), "{defence}: {}", text(&said));
    }
}

#[test]
fn an_option_that_would_have_no_effect_is_an_error() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    fs::write(here.join("template.json"), r#"{"body": "$png", "scores": "/s"}"#).expect("writable");
    let evaluate = |victim| ["evaluate", victim, "--data", "quickstart"];
    let templated = ["--template", "template.json", "--output", "logits", "--classes", "10"];
    for (arguments, more, code, words) in [
        (
            &evaluate("m.onnx")[..],
            &["--header", "A=env:B"][..],
            2,
            "m.onnx is a file, which is not asked by requests",
        ),
        (&evaluate("m.onnx"), &["--requests", "2"], 2, "leave out requests at once"),
        (&evaluate("a.csv"), &["--scale", "255", "--side", "28"], 2, "leave out scale, side"),
        (&evaluate("run"), &["--labels", "template.json"], 2, "run is a network of this program"),
        (&["distill", "--config", "recipe.json"], &["--scale", "255"], 2, "but scale is given"),
        (&["distill", "--config", "recipe.json"], &["--tensors", "json"], 2, "but tensors is given"),
        (&["export", "run", "-o", "x.onnx"], &["--mean", "0.5"], 2, "leave out mean"),
        (
            &["export", "run", "-o", "x.onnx", "--defence", "top-1"],
            &["--proxy-shift", "d"],
            2,
            "leave out proxy-shift",
        ),
        (&["export", "m.onnx", "-o", "x.onnx", "--defence", "top-1"], &["--card"], 2, "leave out --card"),
        (&["serve", "run"], &["--proxy", "other"], 2, "--defence"),
        (
            &evaluate("run"),
            &["--defence", "top-1", "--proxy", "p", "--wrong", "w"],
            2,
            "leave out wrong, proxy",
        ),
        (
            &evaluate("run"),
            &["--defence", "product-of-experts", "--surrogate", "s"],
            2,
            "leave out surrogate",
        ),
        (&evaluate("run"), &["--defence", "top-1", "--secret-file", "secret"], 2, "leave out secret-file"),
        (
            &evaluate("http://127.0.0.1:9/"),
            &[&templated[..], &["--layout", "nchw"]].concat(),
            3,
            "no meaning: layout",
        ),
        (
            &evaluate("http://127.0.0.1:9/"),
            &[&templated[..], &["--request-images", "4"]].concat(),
            3,
            "one image a request",
        ),
    ] {
        let (out, said) = run(here, &[arguments, more].concat(), code);
        assert!(out.is_empty() && said.contains(words), "{arguments:?} {more:?}: {said}");
    }
}

/// A server of the Open Inference Protocol whose model answers with ten pixels of the image; it counts the images it answers.
fn server() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/v2/models/pixels", listener.local_addr().expect("bound"));
    let images = Arc::new(AtomicU64::new(0));
    let count = images.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let count = count.clone();
            std::thread::spawn(move || {
                let _ = serve(&stream, &count);
            });
        }
    });
    (address, images)
}

fn serve(mut stream: &TcpStream, count: &AtomicU64) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = if line.starts_with("GET /v2 ") {
            serde_json::json!({ "extensions": [] })
        } else if line.starts_with("GET") {
            serde_json::json!({
                "name": "pixels",
                "inputs": [{ "name": "input", "datatype": "FP32", "shape": [-1, 1, 28, 28] }],
                "outputs": [{ "name": "probabilities", "datatype": "FP32", "shape": [-1, 10] }],
            })
        } else {
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let values = body["inputs"][0]["data"].as_array().expect("a list");
            count.fetch_add(values.len() as u64 / 784, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
            let rows: Vec<&serde_json::Value> =
                values.chunks(784).flat_map(|image| &image[300..310]).collect();
            serde_json::json!({ "outputs": [{ "name": "probabilities", "datatype": "FP32", "shape": [values.len() / 784, 10], "data": rows }] })
        };
        let answer = answer.to_string();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())?;
    }
}

#[test]
fn a_server_is_asked_about_each_image_once_whatever_happens_to_us() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let (address, images) = server();
    let ask = ["evaluate", &address, "--data", "quickstart", "--scale", "1", "--mean", "0"];
    for patience in [150, 300, 600, 900] {
        let mut child =
            nasty(here, &ask).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(patience));
        child.kill().expect("SIGKILL");
        child.wait().expect("it is gone");
    }
    let (first, said) = run(here, &ask, 0);
    let asked = images.load(Ordering::SeqCst);
    let spent: u64 = said
        .split(" queries so far")
        .next()
        .and_then(|text| text.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{said}"));
    // What is counted is never less than what was asked, and hardly more: one request of 64 images for each kill.
    assert!(asked <= spent && spent <= asked + 4 * 64, "{asked} {spent}");
    let (again, said) = run(here, &ask, 0);
    assert_eq!((first, images.load(Ordering::SeqCst)), (again, asked));
    assert!(said.contains("asked about 0 of 10000 images"), "{said}");

    let student = [
        "--data",
        "quickstart",
        "--architecture",
        "cnn2",
        "epochs=1",
        "data.subset=100",
        "data.validation=20",
    ];
    let plain = ["--scale", "1", "--mean", "0"];
    run(here, &[&["distill", "--teacher", &address, "-q"][..], &student, &plain].concat(), 0);
    assert_eq!(images.load(Ordering::SeqCst), asked + 100, "a view of each image");
    let (_, said) = run(
        here,
        &["evaluate", "http://127.0.0.1:9/v2/models/x", "--data", "quickstart", "--request-timeout", "1"],
        69,
    );
    assert!(said.contains("http://127.0.0.1:9/v2/models/x does not answer"), "{said}");
}

/// Changes to a small model, most of which leave a readable file.
fn mutated(original: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % n.max(1)
    };
    let mut bytes = original.to_vec();
    for _ in 0..=below(4) {
        let at = below(bytes.len());
        match below(6) {
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes[at] = below(256) as u8,
            2 => bytes.truncate(at.max(1)),
            3 => {
                let (from, length) = (below(bytes.len()), below(24));
                let part: Vec<u8> = bytes.iter().skip(from).take(length).copied().collect();
                bytes.splice(at..at, part);
            }
            4 => {
                let end = (at + below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            // Lengths and sizes at the ends of their ranges.
            _ => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)],
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[test]
fn changed_models_are_answers_or_one_error_and_never_end_the_program() {
    use nasty_teacher::victim::onnx::{Runtime, worker::Worker};
    use nasty_teacher::victim::{Asking, Onnx, Victim};
    let list = |name: &str, values: &[u64]| {
        let values: Vec<u8> = values.iter().flat_map(|v| number(8, *v)).collect();
        bytes(5, &[bytes(1, name.as_bytes()), values, vec![0xa0, 0x01, 7]].concat())
    };
    let pool = [list("pads", &[1; 4]), list("kernel_shape", &[3; 2]), list("strides", &[1; 2])].concat();
    let with = |mut node: Vec<u8>, attributes: &[u8]| {
        // The node's own length is written anew.
        let inner = node.split_off(2);
        bytes(1, &[inner, attributes.to_vec()].concat())
    };
    let nodes = [
        with(node("MaxPool", &["input"], "a"), &pool),
        node("Reshape", &["a", "shape"], "b"),
        node("Expand", &["b", "wide"], "c"),
        node("GlobalAveragePool", &["c"], "d"),
        node("Softmax", &["d"], "output"),
    ];
    let original = model(&nodes, &[("shape", &[1, 4, 14, 14]), ("wide", &[1, 4, 14, 14])]);
    let worker = Arc::new(Worker::new(&cargo_bin("nasty")).limited(1 << 30, Duration::from_secs(5)));
    let open = |bytes: &[u8]| {
        Onnx::from_bytes(Path::new("m.onnx"), bytes, &Asking::default(), &Runtime::Shared(worker.clone()))
    };
    assert_eq!(open(&original).expect("it is whole").classes(), 4);
    let cases =
        std::env::var("NASTY_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(20_000u64);
    let (mut answered, mut ended) = (0u64, 0u64);
    for seed in 0..cases {
        match open(&mutated(&original, seed)) {
            Ok(victim) => answered += u64::from(victim.classes() >= 2),
            Err(error) => {
                let text = error.to_string();
                assert!(text.starts_with("m.onnx: ") && text.len() < 2_000, "seed {seed}: {text}");
                ended += u64::from(text.contains("process ended") || text.contains("the limit"));
            }
        }
    }
    println_figures(cases, answered, ended);
    assert!(answered > 0 && answered < cases);
}

#[test]
fn a_model_whose_process_ends_is_an_error_once_and_then_answers_again() {
    use nasty_teacher::data::ImageSet;
    use nasty_teacher::victim::onnx::{Runtime, worker::Worker};
    use nasty_teacher::victim::{Asking, Onnx, Request, Victim, VictimError};
    let axis = bytes(5, &[bytes(1, b"axis"), number(3, 1), vec![0xa0, 0x01, 2]].concat());
    let concat = bytes(1, &[node("Concat", &["a", "a"], "output").split_off(2), axis].concat());
    let nodes = [node("GlobalAveragePool", &["input"], "a"), concat];
    let worker = Arc::new(Worker::new(&cargo_bin("nasty")).limited(8 << 30, Duration::from_secs(2)));
    let runtime = Runtime::Shared(worker.clone());
    let victim = Onnx::from_bytes(Path::new("m.onnx"), &model(&nodes, &[]), &Asking::default(), &runtime)
        .expect("a classifier");
    let images = ImageSet::new(28, 28, 1, (0..3 * 784).map(|i: u32| (i % 251) as u8).collect(), vec![0; 3]);
    let ask = || victim.ask(&Request::unchanged(&images)).map(|answers| answers.rows);
    let rows = ask().expect("it answers");
    let signal = |name: &str| {
        let id = worker.process_id().expect("a process");
        assert!(Command::new("kill").args([name, &id.to_string()]).status().expect("kill runs").success());
        id
    };

    // It ended while nobody waited: nobody notices.
    let first = signal("-KILL");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ask().expect("a new process answers"), rows);
    assert_ne!(worker.process_id(), Some(first));
    assert_eq!(victim.queries(), 6);

    // It does not answer in time.
    signal("-STOP");
    let error = ask().expect_err("no answer");
    let text = error.to_string();
    assert!(text.contains("m.onnx does not answer: it takes more than 2 s"), "{text}");
    assert!(matches!(error, VictimError::Ended { retry_after: 1, .. }), "{error:?}");
    assert_eq!((worker.process_id(), victim.queries()), (None, 6), "what was not answered is not counted");
    assert_eq!(ask().expect("a new process answers"), rows);

    // A model that ends each of its processes is let alone for a while.
    signal("-KILL");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ask().expect("the third new process answers"), rows);
    signal("-KILL");
    std::thread::sleep(Duration::from_millis(300));
    let error = ask().expect_err("too often");
    let VictimError::Ended { retry_after, problem, .. } = &error else { panic!("{error:?}") };
    assert!((1..=60).contains(retry_after), "{retry_after}");
    assert_eq!(
        *problem,
        format!("its process ended 3 times within a minute, and is started again in {retry_after} s")
    );
    assert_eq!(victim.queries(), 12);
}

/// With `--nocapture`, what the run found.
#[allow(clippy::print_stderr)]
fn println_figures(cases: u64, answered: u64, ended: u64) {
    eprintln!(
        "{cases} models: {answered} answered, {} refused, {ended} of which ended the worker",
        cases - answered
    );
}

/// A classifier that nobody here trained gives the count that onnxruntime gives. It needs the file and CIFAR-10;
/// `NASTY_REQUIRE_DATA=1` makes their absence a failure.
#[test]
fn a_stranger_gives_its_known_count() {
    let required = std::env::var_os("NASTY_REQUIRE_DATA").is_some();
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/victims");
    let victims = std::env::var_os("NASTY_VICTIMS_DIR").map_or(beside, std::path::PathBuf::from);
    let file = victims.join("cifar10-stranger.onnx");
    if !file.is_file() {
        assert!(!required, "no stranger: set NASTY_VICTIMS_DIR");
        return;
    }
    let folder = tempfile::tempdir().expect("temp");
    let evaluate = |more: &[&str]| {
        let mut command = Command::new(cargo_bin("nasty"));
        let arguments = [&["evaluate", file.to_str().expect("UTF-8"), "--data", "cifar10"], more].concat();
        command.current_dir(folder.path()).args(arguments).stdin(Stdio::null()).output().expect("it starts")
    };
    let found = evaluate(&["--scale", "255", "--channels", "rgb", "--output", "logits", "--json"]);
    let said = text(&found.stderr);
    if found.status.code() == Some(3) && !required {
        assert!(said.contains("cifar-10"), "{said}");
        return;
    }
    assert!(found.status.success() && !said.contains("guessed"), "{said}");
    let json: serde_json::Value = serde_json::from_slice(&found.stdout).expect("JSON");
    assert_eq!((&json["correct"], &json["total"]), (&8_014.into(), &10_000.into()));
    let said = text(&evaluate(&[]).stderr);
    assert!(said.contains("guessed: the scale of the pixels") && said.contains("with --scale 255"), "{said}");
}
