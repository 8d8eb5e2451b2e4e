use super::*;
use crate::data::Framing;
use crate::lab::experiment::{Entry, SHIPPED, Scale};
use crate::lab::{Plan, published_facts};

fn resolve(name: &str, changes: &[&str]) -> Resolved {
    let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
    let experiment = Experiment::find(name, &changes).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut facts = |data: &DataName, _| Ok(published_facts(data).expect("a data set with a name"));
    experiment
        .resolve(&mut facts)
        .unwrap_or_else(|e| panic!("{name}: {e}: {:?}", std::error::Error::source(&e)))
}

#[test]
fn every_shipped_experiment_resolves_at_every_scale() {
    for shipped in SHIPPED {
        for scale in Scale::ALL {
            let resolved = resolve(shipped.name, &[&format!("scale={scale}")]);
            assert!(resolved.tasks.len() >= 2, "{} {scale}", shipped.name);
            // The order is one in which they can be carried out.
            assert_eq!(Plan::new(resolved.tasks.clone()).tasks.len(), resolved.tasks.len());
            let known: Vec<String> = resolved.tasks.iter().map(|(_, task)| task.hash()).collect();
            assert!(resolved.entries.iter().all(|e| known.contains(&e.task)), "{}", shipped.name);
        }
    }
}

#[test]
fn the_published_recipe_is_run_at_scale_paper() {
    let resolved = resolve("cifar10", &["scale=paper"]);
    let Task::Train(normal) = &resolved.tasks[0].1 else { panic!("a training") };
    assert_eq!(
        (normal.epochs, normal.batch, normal.data.validation, normal.data.subset),
        (160, 128, 0, None)
    );
    let Task::Train(nasty) = &resolved.tasks[1].1 else { panic!("a training") };
    assert!(matches!(
        nasty.objective,
        Objective::SelfUndermining(SelfUndermining { temperature: 4.0, omega: 0.04, .. })
    ));
    // Four students; resnet18 alone is the normal teacher itself, which is not trained again.
    assert_eq!(resolved.tasks.len(), 2 + 4 * 5 - 1);
    let alone =
        |e: &&Entry| e.role == Role::Student(Source::Alone) && e.place.text(AxisKind::Student) == "resnet18";
    assert_eq!(resolved.entries.iter().find(alone).expect("a cell").task, normal.hash());
}

#[test]
fn networks_of_a_grid_have_names_of_their_own() {
    for shipped in SHIPPED.into_iter().filter(|shipped| shipped.name.starts_with("ablation")) {
        for scale in Scale::ALL {
            let resolved = resolve(shipped.name, &[&format!("scale={scale}")]);
            let mut names: Vec<&String> = resolved.tasks.iter().map(|(name, _)| name).collect();
            names.sort();
            let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
            assert_eq!(twice, None, "{} {scale}", shipped.name);
        }
    }
}

#[test]
fn lists_make_a_grid_and_what_is_shared_is_trained_once() {
    let omega = resolve("ablation-omega", &["teacher.omega=[0, 0.1]", "seeds=[0, 1]"]);
    // For each seed: a normal teacher, two nasty ones, a student alone, from normal, and from each nasty one.
    assert_eq!(omega.tasks.len(), 2 * (1 + 2 + 1 + 1 + 2));
    assert_eq!(omega.entries.iter().filter(|e| matches!(e.role, Role::Student(_))).count(), 2 * 2 * 3);
    let all: Vec<String> = resolve("ablation-alpha", &[]).tasks.iter().map(|(_, t)| t.hash()).collect();
    assert!(all.contains(&omega.tasks[0].1.hash()), "another ablation has the same normal teacher");
    let data = resolve("ablation-data", &["student.share=[0.1, 1]"]);
    let subsets: Vec<Option<usize>> = data
        .tasks
        .iter()
        .filter_map(|(name, task)| match task {
            Task::Train(recipe) if name.contains("alone") => Some(recipe.data.subset),
            _ => None,
        })
        .collect();
    assert_eq!(subsets, [Some(540), None], "a share of 5,400 images, and all of them");
}

#[test]
fn wrong_recipes_name_their_table_and_the_nearest_key() {
    let fails = |change: &str| {
        let experiment = Experiment::find("cifar10", &[change.to_owned()]).expect("its keys are open");
        let mut facts = |data: &DataName, _| Ok(published_facts(data).expect("named"));
        let error = experiment.resolve(&mut facts).expect_err(change);
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    };
    assert!(fails("student.recipe.epoch=3").contains("student.recipe: no key `epoch`"));
    assert!(fails("recipe.epochs=0").contains("epochs is 0"));
    assert!(fails("teacher.temperature=0").contains("temperature must be at least"));
}

#[test]
fn image_folders_are_resized_for_all_tasks() {
    let changes =
        ["data=folder:/x".to_owned(), "recipe.data.side=16".to_owned(), "recipe.data.subset=none".to_owned()];
    let experiment = Experiment::find("logit-response", &changes).expect("its keys are known");
    let mut asked = Vec::new();
    let resolved = experiment
        .resolve(&mut |_, side| {
            asked.push(side);
            let facts = published_facts(&DataName::Cifar10).expect("named");
            let side = side.map(|side| side.side());
            Ok(DataFacts { digest: format!("at {side:?}"), ..facts })
        })
        .expect("it resolves");
    assert_eq!(asked, [Some(Framing::square(16))], "the digest is of the images as they are used");
    for (name, task) in &resolved.tasks {
        let (side, digest) = match task {
            Task::Train(recipe) => (recipe.data.side, &recipe.data.digest),
            Task::Responses(recipe) => (recipe.data.side, &recipe.data.digest),
            other => panic!("{other:?}"),
        };
        assert_eq!((side.map(|side| side.side()), digest.as_str()), (Some(16), "at Some(16)"), "{name}");
    }
}

#[test]
fn the_thief_without_labels_is_one_for_each_teacher() {
    let changes = [r#"student.from=["nasty-as-served", "normal-as-served"]"#, "student.temperature=[4, 10]"];
    let resolved = resolve("cifar10", &[&changes[..], &["student.architecture=cnn4"]].concat());
    let served = |task: &Task| {
        matches!(task, Task::Train(recipe) if matches!(
            recipe.objective,
            Objective::Distillation(Distillation { temperature: 1.0, alpha: 1.0, .. })
        ))
    };
    assert_eq!(resolved.tasks.iter().filter(|(_, task)| served(task)).count(), 2, "whatever τ others have");
    assert_eq!(resolved.entries.iter().filter(|e| matches!(e.role, Role::Student(_))).count(), 2 * 2);
}
