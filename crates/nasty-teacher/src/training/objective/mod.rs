//! The loss of a batch. One training loop serves every objective.
//!
//! An objective is a file here: its settings and an implementation of [`Loss`]. To add one, write its file, add a line
//! to the list in `objectives!` below, and add its formula to [`losses`](crate::losses).

mod cross_entropy;
mod dist;
mod distillation;
mod dkd;
mod hard_label;
mod htc;
mod htc_symmetric;
mod loss;
mod rotation;
mod self_undermining;
mod skeptical;

use super::network_ref::NetworkRef;
use burn::tensor::Tensor;
pub use loss::{Guard, HeadKind, HeadLogits, Loss, LossInput, Turned};
use serde::{Deserialize, Serialize};

/// The closed set of objectives: `Name` is the struct of that name, called in kebab case in recipes.
macro_rules! objectives {
    ($($(#[$doc:meta])* $module:ident :: $name:ident),* $(,)?) => {
        $(pub use $module::$name;)*

        /// The training objective, with the victim that it asks.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum Objective {
            $($(#[$doc])* $name($name),)*
        }

        impl Objective {
            /// Every thief's objective with its published settings, asking `teacher`.
            pub fn thieves(teacher: &NetworkRef) -> Vec<Self> {
                [$($name::published(teacher.clone()).map(Self::$name)),*].into_iter().flatten().collect()
            }

            fn kind(&self) -> &dyn Loss {
                match self {
                    $(Self::$name(objective) => objective,)*
                }
            }
        }
    };
}

objectives! {
    /// Plain supervised training: a normal teacher, or a student alone.
    cross_entropy::CrossEntropy,
    /// A nasty teacher.
    self_undermining::SelfUndermining,
    /// A student that imitates a teacher's probabilities.
    distillation::Distillation,
    /// A student that learns the teacher's predicted classes only.
    hard_label::HardLabel,
    /// A student that imitates the label's share and the other classes' shares apart.
    dkd::Dkd,
    /// A student that imitates how classes and images relate.
    dist::Dist,
    /// A student that imitates probabilities at a high temperature, untempered itself.
    htc::Htc,
    /// A student that learns labels and imitates probabilities a little, both tempered.
    htc_symmetric::HtcSymmetric,
    /// A student that imitates probabilities and learns to tell how images were turned.
    rotation::Rotation,
    /// A student whose shallow exit imitates a teacher.
    skeptical::Skeptical,
}

impl Loss for Objective {
    fn name(&self) -> &'static str {
        self.kind().name()
    }

    fn victim(&self) -> Option<&NetworkRef> {
        self.kind().victim()
    }

    fn temperature(&self) -> Option<f64> {
        self.kind().temperature()
    }

    fn guard(&self) -> Option<Guard> {
        self.kind().guard()
    }

    fn heads(&self) -> Option<HeadKind> {
        self.kind().heads()
    }

    fn problem(&self) -> Option<String> {
        self.kind().problem()
    }

    fn loss(&self, batch: LossInput) -> Tensor<1> {
        self.kind().loss(batch)
    }

    fn advice(&self) -> Option<&'static str> {
        self.kind().advice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn a_skeptical_student_learns_from_labels_alone_until_the_delay_is_over() {
        let device = Device::flex();
        let rows =
            |values: [f32; 4]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [1, 4]), &device);
        let teacher = NetworkRef("0123456789abcdef".into());
        let objective = Skeptical { teacher, stage: 1, temperature: 4.0, alpha: 0.9, delay: 0.1 };
        let exits = [[0.5, 1.0, 0.0, -1.0], [1.0, 0.0, 2.0, 0.0], [0.0, 3.0, 0.0, 1.0]];
        let (last, answers) = ([2.0, 0.0, 1.0, 0.5], [0.1, 0.2, -3.0, 1.0]);
        let loss = |epoch, objective: &Skeptical| {
            let heads = HeadLogits::Exits(Box::new(exits.map(rows)));
            let (answers, labels) = (Some(rows(answers)), Tensor::from_data([2], &device));
            let (epochs, undermining) = (20, 1.0);
            let batch = LossInput { logits: rows(last), answers, labels, epoch, epochs, undermining, heads };
            objective.loss(batch).into_scalar::<f32>()
        };
        let labels = || Tensor::from_data([2], &device);
        let alone = crate::losses::cross_entropy(rows(last), labels(), 0.0).into_scalar::<f32>();
        assert_eq!([loss(0, &objective), loss(2, &objective)], [alone; 2], "up to epoch 2 of 20");
        let [first, second, third] = exits.map(rows);
        for (stage, exit) in [&first, &second, &third].into_iter().enumerate() {
            let objective = Skeptical { stage: stage + 1, ..objective.clone() };
            let by_hand = crate::losses::distillation(exit.clone(), rows(answers), labels(), 4.0, 0.9)
                + crate::losses::tempered_kl(rows(last), third.clone(), 4.0).mul_scalar(0.3)
                + crate::losses::cross_entropy(third.clone(), labels(), 0.0).mul_scalar(0.7);
            let by_hand = by_hand.into_scalar::<f32>() + alone;
            assert!((loss(3, &objective) - by_hand).abs() < 1e-5, "stage {}", stage + 1);
        }
        assert!(Skeptical { stage: 4, ..objective }.problem().expect("no such stage").contains("1, 2 or 3"));
    }

    #[test]
    fn thieves_learn_from_answers_and_agree_with_their_victim_where_they_equal_it() {
        let device = Device::flex().autodiff();
        let teacher = NetworkRef("0123456789abcdef".into());
        let rows =
            |values: [f32; 8]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [2, 4]), &device);
        let answers = rows([2.0, 0.5, -1.0, 0.0, -0.5, 1.5, 0.25, -2.0]);
        for thief in Objective::thieves(&teacher) {
            assert_eq!((thief.problem(), thief.victim()), (None, Some(&teacher)), "{}", thief.name());
            let graded = |logits: Tensor<2>| {
                let logits = logits.require_grad();
                let labels = Tensor::from_data([0, 1], &device);
                let heads = match thief.heads() {
                    None => HeadLogits::None,
                    Some(HeadKind::Exits) => HeadLogits::Exits(Box::new([(); 3].map(|()| logits.clone()))),
                    Some(HeadKind::Turns) => {
                        let turns = Tensor::from_data([0, 3], &device);
                        HeadLogits::Turned(Box::new(Turned { logits: answers.clone(), turns }))
                    }
                };
                let batch = LossInput {
                    logits: logits.clone(),
                    answers: Some(answers.clone()),
                    labels,
                    epoch: 40,
                    epochs: 50,
                    undermining: 1.0,
                    heads,
                };
                let loss = thief.loss(batch);
                let gradient = logits.grad(&loss.backward()).expect("tracked").into_data();
                (loss.into_scalar::<f32>(), gradient.try_to_vec::<f32>().expect("f32"))
            };
            let (far, gradient) = graded(rows([-1.0, 0.0, 2.0, 1.0, 0.5, -1.5, 0.0, 1.0]));
            let (near, _) = graded(answers.clone().detach());
            assert!(far.is_finite() && near < far, "{}: {near} {far}", thief.name());
            assert!(gradient.iter().any(|g| g.abs() > 1e-3) && gradient.iter().all(|g| g.is_finite()));
        }
    }
}
