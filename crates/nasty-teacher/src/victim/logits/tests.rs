use super::*;
use crate::numerics::Numerics;

const CLASSES: usize = 3;

fn key(network: &str) -> TableKey {
    let augmentation = Augmentation { flip: true, ..Augmentation::none() };
    let numerics = Numerics { version: 1, device: "flex".into(), instruction_set: "avx2".into() };
    TableKey {
        weights: network.into(),
        numerics,
        data: "d".into(),
        augmentation,
        images: 100,
        classes: CLASSES,
    }
}

fn row((image, view): (usize, usize)) -> [f32; CLASSES] {
    [image as f32, view as f32, (image * 2 + view) as f32 / 7.0]
}

/// Asks for `items` as a frozen network does; how many had to be computed.
fn ask(table: &LogitTable, items: &[(usize, usize)]) -> usize {
    let mut out = vec![0.0; items.len() * CLASSES];
    let unknown = table.look_up(items, &mut out);
    let wanted: Vec<_> = unknown.iter().map(|&i| items[i]).collect();
    let fresh: Vec<f32> = wanted.iter().flat_map(|&item| row(item)).collect();
    for (&at, row) in unknown.iter().zip(fresh.chunks_exact(CLASSES)) {
        out[at * CLASSES..][..CLASSES].copy_from_slice(row);
    }
    table.insert(&wanted, &fresh);
    let expected: Vec<f32> = items.iter().flat_map(|&item| row(item)).collect();
    assert_eq!(out, expected);
    unknown.len()
}

fn items(images: std::ops::Range<usize>) -> Vec<(usize, usize)> {
    images.flat_map(|i| [(i, 0), (i, 1)]).collect()
}

#[test]
fn rows_are_computed_once_and_shared_with_later_processes() {
    let folder = tempfile::tempdir().unwrap();
    let tables = LogitTables::new(Some(folder.path().into()), 1 << 20, 1 << 20);
    let table = tables.table(&key("a")).unwrap();
    assert_eq!(ask(&table, &items(0..30)), 60);
    assert_eq!(ask(&table, &items(20..40)), 20);
    assert!(Arc::ptr_eq(&table, &tables.table(&key("a")).unwrap()));
    assert_eq!(ask(&tables.table(&key("b")).unwrap(), &items(0..1)), 2, "other weights");
    for numerics in [
        Numerics { device: "vulkan".into(), instruction_set: String::new(), ..key("a").numerics },
        Numerics { instruction_set: "avx512".into(), ..key("a").numerics },
        Numerics { version: 2, ..key("a").numerics },
    ] {
        let other = TableKey { numerics, ..key("a") };
        assert_eq!(ask(&tables.table(&other).unwrap(), &items(0..1)), 2, "{other:?}");
    }
    drop((table, tables));

    let later = LogitTables::new(Some(folder.path().into()), 1 << 20, 1 << 20);
    assert_eq!(ask(&later.table(&key("a")).unwrap(), &items(0..50)), 20);
}

#[test]
fn past_the_memory_budget_rows_are_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    // The index of 200 slots takes 800 bytes; a row 16.
    for files in [Some(folder.path().to_owned()), None] {
        let kept = files.is_some();
        let tables = LogitTables::new(files, 1_600, 1 << 20);
        let table = tables.table(&key("a")).unwrap();
        for start in [0, 10, 20, 30, 40] {
            ask(&table, &items(start..start + 10));
        }
        assert!(tables.budget.used.load(Ordering::Relaxed) <= 1_600);
        let again = ask(&table, &items(0..50));
        assert!(if kept { again < 20 } else { again >= 50 }, "{again} of 100 computed again");
    }
    assert!(LogitTables::new(None, 100, 0).table(&key("a")).is_none(), "not even the index fits");
}

#[test]
fn files_stay_within_their_budget_and_damaged_ones_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let open = |files| LogitTables::new(Some(folder.path().into()), 1 << 20, files);
    for network in ["a", "b", "c", "d"] {
        ask(&open(2_000).table(&key(network)).unwrap(), &items(0..40));
        assert!(file_bytes(folder.path()) <= 2_000 && file_bytes(folder.path()) > 0);
    }
    let path = segment::files(&folder.path().join(key("d").name())).remove(0);
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 64;
    for damaged in [&whole[..whole.len() - 5], &whole[..10], b"", &flipped, &changed] {
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(
            ask(
                &LogitTables::new(Some(folder.path().into()), 1 << 20, 0).table(&key("d")).unwrap(),
                &items(0..40)
            ),
            80
        );
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(ask(&open(2_000).table(&key("d")).unwrap(), &items(0..40)), 0);
}
