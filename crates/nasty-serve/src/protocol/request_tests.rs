use super::*;
use crate::about::Output;
use proptest::prelude::*;
use serde_json::{Value, json};

fn about(input: Input) -> About {
    About {
        name: "m".into(),
        image: [1, 2, 2],
        labels: vec!["cat".into(), "dog".into(), "fox".into()],
        input,
        output: Output::Logits,
        normalisation: None,
        defence: "none".into(),
        reveals: "logits".into(),
    }
}

const MOST: usize = 4;

fn read(body: &[u8], json_length: Option<usize>) -> Result<Inference, Refusal> {
    parse(body, json_length, &about(Input::Normalised), MOST)
}

fn request(change: impl FnOnce(&mut Value)) -> Value {
    let mut request = json!({
        "id": "7",
        "inputs": [{ "name": "input", "datatype": "FP32", "shape": [2, 1, 2, 2], "data": [0, 1, 2, 3, 4, 5.5, -6, 7e0] }],
    });
    change(&mut request);
    request
}

fn of_json(request: &Value) -> Result<Inference, Refusal> {
    read(request.to_string().as_bytes(), None)
}

/// A request with binary data, and the length of its JSON.
fn binary(size: u64, numbers: &[f32]) -> (Vec<u8>, usize) {
    let json = request(|r| {
        let input = r["inputs"][0].as_object_mut().expect("an input");
        input.remove("data");
        input.insert("parameters".into(), json!({ "binary_data_size": size }));
        r["parameters"] = json!({ "binary_data_output": true });
    });
    let mut body = json.to_string().into_bytes();
    let length = body.len();
    body.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    (body, length)
}

const NUMBERS: [f32; 8] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.5, -6.0, 7.0];

#[test]
fn all_ways_of_writing_a_request_mean_the_same() {
    let flat = of_json(&request(|_| {})).expect("flat");
    let expected =
        Inference { id: Some("7".into()), images: NUMBERS.to_vec(), count: 2, wanted: Wanted::default() };
    assert_eq!(flat, expected);
    let nested = request(|r| r["inputs"][0]["data"] = json!([[[[0, 1], [2, 3]]], [[[4, 5.5], [-6, 7]]]]));
    assert_eq!(of_json(&nested), Ok(expected.clone()));
    let (body, length) = binary(32, &NUMBERS);
    let found = read(&body, Some(length)).expect("binary");
    assert_eq!(found, Inference { wanted: Wanted { binary: true, classes: None }, ..expected.clone() });
    let nulls = request(|r| {
        r["outputs"] = Value::Null;
        r["parameters"] = Value::Null;
        r["inputs"][0]["parameters"] = Value::Null;
        r["unheard_of"] = json!([{}, 1]);
    });
    assert_eq!(of_json(&nulls), Ok(expected.clone()));
    // JSON in front, with nothing behind it.
    let text = request(|_| {}).to_string();
    assert_eq!(read(text.as_bytes(), Some(text.len())), Ok(expected));
    let raw: Vec<u8> = NUMBERS[..4].iter().flat_map(|number| number.to_le_bytes()).collect();
    let found = read(&raw, Some(0)).expect("raw");
    assert_eq!((found.images, found.count), (NUMBERS[..4].to_vec(), 1));
}

#[test]
fn outputs_are_wanted_as_the_request_says() {
    let wanted = |parameters: Value, outputs: Value| {
        let request = request(|r| {
            r["parameters"] = parameters;
            r["outputs"] = outputs;
        });
        of_json(&request).map(|found| found.wanted)
    };
    let logits = |parameters: Value| json!([{ "name": "logits", "parameters": parameters }]);
    assert_eq!(
        wanted(json!({}), logits(json!({ "binary_data": true }))),
        Ok(Wanted { binary: true, classes: None })
    );
    let not = wanted(json!({ "binary_data_output": true }), logits(json!({ "binary_data": false })));
    assert_eq!(not, Ok(Wanted::default()));
    let three = Ok(Wanted { binary: false, classes: Some(3) });
    assert_eq!(wanted(json!({}), logits(json!({ "classification": 9 }))), three);
    assert_eq!(wanted(json!({ "classification": 3 }), json!([])), three);
    let message = wanted(json!({}), json!([{ "name": "probabilities" }])).expect_err("unknown").message;
    assert_eq!(message, "outputs: expected `logits`, the one output of m; found `probabilities`");
    assert!(wanted(json!({}), json!([{ "name": "logits" }, { "name": "logits" }])).is_err());
}

