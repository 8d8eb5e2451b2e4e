//! Files of weights as people have them, and files made to do harm.

#[path = "torch/archives.rs"]
mod archives;
mod torch;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use archives::{TarTensor, tarred, zipped};
use nasty_teacher::device::device;
use nasty_teacher::nets::{
    Architecture, ImportError, ImportOptions, Imported, Input, NamedTensor, NetError, Side, import,
};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use torch::{Kind, Py, State, Storage, call, legacy, storage_id, tensor, text};
use zip::CompressionMethod;

/// A network so small that thousands of its files can be tried.
fn small() -> Vec<NamedTensor> {
    let device = device("flex").expect("the CPU");
    let architecture: Architecture = "cnn1".parse().expect("a name");
    architecture.build(3, Input { channels: 1, side: 28 }, 5, &device).expect("it can be built").state_dict()
}

fn state(tensors: &[NamedTensor], kind: Kind, rename: impl Fn(&str) -> String) -> State {
    let mut state = State::default();
    for tensor in tensors {
        state.push(&rename(&tensor.name), kind, &tensor.shape, &tensor.data);
    }
    state
}

fn plain(tensors: &[NamedTensor]) -> State {
    state(tensors, Kind::Float, str::to_owned)
}

fn safetensors(tensors: &[NamedTensor]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|t| t.data.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|(t, data)| {
        let view = TensorView::new(Dtype::F32, t.shape.clone(), data);
        (t.name.as_str(), view.expect("the bytes of its shape"))
    });
    safetensors::serialize(views, None).expect("names are distinct")
}

/// A folder for files, and importing them.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temp"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("file.pt")
    }

    fn import_as(&self, bytes: &[u8], options: &ImportOptions) -> Result<Imported, ImportError> {
        fs::write(self.path(), bytes).expect("writable");
        import(&self.path(), options, &device("flex").expect("the CPU"))
    }

    fn import(&self, bytes: &[u8]) -> Result<Imported, ImportError> {
        self.import_as(bytes, &ImportOptions::default())
    }

    /// The one line that a person would read.
    fn refuses(&self, bytes: &[u8], needles: &[&str]) -> String {
        let message = self.import(bytes).expect_err("a bad file").to_string();
        for needle in needles {
            assert!(message.contains(needle), "without `{needle}`: {message}");
        }
        assert!(message.len() < 2_000, "an error is no dump: {message}");
        message
    }
}

fn same(imported: &Imported, tensors: &[NamedTensor], tolerance: f32) {
    let found = imported.network.state_dict();
    assert_eq!(found.len(), tensors.len());
    for (a, b) in found.iter().zip(tensors) {
        assert_eq!((&a.name, &a.shape), (&b.name, &b.shape));
        assert!(
            a.data.iter().zip(&b.data).all(|(x, y)| (x - y).abs() <= tolerance * y.abs().max(1e-3)),
            "{}",
            a.name
        );
    }
}

#[test]
fn every_container_and_element_type_gives_the_same_network() {
    let (bench, tensors) = (Bench::new(), small());
    let state_dict = plain(&tensors);
    let tar: Vec<_> = tensors
        .iter()
        .map(|t| TarTensor { name: t.name.clone(), shape: t.shape.clone(), values: t.data.clone() })
        .collect();
    let files = [
        ("zip", zipped(&state_dict.dict(), &state_dict.storages, CompressionMethod::Stored)),
        ("zip", zipped(&state_dict.dict(), &state_dict.storages, CompressionMethod::Deflated)),
        ("legacy", legacy(&state_dict.dict(), &state_dict.storages)),
        ("tar", tarred(&tar)),
        ("safetensors", safetensors(&tensors)),
    ];
    for (kind, file) in files {
        let imported = bench.import(&file).expect(kind);
        assert!(imported.report.kind.contains(kind), "{}", imported.report.kind);
        assert_eq!(
            (imported.network.architecture().to_string(), imported.network.classes()),
            ("cnn1".into(), 3)
        );
        assert_eq!(imported.network.input(), Input { channels: 1, side: 28 });
        assert_eq!((imported.report.matched, imported.report.side), (tensors.len(), Side::Assumed));
        same(&imported, &tensors, 0.0);
    }
    for (kind, tolerance) in [(Kind::Double, 0.0), (Kind::Half, 1e-3), (Kind::Bfloat16, 1e-2)] {
        let state = state(&tensors, kind, str::to_owned);
        same(&bench.import(&legacy(&state.dict(), &state.storages)).expect("floats"), &tensors, tolerance);
    }
}

