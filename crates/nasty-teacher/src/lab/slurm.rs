//! The batch script of an array of identical workers for Slurm. It depends on no other job, and nothing watches it: the store is the
//! queue.

use super::record::quoted;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Seconds before its time is up at which a worker saves and ends, if its time is long enough.
const NOTICE: u64 = 120;
/// An array has at most so many elements, unless Slurm's MaxArraySize was changed.
const ELEMENTS: usize = 1000;

/// A limit of time as Slurm writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    text: String,
    seconds: u64,
}

impl TimeLimit {
    /// In seconds.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }

    /// Seconds before the end at which a worker is told to stop.
    fn notice(&self) -> u64 {
        NOTICE.min(self.seconds / 2)
    }
}

impl FromStr for TimeLimit {
    type Err = String;

    /// `MINUTES`, `MINUTES:SECONDS`, `HOURS:MINUTES:SECONDS`, or `DAYS-` and hours, hours and minutes, or all three.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected a time such as 90 (minutes), 4:00:00 or 1-12:00:00, found `{text}`");
        let number = |part: &str| part.parse::<u64>().ok().filter(|&n| n <= 1_000_000);
        let numbers = |text: &str| text.split(':').map(number).collect::<Option<Vec<u64>>>();
        let parts = match text.split_once('-') {
            None => match numbers(text).ok_or_else(expected)?[..] {
                [minutes] => [0, 0, minutes, 0],
                [minutes, seconds] => [0, 0, minutes, seconds],
                [hours, minutes, seconds] => [0, hours, minutes, seconds],
                _ => return Err(expected()),
            },
            Some((days, rest)) => {
                let days = number(days).ok_or_else(expected)?;
                match numbers(rest).ok_or_else(expected)?[..] {
                    [hours] => [days, hours, 0, 0],
                    [hours, minutes] => [days, hours, minutes, 0],
                    [hours, minutes, seconds] => [days, hours, minutes, seconds],
                    _ => return Err(expected()),
                }
            }
        };
        let [days, hours, minutes, seconds] = parts;
        let seconds = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
        if seconds < 60 {
            return Err(format!("expected at least a minute, found `{text}`"));
        }
        Ok(Self { text: text.to_owned(), seconds })
    }
}

/// An array of workers.
#[derive(Clone, Debug)]
pub struct Array {
    /// The experiment's name.
    pub experiment: String,
    /// Tasks of the plan.
    pub tasks: usize,
    /// The command that made the script.
    pub made_by: String,
    /// Workers at a time.
    pub workers: usize,
    /// How often each is replaced by another when its time is up, the first one counted.
    pub rounds: usize,
    /// The time of one.
    pub time: TimeLimit,
    /// Processors of one, where that is said.
    pub threads: Option<u16>,
    /// GPUs of one.
    pub gpus: Option<u16>,
    /// Options of sbatch.
    pub options: Vec<String>,
    /// Where logs go.
    pub logs: PathBuf,
    /// The worker's command and its arguments, but for the threads.
    pub command: Vec<String>,
}

impl Array {
    /// Rounds enough for `hours` of work, if half of the time is lost to waiting and preemption; as many as an array has room for.
    pub fn rounds_for(hours: f64, workers: usize, time: &TimeLimit) -> usize {
        let round = workers as f64 * time.seconds as f64 / 3600.0;
        let wanted = (2.0 * hours / round).ceil() as usize + 2;
        wanted.clamp(1, (ELEMENTS / workers.max(1)).max(1))
    }

    /// Elements of the array.
    pub fn elements(&self) -> usize {
        self.workers * self.rounds
    }
}

