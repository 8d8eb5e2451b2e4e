use super::*;
use crate::attacks::noise::{transparent, value};
use crate::attacks::test_support::{INPUT, StopAfter, context, data, normalisation, test_images, victim};
use crate::nets::{Mode, NamedTensor, Network};
use crate::training::TrainError;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use std::collections::HashMap;
use std::path::Path;

fn recipe() -> DataFreeRecipe {
    let student = "cnn2".parse().expect("a name");
    DataFreeRecipe {
        generator: GeneratorRecipe { latent: 6, width: 4, learning_rate: 0.02 },
        epochs: 2,
        steps: 3,
        batch: 8,
        ..DataFreeRecipe::published(data(), 3, NetworkRef("0123456789abcdef".into()), student)
    }
}

fn run(recipe: &DataFreeRecipe, state_file: &Path, steps: usize) -> Result<Option<DataFreeEnd>, TrainError> {
    run_on(victim(3), recipe, state_file, steps)
}

fn run_on(
    teacher: Network,
    recipe: &DataFreeRecipe,
    state_file: &Path,
    steps: usize,
) -> Result<Option<DataFreeEnd>, TrainError> {
    let attack = DataFree {
        recipe,
        teacher,
        test: &test_images(),
        normalisation: &normalisation(),
        device: Device::flex(),
    };
    let mut observer = StopAfter::new(steps);
    Ok(match attack.run(context(state_file, &mut observer))? {
        DataFreeOutcome::Finished(end) => Some(*end),
        DataFreeOutcome::Stopped => None,
    })
}

fn whole(recipe: &DataFreeRecipe) -> DataFreeEnd {
    let folder = tempfile::tempdir().expect("temp");
    run(recipe, &folder.path().join("state"), usize::MAX).expect("runs").expect("nobody stops it")
}

/// Everything that must not depend on how the run went.
fn essence(end: DataFreeEnd) -> impl PartialEq + std::fmt::Debug {
    let row = |r: DataFreeRow| DataFreeRow { row: crate::training::EpochRow { seconds: 0.0, ..r.row }, ..r };
    let rows: Vec<_> = end.rows.into_iter().map(row).collect();
    (end.student, end.generator, end.epoch, end.test, rows, end.samples)
}

#[test]
fn a_run_that_is_stopped_at_any_step_goes_on_to_the_same_bits() {
    for (parity, optimiser) in [(Parity::Exact, "sgd"), (Parity::Published, "adam")] {
        let optimiser = Optimiser::of_kind(optimiser).expect("a kind");
        let recipe = DataFreeRecipe { parity, optimiser, learning_rate: 0.01, ..recipe() };
        let folder = tempfile::tempdir().expect("temp");
        let state = folder.path().join("state");
        let mut sittings = 1;
        let end = loop {
            if let Some(end) = run(&recipe, &state, 1).expect("runs") {
                break end;
            }
            assert!(state.exists(), "a stopped run can be resumed");
            sittings += 1;
        };
        assert_eq!((sittings, end.rows.len()), (6, 2), "one step a sitting");
        assert!(essence(end) == essence(whole(&recipe)), "{parity:?}");
    }
}

#[test]
fn a_tempered_teacher_is_one_whose_last_layer_is_smaller() {
    let mut weights = victim(3).state_dict();
    let last = weights.len() - 2;
    weights[last..].iter_mut().flat_map(|tensor| &mut tensor.data).for_each(|value| *value /= 2.0);
    let smaller = victim(3).load_state_dict(&weights).expect("its own tensors");
    let folder = tempfile::tempdir().expect("temp");
    let on = |teacher, recipe: &DataFreeRecipe, name: &str| {
        run_on(teacher, recipe, &folder.path().join(name), usize::MAX).expect("runs").expect("to its end")
    };
    let tempered = DataFreeRecipe { temperature: 2.0, ..recipe() };
    let (a, b) = (on(victim(3), &tempered, "a"), on(smaller, &recipe(), "b"));
    // Halving is exact in binary; only the recipes, and so the states, differ.
    assert_eq!((&a.student, &a.generator), (&b.student, &b.generator));
    assert_ne!(a.student, whole(&recipe()).student);
    assert!(
        DataFreeRecipe { temperature: 0.0, ..recipe() }
            .problem()
            .expect("refused")
            .contains("temperature is 0")
    );
    let json = serde_json::to_string(&recipe()).expect("plain data");
    assert!(!json.contains("temperature"), "published recipes keep their identity: {json}");
}