#[test]
fn dictionaries_prefixes_and_counters_are_seen_through() {
    let (bench, tensors) = (Bench::new(), small());
    let file = |key: &str, prefix: &str| {
        let mut state = state(&tensors, Kind::Float, |name| format!("{prefix}{name}"));
        state.push(&format!("{prefix}bn1.num_batches_tracked"), Kind::Long, &[], &[17.0]);
        let mut momentum = State { storages: state.storages.clone(), ..State::default() };
        momentum.push("momentum_buffer", Kind::Float, &[2], &[1.0, 2.0]);
        let optimiser = Py::Dict(vec![("state".into(), Py::Dict(momentum.entries.clone()))]);
        let root = match key {
            "" => state.dict(),
            key => Py::Dict(vec![
                ("epoch".into(), Py::Int(160)),
                (key.into(), state.dict()),
                ("optim_dict".into(), optimiser),
                ("best".into(), call("numpy.core.multiarray", "scalar", vec![Py::Int(1)])),
                ("args".into(), call("argparse", "Namespace", vec![])),
            ]),
        };
        zipped(&root, &momentum.storages, CompressionMethod::Stored)
    };
    for key in ["", "state_dict", "model", "net", "model_state_dict"] {
        for prefix in ["", "module.", "_orig_mod.module."] {
            let imported = bench.import(&file(key, prefix)).expect(key);
            same(&imported, &tensors, 0.0);
            let expected = if key.is_empty() { prefix.into() } else { format!("{key}.{prefix}") };
            assert_eq!((imported.report.prefix, imported.report.counters), (expected, 1));
            assert_eq!(imported.report.outside, usize::from(!key.is_empty()));
        }
    }
    let options = ImportOptions { key: Some("ema".into()), ..ImportOptions::default() };
    same(&bench.import_as(&file("ema", ""), &options).expect("the key"), &tensors, 0.0);
    let error = bench.import_as(&file("net", ""), &options).expect_err("another key");
    assert!(
        matches!(&error, ImportError::NoTensors { keys, .. } if keys.contains(&"net".to_owned())),
        "{error}"
    );

    // The same dictionary twice is one network; two are two, though their numbers be equal.
    let mut state = plain(&tensors);
    let both = Py::Dict(vec![("net".into(), state.dict()), ("state_dict".into(), state.dict())]);
    same(&bench.import(&legacy(&both, &state.storages)).expect("one network"), &tensors, 0.0);
    for tensor in &tensors {
        state.push(&tensor.name, Kind::Float, &tensor.shape, &tensor.data);
    }
    let (one, two) = state.entries.split_at(tensors.len());
    let both =
        Py::Dict(vec![("net".into(), Py::Dict(one.to_vec())), ("state_dict".into(), Py::Dict(two.to_vec()))]);
    bench.refuses(&legacy(&both, &state.storages), &["several", "net", "state_dict"]);
}

#[test]
fn other_names_of_the_same_places_are_understood() {
    let bench = Bench::new();
    let device = device("flex").expect("the CPU");
    let architecture: Architecture = "resnet18".parse().expect("a name");
    let network =
        architecture.build(5, Input { channels: 3, side: 32 }, 1, &device).expect("it can be built");
    let tensors = network.state_dict();
    let torchvision = |name: &str| name.replace("shortcut", "downsample").replace("linear.", "fc.");
    let state = state(&tensors, Kind::Float, torchvision);
    let imported = bench.import(&legacy(&state.dict(), &state.storages)).expect("torchvision's names");
    assert_eq!((imported.network.architecture(), imported.network.classes()), (architecture, 5));
    assert_eq!(imported.report.renamed.len(), 3 * 5 + 2);
    same(&imported, &tensors, 0.0);

    // The stem of ImageNet's ResNets makes another network of it.
    let mut large = tensors.clone();
    let stem = large.iter_mut().find(|t| t.name == "conv1.weight").expect("a stem");
    *stem = NamedTensor { name: stem.name.clone(), shape: vec![64, 3, 7, 7], data: vec![0.0; 64 * 3 * 49] };
    let state = plain(&large);
    let imported = bench.import(&legacy(&state.dict(), &state.storages)).expect("torchvision's network");
    assert_eq!(imported.network.architecture().to_string(), "tv-resnet18");
    // One of no network is told from the nearest.
    let stem = large.iter_mut().find(|t| t.name == "conv1.weight").expect("a stem");
    *stem = NamedTensor { name: stem.name.clone(), shape: vec![64, 3, 5, 5], data: vec![0.0; 64 * 3 * 25] };
    let state = plain(&large);
    bench.refuses(
        &legacy(&state.dict(), &state.storages),
        &["resnet18", "conv1.weight", "[64, 3, 5, 5]", "101 match"],
    );
}

