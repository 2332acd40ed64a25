//! The apps of a pod as the monitor knows them: from init's word, and nothing else.

use rkt_executor::Failure;
use rkt_monitor::{AppState, AppStatus, Ended};
use rustix::process::Signal;

/// The largest code of a process, and larger than any signal's number.
const MOST_CODE: i32 = 255;

/// Each app with its state.
#[derive(Debug)]
pub(crate) struct Apps {
    apps: Vec<App>,
    /// The first code that was not 0.
    code: u8,
}

#[derive(Debug)]
struct App {
    name: String,
    pid: u32,
    state: AppState,
    said: Said,
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
        let apps = names.map(|name| App { name, pid: 0, state: AppState::Starting, said: Said::Nothing }).collect();
        Self { apps, code: 0 }
    }

    pub(crate) fn name(&self, index: usize) -> Result<&str, Failure> {
        self.apps.get(index).map(|app| app.name.as_str()).ok_or_else(unknown)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.apps.len()
    }

    /// The name of the only app, where there is one only.
    pub(crate) fn only_name(&self) -> Option<&str> {
        match self.apps.as_slice() {
            [app] => Some(&app.name),
            _ => None,
        }
    }

    /// A helper has ended by itself; its code counts as an app's.
    pub(crate) fn helper_ended(&mut self, ended: Ended) {
        self.count_code(ended);
    }

    /// An app's first process was made.
    pub(crate) fn made(&mut self, index: usize, pid: u32) -> Result<(), Failure> {
        self.hear(index, Said::Made)?.pid = pid;
        Ok(())
    }

    /// An app could not be started; its name.
    pub(crate) fn failed(&mut self, index: usize) -> Result<&str, Failure> {
        self.hear(index, Said::UpOrFailed).map(|app| app.name.as_str())
    }

    /// An app runs its program. Whether now all have come so far.
    pub(crate) fn up(&mut self, index: usize) -> Result<bool, Failure> {
        let app = self.hear(index, Said::UpOrFailed)?;
        app.state = AppState::Running { pid: app.pid };
        Ok(!self.apps.iter().any(|app| app.state == AppState::Starting))
    }

    /// An app has ended; the code that is recorded. Of an app that ended by the signal by which it was
    /// asked to, 0.
    pub(crate) fn ended(&mut self, index: usize, ended: Ended, was_asked: bool) -> Result<i32, Failure> {
        if !(0..=MOST_CODE).contains(&ended.code()) {
            return Err(Failure::new(format!("init says that an app ended with {}", ended.code())));
        }
        let app = self.hear(index, Said::Exited)?;
        let as_asked = was_asked && ended == Ended::Signal(Signal::TERM.as_raw());
        let ended = if as_asked { Ended::Code(0) } else { ended };
        app.state = AppState::Exited(ended);
        self.count_code(ended);
        Ok(ended.code())
    }

    fn count_code(&mut self, ended: Ended) {
        if self.code == 0 {
            self.code = u8::try_from(ended.code()).unwrap_or(u8::MAX);
        }
    }

    /// The apps that had not ended when all of the pod was killed, and how they did then.
    pub(crate) fn kill_rest(&self) -> Vec<(usize, Ended)> {
        let killed = Ended::Signal(Signal::KILL.as_raw());
        let rest = self.apps.iter().enumerate().filter(|(_, app)| !matches!(app.state, AppState::Exited(_)));
        rest.map(|(index, _)| (index, killed)).collect()
    }

    /// The pod's code: the first that was not 0, or 0.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// As told to clients.
    pub(crate) fn status(&self) -> Vec<AppStatus> {
        self.apps.iter().map(|app| AppStatus { name: app.name.clone(), state: app.state }).collect()
    }

    /// The app of which init says something.
    fn hear(&mut self, index: usize, said: Said) -> Result<&mut App, Failure> {
        let app = self.apps.get_mut(index).ok_or_else(unknown)?;
        if app.said >= said {
            return Err(Failure::new(format!("init says again, or too late, what app {} does", app.name)));
        }
        app.said = said;
        Ok(app)
    }
}

fn unknown() -> Failure {
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
        assert_eq!(apps.ended(0, Ended::Code(3), false).unwrap(), 3);
        assert_eq!(apps.ended(1, Ended::Signal(9), true).unwrap(), 9);
        assert_eq!(apps.code(), 3);
        assert!(apps.kill_rest().is_empty());
    }

    #[test]
    fn an_app_that_ends_as_asked_has_not_failed() {
        let mut apps = apps();
        assert_eq!(apps.ended(0, Ended::Signal(15), true).unwrap(), 0);
        assert_eq!(apps.code(), 0);
        assert_eq!(apps.kill_rest(), [(1, Ended::Signal(9))]);
        let mut unasked = Apps::new(["a".to_owned()].into_iter());
        assert_eq!(unasked.ended(0, Ended::Signal(15), false).unwrap(), 15);
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