#[test]
fn each_fault_is_one_clear_refusal() {
    let input = |change: fn(&mut Value)| of_json(&request(|r| change(&mut r["inputs"][0])));
    for (found, status, needle) in [
        (input(|i| i["name"] = json!("x".repeat(100))), 400, "found `xxxx"),
        (input(|i| i["datatype"] = json!("FP64")), 400, "expected datatype FP32, found `FP64`"),
        (
            input(|i| i["shape"] = json!([2, 2, 2, 1])),
            400,
            "expected shape [-1, 1, 2, 2], found [2, 2, 2, 1]",
        ),
        (input(|i| i["shape"] = json!([8])), 400, "expected shape"),
        (input(|i| i["shape"] = json!([i64::MAX, 1, 2, 2])), 413, "at most 4"),
        (input(|i| i["shape"] = json!([5, 1, 2, 2])), 413, "5 images in one request, at most 4"),
        (input(|i| i["shape"] = json!([-1, 1, 2, 2])), 400, "at least one image"),
        (input(|i| i["shape"] = json!([0, 1, 2, 2])), 400, "at least one image"),
        (input(|i| i["shape"] = json!([1.5, 1, 2, 2])), 400, "not JSON of the inference protocol"),
        (input(|i| i["data"] = json!([1, 2])), 400, "expected 8 numbers for shape [2, 1, 2, 2], found 2"),
        (input(|i| i["data"] = json!([[[0, 1, 2, 3], [4, 5, 6, 7]]])), 400, "nested as [1, 2, 4]"),
        (input(|i| i["data"] = json!(["a"])), 400, "numbers, flat or in nested lists"),
        (input(|i| i["data"][3] = json!(1e39)), 400, "number 3 is inf"),
        (input(|i| drop(i.as_object_mut().expect("an input").remove("data"))), 400, "expected data"),
        (
            input(|i| i["parameters"] = json!({ "binary_data_size": 32 })),
            400,
            "both data and binary_data_size",
        ),
        (of_json(&request(|r| r["inputs"] = json!([]))), 400, "found 0"),
        (of_json(&request(|r| r["id"] = json!("x".repeat(2000)))), 400, "id: expected at most 1024"),
        (of_json(&json!({ "instances": [] })), 400, "inputs"),
        (of_json(&json!(3)), 400, "not JSON of the inference protocol"),
        (read(b"", None), 400, "not JSON"),
        (read(b"{}", Some(3)), 400, "the body has 2 bytes"),
        (read(&[0; 15], Some(0)), 400, "expected 16 bytes"),
    ] {
        let refusal = found.expect_err(needle);
        assert_eq!(refusal.status, status, "{refusal}");
        assert!(
            refusal.message.contains(needle) && refusal.message.len() < 300,
            "{refusal}\nwithout `{needle}`"
        );
    }
    for (size, numbers, needle) in [
        (32, &NUMBERS[..7], "binary_data_size is 32, but 28 bytes follow"),
        (28, &NUMBERS[..7], "expected 32 bytes for 8 numbers of FP32, found 28"),
        (u64::MAX, &NUMBERS[..], "but 32 bytes follow"),
        (32, &[f32::NAN; 8], "number 0 is NaN"),
        (32, &[-2e6; 8], "number 0 is -2000000, expected numbers of a normalised image, at most 1000000"),
    ] {
        let (body, length) = binary(size, numbers);
        let refusal = read(&body, Some(length)).expect_err(needle);
        assert!(refusal.status == 400 && refusal.message.contains(needle), "{refusal}");
        assert!(read(&body, None).is_err(), "the JSON ends before the body does");
    }
    let json = request(|_| {}).to_string() + "more";
    let refusal = read(json.as_bytes(), Some(json.len() - 4)).expect_err("more");
    assert!(refusal.message.contains("4 bytes follow the JSON"), "{refusal}");
}

#[test]
fn pixels_become_levels() {
    let read = |datatype: &str, data: Value| {
        let request = request(|r| {
            r["inputs"][0]["datatype"] = datatype.into();
            r["inputs"][0]["shape"] = json!([1, 1, 2, 2]);
            r["inputs"][0]["data"] = data;
        });
        parse(request.to_string().as_bytes(), None, &about(Input::Pixels), MOST).map(|found| found.images)
    };
    let levels = Ok(vec![0.0, 1.0, 128.0, 255.0]);
    assert_eq!(read("UINT8", json!([0, 1, 128, 255])), levels);
    assert_eq!(read("UINT8", json!([0.0, 1.0, 128.0, 2.55e2])), levels);
    assert_eq!(read("FP32", json!([0.0, 1.0 / 255.0, 0.501, 1])), levels);
    for (datatype, data) in [
        ("UINT8", json!([0, 1, 2, 256])),
        ("UINT8", json!([0, 1, 2, -1])),
        ("UINT8", json!([0, 1, 2, 2.5])),
        ("FP32", json!([0, 1, 2, 0.5])),
        ("FP32", json!([0, 1, -0.1, 0.5])),
        ("INT64", json!([0, 1, 2, 3])),
    ] {
        assert!(read(datatype, data.clone()).is_err(), "{datatype} {data}");
    }
    let mut body = br#"{"inputs":[{"name":"input","datatype":"UINT8","shape":[1,1,2,2],"parameters":{"binary_data_size":4}}]}"#.to_vec();
    let length = body.len();
    body.extend([0, 1, 128, 255]);
    let found = parse(&body, Some(length), &about(Input::Pixels), MOST).map(|found| found.images);
    assert_eq!(found, levels);
}