#[test]
fn only_the_published_parity_looks_at_the_test_images_before_the_end() {
    let exact = whole(&recipe());
    assert!(exact.rows.iter().all(|r| r.row.selection.is_none()) && exact.epoch == 1);
    let published = whole(&DataFreeRecipe { parity: Parity::Published, ..recipe() });
    let accuracies: Vec<f64> =
        published.rows.iter().map(|r| r.row.selection.as_ref().expect("tested").accuracy).collect();
    assert_eq!(published.epoch, usize::from(accuracies[1] > accuracies[0]));
    assert_eq!(exact.generator, published.generator, "choosing changes no training");
}

#[test]
fn the_generator_learns_from_the_teacher_alone_and_the_teacher_stays() {
    let fast = whole(&recipe());
    let slow = whole(&DataFreeRecipe { learning_rate: 1e-4, ..recipe() });
    assert_eq!(fast.generator, slow.generator, "nothing flows from the student to the generator");
    assert_ne!(fast.student, slow.student);

    let first = recipe().build_generator(INPUT, &Device::flex()).expect("fits").state_dict();
    let moved = |name: &str| {
        let of = |state: &[NamedTensor]| state.iter().find(|t| t.name == name).expect(name).data.clone();
        of(&first) != of(&fast.generator)
    };
    for name in
        ["l1.0.weight", "conv_blocks2.3.weight", "conv_blocks1.1.running_var", "conv_blocks2.5.running_mean"]
    {
        assert!(moved(name), "{name}");
    }
    let weights = GeneratorWeights { one_hot: 0.0, entropy: 0.0, activation: 0.0 };
    let idle = whole(&DataFreeRecipe { weights, ..recipe() });
    let same = idle.generator.iter().zip(&first).filter(|(t, _)| !t.name.contains("running"));
    assert!(same.clone().count() > 0 && same.clone().all(|(a, b)| a == b), "no loss, no change");

    // The frozen teacher normalises by its running statistics and leaves them alone.
    let network = transparent(victim(3));
    let device = Device::flex().autodiff();
    let generator = recipe().build_generator(INPUT, &device).expect("fits");
    let made = generator.forward(noise(&device), Mode::Train);
    let losses = generator_losses(&network.outputs(made, Mode::Eval));
    losses.total(&recipe().weights).backward();
    assert_eq!(network.state_dict(), victim(3).state_dict());
}

fn noise(device: &Device) -> Tensor<2> {
    let values: Vec<f32> = (0..8 * 6).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect();
    Tensor::from_data(TensorData::new(values, [8, 6]), device)
}

