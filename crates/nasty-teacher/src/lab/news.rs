//! What the workers of a plan tell each other, so that a thousand of them need not look at ten thousand tasks each: each appends a line
//! to `plans/NAME.news` when it takes a task, ends it or lets go of it.
//!
//! All of it is a hint. Lines get lost, where two hosts append at once or the disk is full, and get out of date, where a worker is
//! killed or a run deleted. A worker then looks at a task in vain, or later than it could. Who works on a task is decided by the claims
//! alone; whether one is done, by a look at it: before a task that needs it begins, and before the report of the plan is written.

use super::plan::Plan;
use super::plan_file::KeptPlan;
use super::run::Run;
use super::store::{PLANS, Store};
use super::store_error::{StoreError, io_error};
use crate::files::write_whole;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const ENDING: &str = "news";

/// What a worker tells of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is about to carry it out.
    Taken,
    /// It has let go of it: the task was stopped, failed, or has a loss that is not finite.
    Free,
    /// Its result is in the store.
    Done,
}

/// The news of some plans of a store, as one process reads and writes them.
pub struct NewsFiles {
    store: Store,
    files: Mutex<Vec<NewsFile>>,
}

struct NewsFile {
    plan: String,
    path: PathBuf,
    /// The plan's tasks, by hash.
    tasks: HashSet<String>,
    /// Bytes read so far.
    read: u64,
    report: Option<String>,
}

impl News {
    const ALL: [Self; 3] = [Self::Taken, Self::Free, Self::Done];

    fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Free => "free",
            Self::Done => "done",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|news| news.word() == word)
    }
}

/// Before the name of the folder in `reports/` where the finished plan's report is.
const REPORT: &str = "report";

impl NewsFiles {
    /// The news of `plans`, none of them read yet.
    pub fn new(store: &Store, plans: &[KeptPlan]) -> Self {
        let file = |kept: &KeptPlan| NewsFile {
            plan: kept.name.clone(),
            path: path(store, &kept.name),
            tasks: kept.plan.tasks.iter().map(|planned| planned.hash.clone()).collect(),
            read: 0,
            report: None,
        };
        Self { store: store.clone(), files: Mutex::new(plans.iter().map(file).collect()) }
    }

    /// The folder of the report of the finished plan `name`, if a worker has told that it wrote one and nobody took a task since;
    /// reads what is new.
    pub fn report(&self, name: &str) -> Option<PathBuf> {
        self.hear();
        let files = self.lock();
        let report = files.iter().find(|file| file.plan == name)?.report.clone()?;
        let folder = self.store.report_folder(&report);
        folder.join("report.json").is_file().then_some(folder)
    }

    /// Tells that the report of the plan `name` was written to the folder `report` in `reports/`.
    pub fn tell_report(&self, name: &str, report: &str) {
        if let Some(file) = self.lock().iter().find(|file| file.plan == name) {
            file.append(REPORT, report);
        }
    }

    /// Throws the news away and begins anew with what is done, by a look at each task.
    pub fn begin_anew(&self) {
        for file in self.lock().iter_mut() {
            begin(&self.store, &file.plan, file.tasks.iter().map(String::as_str));
            (file.read, file.report) = (0, None);
        }
    }

    /// Tells `news` of the task `hash`.
    pub(super) fn tell(&self, hash: &str, news: News) {
        for file in self.lock().iter().filter(|file| file.tasks.contains(hash)) {
            file.append(news.word(), hash);
        }
    }

    /// What was told since the last time, in order.
    pub(super) fn hear(&self) -> Vec<(String, News)> {
        let (mut heard, mut old) = (Vec::new(), false);
        for file in self.lock().iter_mut() {
            old |= file.read == 0;
            // What cannot be read is heard later, or never.
            for line in file.unread().unwrap_or_default().lines() {
                let Some((word, what)) = line.split_once(' ') else { continue };
                if word == REPORT {
                    file.report = is_name(what).then(|| what.to_owned());
                } else if let Some(news) = News::parse(word)
                    && file.tasks.contains(what)
                {
                    if news == News::Taken {
                        file.report = None;
                    }
                    heard.push((what.to_owned(), news));
                }
            }
        }
        // Runs may have been deleted since.
        if old && heard.iter().any(|(_, news)| *news == News::Done) {
            let there: HashSet<String> = self.store.names().unwrap_or_default().into_iter().collect();
            heard.retain(|(hash, news)| *news != News::Done || there.contains(hash));
        }
        heard
    }

    fn lock(&self) -> MutexGuard<'_, Vec<NewsFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NewsFile {
    /// Appends a line; what cannot be written is not told.
    fn append(&self, word: &str, what: &str) {
        let opened = OpenOptions::new().append(true).create(true).open(&self.path);
        let _ = opened.and_then(|mut file| file.write_all(format!("{word} {what}\n").as_bytes()));
    }