#[test]
fn every_cut_is_refused() {
    let text = request(|_| {}).to_string();
    for cut in 0..text.len() {
        assert_eq!(read(&text.as_bytes()[..cut], None).expect_err("cut").status, 400);
    }
    let (body, length) = binary(32, &NUMBERS);
    for cut in 0..body.len() {
        assert_eq!(read(&body[..cut], Some(length)).expect_err("cut").status, 400);
    }
}

#[test]
fn small_bodies_do_not_become_many_objects() {
    for (begin, item, end) in [
        ("{\"inputs\":[", "{\"name\":\"\",\"datatype\":\"\",\"shape\":[]}", "]}"),
        ("{\"inputs\":[],\"outputs\":[", "{\"name\":\"\"}", "]}"),
        ("{\"inputs\":[{\"name\":\"\",\"datatype\":\"\",\"shape\":[", "1", "]}]}"),
    ] {
        let body = format!("{begin}{}{end}", vec![item; 100_000].join(","));
        let refusal = read(body.as_bytes(), None).expect_err("too many");
        assert!(refusal.message.contains("a list of at most 16 items"), "{refusal}");
    }
    // A parser's message repeats what it did not expect; here each byte is written as six.
    let long = format!("{{\"inputs\":\"{}\"}}", "\u{7f}".repeat(4000));
    assert!(read(long.as_bytes(), None).expect_err("a string").message.len() < 600);
    let wide = format!("[{}1]", "1,".repeat(1 << 20));
    let about = about(Input::Normalised);
    assert_eq!(memory_for(wide.as_bytes(), None, &about), Ok(12 * ((1 << 20) + 1)));
    assert_eq!(memory_for(wide.as_bytes(), Some(0), &about), Ok(12 + wide.len()));
    assert!(memory_for(b"[1]\0\0\0\0", Some(usize::MAX), &about).is_ok());
    let deep = format!("{{\"parameters\":{{\"x\":{}", "[".repeat(1_000_000));
    assert_eq!(read(deep.as_bytes(), None).expect_err("deep").status, 400);
}

proptest! {
    #[test]
    fn noise_is_refused(body in prop::collection::vec(any::<u8>(), 0..200), length in prop::option::of(0usize..250)) {
        match read(&body, length) {
            Ok(found) => prop_assert!(length == Some(0) && found.count == 1),
            Err(refusal) => prop_assert!((400..500).contains(&refusal.status) && !refusal.message.is_empty()),
        }
    }

    #[test]
    fn damage_never_panics_and_what_is_read_is_whole(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), in_binary: bool,
    ) {
        let (mut body, length) = if in_binary {
            let (body, length) = binary(32, &NUMBERS);
            (body, Some(length))
        } else {
            (request(|_| {}).to_string().into_bytes(), None)
        };
        for (place, byte) in places {
            let at = place.index(body.len());
            body[at] = byte;
        }
        match read(&body, length) {
            Ok(found) => {
                prop_assert_eq!(found.images.len(), found.count * 4);
                prop_assert!(found.images.iter().all(|number| number.is_finite()));
            }
            Err(refusal) => prop_assert!(refusal.status == 400 || refusal.status == 413),
        }
    }

    #[test]
    fn numbers_survive_json_and_binary(numbers in prop::collection::vec(-1e6f32..=1e6, 7), tiny in prop::num::f32::SUBNORMAL) {
        let numbers = [&numbers[..], &[tiny]].concat();
        let (body, length) = binary(32, &numbers);
        prop_assert_eq!(read(&body, Some(length)).expect("binary").images, numbers.clone());
        let doubles: Vec<f64> = numbers.iter().map(|number| f64::from(*number)).collect();
        let found = of_json(&request(|r| r["inputs"][0]["data"] = json!(doubles))).expect("JSON");
        prop_assert_eq!(found.images, numbers);
    }
}