#[test]
fn wrong_expectations_are_told_from_the_file() {
    let (bench, tensors) = (Bench::new(), small());
    let state_dict = plain(&tensors);
    let file = legacy(&state_dict.dict(), &state_dict.storages);
    let error = |options: ImportOptions| bench.import_as(&file, &options).expect_err("wrong");
    let wrong = error(ImportOptions { classes: Some(100), ..ImportOptions::default() });
    assert!(matches!(wrong, ImportError::Other { found: 3, wanted: 100, .. }), "{wrong}");
    let wrong = error(ImportOptions { architecture: "mlp".parse().ok(), ..ImportOptions::default() });
    assert!(matches!(&wrong, ImportError::WrongArchitecture { matched: 0, .. }), "{wrong}");
    let wrong = error(ImportOptions { side: Some(64), ..ImportOptions::default() });
    assert!(wrong.to_string().contains("fc1.weight"), "{wrong}");
    for side in [0, 5, 100_000] {
        error(ImportOptions { side: Some(side), ..ImportOptions::default() });
        error(ImportOptions {
            side: Some(side),
            architecture: "cnn1".parse().ok(),
            ..ImportOptions::default()
        });
    }

    let mut none = tensors.clone();
    for tensor in none.iter_mut().filter(|t| t.name.starts_with("fc2.")) {
        tensor.shape[0] = 0;
        tensor.data.clear();
    }
    let error =
        bench.import_as(&safetensors(&none), &ImportOptions::default()).expect_err("no classes").to_string();
    assert!(
        error.contains("cnn1") && error.contains("fc2.weight (expected [10, 4], found [0, 4])"),
        "{error}"
    );

    let less: Vec<_> = tensors.iter().filter(|t| t.name != "bn2.running_var").cloned().collect();
    let state_dict = plain(&less);
    bench.refuses(&legacy(&state_dict.dict(), &state_dict.storages), &["cnn1", "1 missing: bn2.running_var"]);
    let mut more = plain(&tensors);
    more.push("head2.weight", Kind::Float, &[2], &[0.0, 1.0]);
    bench.refuses(&legacy(&more.dict(), &more.storages), &["cnn1", "1 left over: head2.weight"]);
    more = plain(&tensors);
    more.push("steps", Kind::Long, &[], &[4.0]);
    bench.refuses(&legacy(&more.dict(), &more.storages), &["1 left over: steps"]);
}

/// A state dictionary whose first tensor is `first`.
fn with(tensors: &[NamedTensor], first: Py) -> (Py, Vec<Storage>) {
    let mut state = plain(tensors);
    state.entries[0].1 = first;
    (state.dict(), state.storages)
}