    /// The whole lines behind those that were read.
    fn unread(&mut self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() < self.read {
            (self.read, self.report) = (0, None);
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        bytes.truncate(bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1));
        self.read += bytes.len() as u64;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Store {
    /// Begins the news of the plan `name` anew.
    pub(super) fn begin_news(&self, name: &str, plan: &Plan) {
        begin(self, name, plan.tasks.iter().map(|planned| planned.hash.as_str()));
    }

    /// Throws away the news of all plans, for a run is deleted.
    pub(super) fn forget_news(&self) -> Result<(), StoreError> {
        for path in super::leftovers::entries(&self.root().join(PLANS)) {
            if path.extension().is_some_and(|e| e == ENDING) {
                remove(&path).map_err(io_error(&path))?;
            }
        }
        Ok(())
    }

    /// Where workers write the report `name`.
    pub fn report_folder(&self, name: &str) -> PathBuf {
        self.root().join("reports").join(name)
    }

    /// What a worker claims to be the one that writes the report of the plan `name`.
    pub fn closing(&self, name: &str) -> Run {
        Run { folder: self.root().join(PLANS).join(format!("{name}.closing")), ..self.run(name) }
    }
}

/// Without the old news, even if no new ones can be written.
fn begin<'a>(store: &Store, name: &str, tasks: impl Iterator<Item = &'a str>) {
    let path = path(store, name);
    let _ = remove(&path);
    let done = tasks.filter(|hash| store.run(hash).is_finished());
    let text: String = done.map(|hash| format!("{} {hash}\n", News::Done.word())).collect();
    let _ = write_whole(&path, text.as_bytes());
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn path(store: &Store, name: &str) -> PathBuf {
    store.root().join(PLANS).join(format!("{name}.{ENDING}"))
}

/// Whether it is the name of a folder, and no way to another one.
fn is_name(text: &str) -> bool {
    let mut parts = Path::new(text).components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(_)), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataName;
    use crate::lab::Task;
    use crate::lab::defaults::{Kind, recipe};

    /// A store with a plan of two tasks, and their hashes.
    fn planned() -> (tempfile::TempDir, Store, Vec<KeptPlan>, [String; 2]) {
        let folder = tempfile::tempdir().expect("temp");
        let store = Store::open(folder.path()).expect("writable");
        let task = |name: &str| {
            let made = recipe(DataName::Cifar10, "d".into(), name.parse().expect("a name"), Kind::Train);
            (name.to_owned(), Task::Train(made))
        };
        let plan = Plan::new([task("cnn"), task("resnet18")]);
        store.write_tasks(&plan).expect("writable");
        store.write_plan("p", &plan).expect("writable");
        let hashes = [0, 1].map(|i: usize| plan.tasks[i].hash.clone());
        let plans = store.plans(None).expect("there");
        (folder, store, plans, hashes)
    }

    fn finish(store: &Store, hash: &str) {
        fs::write(store.run(hash).folder.join("result.json"), "{}").expect("writable");
    }

    #[test]
    fn what_one_worker_tells_another_hears_once_and_in_order() {
        let (_folder, store, plans, [one, two]) = planned();
        let [here, there] = [(); 2].map(|()| NewsFiles::new(&store, &plans));
        here.tell(&one, News::Taken);
        here.tell(&one, News::Done);
        here.tell("0123456789abcdef", News::Done);
        there.tell(&two, News::Free);
        let all = [(one.clone(), News::Taken), (one.clone(), News::Done), (two.clone(), News::Free)];
        assert_eq!(there.hear(), all);
        assert_eq!(there.hear(), []);
        assert_eq!(here.hear(), all);
        here.tell(&two, News::Done);
        assert_eq!(there.hear(), [(two, News::Done)]);
    }

    #[test]
    fn damaged_news_are_no_news() {
        let (_folder, store, plans, [one, two]) = planned();
        let news = NewsFiles::new(&store, &plans);
        let append = |bytes: &[u8]| {
            let mut file = OpenOptions::new().append(true).open(path(&store, "p")).expect("there");
            file.write_all(bytes).expect("writable");
        };
        append(
            format!("\0\0\0\u{ff}\ndone\ndone {}\ndone {one}\ngone {one}\nfree {two}\ntake", &one[..9])
                .as_bytes(),
        );
        assert_eq!(news.hear(), [(one.clone(), News::Done), (two, News::Free)]);
        // The rest of the line.
        append(format!("n {one}\nreport ../x\n").as_bytes());
        assert_eq!(news.hear(), [(one.clone(), News::Taken)]);
        assert_eq!(news.report("p"), None);
        fs::write(path(&store, "p"), format!("done {one}\n")).expect("writable");
        assert_eq!(news.hear(), [(one, News::Done)]);
        fs::remove_file(path(&store, "p")).expect("there");
        assert_eq!(news.hear(), []);
    }

    #[test]
    fn news_begin_with_what_is_done_and_end_where_a_run_is_deleted() {
        let (_folder, store, plans, [one, two]) = planned();
        finish(&store, &one);
        store.write_plan("p", &plans[0].plan).expect("writable");
        let hear = || NewsFiles::new(&store, &plans).hear();
        assert_eq!(hear(), [(one.clone(), News::Done)]);
        NewsFiles::new(&store, &plans).tell(&two, News::Done);
        assert_eq!(hear().len(), 2);
        NewsFiles::new(&store, &plans).begin_anew();
        assert_eq!(hear(), [(one.clone(), News::Done)]);
        // By hand, and by the store.
        fs::rename(store.root().join(&one), store.root().join("away")).expect("writable");
        assert_eq!(hear(), []);
        fs::rename(store.root().join("away"), store.root().join(&one)).expect("writable");
        assert_eq!(hear().len(), 1);
        store.remove(&two).expect("free");
        assert_eq!(hear(), []);
    }

    #[test]
    fn a_report_counts_until_a_task_is_taken() {
        let (_folder, store, plans, [one, _]) = planned();
        let news = NewsFiles::new(&store, &plans);
        news.tell_report("p", "study-small");
        assert_eq!(news.report("p"), None, "it is not there");
        let folder = store.root().join("reports/study-small");
        fs::create_dir_all(&folder).expect("writable");
        fs::write(folder.join("report.json"), "{}").expect("writable");
        assert_eq!(news.report("p"), Some(folder));
        news.tell(&one, News::Taken);
        assert_eq!(news.report("p"), None);
    }
}
