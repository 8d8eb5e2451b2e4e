use super::*;
use crate::data::{Augmentation, ImageSet};
use crate::victim::Origin;
use std::io::Write;

fn images(count: usize) -> ImageSet {
    let pixels = (0..count * 4).map(|i| (i * 37 % 251) as u8).collect();
    ImageSet::new(2, 2, 1, pixels, vec![0; count])
}

/// Answers to `count` images of 3 classes: the row of image i is (i, 0, 1)/8.
fn scores(count: usize) -> Vec<f32> {
    (0..count).flat_map(|i| [i as f32 / 8.0, 0.0, 0.125]).collect()
}

fn scores_npy(count: usize) -> Vec<u8> {
    let data: Vec<u8> = scores(count).iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect();
    npz::npy("<f8", &[count, 3], &data)
}

fn hashes_npy(set: &ImageSet) -> Vec<u8> {
    let data: Vec<u8> = (0..set.len()).flat_map(|i| content_hash(set.image(i))).collect();
    npz::npy("|u1", &[set.len(), 32], &data)
}

fn npz(path: &Path, arrays: &[(&str, Vec<u8>)]) {
    let mut writer = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in arrays {
        writer.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn answers_by_content_serve_every_view_that_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let (set, path) = (images(5), folder.path().join("answers.npz"));
    npz(&path, &[("probabilities", scores_npy(5)), ("sha256", hashes_npy(&set))]);
    let victim = Recorded::open(&path).unwrap();
    let shuffled = set.subset(&[4, 0, 4]);
    let answers = victim.ask(&Request::unchanged(&shuffled)).unwrap();
    assert_eq!((answers.scale, answers.classes), (Scale::Probabilities, 3));
    assert_eq!(answers.rows, [0.5, 0.0, 0.125, 0.0, 0.0, 0.125, 0.5, 0.0, 0.125]);
    assert_eq!(victim.queries(), 3, "repeats count");

    // A mirrored image is another one.
    let flips = Augmentation { flip: true, ..Augmentation::none() };
    let mirrored = Request::views(&set, &flips, vec![(0, 0), (1, 1), (2, 1)]);
    let error = victim.ask(&mirrored).unwrap_err().to_string();
    assert!(
        error.ends_with("the answers to 2 of 3 images are missing; those to 5 images are recorded"),
        "{error}"
    );
    assert_eq!(victim.queries(), 3, "what is not answered is not counted");

    // The same arrays in a folder are the same victim.
    let plain = folder.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    std::fs::write(plain.join("probabilities.npy"), scores_npy(5)).unwrap();
    std::fs::write(plain.join("sha256.npy"), hashes_npy(&set)).unwrap();
    let again = Recorded::open(&plain).unwrap();
    assert_eq!(again.identity(), victim.identity());
    let label = again.behind(Interface::Label).unwrap();
    assert_eq!(label.ask(&Request::unchanged(&shuffled)).unwrap().rows[..3], [1.0, 0.0, 0.0]);
}

#[test]
fn answers_by_index_belong_to_a_set_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.npz");
    let index: Vec<u8> = [7i64, 3, 5].iter().flat_map(|v| v.to_le_bytes()).collect();
    npz(&path, &[("logits", scores_npy(3)), ("index", npz::npy("<i8", &[3], &index))]);
    let (set, places) = (images(2), [5, 7]);
    let request = |set_name| Request::unchanged(&set).from(Some(Origin { set: set_name, places: &places }));
    let unnamed = Recorded::open(&path).unwrap();
    assert!(
        matches!(unnamed.ask(&request("d")), Err(VictimError::Missing { help, .. }) if help.contains("of_set"))
    );
    let victim = unnamed.of_set("d");
    assert_eq!(victim.ask(&request("d")).unwrap().rows, [0.25, 0.0, 0.125, 0.0, 0.0, 0.125]);
    assert!(victim.ask(&request("other")).is_err());
    assert!(victim.ask(&Request::unchanged(&set)).is_err(), "of unknown origin");
    let flips = Augmentation { flip: true, ..Augmentation::none() };
    let mirrored = Request::views(&set, &flips, vec![(0, 1)]);
    assert!(victim.ask(&mirrored.from(Some(Origin { set: "d", places: &places }))).is_err());
    assert!(victim.behind(Interface::Logits).is_ok());
}

#[test]
fn files_of_another_kind_are_refused_with_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.npz");
    let fault = |arrays: &[(&str, Vec<u8>)]| {
        npz(&path, arrays);
        Recorded::open(&path).map(|_| ()).expect_err("refused").to_string()
    };
    assert!(fault(&[]).contains("expected logits or probabilities"));
    assert!(fault(&[("logits", scores_npy(1)), ("probabilities", scores_npy(1))]).contains("both"));
    assert!(fault(&[("logits", npz::npy("<f4", &[1], &[0; 4]))]).contains("[images, classes]"));
    assert!(fault(&[("logits", npz::npy("<i4", &[1, 1], &[0; 4]))]).contains("floating-point"));
    let nan = npz::npy("<f4", &[1, 1], &f32::NAN.to_le_bytes());
    assert!(fault(&[("logits", nan.clone())]).contains("NaN for image 0"));
    let logits = npz::npy("<f4", &[2, 1], &[0f32.to_le_bytes(), 2f32.to_le_bytes()].concat());
    assert!(fault(&[("probabilities", logits)]).contains("found 2 for image 1"));
    let twice = npz::npy("|u1", &[2], &[4, 4]);
    assert!(fault(&[("logits", scores_npy(2)), ("index", twice)]).contains("1 places for 2 answers"));
    let short = npz::npy("|u1", &[2, 4], &[4; 8]);
    assert!(fault(&[("logits", scores_npy(2)), ("sha256", short)]).contains("[2, 32]"));
    std::fs::write(&path, b"PK\x03\x04 not really").unwrap();
    assert!(Recorded::open(&path).unwrap_err().to_string().contains("an .npz file"));
    let probabilities = scores_npy(1);
    npz(&path, &[("probabilities", probabilities)]);
    let error = Recorded::open(&path).unwrap().behind(Interface::Logits).unwrap_err();
    assert!(error.to_string().contains("logits do not follow"), "{error}");
}

