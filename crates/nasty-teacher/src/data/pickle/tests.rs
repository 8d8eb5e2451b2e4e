use proptest::prelude::*;

use super::*;

#[path = "batches.rs"]
mod batches;

/// As Python 2's cPickle wrote CIFAR's batches.
const PYTHON2: &[u8] = b"\x80\x02}q\x00(U\x0bbatch_labelq\x01U\rtesting batchq\x02U\x06labelsq\x03]q\x04(K\x03K\x01K\x00eU\x04dataq\x05cnumpy.core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85q\x08U\x01bq\t\x87q\nRq\x0b(K\x01K\x03K\x04\x86q\x0ccnumpy\ndtype\nq\rU\x02u1q\x0e\x89\x88\x87q\x0fRq\x10(K\x03U\x01|q\x11NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x12b\x89U\x0c\xfa\xfb\xfc\xfd\xfe\xff\x00\x01\x02\x03\x04\x05q\x13tq\x14bU\tfilenamesq\x15]q\x16(U\x05a.pngq\x17U\x05b.pngq\x18U\x05c.pngq\x19eu.";
/// `pickle.dumps({"data": …, "labels": …}, protocol=2)` of Python 3 and numpy 2, the array in Fortran order.
const PYTHON3_FORTRAN: &[u8] = b"\x80\x02}q\x00(X\x04\x00\x00\x00dataq\x01cnumpy._core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04c_codecs\nencode\nq\x05X\x01\x00\x00\x00bq\x06X\x06\x00\x00\x00latin1q\x07\x86q\x08Rq\t\x87q\nRq\x0b(K\x01K\x03K\x04\x86q\x0ccnumpy\ndtype\nq\rX\x02\x00\x00\x00u1q\x0e\x89\x88\x87q\x0fRq\x10(K\x03X\x01\x00\x00\x00|q\x11NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x12b\x88h\x05X\x12\x00\x00\x00\xc3\xba\xc3\xbe\x02\xc3\xbb\xc3\xbf\x03\xc3\xbc\x00\x04\xc3\xbd\x01\x05q\x13h\x07\x86q\x14Rq\x15tq\x16bX\x06\x00\x00\x00labelsq\x17]q\x18(K\x03K\x01K\x00eu.";
/// The same with `protocol=3`, in C order.
const PYTHON3: &[u8] = b"\x80\x03}q\x00(X\x04\x00\x00\x00dataq\x01cnumpy._core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04C\x01bq\x05\x87q\x06Rq\x07(K\x01K\x03K\x04\x86q\x08cnumpy\ndtype\nq\tX\x02\x00\x00\x00u1q\n\x89\x88\x87q\x0bRq\x0c(K\x03X\x01\x00\x00\x00|q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89C\x0c\xfa\xfb\xfc\xfd\xfe\xff\x00\x01\x02\x03\x04\x05q\x0ftq\x10bX\x06\x00\x00\x00labelsq\x11]q\x12(K\x03K\x01K\x00eu.";

