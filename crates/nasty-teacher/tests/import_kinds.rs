//! Files of weights as people have them: what stands beside the weights, where the weights stand, and what a file says of
//! its network.

#[path = "torch/archives.rs"]
mod archives;
mod torch;

use std::fs;
use std::path::{Path, PathBuf};

use archives::zipped;
use nasty_teacher::device::device;
use nasty_teacher::nets::{
    Architecture, ImportError, ImportOptions, Imported, Input, NamedTensor, Side, check, import,
};
use torch::{Kind, Py, State, call, legacy, text};
use zip::CompressionMethod;

/// A small network, other weights for every `seed`.
fn network(seed: u64) -> Vec<NamedTensor> {
    let device = device("flex").expect("the CPU");
    let architecture: Architecture = "cnn1".parse().expect("a name");
    architecture
        .build(3, Input { channels: 3, side: 8 }, seed, &device)
        .expect("it can be built")
        .state_dict()
}

/// Pushes a network's tensors under a prefix; the entries pushed.
fn push(state: &mut State, tensors: &[NamedTensor], prefix: &str) -> Vec<(String, Py)> {
    let from = state.entries.len();
    for tensor in tensors {
        state.push(&format!("{prefix}{}", tensor.name), Kind::Float, &tensor.shape, &tensor.data);
    }
    state.entries[from..].to_vec()
}

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temp"))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(&path, bytes).expect("writable");
        path
    }

    fn import_as(&self, path: &Path, options: &ImportOptions) -> Result<Imported, ImportError> {
        import(path, options, &device("flex").expect("the CPU"))
    }

    fn import(&self, bytes: &[u8]) -> Result<Imported, ImportError> {
        self.import_as(&self.put("file.pt", bytes), &ImportOptions::default())
    }
}

/// Of a whole file: nothing says that it is damaged or an attack.
fn told(error: &ImportError) -> String {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string()).unwrap_or_default();
    let text = format!("{error} | {help}");
    for word in ["damaged", "truncated", "attack", "cut off"] {
        assert!(!text.contains(word), "{text}");
    }
    text
}

fn is(imported: &Imported, tensors: &[NamedTensor]) -> bool {
    imported.network.state_dict() == tensors
}

/// `best_model` with `beside` under the key `other`, in every container.
fn files(weights: &Py, state: &State, beside: Py) -> [Vec<u8>; 2] {
    let root = Py::Dict(vec![("state_dict".into(), weights.clone()), ("other".into(), beside)]);
    [legacy(&root, &state.storages), zipped(&root, &state.storages, CompressionMethod::Stored)]
}

