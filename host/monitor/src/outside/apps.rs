//! The apps of a pod as the monitor knows them: from init's word, and nothing else.

use std::collections::BTreeMap;

use rkt_executor::Failure;
use rkt_monitor::{AppState, AppStatus, Ended};
use rustix::process::Signal;

/// The largest code of a process, and larger than any signal's number.
const MOST_CODE: i32 = 255;

/// Each app with its state, by its number.
#[derive(Debug)]
pub(crate) struct Apps {
    by_number: BTreeMap<usize, App>,
    /// The number of the next app that comes. None is used twice.
    next: usize,
    /// The first code that was not 0.
    code: u8,
}

#[derive(Debug)]
struct App {
    name: String,
    pid: u32,
    state: AppState,
    said: Said,
    /// It is being taken away: its end is no affair of the pod's any more.
    is_leaving: bool,
}

/// What init has said of an app last. It says each once, in this order: one in a guest may be in hostile hands,
/// and has no more to say than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Nothing,
    Made,
    UpOrFailed,
    Exited,
}

impl Apps {
    pub(crate) fn new(names: impl Iterator<Item = String>) -> Self {
        let mut apps = Self { by_number: BTreeMap::new(), next: 0, code: 0 };
        names.for_each(|name| {
            apps.add(name);
        });
        apps
    }

    /// The number that the next app will have.
    pub(crate) fn next(&self) -> usize {
        self.next
    }

    /// An app comes; its number.
    pub(crate) fn add(&mut self, name: String) -> usize {
        let number = self.next;
        self.next += 1;
        let state = AppState::Starting;
        self.by_number.insert(number, App { name, pid: 0, state, said: Said::Nothing, is_leaving: false });
        number
    }

    /// An app begins to go. Whether it has ended already.
    pub(crate) fn leave(&mut self, number: usize) -> Result<bool, Failure> {
        let app = self.by_number.get_mut(&number).ok_or_else(unknown)?;
        app.is_leaving = true;
        Ok(matches!(app.state, AppState::Exited(_)))
    }

    /// An app is gone.
    pub(crate) fn remove(&mut self, number: usize) {
        self.by_number.remove(&number);
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_number.iter().find(|(_, app)| app.name == name).map(|(number, _)| *number)
    }

    pub(crate) fn name(&self, number: usize) -> Result<&str, Failure> {
        self.by_number.get(&number).map(|app| app.name.as_str()).ok_or_else(unknown)
    }

    /// The numbers of all.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        self.by_number.keys().copied().collect()
    }

    /// The name of the only app, where there is one only.
    pub(crate) fn only_name(&self) -> Option<&str> {
        let mut apps = self.by_number.values();
        apps.next().filter(|_| apps.next().is_none()).map(|app| app.name.as_str())
    }

    /// The names of all.
    pub(crate) fn names(&self) -> Vec<String> {
        self.by_number.values().map(|app| app.name.clone()).collect()
    }

    /// An app's first process was made.
    pub(crate) fn made(&mut self, number: usize, pid: u32) -> Result<(), Failure> {
        self.hear(number, Said::Made)?.pid = pid;
        Ok(())
    }

    /// An app could not be started; its name.
    pub(crate) fn failed(&mut self, number: usize) -> Result<&str, Failure> {
        self.hear(number, Said::UpOrFailed).map(|app| app.name.as_str())
    }

    /// An app runs its program. Whether now all have come so far.
    pub(crate) fn up(&mut self, number: usize) -> Result<bool, Failure> {
        let app = self.hear(number, Said::UpOrFailed)?;
        app.state = AppState::Running { pid: app.pid };
        Ok(!self.by_number.values().any(|app| app.state == AppState::Starting))
    }

    /// An app has ended; the code that is recorded, and whether it counts for the pod. Of an app that ended by
    /// the signal by which it was asked to, the code is 0.
    pub(crate) fn ended(&mut self, number: usize, ended: Ended, was_asked: bool) -> Result<(i32, bool), Failure> {
        if !(0..=MOST_CODE).contains(&ended.code()) {
            return Err(Failure::new(format!("init says that an app ended with {}", ended.code())));
        }
        let app = self.hear(number, Said::Exited)?;
        let counts = !app.is_leaving;
        let as_asked = (was_asked || app.is_leaving) && ended == Ended::Signal(Signal::TERM.as_raw());
        let ended = if as_asked { Ended::Code(0) } else { ended };
        app.state = AppState::Exited(ended);
        if counts {
            self.count_code(ended);
        }
        Ok((ended.code(), counts))
    }

    /// A helper has ended by itself; its code counts as an app's.
    pub(crate) fn helper_ended(&mut self, ended: Ended) {
        self.count_code(ended);
    }

    fn count_code(&mut self, ended: Ended) {
        if self.code == 0 {
            self.code = u8::try_from(ended.code()).unwrap_or(u8::MAX);
        }
    }

    /// The apps that had not ended when all of the pod was killed, and how they did then.
    pub(crate) fn kill_rest(&self) -> Vec<(usize, Ended)> {
        let killed = Ended::Signal(Signal::KILL.as_raw());
        let rest = self.by_number.iter().filter(|(_, app)| !matches!(app.state, AppState::Exited(_)));
        rest.map(|(number, _)| (*number, killed)).collect()
    }

    /// The pod's code: the first that was not 0, or 0.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// As told to clients.
    pub(crate) fn status(&self) -> Vec<AppStatus> {
        self.by_number.values().map(|app| AppStatus { name: app.name.clone(), state: app.state }).collect()
    }

    /// The app of which init says something.
    fn hear(&mut self, number: usize, said: Said) -> Result<&mut App, Failure> {
        let app = self.by_number.get_mut(&number).ok_or_else(unknown)?;
        if app.said >= said {
            return Err(Failure::new(format!("init says again, or too late, what app {} does", app.name)));
        }
        app.said = said;
        Ok(app)
    }
}

