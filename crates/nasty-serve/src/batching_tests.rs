use super::*;
use crate::about::{About, Input, Output};
use crate::memory::Memory;
use nasty_teacher::defences::ImageId;
use proptest::prelude::*;
use std::sync::Condvar;
use std::sync::atomic::{AtomicBool, Ordering};

/// Doubles numbers, two an image, and notes how many it was asked at once. It can be held.
struct Doubling {
    about: About,
    asked: Mutex<Vec<usize>>,
    held: Mutex<bool>,
    go: Condvar,
    busy: AtomicBool,
}

impl Doubling {
    fn new(held: bool) -> Arc<Self> {
        let about = About {
            name: "doubling".into(),
            image: [1, 1, 2],
            labels: vec!["a".into(), "b".into()],
            input: Input::Normalised,
            output: Output::Logits,
            normalisation: None,
            defence: "none".into(),
            reveals: "logits".into(),
        };
        let busy = AtomicBool::new(false);
        Arc::new(Self { about, asked: Mutex::default(), held: Mutex::new(held), go: Condvar::new(), busy })
    }

    fn release(&self) {
        *self.held.lock().expect("whole") = false;
        self.go.notify_all();
    }
}

impl Model for Doubling {
    fn about(&self) -> &About {
        &self.about
    }

    fn answer(&self, images: &[f32]) -> Result<Answered, Fault> {
        self.busy.store(true, Ordering::SeqCst);
        drop(self.go.wait_while(self.held.lock().expect("whole"), |held| *held));
        self.asked.lock().expect("whole").push(images.len() / 2);
        assert!(images[0] != -1.0, "a bug");
        if images.contains(&-2.0) {
            return Err(Fault::Model("no".into()));
        }
        let rows = images.iter().map(|number| 2.0 * number).collect();
        Ok(Answered { rows, images: images.chunks(2).map(|i| ImageId::of(&i[0].to_le_bytes())).collect() })
    }
}

fn batcher(model: &Arc<Doubling>, most: usize) -> Batcher {
    Batcher::new(model.clone(), most, 1000, Arc::default()).expect("a thread")
}

fn held() -> Held {
    Memory::new(0).request()
}

fn numbers(from: usize, images: usize) -> Vec<f32> {
    (2 * from..2 * (from + images)).map(|number| number as f32).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn everyone_gets_their_own_answers_in_batches_below_the_maximum(
        requests in prop::collection::vec(1usize..20, 1..12), most in 1usize..16,
    ) {
        let model = Doubling::new(true);
        let batcher = batcher(&model, most);
        let mut sent = 0;
        let mut waiting = Vec::new();
        for images in requests {
            let answers = batcher.submit(numbers(sent, images), images, held()).expect("room");
            waiting.push((sent, images, answers));
            sent += images;
        }
        model.release();
        for (from, images, answers) in waiting {
            let answered = answers.blocking_recv().expect("an answer").expect("no fault").0;
            let expected: Vec<f32> = numbers(from, images).into_iter().map(|number| 2.0 * number).collect();
            prop_assert_eq!(&answered.rows, &expected);
            let ids: Vec<_> = numbers(from, images).chunks(2).map(|i| ImageId::of(&i[0].to_le_bytes())).collect();
            prop_assert_eq!(answered.images, ids);
        }
        prop_assert_eq!(batcher.waiting(), 0);
        let asked = model.asked.lock().expect("whole").clone();
        prop_assert!(asked.iter().all(|images| *images <= most) && asked.iter().sum::<usize>() == sent);
        // All waited from the first batch on: every later one is full, but for the last.
        prop_assert!(asked.iter().skip(1).rev().skip(1).all(|images| *images == most), "{:?}", asked);
    }
}

#[test]
fn faults_and_bugs_reach_their_requests_alone() {
    let model = Doubling::new(false);
    let batcher = batcher(&model, 1);
    let ask = |number: f32| {
        batcher
            .submit(vec![number; 2], 1, held())
            .expect("room")
            .blocking_recv()
            .expect("an answer")
            .map(|(a, _)| a.rows)
    };
    assert_eq!(ask(3.0), Ok(vec![6.0; 2]));
    assert_eq!(ask(-2.0), Err(Fault::Model("no".into())));
    assert!(ask(-1.0).expect_err("a bug").to_string().contains("bug"));
    assert_eq!(ask(4.0), Ok(vec![8.0; 2]));
}

#[test]
fn a_full_queue_refuses_and_hung_up_requests_are_not_computed() {
    let model = Doubling::new(true);
    let batcher = Batcher::new(model.clone(), 4, 8, Arc::default()).expect("a thread");
    let first = batcher.submit(numbers(0, 4), 4, held()).expect("room");
    while !model.busy.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    let gone = batcher.submit(numbers(4, 4), 4, held()).expect("room");
    let last = batcher.submit(numbers(8, 4), 4, held()).expect("room");
    assert_eq!(batcher.submit(numbers(12, 1), 1, held()).map(drop), Err(Full));
    drop(gone);
    model.release();
    assert!(
        first.blocking_recv().expect("an answer").is_ok() && last.blocking_recv().expect("an answer").is_ok()
    );
    assert_eq!(*model.asked.lock().expect("whole"), [4, 4]);
    // What waits is answered when the server ends.
    let late = batcher.submit(numbers(0, 1), 1, held()).expect("room");
    drop(batcher);
    assert!(late.blocking_recv().expect("an answer").is_ok());
}