#[test]
fn what_stands_beside_the_weights_is_passed_over_and_named() {
    let (bench, tensors) = (Bench::new(), network(1));
    let mut state = State::default();
    push(&mut state, &tensors, "");
    let weights = state.dict();
    let none = || Py::Tuple(vec![]);
    let object = |module, name| Py::Call(Box::new(Py::Global(module, name)), Box::new(none()));
    let filled = |object: Py, entries| Py::Filled(Box::new(object), entries);
    let history = call("collections", "defaultdict", vec![Py::Global("__builtin__", "list")]);
    let cases = [
        (filled(history, vec![(text("loss"), Py::List(vec![Py::Int(1)]))]), "collections.defaultdict"),
        (Py::Map(vec![(Py::Int(0), Py::Int(1)), (Py::None, text("x"))]), "a dictionary of 2"),
        (Py::Map(vec![(Py::Global("mine.callbacks", "Saver"), Py::Int(1))]), "mine.callbacks.Saver"),
        (Py::Map(vec![(Py::Tuple(vec![Py::Int(1), Py::Int(2)]), Py::None)]), "a dictionary of 1"),
        (
            Py::Built(
                Box::new(object("torch.optim.sgd", "SGD")),
                Box::new(Py::Dict(vec![("lr".into(), Py::Int(1))])),
            ),
            "torch.optim.sgd.SGD",
        ),
        (call("datetime", "datetime", vec![Py::Raw(b"U\x03abc")]), "datetime.datetime"),
        (call("mine", "Config", vec![]), "mine.Config"),
        (filled(object("mine", "EasyDict"), vec![(text("a"), Py::Int(1))]), "mine.EasyDict"),
        (call("numpy.core.multiarray", "scalar", vec![Py::Int(1)]), "numpy.core.multiarray.scalar"),
        (call("functools", "partial", vec![Py::Global("builtins", "max")]), "functools.partial"),
        // NEWOBJ, EMPTY_SET and ADDITEMS, FROZENSET, LONG1 of 9 bytes, BINFLOAT, BYTEARRAY8.
        (Py::Raw(b"cmine\nThing\n)\x81"), "mine.Thing"),
        (Py::Raw(b"\x8f(K\x01K\x02\x90"), "a set"),
        (Py::Raw(b"(K\x01\x91"), "a set"),
        (Py::Raw(b"\x8a\x09\x01\x02\x03\x04\x05\x06\x07\x08\x09"), "a number"),
        (Py::Raw(b"G\x3f\xf0\x00\x00\x00\x00\x00\x00"), "a number"),
        (Py::Raw(b"\x96\x02\x00\x00\x00\x00\x00\x00\x00ab"), "text"),
    ];
    for (beside, what) in cases {
        for file in files(&weights, &state, beside.clone()) {
            let imported = bench.import(&file).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(is(&imported, &tensors), "{what}");
            let passed = imported.report.passed_over.join(", ");
            assert!(passed.contains("`other`") && passed.contains(what), "{what}: {passed}");
        }
    }
    // An object with tensors in it: its tensors are outside the weights, and it is named.
    let mut more = state.clone();
    more.push("momentum", Kind::Float, &[2], &[1.0, 2.0]);
    let momentum = more.entries.last().expect("pushed").1.clone();
    let optimiser = Py::Built(
        Box::new(object("torch.optim.sgd", "SGD")),
        Box::new(Py::Dict(vec![(
            "state".into(),
            Py::Map(vec![(momentum.clone(), Py::Int(0)), (Py::Int(0), momentum)]),
        )])),
    );
    for file in files(&weights, &more, optimiser) {
        let imported = bench.import(&file).expect("weights");
        assert!(is(&imported, &tensors));
        assert_eq!(imported.report.outside, 1);
        assert!(
            imported.report.passed_over[0].contains("torch.optim.sgd.SGD"),
            "{:?}",
            imported.report.passed_over
        );
    }
}