pub(crate) fn unknown() -> Failure {
    Failure::new("init speaks of an app that is none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apps() -> Apps {
        Apps::new(["a", "b"].map(str::to_owned).into_iter())
    }

    #[test]
    fn the_first_code_that_is_not_0_is_the_pods() {
        let mut apps = apps();
        assert_eq!(apps.ended(0, Ended::Code(3), false).unwrap(), (3, true));
        assert_eq!(apps.ended(1, Ended::Signal(9), true).unwrap(), (9, true));
        assert_eq!(apps.code(), 3);
        assert!(apps.kill_rest().is_empty());
    }

    #[test]
    fn an_app_that_ends_as_asked_has_not_failed() {
        let mut apps = apps();
        assert_eq!(apps.ended(0, Ended::Signal(15), true).unwrap(), (0, true));
        assert_eq!(apps.code(), 0);
        assert_eq!(apps.kill_rest(), [(1, Ended::Signal(9))]);
        let mut unasked = Apps::new(["a".to_owned()].into_iter());
        assert_eq!(unasked.ended(0, Ended::Signal(15), false).unwrap(), (15, true));
    }

    #[test]
    fn the_end_of_an_app_that_is_taken_away_is_not_the_pods_and_its_number_is_never_anothers() {
        let mut apps = apps();
        assert!(!apps.leave(1).unwrap());
        assert_eq!(apps.ended(1, Ended::Signal(9), false).unwrap(), (9, false));
        assert!(apps.leave(1).unwrap());
        apps.remove(1);
        assert_eq!((apps.code(), apps.find("b")), (0, None));
        assert_eq!(apps.next(), 2);
        assert_eq!(apps.add("b".to_owned()), 2);
        assert_eq!(apps.names(), ["a", "b"]);
        assert!(apps.made(1, 7).is_err(), "it is gone");
    }

    #[test]
    fn all_are_up_when_the_last_is_and_unknown_ones_are_an_error() {
        let mut apps = apps();
        apps.made(0, 2).unwrap();
        assert!(!apps.up(0).unwrap());
        assert_eq!(apps.status()[0].state, AppState::Running { pid: 2 });
        assert!(apps.up(1).unwrap());
        assert!(apps.up(2).is_err() && apps.made(2, 1).is_err() && apps.name(2).is_err());
    }

    #[test]
    fn what_is_said_twice_or_too_late_or_cannot_be_is_an_error() {
        let mut apps = apps();
        apps.made(0, 2).unwrap();
        assert!(apps.made(0, 3).is_err());
        apps.up(0).unwrap();
        assert!(apps.up(0).is_err() && apps.failed(0).is_err() && apps.made(0, 2).is_err());
        assert!(apps.ended(0, Ended::Code(256), false).is_err() && apps.ended(0, Ended::Signal(-1), false).is_err());
        apps.ended(0, Ended::Code(1), false).unwrap();
        assert!(apps.ended(0, Ended::Code(0), false).is_err() && apps.up(0).is_err());
        assert_eq!(apps.failed(1).unwrap(), "b");
        apps.ended(1, Ended::Code(0), false).unwrap();
    }
}