#[test]
fn hostile_pickles_are_refused_and_run_nothing() {
    let (bench, tensors) = (Bench::new(), small());
    let state_dict = plain(&tensors);
    let mark = bench.0.path().join("executed");
    let command = text(&format!("touch {}", mark.display()));
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("torch.hub", "load"),
    ] {
        let attack = call(module, name, vec![command.clone()]);
        let beside =
            Py::Dict(vec![("state_dict".into(), state_dict.dict()), ("epoch".into(), attack.clone())]);
        for file in [
            legacy(&beside, &state_dict.storages),
            zipped(&beside, &state_dict.storages, CompressionMethod::Stored),
            beside.pickle(),
        ] {
            let message = bench.import(&file).expect_err("hostile").to_string();
            assert!(message.contains(&format!("`{module}.{name}`")), "{message}");
        }
        bench.refuses(&attack.pickle(), &["file.pt"]);
        let (root, storages) = with(&tensors, attack.clone());
        bench.refuses(&zipped(&root, &storages, CompressionMethod::Stored), &[name]);
        // As an argument of a call that is understood.
        let (root, storages) = with(&tensors, call("torch._utils", "_rebuild_tensor_v2", vec![attack; 6]));
        bench.refuses(&legacy(&root, &storages), &["file.pt"]);
    }
    assert!(!mark.exists(), "something was executed");
}

#[test]
fn sizes_that_lie_are_refused_before_they_are_believed() {
    let (bench, tensors) = (Bench::new(), small());
    let float = |elements| storage_id(Kind::Float, "0", elements);
    let (shape, huge) = (&[1i64, 1, 3, 3], i64::MAX / 2);
    let strides = [9, 9, 3, 1];
    let lies: Vec<Py> = vec![
        tensor(float(9), 0, &[1, 1, 3, huge], &strides),
        tensor(float(huge), 0, &[huge], &[1]),
        tensor(float(1 << 40), 0, &[1 << 40], &[1]),
        tensor(float(9), 0, &[1 << 29, 1], &[0, 0]),
        tensor(float(9), 0, &[huge, huge], &[0, 0]),
        tensor(float(9), 0, shape, &[9, 9, -3, 1]),
        tensor(float(9), 0, shape, &[9, 9, 3, huge]),
        tensor(float(9), 0, &[1, 1, -3, 3], &strides),
        tensor(float(9), -1, shape, &strides),
        tensor(float(9), huge, shape, &strides),
        tensor(float(9), 1, shape, &strides),
        tensor(float(9), 0, shape, &[1]),
        tensor(float(-9), 0, shape, &strides),
        tensor(float(8), 0, shape, &strides),
        tensor(storage_id(Kind::Float, "nowhere", 9), 0, shape, &strides),
    ];
    for lie in lies {
        let begun = Instant::now();
        let (root, storages) = with(&tensors, lie);
        bench.refuses(&legacy(&root, &storages), &["file.pt"]);
        bench.refuses(&zipped(&root, &storages, CompressionMethod::Stored), &["file.pt"]);
        assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    }
    // The storage is shorter than the pickle says, in the archive alone.
    let mut state_dict = plain(&tensors);
    state_dict.storages[0].bytes.truncate(8);
    bench.refuses(
        &zipped(&state_dict.dict(), &state_dict.storages, CompressionMethod::Stored),
        &["conv1.weight"],
    );
}

#[test]
fn bombs_are_refused() {
    let (bench, tensors) = (Bench::new(), small());
    // A zip bomb: 64 MiB of zeros in a few kilobytes.
    let mut state_dict = plain(&tensors);
    let elements = 16 << 20;
    let bomb = tensor(storage_id(Kind::Float, "0", elements), 0, &[elements], &[1]);
    state_dict.entries[0].1 = bomb;
    state_dict.storages[0].bytes = vec![0; 4 * elements as usize];
    let file = zipped(&state_dict.dict(), &state_dict.storages, CompressionMethod::Deflated);
    assert!(file.len() < 200_000);
    bench.refuses(&file, &["claim", "bytes"]);

    // Nesting without end.
    let mut deep = vec![0x80, 2, b'N'];
    deep.extend([0x85; 2_000_000]);
    deep.push(b'.');
    bench.refuses(&deep, &["no floating-point tensors"]);
    let mut lists = vec![0x80, 2];
    lists.extend(vec![b'('; 1_000_000]);
    lists.extend(vec![b'l'; 1_000_000]);
    lists.push(b'.');
    bench.refuses(&lists, &["file.pt"]);
    // A list of itself twice, thirty times over.
    let mut doubling = vec![0x80, 2, b'N', b'q', 0];
    for i in 0..30u8 {
        doubling.extend([b'h', i, b'h', i, 0x86, b'q', i + 1]);
    }
    doubling.push(b'.');
    bench.refuses(&doubling, &["file.pt"]);

    // A sparse tar entry of 4 EiB.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_path("storages").expect("a short path");
    header.set_size(0);
    let gnu = header.as_gnu_mut().expect("made as one");
    gnu.realsize[..12].copy_from_slice(&[0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]);
    header.set_cksum();
    let mut sparse = header.as_bytes().to_vec();
    sparse.extend([0; 1024]);
    bench.refuses(&sparse, &["tar"]);
}