#[test]
fn weights_are_found_in_whatever_holds_them() {
    let (bench, tensors) = (Bench::new(), network(2));
    let mut state = State::default();
    let entries = push(&mut state, &tensors, "");
    let keyed =
        || -> Vec<(Py, Py)> { entries.iter().map(|(name, value)| (text(name), value.clone())).collect() };
    let pair = |(name, value): &(String, Py)| Py::Tuple(vec![text(name), value.clone()]);
    let ordered = || call("collections", "OrderedDict", vec![]);
    let new = |module, name| Py::Call(Box::new(Py::Global(module, name)), Box::new(Py::Tuple(vec![])));
    // A module as torch.save(model) writes it: members with parameters and buffers.
    let mut members: Vec<(String, Py)> = Vec::new();
    let layers = ["conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "fc1", "fcbn1", "fc2"];
    for layer in layers {
        let of = |buffers: bool| {
            let is_it = |name: &str| name.starts_with("running_") == buffers;
            let fields = entries.iter().filter_map(|(name, value)| {
                let field = name.strip_prefix(&format!("{layer}."))?;
                is_it(field).then(|| (text(field), value.clone()))
            });
            Py::Filled(Box::new(ordered()), fields.collect())
        };
        let fields = Py::Dict(vec![
            ("training".into(), Py::Int(0)),
            ("_parameters".into(), of(false)),
            ("_buffers".into(), of(true)),
        ]);
        members.push((layer.to_owned(), Py::Built(Box::new(new("torch.nn", "Layer")), Box::new(fields))));
    }
    let module = Py::Built(
        Box::new(new("__main__", "Net")),
        Box::new(Py::Dict(vec![("training".into(), Py::Int(0)), ("_modules".into(), Py::Dict(members))])),
    );
    let wrapped = Py::Built(
        Box::new(new("torch.nn.parallel", "DataParallel")),
        Box::new(Py::Dict(vec![("_modules".into(), Py::Dict(vec![("module".into(), module.clone())]))])),
    );
    let parameter =
        |value: &Py| call("torch._utils", "_rebuild_parameter", vec![value.clone(), Py::Int(1), ordered()]);
    let typed = |value: &Py| {
        let Py::Call(function, arguments) = value else { panic!("a tensor is a call") };
        let class = Py::Global("mine", "MyTensor");
        call(
            "torch._tensor",
            "_rebuild_from_type_v2",
            vec![(**function).clone(), class, (**arguments).clone(), Py::None],
        )
    };
    let each =
        |change: &dyn Fn(&Py) -> Py| Py::Dict(entries.iter().map(|(n, v)| (n.clone(), change(v))).collect());
    let cases = [
        ("OrderedDict", Py::Filled(Box::new(ordered()), keyed()), ""),
        ("a subclass of OrderedDict", Py::Filled(Box::new(new("mine", "Weights")), keyed()), ""),
        (
            "OrderedDict as Python 2 wrote it",
            call("collections", "OrderedDict", vec![Py::List(entries.iter().map(pair).collect())]),
            "",
        ),
        ("a class called on a dictionary", call("mine", "FrozenDict", vec![state.dict()]), ""),
        (
            "a subclass of dict in protocol 1",
            call(
                "copy_reg",
                "_reconstructor",
                vec![Py::Global("mine", "D"), Py::Global("__builtin__", "dict"), state.dict()],
            ),
            "",
        ),
        ("a list", Py::List(vec![Py::Int(3), state.dict()]), "1."),
        ("a number as key", Py::Map(vec![(Py::Int(7), state.dict())]), "7."),
        ("a class as key", Py::Map(vec![(Py::Global("mine", "Net"), state.dict())]), "mine.Net."),
        ("parameters", each(&parameter), ""),
        ("a tensor's subclass", each(&typed), ""),
        ("a whole module", module, ""),
        ("a wrapped module", wrapped, "module."),
    ];
    for (what, root, prefix) in cases {
        for file in
            [legacy(&root, &state.storages), zipped(&root, &state.storages, CompressionMethod::Deflated)]
        {
            let imported = bench.import(&file).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(is(&imported, &tensors), "{what}");
            assert_eq!(imported.report.prefix, prefix, "{what}");
        }
    }
}

#[test]
fn the_network_is_found_under_its_prefix() {
    let (bench, one, two) = (Bench::new(), network(3), network(4));
    let file = |fill: &dyn Fn(&mut State)| {
        let mut state = State::default();
        fill(&mut state);
        zipped(
            &Py::Dict(vec![("state_dict".into(), state.dict())]),
            &state.storages,
            CompressionMethod::Stored,
        )
    };
    // Averaged weights; Lightning with a loss; a student in a wrapper.
    for (prefix, extra) in [
        ("module.", "n_averaged"),
        ("model.", "criterion.weight"),
        ("student.backbone.net.", "student.head.weight"),
    ] {
        let imported = bench.import(&file(&|state| {
            let kind = if extra == "n_averaged" { Kind::Long } else { Kind::Float };
            state.push(extra, kind, &[1], &[5.0]);
            push(state, &one, prefix);
        }));
        let imported = imported.expect(prefix);
        assert!(is(&imported, &one), "{prefix}");
        assert_eq!(imported.report.prefix, format!("state_dict.{prefix}"));
        assert_eq!(imported.report.outside, 1);
    }
    // Teacher and student in one file: both are named, and either can be chosen.
    let both = file(&|state| {
        push(state, &one, "teacher.");
        push(state, &two, "student.");
    });
    let error = told(&bench.import(&both).expect_err("two networks"));
    assert!(
        error.contains("state_dict.teacher")
            && error.contains("state_dict.student")
            && error.contains("say which one is meant"),
        "{error}"
    );
    for (key, tensors) in
        [("state_dict.teacher", &one), ("state_dict.student", &two), ("state_dict.student.", &two)]
    {
        let options = ImportOptions { key: Some(key.into()), ..ImportOptions::default() };
        let imported = bench.import_as(&bench.put("file.pt", &both), &options).expect(key);
        assert!(is(&imported, tensors), "{key}");
    }
    // What stands under the usual key is meant; the other network is told.
    let mut state = State::default();
    let (plain, average) = (push(&mut state, &one, ""), push(&mut state, &two, ""));
    let root =
        Py::Dict(vec![("state_dict".into(), Py::Dict(plain)), ("state_dict_ema".into(), Py::Dict(average))]);
    let imported = bench.import(&legacy(&root, &state.storages)).expect("one is usual");
    assert!(is(&imported, &one));
    assert_eq!(imported.report.also, ["state_dict_ema"]);
}

#[test]
fn archives_of_every_length_of_name_are_read() {
    // The zip64 records of PyTorch's archives lie between the central directory and its end.
    let (bench, tensors) = (Bench::new(), network(5));
    let mut state = State::default();
    push(&mut state, &tensors, "");
    let plain = zipped(&state.dict(), &state.storages, CompressionMethod::Stored);
    let end = plain.len() - 22;
    let word = |at: usize| u32::from_le_bytes(plain[at..at + 4].try_into().expect("4 bytes"));
    let count = u64::from(u16::from_le_bytes(plain[end + 10..end + 12].try_into().expect("2 bytes")));
    let (size, offset) = (u64::from(word(end + 12)), u64::from(word(end + 16)));
    let mut record = b"PK\x06\x06".to_vec();
    record.extend(44u64.to_le_bytes());
    record.extend([0x1e, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [count, count, size, offset] {
        record.extend(number.to_le_bytes());
    }
    record.extend(b"PK\x06\x07\0\0\0\0");
    record.extend((end as u64).to_le_bytes());
    record.extend([1, 0, 0, 0]);
    assert_eq!(record.len(), 76);
    let file = [&plain[..end], &record, &plain[end..]].concat();
    assert!(is(&bench.import(&file).expect("an archive with zip64 records"), &tensors));
}

/// What PyTorch wrote itself, under a name for which the zip crate's guess is 76 bytes too late, and the other cases:
/// `../shared/cases/import`, where it is.
#[test]
fn files_that_users_have_are_imported() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases/import");
    if !cases.is_dir() {
        return;
    }
    let bench = Bench::new();
    let plain = bench.import_as(&cases.join("plain.pth"), &ImportOptions::default()).expect("the control");
    let tensors = plain.network.state_dict();
    assert_eq!((plain.known.normalisation, plain.report.passed_over), (None, vec![]));
    for (file, passed) in [
        ("resnet18_cifar10_best.pth", ""),
        ("history_defaultdict.pth", "collections.defaultdict"),
        ("number_as_key.pth", "`"),
        ("class_as_key.ckpt", "some_trainer.callbacks.Saver"),
        ("optimiser_object.pth", "torch.optim.sgd.SGD"),
        ("averaged.pth", "`n_averaged`"),
        ("weights_under_loss.ckpt", ""),
        ("normaliser_inside.pth", ""),
        ("exported", ""),
    ] {
        let imported = bench
            .import_as(&cases.join(file), &ImportOptions::default())
            .unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(is(&imported, &tensors), "{file}");
        let named = imported.report.passed_over.join(", ");
        assert!(named.contains(passed), "{file}: {named}");
        let place = imported.known.normalisation.map(|(.., place)| place);
        let known = match file {
            "normaliser_inside.pth" => Some("its tensors `mu` and `sigma`"),
            "exported" => Some("the config.json beside it"),
            _ => None,
        };
        assert_eq!(place.as_deref(), known, "{file}");
    }
}

#[test]
fn what_a_file_says_of_its_network_is_known() {
    let (bench, tensors) = (Bench::new(), network(6));
    let floats = |of: &[f64]| {
        Py::List(of.iter().map(|v| call("numpy.core.multiarray", "scalar", vec![dtype(), raw(*v)])).collect())
    };
    let figures = ([0.1f32, 0.2, 0.3], [0.4f32, 0.5, 0.6]);
    let known = |imported: Imported| imported.known.normalisation.map(|(mean, std, _)| (mean, std));
    let expected = Some((figures.0.to_vec(), figures.1.to_vec()));
    // Buffers of any name and shape, beside the network or in the same dictionary.
    for (mean, std, prefix) in [
        ("mu", "sigma", "model."),
        ("mean", "std", ""),
        ("normalize.mean", "normalize.std", "net."),
        ("norm.pixel_mean", "norm.pixel_std", "backbone."),
    ] {
        for shape in [&[3usize][..], &[1, 3, 1, 1], &[3, 1, 1]] {
            let mut state = State::default();
            push(&mut state, &tensors, prefix);
            state.push(mean, Kind::Float, shape, &figures.0);
            state.push(std, Kind::Float, shape, &figures.1);
            let imported = bench.import(&legacy(&state.dict(), &state.storages)).expect(mean);
            assert!(is(&imported, &tensors), "{mean}");
            assert_eq!(imported.report.warnings, Vec::<String>::new());
            assert_eq!(known(imported), expected, "{mean} {shape:?}");
        }
    }
    // Figures for pixels in 0..255, and one for all channels.
    let mut state = State::default();
    push(&mut state, &tensors, "net.");
    state.push("mean", Kind::Float, &[1], &[127.5]);
    state.push("std", Kind::Float, &[1], &[51.0]);
    let imported = bench.import(&legacy(&state.dict(), &state.storages)).expect("it imports");
    assert_eq!(known(imported), Some((vec![0.5; 3], vec![0.2; 3])));

    // A dictionary of timm's, names of classes, the side.
    let mut state = State::default();
    push(&mut state, &tensors, "");
    let names = ["cat", "dog", "fox"].map(text).to_vec();
    let described = Py::Dict(vec![
        ("mean".into(), floats(&[0.25, 0.5, 0.75])),
        ("std".into(), floats(&[0.5, 0.5, 0.5])),
        ("input_size".into(), Py::Tuple(vec![Py::Int(3), Py::Int(8), Py::Int(8)])),
        ("label_names".into(), Py::List(names)),
    ]);
    let root = Py::Dict(vec![("state_dict".into(), state.dict()), ("pretrained_cfg".into(), described)]);
    let imported = bench.import(&legacy(&root, &state.storages)).expect("it imports");
    assert_eq!(
        imported.known.labels.clone().map(|(names, _)| names),
        Some(["cat", "dog", "fox"].map(str::to_owned).to_vec())
    );
    let (mean, std, place) = imported.known.normalisation.expect("it is said");
    assert_eq!((mean, std, place.as_str()), (vec![0.25, 0.5, 0.75], vec![0.5; 3], "`pretrained_cfg`"));

    // Two that differ: none is used, and both are told.
    let two = |mean| Py::Dict(vec![("mean".into(), floats(&[mean; 3])), ("std".into(), floats(&[0.5; 3]))]);
    let root =
        Py::Dict(vec![("state_dict".into(), state.dict()), ("a".into(), two(0.25)), ("b".into(), two(0.5))]);
    let imported = bench.import(&legacy(&root, &state.storages)).expect("it imports");
    assert!(imported.known.normalisation.is_none());
    assert!(imported.report.warnings[0].contains("several normalisations"), "{:?}", imported.report.warnings);
}

/// numpy's float64, and a number of it.
fn dtype() -> Py {
    let little = Py::Tuple(vec![
        Py::Int(3),
        text("<"),
        Py::None,
        Py::None,
        Py::None,
        Py::Int(-1),
        Py::Int(-1),
        Py::Int(0),
    ]);
    Py::Built(Box::new(call("numpy", "dtype", vec![text("f8"), Py::Int(0), Py::Int(1)])), Box::new(little))
}

fn raw(value: f64) -> Py {
    let bytes: Vec<u8> = [b"C\x08".to_vec(), value.to_le_bytes().to_vec()].concat();
    Py::Raw(bytes.leak())
}

#[test]
fn a_description_beside_the_weights_is_read() {
    let (bench, tensors) = (Bench::new(), network(7));
    let mut state = State::default();
    push(&mut state, &tensors, "");
    let weights = legacy(&state.dict(), &state.storages);
    let ours = r#"{"format": 1, "architecture": "cnn1", "num_classes": 3, "input_size": [3, 8, 8],
        "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "label_names": ["x", "y", "z"]}"#;
    let timm = r#"{"architecture": "some_net", "num_classes": 3, "label_names": ["x", "y", "z"],
        "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_size": [3, 8, 8]}}"#;
    let hugging = r#"{"id2label": {"0": "x", "1": "y", "2": "z"}, "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6], "image_size": 8}"#;
    for (folder, json) in [("ours", ours), ("timm", timm), ("hugging", hugging)] {
        let file = bench.put(&format!("{folder}/weights.pth"), &weights);
        bench.put(&format!("{folder}/config.json"), json.as_bytes());
        // By the file or by its folder.
        for path in [file.as_path(), file.parent().expect("a folder")] {
            let imported = bench.import_as(path, &ImportOptions::default()).expect(folder);
            assert!(is(&imported, &tensors));
            assert_eq!(
                (imported.network.input().side, imported.report.side),
                (8, Side::Described),
                "{folder}"
            );
            let (mean, std, place) = imported.known.normalisation.expect("it is said");
            assert_eq!((mean, std), (vec![0.1, 0.2, 0.3], vec![0.4, 0.5, 0.6]), "{folder}");
            assert!(place.contains("config.json"), "{place}");
            assert_eq!(imported.known.labels.expect("they are named").0, ["x", "y", "z"]);
            assert_eq!(imported.report.warnings, Vec::<String>::new(), "{folder}");
        }
    }
    // Of another network, or no JSON: told, not used.
    for (json, part) in [
        (ours.replace("3, \"input_size\"", "4, \"input_size\""), "4 classes"),
        ("{".into(), "cannot be read"),
    ] {
        let file = bench.put("other/weights.pth", &weights);
        bench.put("other/config.json", json.as_bytes());
        let imported = bench.import_as(&file, &ImportOptions::default()).expect("the weights are good");
        assert!(imported.report.warnings.iter().any(|w| w.contains(part)), "{:?}", imported.report.warnings);
    }
    // Folders from which nothing, or any of several, could be taken.
    let folder = |name: &str, files: &[&str]| {
        files.iter().for_each(|file| drop(bench.put(&format!("{name}/{file}"), &weights)));
        told(&bench.import_as(&bench.0.path().join(name), &ImportOptions::default()).expect_err(name))
    };
    assert!(folder("several", &["a.pth", "b.pth", "log.txt"]).contains("a.pth, b.pth"));
    assert!(folder("none", &["log.txt"]).contains("without a file of weights"));
    assert!(
        folder("split", &["model.safetensors.index.json", "model-1-of-2.pth"]).contains("split into several")
    );
}

