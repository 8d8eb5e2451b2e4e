use super::logits::LogitTables;
use super::*;
use crate::attacks::test_support::{CLASSES, normalisation, test_images, victim};
use crate::data::{Augmentation, ImageSet};
use crate::numerics::Numerics;
use burn::tensor::{Device, Int, Tensor, TensorData};

fn own(seed: u64, weights: &str) -> OwnNetwork {
    OwnNetwork::new(&victim(seed), normalisation(), weights.into(), &Device::flex())
}

const FLIPS: Augmentation =
    Augmentation { crop_padding: 0, flip: true, rotation_degrees: 0, resized_crop_percent: 0 };

#[test]
fn a_table_changes_no_answer_and_every_answer_counts() {
    let (images, tables) = (test_images(), LogitTables::new(None, 1 << 20, 0));
    let places: Vec<usize> = (100..112).collect();
    let items = vec![(3, 0), (3, 1), (7, 1), (3, 0)];
    let request =
        |set| Request::views(&images, &FLIPS, items.clone()).from(Some(Origin { set, places: &places }));
    let plain = own(3, "w").ask(&request("d")).expect("fits").rows;
    let keeps = |seed, weights, numerics| own(seed, weights).remembering(&tables, numerics, "d", 200, &FLIPS);
    let here = || Numerics::here("flex");
    let victim = keeps(3, "w", here());
    assert_eq!(victim.ask(&request("d")).expect("fits").rows, plain);
    assert_eq!(victim.ask(&request("d")).expect("fits").rows, plain);
    assert_eq!((victim.queries(), victim.identity()), (8, "w"));

    // Another network that claims to be the same is served from the table: this is what the digest rules out.
    let other = own(4, "x").ask(&request("d")).expect("fits").rows;
    assert_ne!(other, plain);
    assert_eq!(keeps(4, "w", here()).ask(&request("d")).expect("fits").rows, plain);
    assert_eq!(keeps(4, "x", here()).ask(&request("d")).expect("fits").rows, other);
    let elsewhere = Numerics { device: "vulkan".into(), ..here() };
    assert_eq!(keeps(4, "w", elsewhere).ask(&request("d")).expect("fits").rows, other);
    // The same places of another set are other images.
    assert_eq!(keeps(4, "w", here()).ask(&request("test")).expect("fits").rows, other);
}

#[test]
fn an_answer_does_not_depend_on_the_company() {
    let images = test_images();
    let victim = own(3, "w");
    let all = victim.ask(&Request::unchanged(&images)).expect("fits").rows;
    for i in 0..images.len() {
        let one = images.subset(&[i]);
        let alone = victim.ask(&Request::unchanged(&one)).expect("fits").rows;
        assert_eq!(alone, all[i * CLASSES..][..CLASSES]);
    }
}

#[test]
fn exact_numbers_are_answered_as_they_are() {
    let (images, victim) = (test_images(), own(3, "w"));
    let normalisation = victim.normalisation().expect("a network has one");
    let augmentation = Augmentation::none();
    let items: Vec<_> = (0..images.len()).map(|image| (image, augmentation.identity())).collect();
    let mut exact = crate::data::render(&images, normalisation, &augmentation, &items);
    let of_pixels = victim.ask(&Request::unchanged(&images)).expect("fits").rows;
    let request = |exact: &[f32]| victim.ask(&Request::exactly(&images, exact)).expect("fits").rows;
    assert_eq!(request(&exact), of_pixels);
    // Less than a step of 8 bits.
    exact[0] += 0.001;
    let nudged = request(&exact);
    assert_ne!(nudged[..CLASSES], of_pixels[..CLASSES]);
    assert_eq!(nudged[CLASSES..], of_pixels[CLASSES..]);
}

#[test]
fn less_than_logits_is_served_behind_an_interface() {
    let images = test_images();
    let logits = own(3, "w").ask(&Request::unchanged(&images)).expect("fits");
    let behind = |interface| {
        let victim = own(3, "w").behind(interface).expect("a network can");
        victim.ask(&Request::unchanged(&images)).expect("fits")
    };
    let label = behind(Interface::Label);
    for (row, logits) in label.rows.chunks(CLASSES).zip(logits.rows.chunks(CLASSES)) {
        assert_eq!(argmax(row), argmax(logits));
        assert_eq!(row.iter().sum::<f32>(), 1.0);
    }
    assert_eq!(behind(Interface::Probabilities).scale, Scale::Probabilities);
    assert!(own(3, "w").behind(Interface::TopK { k: CLASSES + 1 }).is_err());
}

#[test]
fn images_of_another_shape_are_an_error() {
    let images = ImageSet::new(4, 16, 1, vec![7; 2 * 64], vec![0, 1]);
    let error = own(3, "w").ask(&Request::unchanged(&images)).expect_err("another shape");
    assert_eq!(
        error.to_string(),
        "the victim takes images of 8×8×1 (height×width×channels), found images of 4×16×1 (height×width×channels)"
    );
}

#[test]
fn pixels_are_the_shown_bytes() {
    let images = test_images();
    assert_eq!(Request::unchanged(&images).pixels()[5], images.image(5));
    let mirrored = Request::views(&images, &FLIPS, vec![(5, 1)]).pixels();
    assert_eq!(mirrored[0][..8].iter().rev().copied().collect::<Vec<_>>(), images.image(5)[..8]);
    let every = ImageSet::new(16, 16, 1, (0..=255).collect(), vec![0]);
    assert_eq!(Request::unchanged(&every).pixels()[0], every.image(0));
}

#[test]
fn a_scripted_victim_answers_by_its_script() {
    let victim = Scripted::new("brightness", 2, Scale::Probabilities, |pixels| {
        let mean = pixels.iter().map(|&p| f32::from(p)).sum::<f32>() / (255.0 * pixels.len() as f32);
        vec![mean, 1.0 - mean]
    });
    let images = ImageSet::new(1, 2, 1, vec![0, 0, 255, 255], vec![0, 1]);
    let answers = victim.ask(&Request::unchanged(&images)).expect("it takes any image");
    assert_eq!((answers.rows, victim.queries()), (vec![0.0, 1.0, 1.0, 0.0], 2));
}

/// Hard-label students take the argmax of a tensor.
#[test]
fn ties_go_to_the_lowest_index_on_the_device_too() {
    let device = Device::flex();
    for classes in [2usize, 3, 10, 100, 1000] {
        let mut row = vec![0.25f32; classes];
        row[0] = 0.0;
        let tensor = Tensor::<2>::from_data(TensorData::new(row.clone(), [1, classes]), &device);
        let predicted: Tensor<1, Int> = tensor.argmax(1).squeeze_dim(1);
        assert_eq!(predicted.into_scalar::<i64>() as usize, argmax(&row), "{classes}");
    }
}
