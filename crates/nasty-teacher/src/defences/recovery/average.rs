//! Averaging: asks the same query several times.

use crate::defences::{DefenceError, Row};

/// The mean of several answers to one question: of fresh zero-mean noise, `m^−½` remains after m answers. Noise that was
/// clipped at 0 leaves a bias, which a table can undo. Every answer is a query.
///
/// # Errors
/// [`DefenceError::Row`] for no answers, or answers of different numbers of classes.
pub fn average(answers: &[Row]) -> Result<Row, DefenceError> {
    let refused = |found| DefenceError::Row { expected: "one of several with the same classes", found };
    let classes = answers.first().ok_or_else(|| refused("no answer".to_owned()))?.classes();
    let mut mean = vec![0.0; classes];
    for answer in answers {
        if answer.classes() != classes {
            return Err(refused(format!("{} and {classes} classes", answer.classes())));
        }
        let share = answer.probabilities().iter().map(|p| p / answers.len() as f64);
        mean.iter_mut().zip(share).for_each(|(m, p)| *m += p);
    }
    Row::from_probabilities(&mean)
}