#[test]
fn known_answers_confirm_or_refute() {
    let (bench, tensors) = (Bench::new(), network(8));
    let mut state = State::default();
    push(&mut state, &tensors, "");
    let imported = bench
        .import_as(
            &bench.put("x.pth", &legacy(&state.dict(), &state.storages)),
            &ImportOptions { side: Some(8), ..ImportOptions::default() },
        )
        .expect("weights");
    let device = device("flex").expect("the CPU");
    let bytes: Vec<u8> = (0..5 * 192).map(|i| (i * 37 % 251) as u8).collect();
    let (mean, std) = ([0.1f32, 0.5, 0.4], [0.5f32, 0.2, 0.3]);
    let normalised: Vec<f32> =
        bytes.iter().enumerate().map(|(i, b)| (f32::from(*b) / 255.0 - mean[i % 3]) / std[i % 3]).collect();
    let images = burn::tensor::Tensor::<4>::from_data(
        burn::tensor::TensorData::new(normalised.clone(), [5, 8, 8, 3]),
        &device,
    );
    let answers =
        imported.network.forward(images, nasty_teacher::nets::Mode::Eval).into_data().convert::<f32>();
    let logits: Vec<f32> = answers.try_to_vec().expect("f32");
    let floats = |of: &[f32]| of.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let planes = |of: &[u8]| -> Vec<u8> {
        (0..5 * 192).map(|i| of[i / 192 * 192 + i % 64 * 3 + i % 192 / 64]).collect()
    };
    let labels: Vec<u8> = logits
        .chunks_exact(3)
        .flat_map(|row| {
            ((0..3).fold(0, |best, i| if row[i] > row[best] { i } else { best }) as i64).to_le_bytes()
        })
        .collect();
    let try_ = |images: (&str, &str, Vec<u8>), known: (&str, &str, &str, Vec<u8>)| {
        let path = bench.0.path().join("check.npz");
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).expect("writable"));
        for (name, descr, shape, data) in [("images", images.0, images.1, images.2), known] {
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
            zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).expect("new");
            let length = (header.len() as u16).to_le_bytes();
            let file = [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), &data].concat();
            std::io::Write::write_all(&mut zip, &file).expect("in the file");
        }
        zip.finish().expect("written");
        check(&path, &imported.network, &mean, &std, &device)
    };
    let known = || ("logits", "<f4", "(5, 3)", floats(&logits));
    let unit: Vec<f32> = bytes.iter().map(|b| f32::from(*b) / 255.0).collect();
    for images in [
        ("|u1", "(5, 8, 8, 3)", bytes.clone()),
        ("|u1", "(5, 3, 8, 8)", planes(&bytes)),
        ("<f4", "(5, 8, 8, 3)", floats(&unit)),
        ("<f4", "(5, 8, 8, 3)", floats(&normalised)),
    ] {
        let found = try_(images, known()).expect("a check");
        assert!(found.confirmed, "{found:?}");
        assert_eq!(found.logits.expect("compared").same_class, 5);
        assert!(found.told().contains("5 of 5 images"), "{}", found.told());
    }
    let found =
        try_(("|u1", "(5, 8, 8, 3)", bytes.clone()), ("labels", "<i8", "(5,)", labels)).expect("a check");
    assert_eq!((found.correct, found.confirmed), (Some(5), true), "{found:?}");
    let mut other = logits.clone();
    other.swap(0, 1);
    let found = try_(("|u1", "(5, 8, 8, 3)", bytes.clone()), ("logits", "<f4", "(5, 3)", floats(&other)))
        .expect("a check");
    assert!(!found.confirmed && found.told().contains("differ by at most"), "{found:?}");
    for (images, known, part) in [
        (("|u1", "(5, 192)", bytes.clone()), known(), "[5, 192]"),
        (("|u1", "(5, 8, 8, 3)", bytes.clone()), ("logits", "<f4", "(3, 5)", floats(&logits)), "[5, 3]"),
        (("|u1", "(5, 8, 8, 3)", bytes.clone()), ("answers", "<f4", "(5, 3)", floats(&logits)), "neither"),
    ] {
        let error = try_(images, known).expect_err("no check").to_string();
        assert!(error.contains(part) && error.contains("check.npz"), "{error}");
    }
}

