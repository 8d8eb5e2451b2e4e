//! Requests that wait at the same time are answered together: a batch is computed while the next one gathers.
//!
//! There is no delay: a request that finds the model idle is answered at once. A batch never has more images than the
//! maximum; a request with more of them is answered in several batches.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::counters::Counters;
use crate::memory::Held;
use crate::model::{Answered, Fault, Model};

/// A queue in front of a model, and the thread that empties it.
pub(crate) struct Batcher {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
    most_waiting: usize,
}

struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Images of all waiting jobs.
    images: usize,
    closed: bool,
}

/// A request's images.
struct Job {
    images: Vec<f32>,
    count: usize,
    /// How many of them are in a batch already.
    taken: usize,
    answered: Answered,
    /// What the images take: as long as they wait, also if the client hung up.
    held: Held,
    reply: oneshot::Sender<Reply>,
}

/// The answers to a request, and the memory that it holds.
pub(crate) type Reply = Result<(Answered, Held), Fault>;

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A queue is whole between any two of its operations.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batcher {
    /// Answers with `model`, at most `most` images at a time, while at most `most_waiting` images wait.
    pub(crate) fn new(
        model: Arc<dyn Model>,
        most: usize,
        most_waiting: usize,
        counters: Arc<Counters>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), arrived: Condvar::new() });
        let worker = Worker { shared: shared.clone(), model, most, counters };
        let worker = std::thread::Builder::new().name("answers".into()).spawn(move || worker.run())?;
        Ok(Self { shared, worker: Some(worker), most_waiting })
    }

    /// Queues `count` images, which hold memory; their answers come by the receiver.
    pub(crate) fn submit(
        &self,
        images: Vec<f32>,
        count: usize,
        held: Held,
    ) -> Result<oneshot::Receiver<Reply>, Full> {
        let (reply, answers) = oneshot::channel();
        let mut queue = self.shared.lock();
        if queue.images + count > self.most_waiting {
            return Err(Full);
        }
        queue.images += count;
        queue.jobs.push_back(Job { images, count, taken: 0, answered: Answered::default(), held, reply });
        drop(queue);
        self.shared.arrived.notify_one();
        Ok(answers)
    }

    /// Images that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.lock().images
    }
}

/// What waits is still answered.
impl Drop for Batcher {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_one();
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    model: Arc<dyn Model>,
    most: usize,
    counters: Arc<Counters>,
}

/// Jobs with the images that each has in a batch.
struct Batch {
    images: Vec<f32>,
    parts: Vec<(Job, usize)>,
}

impl Worker {
    fn run(self) {
        // A job that did not fit into the last batch as a whole.
        let mut rest = None;
        while let Some(batch) = self.next(rest.take()) {
            rest = self.answer(batch);
        }
    }

    /// The next batch, once there is one: `rest` first, then what waits. None at the end.
    fn next(&self, rest: Option<Job>) -> Option<Batch> {
        let mut batch = Batch { images: Vec::new(), parts: Vec::new() };
        let mut room = self.most;
        if let Some(job) = rest.filter(|job| !job.reply.is_closed()) {
            room -= batch.add(job, room);
        }
        let mut queue = self.shared.lock();
        while batch.parts.is_empty() || room > 0 {
            match queue.jobs.pop_front() {
                Some(job) => {
                    queue.images -= job.count;
                    // Whoever hung up gets no answer.
                    if !job.reply.is_closed() {
                        room -= batch.add(job, room);
                    }
                }
                None if !batch.parts.is_empty() => break,
                None if queue.closed => return None,
                None => queue = self.shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
        Some(batch)
    }

    /// Answers a batch; gives the job that is not finished, if the last one is not.
    fn answer(&self, batch: Batch) -> Option<Job> {
        let total: usize = batch.parts.iter().map(|(_, images)| images).sum();
        self.counters.batch(total);
        let answered = catch_unwind(AssertUnwindSafe(|| self.model.answer(&batch.images)))
            .unwrap_or_else(|_| Err(Fault::Model("a bug, reported in the server's messages".into())));
        let classes = self.model.about().classes();
        let answered = answered.and_then(|answered| {
            if (answered.rows.len(), answered.images.len()) == (total * classes, total) {
                return Ok(answered);
            }
            tracing::error!("{} numbers answer {total} images of {classes} classes", answered.rows.len());
            Err(Fault::Model("a bug, reported in the server's messages".into()))
        });
        let mut begin = 0;
        let mut unfinished = None;
        for (mut job, images) in batch.parts {
            match &answered {
                Ok(Answered { rows, images: ids }) => {
                    job.answered.rows.extend(&rows[begin * classes..][..images * classes]);
                    job.answered.images.extend(&ids[begin..][..images]);
                    if job.taken < job.count {
                        unfinished = Some(job);
                    } else {
                        let _ = job.reply.send(Ok((job.answered, job.held)));
                    }
                }
                Err(fault) => drop(job.reply.send(Err(fault.clone()))),
            }
            begin += images;
        }
        unfinished
    }
}

impl Batch {
    /// Adds as many images of `job` as there is `room` for; gives how many.
    fn add(&mut self, mut job: Job, room: usize) -> usize {
        let length = job.images.len() / job.count;
        let images = room.min(job.count - job.taken);
        self.images.extend(&job.images[job.taken * length..][..images * length]);
        job.taken += images;
        self.parts.push((job, images));
        images
    }
}

#[cfg(test)]
#[path = "batching_tests.rs"]
mod tests;
