use proptest::prelude::*;

use super::*;

fn root(bytes: &[u8]) -> Pickled<'_> {
    parse(bytes, 10_000).expect("a pickle")
}

#[test]
fn numbers_and_strings_of_every_protocol() {
    for (bytes, value) in [
        (&b"I-12\n."[..], Value::Int(-12)),
        (b"I01\n.", Value::Bool(true)),
        (b"L-5L\n.", Value::Int(-5)),
        (b"F-0.25\n.", Value::Float(-0.25)),
        (b"\x80\x02K\xff.", Value::Int(255)),
        (b"\x80\x02J\xfe\xff\xff\xff.", Value::Int(-2)),
        (b"\x80\x02\x8a\x02\x00\xff.", Value::Int(-256)),
        (b"\x80\x02\x8a\x00.", Value::Int(0)),
        (b"\x80\x02G\xbf\xd0\x00\x00\x00\x00\x00\x00.", Value::Float(-0.25)),
        (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00N.", Value::None),
    ] {
        assert_eq!(root(bytes).root, value, "{bytes:?}");
    }
    for (bytes, text) in [
        (
            &br"S'it\'s \x41\101\n'
."[..],
            "it's AA\n",
        ),
        (b"S\"a\"\np0\n0g0\n.", "a"),
        (b"V\xe9\\u20ac\\U0001F600\n.", "é€😀"),
        (b"\x80\x02X\x01\x00\x00\x00a.", "a"),
        (b"\x80\x04\x8c\x01a\x94.", "a"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00latin1\x86R.", "a"),
    ] {
        let pickled = root(bytes);
        assert_eq!(pickled.text(pickled.root).as_deref(), Some(text), "{bytes:?}");
    }
    let long = root(b"L123456789012345678901234567890L\n.");
    assert!(matches!(long.object(long.root), Some(Object::Long)));
}

#[test]
fn calls_are_recorded_and_never_made() {
    // Each way to call: REDUCE, NEWOBJ, NEWOBJ_EX, OBJ, INST.
    for bytes in [
        &b"\x80\x02cos\nsystem\nU\x02ls\x85R."[..],
        b"\x80\x02cos\nsystem\nU\x02ls\x85\x81.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85}\x92.",
        b"(cos\nsystem\nS'ls'\no.",
        b"(S'ls'\nios\nsystem\n.",
    ] {
        let pickled = root(bytes);
        let (function, arguments) = pickled.call(pickled.root).expect("a call");
        assert_eq!((function, arguments.is_empty()), ("os.system", false), "{bytes:?}");
    }
    // What is done to the object that a call would make is kept with the call: state, items, entries.
    let built = root(b"\x80\x02cm\nC\n)\x81}X\x01\x00\x00\x00aK\x01sb(K\x02eX\x01\x00\x00\x00bK\x03s.");
    let Some(Object::Call(call)) = built.object(built.root) else { panic!("{:?}", built.root) };
    assert!(built.entries(call.state.expect("a state")).is_some_and(|state| state[0].1 == Value::Int(1)));
    assert_eq!((call.items.as_slice(), call.entries[0].1), (&[Value::Int(2)][..], Value::Int(3)));
}

#[test]
fn what_is_no_pickle_is_told() {
    for (bytes, found) in [
        (&b""[..], "no pickle"),
        (b"hello", "no pickle"),
        (b"\x80\x09", "protocol 9"),
        (b"\x80\x02.", "an empty stack"),
        (b"\x80\x02(N.", ""),
        (b"\x80\x02N(.", "an empty stack"),
        (b"\x80\x02h\x00.", "a reference to nothing"),
        (b"\x80\x02t.", "no mark"),
        (b"\x80\x02}N.", ""),
        (b"\x80\x02]NNs.", "a key without a dict"),
        (b"\x80\x02NNR.", "no tuple"),
        (b"\x80\x02X\xff\xff\xff\xff", "its end too early"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "its end too early"),
        (b"\x80\x02\xff", "the opcode 0xff"),
    ] {
        match parse(bytes, 100) {
            Err(error) => assert!(error.contains(found), "{bytes:?}: {error}"),
            Ok(_) => assert_eq!(found, "", "{bytes:?}"),
        }
    }
    assert!(parse(&[b'N'; 200], 100).expect_err("too long").contains("more than 100"));
}

#[test]
fn names_cannot_be_multiplied_by_the_memo() {
    let mut bytes = b"\x80\x04B\x00\x00\x01\x00".to_vec();
    bytes.extend([b'a'; 1 << 16]);
    bytes.extend(b"\x94");
    bytes.extend(b"h\x00h\x00\x930".repeat(100_000));
    bytes.extend(b".");
    assert!(parse(&bytes, usize::MAX).expect_err("gigabytes of names").contains("names far longer"));
}

proptest! {
    #[test]
    fn no_garbage_makes_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), protocol in 0u8..6) {
        let _ = parse(&bytes, 1_000);
        bytes.splice(0..0, [0x80, protocol]);
        if let Ok(pickled) = parse(&bytes, 1_000) {
            for number in 0..pickled.objects.len() {
                let value = Value::Object(number);
                let _ = (pickled.bytes(value), pickled.array(value).map(|a| a.map(|a| a.floats())), pickled.integer(value));
            }
        }
    }

    /// Opcodes alone, so that deep structures arise.
    #[test]
    fn no_series_of_opcodes_makes_it_panic(picks in proptest::collection::vec(0usize..30, 0..200)) {
        const PARTS: [&[u8]; 30] = [
            b"(", b"N", b"0", b"1", b"2", b"}", b"]", b")", b"\x8f", b"t", b"l", b"d", b"\x91", b"\x85", b"\x87", b"a",
            b"e", b"\x90", b"s", b"u", b"q\x00", b"h\x00", b"\x94", b"cnumpy\ndtype\n", b"R", b"\x81", b"\x92", b"o", b"b", b"Q",
        ];
        let bytes: Vec<u8> = picks.iter().flat_map(|&pick| PARTS[pick]).copied().chain(*b".").collect();
        let _ = parse(&bytes, 1_000);
    }
}