#[test]
fn weights_must_be_numbers() {
    let (bench, tensors) = (Bench::new(), small());
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut broken = tensors.clone();
        broken[6].data[0] = value;
        let state_dict = plain(&broken);
        for file in [legacy(&state_dict.dict(), &state_dict.storages), safetensors(&broken)] {
            let error = bench.import(&file).expect_err("not finite");
            assert!(matches!(error, ImportError::Net(NetError::NotFinite { .. })), "{error}");
        }
    }
    let mut large = plain(&tensors);
    large.storages[0].bytes = 1e300f64.to_le_bytes().repeat(9);
    large.entries[0].1 = tensor(storage_id(Kind::Double, "0", 9), 0, &[1, 1, 3, 3], &[9, 9, 3, 1]);
    bench.refuses(&legacy(&large.dict(), &large.storages), &["conv1.weight", "inf"]);
    let mut negative = tensors.clone();
    negative.iter_mut().find(|t| t.name == "bn1.running_var").expect("there").data[0] = -0.5;
    bench.refuses(&safetensors(&negative), &["bn1.running_var", "-0.5", "negative"]);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (bench, tensors) = (Bench::new(), small());
    let state_dict = plain(&tensors);
    let nested = Py::Dict(vec![("state_dict".into(), state_dict.dict())]);
    let files = [
        legacy(&nested, &state_dict.storages),
        zipped(&nested, &state_dict.storages, CompressionMethod::Stored),
        safetensors(&tensors),
    ];
    for file in files {
        assert!(bench.import(&file).is_ok());
        for length in (0..file.len()).step_by(file.len() / 300) {
            bench.refuses(&file[..length], &["file.pt"]);
        }
        bench.refuses(&file[..file.len() - 1], &["file.pt"]);
    }
}

#[test]
fn what_is_no_file_of_weights_is_refused() {
    let bench = Bench::new();
    for bytes in
        [&b""[..], b"hello", b"\x80", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", &[0; 4096], b"{}", b"\x80\x02}."]
    {
        bench.refuses(bytes, &["file.pt"]);
    }
    let flex = device("flex").expect("the CPU");
    let none = ImportOptions::default();
    assert!(import(bench.0.path(), &none, &flex).is_err(), "a folder");
    assert!(
        import(Path::new("/nowhere/at/all.pt"), &none, &flex)
            .expect_err("missing")
            .to_string()
            .contains("all.pt")
    );
    #[cfg(unix)]
    assert!(import(Path::new("/dev/zero"), &none, &flex).is_err(), "a device");
}