#[test]
fn whole_files_of_other_kinds_are_told_by_what_they_are() {
    let bench = Bench::new();
    let npz = {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("fc.weight.npy", zip::write::SimpleFileOptions::default()).expect("new");
        zip.finish().expect("in memory").into_inner()
    };
    for (bytes, what) in [
        (b"\x08\x08\x12\x07pytorch\x3a\x02ab".to_vec(), "an ONNX graph"),
        (b"\x89HDF\r\n\x1a\n\0".to_vec(), "HDF5"),
        (b"GGUF\x03\0\0\0".to_vec(), "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n".to_vec(), "Git LFS pointer"),
        (b"<!doctype html><title>Not found</title>".to_vec(), "HTML page"),
        (Vec::new(), "an empty file"),
        (npz, ".npz"),
        (b"\x1f\x8b\x08\0\0".to_vec(), "gzip"),
    ] {
        let error = bench.import(&bytes).expect_err(what);
        let text = told_of(&error);
        assert!(matches!(error, ImportError::OtherKind { .. }) && text.contains(what), "{what}: {text}");
    }
    // A ResNet for large images, as torchvision has it.
    let mut state = State::default();
    state.push("conv1.weight", Kind::Float, &[2, 3, 7, 7], &[0.5; 294]);
    state.push("layer1.0.conv1.weight", Kind::Float, &[2, 2, 1, 1], &[0.5; 4]);
    state.push("fc.weight", Kind::Float, &[2, 2], &[0.5; 4]);
    let text = told(&bench.import(&legacy(&state.dict(), &state.storages)).expect_err("none of ours"));
    assert!(text.contains("7×7 stem") && text.contains("nasty networks"), "{text}");
}

/// As [`told`]; a download that was interrupted may be said so of a file that is empty.
fn told_of(error: &ImportError) -> String {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string()).unwrap_or_default();
    let text = format!("{error} | {help}");
    assert!(!text.contains("damaged") && !text.contains("attack"), "{text}");
    text
}