/// What a CSV of `lines` is refused with.
fn refused(lines: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.csv");
    std::fs::write(&path, lines).unwrap();
    Recorded::open(&path).unwrap_err().to_string()
}

#[test]
fn a_table_has_a_column_a_class() {
    let folder = tempfile::tempdir().unwrap();
    let (set, path) = (images(3), folder.path().join("answers.csv"));
    let hex = |i: usize| content_hash(set.image(i)).iter().map(|b| format!("{b:02X}")).collect::<String>();
    let lines: Vec<String> = (0..3).map(|i| format!("{}, {}, 0, 0.125\n", hex(i), i as f32 / 8.0)).collect();
    std::fs::write(&path, format!("sha256, cat, owl, fox\n{}", lines.concat())).unwrap();
    let victim = Recorded::open(&path).unwrap();
    assert_eq!(
        (victim.names(), victim.scale()),
        (&["cat", "owl", "fox"].map(str::to_owned)[..], Scale::Probabilities)
    );
    assert_eq!(victim.ask(&Request::unchanged(&set.subset(&[2]))).unwrap().rows, [0.25, 0.0, 0.125]);
    assert_eq!(Recorded::open_as(&path, Some(Scale::Logits)).unwrap().scale(), Scale::Logits);
    // The same numbers as an archive are the same victim.
    let archive = folder.path().join("answers.npz");
    npz(&archive, &[("probabilities", scores_npy(3)), ("sha256", hashes_npy(&set))]);
    assert_eq!(Recorded::open(&archive).unwrap().identity(), victim.identity());

    std::fs::write(&path, "a,b,index\n-1,2,5\n3,4,0\n").unwrap();
    let victim = Recorded::open(&path).unwrap().of_set("d");
    assert_eq!(victim.scale(), Scale::Logits);
    let request = Request::unchanged(&set).from(Some(Origin { set: "d", places: &[5, 0, 5] }));
    assert_eq!(victim.ask(&request).unwrap().rows, [-1.0, 2.0, 3.0, 4.0, -1.0, 2.0]);
    for (lines, words) in [
        ("a,b\n1,x\n", "`x` in row 1 of the column b"),
        ("a,b\n1\n", "found record with 1 fields"),
        ("a,b,index\n1,2,3\n1,2,3\n", "index repeats"),
        ("a,b,sha256\n1,2,abc\n", "64 hexadecimal digits"),
        ("index,sha256,a,b\n", "expected one"),
        ("a\n1\n", "each class has one"),
        ("a,b\n1,inf\n", "inf for image 0"),
    ] {
        let found = refused(lines);
        assert!(found.contains(words) && found.contains("answers.csv"), "{found} without {words}");
    }
}

#[test]
fn what_is_recorded_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let set = images(4);
    let names = ["a, b", "c", "d\u{e9}"].map(str::to_owned);
    for (scale, file) in [Scale::Logits, Scale::Probabilities]
        .into_iter()
        .flat_map(|s| ["x.csv", "x.NPZ", "x.parquet"].map(|f| (s, f)))
    {
        let path = folder.path().join(file);
        let mut rows = scores(4);
        if scale == Scale::Logits {
            rows[0] = -1.5;
        }
        let answers = Answers { scale, classes: 3, rows };
        record(&path, Recording::of(&path).unwrap(), &set, &names, &answers).unwrap();
        let victim = Recorded::open(&path).unwrap();
        let found = victim.ask(&Request::unchanged(&set)).unwrap();
        assert_eq!((found.scale, found.rows), (scale, answers.rows), "{file}");
        assert_eq!(victim.names(), names, "{file}");
    }
    let answers = Answers { scale: Scale::Logits, classes: 3, rows: scores(4) };
    assert!(record(Path::new("/no/such/folder/x.csv"), Recording::Csv, &set, &names, &answers).is_err());
    assert_eq!(Recording::of(Path::new("answers.json")), None);
}

#[test]
fn parquet_is_read_and_damage_is_told() {
    use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
    use parquet::file::writer::SerializedFileWriter;
    let folder = tempfile::tempdir().unwrap();
    let (set, path) = (images(3), folder.path().join("answers.parquet"));
    let schema = "message answers { REQUIRED BYTE_ARRAY sha256; REQUIRED FLOAT cat; REQUIRED FLOAT owl; }";
    let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(&path).unwrap(), schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let hashes: Vec<ByteArray> = (0..3).map(|i| content_hash(set.image(i)).to_vec().into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&hashes, None, None).unwrap();
    column.close().unwrap();
    for scores in [[0.25f32, 0.5, 0.75], [0.75, 0.5, 0.25]] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<FloatType>().write_batch(&scores, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let victim = Recorded::open(&path).unwrap();
    assert_eq!(victim.ask(&Request::unchanged(&set.subset(&[2, 0]))).unwrap().rows, [0.75, 0.25, 0.25, 0.75]);
    assert_eq!(victim.names(), ["cat", "owl"]);
    // Cut or changed anywhere it is refused or whole.
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        std::fs::write(&path, &bytes[..at]).unwrap();
        assert!(Recorded::open(&path).is_err(), "{at}");
        let mut changed = bytes.clone();
        changed[at] ^= 0x81;
        std::fs::write(&path, &changed).unwrap();
        let _ = Recorded::open(&path);
    }
}