#[test]
fn a_folder_is_written_whole_or_not_at_all() {
    let (bench, tensors) = (Bench::new(), small());
    let imported = bench.import(&safetensors(&tensors)).expect("a good file");
    let folder = bench.0.path().join("a/b");
    let save = |mean: &[f32], std: &[f32], labels: Option<Vec<String>>| {
        imported.save(&folder, mean.into(), std.into(), labels)
    };
    for (mean, std) in [(&[0.1; 3][..], &[0.2; 3][..]), (&[0.1], &[0.0]), (&[f32::NAN], &[1.0]), (&[], &[])] {
        assert!(matches!(save(mean, std, None), Err(ImportError::Description { .. })));
    }
    let labels = |n: usize| Some((0..n).map(|i| format!("class {i}")).collect());
    assert!(matches!(save(&[0.1], &[0.2], labels(4)), Err(ImportError::Description { .. })));
    assert!(!bench.0.path().join("a").exists(), "nothing is written on failure");
    save(&[0.1], &[0.2], labels(3)).expect("it fits");
    let (network, config) =
        nasty_teacher::nets::load(&folder, &device("flex").expect("the CPU")).expect("written");
    assert_eq!((network.state_dict(), config.label_names), (tensors, labels(3).expect("names")));
    let before = fs::read(folder.join("config.json")).expect("written");
    assert!(matches!(save(&[0.3], &[0.4], None), Err(ImportError::Occupied { .. })));
    assert_eq!(fs::read(folder.join("config.json")).expect("kept"), before);
    let left: Vec<_> = fs::read_dir(bench.0.path().join("a")).expect("a folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// Seconds that random damage is tried for: `NASTY_FUZZ_SECONDS`, else ten.
fn fuzz_time() -> Duration {
    let seconds = std::env::var("NASTY_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

/// Random damage to good files: never a panic, never a number that is none, and quickly.
#[test]
fn damaged_files_never_panic() {
    let (bench, tensors) = (Bench::new(), small());
    let state_dict = plain(&tensors);
    let tar: Vec<_> = tensors
        .iter()
        .map(|t| TarTensor { name: t.name.clone(), shape: t.shape.clone(), values: t.data.clone() })
        .collect();
    let nested = Py::Dict(vec![("net".into(), state_dict.dict()), ("epoch".into(), Py::Int(3))]);
    let seeds = [
        legacy(&nested, &state_dict.storages),
        zipped(&nested, &state_dict.storages, CompressionMethod::Stored),
        zipped(&nested, &state_dict.storages, CompressionMethod::Deflated),
        tarred(&tar),
        safetensors(&tensors),
        nested.pickle(),
    ];
    // Most damage should hit the structure, not the numbers: half of it goes to the first kilobytes.
    let place = prop_oneof![(0usize..4096), any::<proptest::sample::Index>().prop_map(|i| i.index(1 << 20))];
    let damage = prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (place.clone(), 0u32..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (place.clone(), 1usize..64).prop_map(|(at, length)| Damage::Remove(at, length)),
        (place.clone(), proptest::collection::vec(any::<u8>(), 1..16))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (place.clone(), place, 1usize..64).prop_map(|(from, to, length)| Damage::Copy(from, to, length)),
    ];
    let strategy = (0..seeds.len(), proptest::collection::vec(damage, 1..6));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) };
    let (begun, mut accepted, mut cases) = (Instant::now(), 0, 0);
    while begun.elapsed() < fuzz_time() {
        // A runner that has had its cases does no more.
        proptest::test_runner::TestRunner::new(config.clone())
            .run(&strategy, |(seed, damages)| {
                let mut file = seeds[seed].clone();
                damages.iter().for_each(|damage| damage.apply(&mut file));
                let one = Instant::now();
                let result = bench.import(&file);
                prop_assert!(one.elapsed() < Duration::from_secs(20), "it took {:?}", one.elapsed());
                if let Ok(imported) = result {
                    let state = imported.network.state_dict();
                    prop_assert!(state.iter().flat_map(|t| &t.data).all(|v| v.is_finite()));
                }
                Ok(())
            })
            .expect("no damage does harm");
        cases += 64;
    }
    for seed in &seeds[..5] {
        accepted += usize::from(bench.import(seed).is_ok());
    }
    assert_eq!(accepted, 5, "the undamaged files are good");
    assert!(cases >= 64, "{cases} cases in {:?}", begun.elapsed());
}

#[derive(Clone, Debug)]
enum Damage {
    Set(usize, u8),
    Flip(usize, u32),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Copy(usize, usize, usize),
}

impl Damage {
    fn apply(&self, file: &mut Vec<u8>) {
        if file.is_empty() {
            return;
        }
        let length = file.len();
        let range = |at: usize, count: usize| at % length..(at % length + count).min(length);
        match self {
            Self::Set(at, byte) => file[at % length] = *byte,
            Self::Flip(at, bit) => file[at % length] ^= 1 << bit,
            Self::Remove(at, count) => drop(file.drain(range(*at, *count))),
            Self::Insert(at, bytes) => drop(file.splice(range(*at, 0), bytes.iter().copied())),
            Self::Copy(from, to, count) => {
                let bytes = file[range(*from, *count)].to_vec();
                drop(file.splice(range(*to, bytes.len()), bytes));
            }
        }
    }
}
