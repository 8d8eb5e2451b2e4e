//! The progress of a run on disk while it goes on: `metrics.jsonl`, and the same numbers for TensorBoard.

use super::run::Run;
use crate::tensorboard::{EventError, EventWriter};
use crate::training::{EpochRow, Observer};

/// Writes a run's course, and passes on what is seen.
pub(super) struct Recorder<'a> {
    run: &'a Run,
    observer: &'a mut dyn Observer,
    rows: Vec<EpochRow>,
    events: Option<EventWriter>,
}

impl<'a> Recorder<'a> {
    /// A recorder of `run`.
    pub(super) fn new(run: &'a Run, observer: &'a mut dyn Observer) -> Self {
        Self { run, observer, rows: Vec::new(), events: None }
    }

    /// The rows are in the saved state too, and are written again at the end, where a failure is reported.
    fn write_rows(&self) {
        if let Err(e) = self.run.write_rows(&self.rows) {
            tracing::warn!("{e}");
        }
    }

    /// The event file, with exactly the epochs in `rows`.
    fn open_events(&self) -> Result<EventWriter, EventError> {
        let folder = &self.run.folder;
        let last = self.rows.last().map_or(0, |row| row.step as u64);
        let mut writer = EventWriter::open(folder, last)?;
        let known = EventWriter::read(folder)?.iter().filter(|s| s.tag == "train/loss").count();
        if known != self.rows.len() {
            writer = EventWriter::create(folder)?;
            for row in &self.rows {
                scalars(&mut writer, row)?;
            }
        }
        writer.flush()?;
        Ok(writer)
    }

    /// Nothing rests on the event file: what cannot be written is told, and the run goes on.
    fn events(&mut self, result: Result<Option<EventWriter>, EventError>) {
        self.events = result.unwrap_or_else(|e| {
            tracing::warn!("{e}");
            None
        });
    }
}

fn scalars(writer: &mut EventWriter, row: &EpochRow) -> Result<(), EventError> {
    let mut values = vec![
        ("train/loss", row.train_loss as f32),
        ("train/accuracy", row.train_accuracy as f32),
        ("train/learning rate", row.learning_rate as f32),
    ];
    if let Some(selection) = &row.selection {
        let [accuracy, loss] = match selection.test {
            true => ["test/accuracy", "test/loss"],
            false => ["held-out/accuracy", "held-out/loss"],
        };
        values.extend([(accuracy, selection.accuracy as f32), (loss, selection.loss as f32)]);
    }
    writer.scalars(row.step as u64, &values)
}

impl Observer for Recorder<'_> {
    fn resumed(&mut self, rows: &[EpochRow]) {
        self.rows = rows.to_vec();
        if !rows.is_empty() {
            self.write_rows();
        }
        let opened = self.open_events().map(Some);
        self.events(opened);
        self.observer.resumed(rows);
    }

    fn batch(&mut self, epoch: usize, batch: usize, batches: usize, loss: f64) {
        self.observer.batch(epoch, batch, batches, loss);
    }

    fn epoch(&mut self, row: &EpochRow, epochs: usize) {
        self.rows.push(row.clone());
        self.write_rows();
        if let Some(mut writer) = self.events.take() {
            let written = scalars(&mut writer, row).and_then(|()| writer.flush());
            self.events(written.map(|()| Some(writer)));
        }
        self.observer.epoch(row, epochs);
    }

    fn stop(&self) -> bool {
        self.observer.stop()
    }

    fn may_write(&self) -> bool {
        self.observer.may_write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::data_free::{DataFree, DataFreeOutcome, DataFreeRecipe, GeneratorRecipe};
    use crate::attacks::test_support::{StopAfter, context, data, normalisation, test_images, victim};
    use crate::lab::Store;
    use crate::training::NetworkRef;
    use burn::tensor::Device;

    #[test]
    fn an_attack_leaves_its_whole_course_however_often_it_stopped() {
        let folder = tempfile::tempdir().expect("temp");
        let store = Store::open(folder.path()).expect("writable");
        let student = "cnn2".parse().expect("a name");
        let published = DataFreeRecipe::published(data(), 3, NetworkRef("0".repeat(16)), student);
        let generator = GeneratorRecipe { latent: 6, width: 4, learning_rate: 0.02 };
        let recipe = DataFreeRecipe { generator, epochs: 4, steps: 2, batch: 8, ..published };
        let run = store.run(&recipe.hash());
        std::fs::create_dir_all(&run.folder).expect("writable");
        let (test, normalisation, state) = (test_images(), normalisation(), run.state_file());
        let attack = DataFree {
            recipe: &recipe,
            teacher: victim(3),
            test: &test,
            normalisation: &normalisation,
            device: Device::flex(),
        };
        for (steps, epochs) in [(3, 1), (3, 3), (100, 4)] {
            let mut observer = StopAfter::new(steps);
            let outcome = attack.run(context(&state, &mut Recorder::new(&run, &mut observer)));
            let finished = matches!(outcome.expect("runs"), DataFreeOutcome::Finished(_));
            assert_eq!(finished, epochs == 4);
            let rows = run.rows().expect("metrics.jsonl");
            assert_eq!(rows.iter().map(|row| row.epoch).collect::<Vec<_>>(), (0..epochs).collect::<Vec<_>>());
            let told = EventWriter::read(&run.folder).expect("an event file");
            let told = told.iter().filter(|s| s.tag == "train/loss").map(|s| (s.step, s.value));
            assert!(
                told.eq(rows.iter().map(|row| (row.step as u64, row.train_loss as f32))),
                "{epochs} epochs"
            );
        }
    }
}