impl fmt::Display for Array {
    /// The batch script.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let notice = self.time.notice();
        writeln!(f, "#!/bin/bash")?;
        writeln!(f, "# {} tasks of {}, {} workers at a time.", self.tasks, self.experiment, self.workers)?;
        writeln!(f, "# Made by: {}", self.made_by)?;
        writeln!(f, "#")?;
        writeln!(
            f,
            "# Every element of the array is the same worker: it takes tasks from the store until none is left. {notice} seconds"
        )?;
        writeln!(
            f,
            "# before its time is up it saves its state and ends with exit code 75; the next element goes on with its task."
        )?;
        writeln!(f, "# Elements that find nothing left to do end at once.")?;
        writeln!(f, "#SBATCH --job-name={}", word(&format!("nasty-{}", self.experiment)))?;
        writeln!(f, "#SBATCH --array=0-{}%{}", self.elements() - 1, self.workers)?;
        writeln!(f, "#SBATCH --time={}", self.time.text)?;
        writeln!(f, "#SBATCH --signal=B:USR1@{notice}")?;
        writeln!(f, "#SBATCH --requeue")?;
        writeln!(f, "#SBATCH --open-mode=append")?;
        writeln!(f, "#SBATCH --output={}", word(&format!("{}/%A_%a.log", self.logs.display())))?;
        if let Some(threads) = self.threads {
            writeln!(f, "#SBATCH --cpus-per-task={threads}")?;
        }
        if let Some(gpus) = self.gpus {
            writeln!(f, "#SBATCH --gpus={gpus}")?;
        }
        for option in &self.options {
            writeln!(f, "#SBATCH {}", word(option))?;
        }
        // With exec the signal reaches the program and not a shell that waits for it.
        let command: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        writeln!(f, "\nexec {} --threads \"${{SLURM_CPUS_PER_TASK:-1}}\"", command.join(" "))
    }
}

/// An option as sbatch reads it in a script: in quotes if it has spaces.
fn word(option: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && c != '"' && c != '\'' && c != '#';
    if option.chars().all(plain) { option.to_owned() } else { format!("\"{}\"", option.replace('"', "\\\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_slurm_reads_them() {
        for (text, seconds) in [
            ("90", 5400),
            ("1:30", 90),
            ("4:00:00", 14_400),
            ("1-12", 129_600),
            ("1-12:30", 131_400),
            ("2-00:00:01", 172_801),
        ] {
            assert_eq!(text.parse::<TimeLimit>().expect(text).seconds(), seconds, "{text}");
        }
        for text in ["", "4h", "0:30", "1:2:3:4", "-1", "1-", "infinite"] {
            assert!(text.parse::<TimeLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn there_are_rounds_enough_and_not_more_than_an_array_has_room_for() {
        let time: TimeLimit = "4:00:00".parse().expect("a time");
        assert_eq!(Array::rounds_for(0.1, 16, &time), 3);
        assert_eq!(Array::rounds_for(640.0, 16, &time), 22);
        assert_eq!(Array::rounds_for(1e9, 16, &time), 62);
        assert_eq!(Array::rounds_for(1e9, 4_000, &time), 1);
    }

    #[test]
    fn the_script_can_be_read() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let array = Array {
            experiment: "cifar100".into(),
            tasks: 42,
            made_by: "nasty slurm cifar100 scale=paper 'seeds=[0,1,2]' --workers 16 --time 4:00:00".into(),
            workers: 16,
            rounds: 3,
            time: "4:00:00".parse().expect("a time"),
            threads: Some(8),
            gpus: None,
            options: vec!["--partition=cpu".into(), "--comment=two words".into()],
            logs: "/home/me/my runs/slurm".into(),
            command: words(
                "/home/me/bin/nasty work --store /home/me/runs --plan /home/me/runs/plans/cifar100.json",
            ),
        };
        insta::assert_snapshot!(array.to_string(), @r#"
        #!/bin/bash
        # 42 tasks of cifar100, 16 workers at a time.
        # Made by: nasty slurm cifar100 scale=paper 'seeds=[0,1,2]' --workers 16 --time 4:00:00
        #
        # Every element of the array is the same worker: it takes tasks from the store until none is left. 120 seconds
        # before its time is up it saves its state and ends with exit code 75; the next element goes on with its task.
        # Elements that find nothing left to do end at once.
        #SBATCH --job-name=nasty-cifar100
        #SBATCH --array=0-47%16
        #SBATCH --time=4:00:00
        #SBATCH --signal=B:USR1@120
        #SBATCH --requeue
        #SBATCH --open-mode=append
        #SBATCH --output="/home/me/my runs/slurm/%A_%a.log"
        #SBATCH --cpus-per-task=8
        #SBATCH --partition=cpu
        #SBATCH "--comment=two words"

        exec /home/me/bin/nasty work --store /home/me/runs --plan /home/me/runs/plans/cifar100.json --threads "${SLURM_CPUS_PER_TASK:-1}"
        "#);
    }
}
