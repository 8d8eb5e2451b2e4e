use super::*;
use sha2::{Digest, Sha256};
use std::time::Duration;

const NOBODY: &str =
    "[nobody]\nsha256 = '0000000000000000000000000000000000000000000000000000000000000000'\n";

fn entry(name: &str, settings: &str) -> String {
    let digest: String = Sha256::digest(format!("{name}'s key")).iter().map(|b| format!("{b:02x}")).collect();
    format!("[{name}]\nsha256 = '{digest}'\n{settings}\n")
}

struct Place(tempfile::TempDir);

impl Place {
    fn with(keys: &str) -> Self {
        let place = Self(tempfile::tempdir().expect("temp"));
        place.write(keys);
        place
    }

    fn write(&self, keys: &str) {
        std::fs::write(self.0.path().join("keys.toml"), keys).expect("writable");
    }

    fn open(&self) -> Arc<Accounts> {
        let [keys, ledger] = ["keys.toml", "ledger"].map(|name| self.0.path().join(name));
        Arc::new(Accounts::open(&keys, &ledger).expect("accounts"))
    }
}

fn charge(reservation: Reservation) -> Result<(), Refusal> {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(reservation.charge())
}

fn budget_left(accounts: &Accounts, key: &Key) -> Option<u64> {
    accounts.left(key, Instant::now()).budget
}

#[test]
fn a_budget_is_reserved_charged_and_remembered() {
    let place = Place::with(&entry("alice", "budget = 10"));
    let now = Instant::now();
    let accounts = place.open();
    let alice = accounts.find("alice's key").expect("known");
    assert!(accounts.find("mallory's key").is_none());
    let reserve = |images| accounts.reserve(&alice, images, now);
    let (six, four) = (reserve(6).expect("6 of 10"), reserve(4).expect("the rest"));
    let refused = reserve(1).map(drop).expect_err("none left");
    assert_eq!((refused.status, refused.retry_after), (429, None));
    assert!(refused.message.contains("0 of this key's budget of 10"), "{refused}");
    drop(four);
    assert_eq!(budget_left(&accounts, &alice), Some(4), "what was not used is given back");
    charge(six).expect("written");
    assert!(reserve(5).is_err() && reserve(4).is_ok());
    drop(accounts);

    let again = place.open();
    assert_eq!(budget_left(&again, &alice), Some(4));
    // A key of another text, and a larger budget, under the same name.
    place.write(&(NOBODY.to_owned() + &entry("alice", "budget = 20").replace('\'', "\"")));
    assert_eq!(again.reload().expect("good keys"), 2);
    let alice = again.find("alice's key").expect("known");
    assert_eq!(budget_left(&again, &alice), Some(14));
    place.write("[alice]\n");
    assert!(again.reload().is_err() && again.find("alice's key").is_some(), "the former keys stay");
    place.write(NOBODY);
    again.reload().expect("good keys");
    assert!(again.find("alice's key").is_none());
}

#[test]
fn a_rate_says_when_to_come_again() {
    let place = Place::with(&(entry("alice", "images_per_minute = 60") + &entry("bob", "")));
    let accounts = place.open();
    let [alice, bob] = ["alice", "bob"].map(|n| accounts.find(&format!("{n}'s key")).expect("known"));
    let now = Instant::now();
    let reserve = |images, seconds| accounts.reserve(&alice, images, now + Duration::from_secs(seconds));
    assert_eq!(reserve(61, 0).map(drop).expect_err("never").status, 413);
    charge(reserve(60, 0).expect("a minute's images")).expect("written");
    let refused = reserve(30, 10).map(drop).expect_err("too soon");
    assert_eq!((refused.status, refused.retry_after), (429, Some(20)));
    let reservation = reserve(30, 30).expect("in time");
    assert_eq!(accounts.left(&alice, now + Duration::from_secs(30)), Left { budget: None, rate: Some(0) });
    drop(reservation);
    assert_eq!(accounts.left(&alice, now + Duration::from_secs(30)).rate, Some(30));
    let mut hung_up = reserve(30, 30).expect("in time");
    hung_up.computed();
    drop(hung_up);
    assert_eq!(accounts.left(&alice, now + Duration::from_secs(30)).rate, Some(0), "it was computed");
    assert!(accounts.reserve(&bob, 1_000_000, now).is_ok());
}

#[test]
fn requests_at_once_never_get_more_than_the_budget() {
    let place = Place::with(&entry("alice", "budget = 100"));
    let accounts = place.open();
    let alice = accounts.find("alice's key").expect("known");
    let answered = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (accounts, alice, answered) = (&accounts, &alice, &answered);
            scope.spawn(move || {
                for round in 0..20 {
                    let Ok(reservation) = accounts.reserve(alice, 1 + thread % 3, Instant::now()) else {
                        continue;
                    };
                    // Every fifth request fails after it was understood.
                    if round % 5 == 4 {
                        continue;
                    }
                    charge(reservation).expect("written");
                    answered.fetch_add(1 + thread % 3, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    let answered = answered.into_inner();
    assert!((98..=100).contains(&answered), "{answered}");
    assert_eq!(budget_left(&accounts, &alice), Some(100 - answered));
    drop(accounts);
    assert_eq!(budget_left(&place.open(), &alice), Some(100 - answered));
}