/// A batch as Python 2 wrote it; `labels` under each of `keys`.
pub(in crate::data) fn python2_batch(keys: &[&str], labels: &[u8], row: usize, data: &[u8]) -> Vec<u8> {
    let mut out = b"\x80\x02}(".to_vec();
    for key in keys {
        out.extend([b'U', key.len() as u8]);
        out.extend(key.bytes().chain(*b"]("));
        out.extend(labels.iter().flat_map(|&label| [b'K', label]));
        out.push(b'e');
    }
    let word = |n: usize| (n as u32).to_le_bytes();
    out.extend(
        b"U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01J",
    );
    out.extend(word(labels.len()).into_iter().chain(*b"J").chain(word(row)));
    out.extend(b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    out.extend(word(data.len()).into_iter().chain(data.iter().copied()).chain(*b"tbu."));
    out
}

fn read3(bytes: &[u8]) -> Result<PickledBatch, String> {
    read("data_batch_1", bytes, "labels", 3, 4).map_err(|error| error.to_string())
}

fn replaced(from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = PYTHON2.windows(from.len()).position(|window| window == from).expect("it is there");
    [&PYTHON2[..at], to, &PYTHON2[at + from.len()..]].concat()
}

#[test]
fn reads_what_python_2_and_3_write() {
    let data = [250, 251, 252, 253, 254, 255, 0, 1, 2, 3, 4, 5];
    let written = python2_batch(&["coarse", "labels"], &[3, 1, 0], 4, &data);
    for bytes in [PYTHON2, PYTHON3_FORTRAN, PYTHON3, &written] {
        let batch = read3(bytes).unwrap();
        assert_eq!(batch.labels, [3, 1, 0]);
        assert_eq!(*batch.data, data);
    }
}

#[test]
fn every_protocol_and_kind_of_label_gives_the_same_batch() {
    let expected = read3(PYTHON2).unwrap();
    for (what, bytes) in batches::BATCHES {
        assert_eq!(read3(bytes).expect(what), expected, "{what}");
        for length in 0..bytes.len() {
            assert!(read3(&bytes[..length]).is_err(), "{what}, cut at {length}");
        }
    }
}

#[test]
fn a_remembered_text_encoded_again_and_again_takes_no_memory() {
    // 1 MiB of text, and a million calls of `_codecs.encode` on it: a terabyte if each were carried out.
    let text = [b"X\x00\x00\x10\x00".to_vec(), vec![b'a'; 1 << 20], b"q\x00".to_vec()].concat();
    let call = b"h\x01h\x00h\x02\x86R0";
    let mut bytes = b"\x80\x02".to_vec();
    bytes.extend(&text);
    bytes.extend(b"0c_codecs\nencode\nq\x010X\x06\x00\x00\x00latin1q\x020");
    bytes.extend(call.repeat(1_000_000));
    bytes.extend(b"}.");
    let pickled = parse(&bytes, usize::MAX).expect("a pickle");
    assert!(pickled.objects.iter().all(|object| !matches!(object, Object::Text(_))), "nothing is encoded");
    let error = read("data_batch_1", &bytes, "labels", 200_000, 4).unwrap_err().to_string();
    assert!(error.contains("no `labels`"), "{error}");
    let error = read3(&bytes).unwrap_err();
    assert!(error.contains("more than 4192 opcodes"), "{error}");
}

#[test]
fn planes_may_be_axes_of_their_own() {
    let plain = python2_batch(&["labels"], &[1], 3072, &[7; 3072]);
    let at = plain.windows(3).position(|w| w == b"\x87R(").expect("the array's state") + 3;
    let end = at + plain[at..].iter().position(|&b| b == 0x86).expect("the shape") + 1;
    let four = [&plain[..at], b"K\x01(K\x01K\x03K K t", &plain[end..]].concat();
    let batch = |bytes: &[u8]| read("data_batch_1", bytes, "labels", 1, 3072).expect("a batch");
    assert_eq!(batch(&four), batch(&plain));
    let rows = [&plain[..at], b"K\x01(K\x01K K K\x03t", &plain[end..]].concat();
    let error = read("data_batch_1", &rows, "labels", 1, 3072).expect_err("another order").to_string();
    assert!(error.contains("[1, 32, 32, 3]"), "{error}");
}

#[test]
fn refuses_to_call_anything() {
    for hostile in [
        b"\x80\x02cposix\nsystem\nU\x07touch xx\x85R.".to_vec(),
        replaced(b"cnumpy\nndarray\n", b"cos\nsystem\n"),
        replaced(b"cnumpy\ndtype\n", b"cbuiltins\neval\n"),
    ] {
        assert!(read3(&hostile).is_err());
    }
    let error = read3(&replaced(b"cnumpy.core.multiarray\n_reconstruct\n", b"cos\nsystem\n")).unwrap_err();
    assert!(error.contains("`data` that is os.system") && error.contains("nothing was executed"), "{error}");
}

#[test]
fn says_what_is_wrong() {
    let says = |bytes: &[u8], part: &str| {
        let error = read3(bytes).unwrap_err();
        assert!(
            error.starts_with("data_batch_1: expected a pickled dict with 3 `labels` and 3×4 bytes"),
            "{error}"
        );
        assert!(error.contains(part), "{error} without {part}");
    };
    says(b"", "no pickle");
    says(b"<html>", "no pickle");
    says(b"\x80\x06\x95", "protocol 6");
    says(&PYTHON2[..PYTHON2.len() - 1], "its end too early");
    says(&PYTHON2[..60], "its end too early");
    says(&PYTHON2[..90], "its end too early");
    says(&replaced(b"U\x06labels", b"U\x06lapels"), "no `labels`");
    says(&replaced(b"K\x03K\x01K\x00e", b"K\x03K\x01e"), "2 `labels`");
    says(&replaced(b"K\x03K\x01K\x00e", b"K\x03NK\x00e"), "no integers");
    says(&replaced(b"K\x03K\x04\x86", b"K\x04K\x03\x86"), "`data` of shape [4, 3]");
    says(&replaced(b"U\x02u1", b"U\x02i1"), "other numbers than bytes");
    says(&replaced(b"U\x02u1", b"U\x02f8"), "12 bytes for an array of shape [3, 4]");
    says(&replaced(b"U\x02u1", b"U\x02O8"), "other things than numbers");
    says(&replaced(b"U\x0c\xfa\xfb", b"U\x0a"), "10 bytes for an array of shape [3, 4]");
    says(b"\x80\x02].", "no dict");
    says(b"\x80\x02.", "an empty stack");
    says(b"\x80\x02X\xff\xff\xff\xff", "its end too early");
    says(&[b"\x80\x02".as_slice(), &[b'N'; 10_000]].concat(), "more than 4192 opcodes");
}

proptest! {
    #[test]
    fn no_damage_makes_it_panic(places in proptest::collection::vec((0..PYTHON2.len(), any::<u8>()), 1..6)) {
        let mut bytes = PYTHON2.to_vec();
        for (at, byte) in places {
            bytes[at] = byte;
        }
        let _ = read3(&bytes);
    }

    #[test]
    fn no_garbage_makes_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        bytes.splice(0..0, *b"\x80\x02");
        let _ = read3(&bytes);
    }
}