#[test]
fn the_gradient_of_the_whole_generator_loss_is_that_of_its_values() {
    struct Read<'a>(&'a GradientsParams, HashMap<u64, Vec<f32>>);
    impl ModuleVisitor for Read<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                self.1.insert(param.id.val(), gradient.into_data().try_to_vec().expect("f32"));
            }
        }
    }
    let device = Device::flex().autodiff();
    let teacher = transparent(victim(3));
    let weights = GeneratorWeights { one_hot: 0.5, entropy: 2.0, activation: 0.7 };
    let generator = recipe().build_generator(INPUT, &device).expect("fits");
    let loss = |generator: &Generator| {
        let made = generator.forward(noise(&device), Mode::Train);
        generator_losses(&teacher.outputs(made, Mode::Eval)).total(&weights)
    };
    let gradients = GradientsParams::from_grads(loss(&generator).backward(), &generator);
    let mut read = Read(&gradients, HashMap::new());
    generator.visit(&mut read);
    let gradients = read.1;
    let state = generator.state_dict();
    let trainable = state.iter().filter(|t| !t.name.contains("running")).count();
    assert_eq!(gradients.len(), trainable, "every parameter of the generator gets a gradient");

    // Along the gradient of each tensor the loss rises by its norm.
    let mut checked = 0;
    for (number, gradient) in &gradients {
        let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let name = &state[*number as usize].name;
        // A bias in front of a batch-norm has no effect.
        if norm < 1e-3 {
            assert!(name.ends_with("bias"), "{name}: {norm}");
            continue;
        }
        let at = |step: f64| {
            let mut moved = state.clone();
            for (value, g) in moved[*number as usize].data.iter_mut().zip(gradient) {
                *value += (step * f64::from(*g) / norm) as f32;
            }
            value(loss(&generator.clone().load_state_dict(&moved).expect("its own state")))
        };
        let step = 3e-4;
        let rise = (at(step) - at(-step)) / (2.0 * step);
        assert!((rise - norm).abs() < 0.02 * norm + 1e-3, "{name}: {rise} against {norm}");
        checked += 1;
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn a_loss_that_is_not_finite_is_an_error_that_says_whose() {
    let folder = tempfile::tempdir().expect("temp");
    let state = folder.path().join("state");
    let wild = DataFreeRecipe { learning_rate: 1e30, ..recipe() };
    let Err(TrainError::NotFinite { advice, recipe: hash, .. }) = run(&wild, &state, usize::MAX) else {
        panic!("must fail")
    };
    assert!(advice.contains("the student's") && hash == wild.hash(), "{advice}");
    let generator = GeneratorRecipe { learning_rate: 1e38, ..recipe().generator };
    let wild = DataFreeRecipe { generator, ..recipe() };
    let Err(TrainError::NotFinite { advice, .. }) = run(&wild, &state, usize::MAX) else {
        panic!("must fail")
    };
    assert!(advice.contains("the generator's"), "{advice}");
}

#[test]
fn states_of_others_and_damaged_ones_are_refused() {
    let folder = tempfile::tempdir().expect("temp");
    let state = folder.path().join("state");
    assert!(run(&recipe(), &state, 1).expect("one step").is_none());
    let other = DataFreeRecipe { seed: 1, ..recipe() };
    let message = run(&other, &state, 1).map(|_| ()).expect_err("foreign").to_string();
    assert!(message.contains(&recipe().hash()), "{message}");
    let whole = std::fs::read(&state).expect("saved");
    std::fs::write(&state, &whole[..whole.len() / 2]).expect("writable");
    assert!(run(&recipe(), &state, 1).map(|_| ()).expect_err("half").to_string().contains("damaged"));
}

#[test]
fn impossible_recipes_are_refused() {
    assert_eq!(recipe().problem(), None);
    let published = |classes| {
        DataFreeRecipe::published(
            data(),
            classes,
            NetworkRef("0123456789abcdef".into()),
            Architecture::ResNet18,
        )
    };
    assert_eq!((published(10).problem(), published(100).problem()), (None, None));
    assert_eq!((published(10).weights.entropy, published(100).weights.entropy), (5.0, 20.0));
    let problem = |recipe: DataFreeRecipe| recipe.problem().expect("impossible");
    assert!(problem(DataFreeRecipe { batch: 1, ..recipe() }).contains("batch is 1"));
    assert!(problem(DataFreeRecipe { steps: 0, ..recipe() }).contains("steps"));
    let generator = GeneratorRecipe { latent: 0, ..recipe().generator };
    assert!(problem(DataFreeRecipe { generator, ..recipe() }).contains("latent"));
    let generator = GeneratorRecipe { latent: 65_536, ..recipe().generator };
    assert!(problem(DataFreeRecipe { generator, batch: 65_536, ..recipe() }).contains("batch times"));
    let weights = GeneratorWeights { one_hot: -1.0, ..recipe().weights };
    assert!(problem(DataFreeRecipe { weights, ..recipe() }).contains("weights"));
    let schedule = Schedule::Step { milestones: vec![1], factor: f64::NAN };
    assert!(problem(DataFreeRecipe { schedule, ..recipe() }).contains("schedule.factor"));
    let text = serde_json::to_string(&recipe()).expect("plain data");
    assert_eq!(serde_json::from_str::<DataFreeRecipe>(&text).expect("its own text").hash(), recipe().hash());
}
