use proptest::prelude::*;

use super::*;

fn plain(folder: &Path) -> Vec<(String, u64, f32)> {
    EventWriter::read(folder)
        .unwrap()
        .into_iter()
        .map(|scalar| (scalar.tag, scalar.step, scalar.value))
        .collect()
}

fn losses(steps: impl Iterator<Item = u64>) -> Vec<(String, u64, f32)> {
    steps.map(|step| ("train/loss".to_owned(), step, 1.0 / step as f32)).collect()
}

fn write(writer: &mut EventWriter, steps: std::ops::RangeInclusive<u64>) {
    for step in steps {
        writer.scalars(step, &[("train/loss", 1.0 / step as f32)]).unwrap();
    }
    writer.flush().unwrap();
}

#[test]
fn crc32c_test_vectors() {
    // RFC 3720, appendix B.4.
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
    assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46DD_794E);
}

#[test]
fn events_are_encoded_as_protobuf_says() {
    // Field 1 as fixed64, field 2 as varint 300, field 5 of 17 bytes: a value of 15 with tag "test/a" and 0.5.
    let bytes = proto::scalars(1.0, 300, &[("test/a", 0.5)]);
    let expected = b"\x09\0\0\0\0\0\0\xF0\x3F\x10\xAC\x02\x2A\x0F\x0A\x0D\x0A\x06test/a\x15\0\0\0\x3F";
    assert_eq!(bytes, expected);
}

#[test]
fn what_was_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    writer.scalars(0, &[("train/loss", 2.3), ("train/accuracy", f32::INFINITY)]).unwrap();
    writer.scalars(u64::from(u32::MAX) + 1, &[("ω", -0.0)]).unwrap();
    writer.flush().unwrap();
    let scalars = EventWriter::read(folder.path()).unwrap();
    assert_eq!(
        plain(folder.path()),
        [
            ("train/loss".to_owned(), 0, 2.3),
            ("train/accuracy".to_owned(), 0, f32::INFINITY),
            ("ω".to_owned(), 1 << 32, -0.0)
        ]
    );
    assert!((scalars[0].wall_time - now()).abs() < 60.0);
}

#[test]
fn resuming_leaves_what_an_uninterrupted_run_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    write(&mut writer, 1..=10);
    drop(writer);
    let mut writer = EventWriter::open(folder.path(), 6).unwrap();
    assert_eq!(plain(folder.path()), losses(1..=6));
    write(&mut writer, 7..=12);
    assert_eq!(plain(folder.path()), losses(1..=12));
}

#[test]
fn a_file_torn_anywhere_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = EventWriter::create(folder.path()).unwrap();
    write(&mut writer, 1..=3);
    let path = folder.path().join(NAME);
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut writer = EventWriter::open(folder.path(), 100).unwrap();
        let kept = plain(folder.path());
        assert_eq!(kept, losses(1..=kept.len() as u64), "cut at {length}");
        write(&mut writer, 4..=4);
        assert_eq!(plain(folder.path()).last(), losses(4..=4).last(), "cut at {length}");
    }
}

#[test]
fn a_damaged_record_ends_the_file() {
    let folder = tempfile::tempdir().unwrap();
    write(&mut EventWriter::create(folder.path()).unwrap(), 1..=3);
    let path = folder.path().join(NAME);
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 6;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(plain(folder.path()), losses(1..=2));
}

#[test]
fn other_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let garbage = vec![7; 1000];
    std::fs::write(&path, &garbage).unwrap();
    assert!(matches!(EventWriter::open(folder.path(), 0), Err(EventError::Events { .. })));
    assert!(matches!(EventWriter::read(folder.path()), Err(EventError::Events { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
}

proptest! {
    #[test]
    fn any_bytes_parse_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = proto::parse(&bytes);
    }

    #[test]
    fn scalars_come_back(step: u64, wall_time: f64, values in proptest::collection::vec((".*", any::<f32>()), 0..5)) {
        let borrowed: Vec<_> = values.iter().map(|(tag, value)| (tag.as_str(), *value)).collect();
        let event = proto::parse(&proto::scalars(wall_time, step, &borrowed)).unwrap();
        prop_assert_eq!(event.step, step);
        prop_assert_eq!(event.wall_time.to_bits(), wall_time.to_bits());
        prop_assert_eq!(event.values.len(), values.len());
        for (read, written) in event.values.iter().zip(&values) {
            prop_assert_eq!(&read.0, &written.0);
            prop_assert_eq!(read.1.to_bits(), written.1.to_bits());
        }
    }
}
