use super::*;
use nasty_teacher::defences::{Defended, Owner};
use nasty_teacher::victim::{Answers, Front, Scripted};

/// Two classes: the mean of its numbers, and 1.
struct Mean(Front);

impl Mean {
    fn new() -> Arc<Self> {
        let normalisation = Normalisation { mean: vec![0.5; 3], std: vec![0.25; 3] };
        let front = Front::new("mean".into(), 2, Scale::Logits).taking(nets::Input { channels: 3, side: 2 });
        Arc::new(Self(front.exact(normalisation).named(vec!["bright".into(), "other".into()])))
    }
}

impl Victim for Mean {
    fn front(&self) -> &Front {
        &self.0
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        let exact = request.exact.expect("exact numbers");
        let row = |(image, _): &(usize, usize)| [exact[image * 12..][..12].iter().sum::<f32>() / 12.0, 1.0];
        Ok(self.0.serve(request.items.iter().flat_map(row).collect()))
    }
}

fn served(victim: Arc<dyn Victim>, input: Input) -> Result<Served, UnservableError> {
    Served::new(victim, &Stack::default(), "m".into(), input)
}

#[test]
fn normalised_numbers_arrive_exactly_and_pictures_have_one_identity() {
    let served = served(Mean::new(), Input::Normalised).expect("it has a normalisation");
    assert_eq!((served.about().image, served.about().output), ([3, 2, 2], Output::Logits));
    let mut images = vec![0.1f32; 24];
    images[12..].fill(0.1004);
    let answered = served.answer(&images).expect("any numbers");
    assert!((answered.rows[0] - 0.1).abs() < 1e-6 && (answered.rows[2] - 0.1004).abs() < 1e-6);
    // Both are the level 255 · (0.1 · 0.25 + 0.5) = 133.9.
    assert_eq!(answered.images, [ImageId::of(&[134; 12]); 2]);
}

#[test]
fn channels_come_last() {
    let image: Vec<f32> = (0..12u8).map(f32::from).collect();
    let expected = [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11].map(|level: u8| f32::from(level));
    assert_eq!(channels_last(&image, [3, 2, 2]), expected);
    let levels = Normalisation { mean: vec![0.0, 0.5, 1.0], std: vec![1.0 / 255.0, 1.0, -1.0] };
    assert_eq!(nearest_levels(&[7.4, 0.25, 2.0, 300.0, -9.0, 0.5], &levels), [7, 191, 0, 255, 0, 128]);
}

#[test]
fn pixels_reach_a_victim_as_they_are() {
    let script = |pixels: &[u8]| vec![f32::from(pixels[1]), f32::from(pixels[3])];
    let victim = Arc::new(Scripted::new("v", 2, Scale::Probabilities, script));
    assert!(matches!(served(victim, Input::Pixels), Err(UnservableError::NoInput)));
    struct Sized<V>(Front, V);
    impl<V: Victim> Victim for Sized<V> {
        fn front(&self) -> &Front {
            &self.0
        }
        fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
            self.1.ask(request)
        }
    }
    let victim = || {
        let front = Front::new("v".into(), 2, Scale::Probabilities);
        let inner = Scripted::new("v", 2, Scale::Probabilities, script);
        Arc::new(Sized(front.taking(nets::Input { channels: 3, side: 2 }), inner))
    };
    assert!(matches!(served(victim(), Input::Normalised), Err(UnservableError::PixelsOnly)));
    for name in ["", "a/b", "ä", &"x".repeat(65)] {
        let named = Served::new(victim(), &Stack::default(), name.to_owned(), Input::Pixels);
        assert!(matches!(named, Err(UnservableError::Name(_))), "{name}");
    }
    let served = served(victim(), Input::Pixels).expect("pixels");
    assert_eq!(served.about().labels, ["0", "1"]);
    let image: Vec<f32> = (0..12u8).map(f32::from).collect();
    let answered = served.answer(&image).expect("pixels");
    assert_eq!(answered.rows, [4.0, 1.0]);
    assert_eq!(answered.images, [ImageId::of(&[0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11])]);
}

#[test]
fn an_image_that_cannot_be_answered_fails_alone() {
    let stack: Stack = "top-1".parse().expect("a defence");
    let defended = Defended::new(Mean::new(), stack.clone(), None, Owner::default()).expect("no needs");
    let served = Served::new(Arc::new(defended), &stack, "m".into(), Input::Normalised).expect("served");
    assert_eq!((served.about().output, served.about().defence.as_str()), (Output::Probabilities, "top-k:1"));
    let mut images = vec![0.0f32; 5 * 12];
    images[2 * 12..][..12].fill(3e38);
    let rows = served.answer(&images).expect("the others").rows;
    for (i, row) in rows.chunks(2).enumerate() {
        assert_eq!(row[0].is_nan(), i == 2, "{rows:?}");
    }
}
