//! How a pod is ended: apps are asked, given time, and killed.

use std::time::{Duration, Instant};

use rustix::process::Signal;

/// How long apps have to end when they are asked to.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What has been decided, and what of it is still to be done.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// When apps are killed; none: nobody wants the pod to end.
    deadline: Option<Instant>,
    /// Somebody outside wants it, who waits for it.
    is_wanted: bool,
    asked: bool,
    killed: bool,
}

impl Ending {
    /// The pod is to end, its apps asked first. A second time changes nothing.
    pub(crate) fn begin(&mut self) {
        self.deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
    }

    /// The same, as somebody outside wants it.
    pub(crate) fn want(&mut self) {
        self.is_wanted = true;
        self.begin();
    }

    /// Somebody outside wants the pod to end at once.
    pub(crate) fn force(&mut self) {
        self.is_wanted = true;
        self.deadline = Some(Instant::now());
        self.asked = true;
    }

    /// A signal that the monitor got. A second one of those that people send asks for no more patience.
    pub(crate) fn hear_signal(&mut self, number: i32) {
        let is_a_persons = [Signal::INT, Signal::TERM].iter().any(|signal| signal.as_raw() == number);
        if self.has_begun() && is_a_persons {
            self.force();
        } else {
            self.want();
        }
    }

    /// Whether the pod is to end.
    pub(crate) fn has_begun(&self) -> bool {
        self.deadline.is_some()
    }

    /// How long until apps are killed.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline.filter(|_| !self.killed)?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// How long the last output may take to be read. Nobody is held up by that who wants the pod to end;
    /// a pod that ends by itself takes the time it takes.
    pub(crate) fn time_for_output(&self) -> Option<Duration> {
        let deadline = self.deadline.filter(|_| self.is_wanted)?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether apps are to be asked now; said once.
    pub(crate) fn is_to_ask(&mut self) -> bool {
        self.has_begun() && !std::mem::replace(&mut self.asked, true)
    }

    /// Whether apps are to be killed now; said once.
    pub(crate) fn is_to_kill(&mut self) -> bool {
        let is_time = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        is_time && !std::mem::replace(&mut self.killed, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_are_asked_once_and_killed_at_the_second_signal() {
        let mut ending = Ending::default();
        assert!(!ending.is_to_ask() && ending.time_left().is_none());
        ending.hear_signal(Signal::TERM.as_raw());
        assert!(ending.is_to_ask() && !ending.is_to_ask() && !ending.is_to_kill());
        ending.hear_signal(Signal::HUP.as_raw());
        assert!(!ending.is_to_kill());
        ending.hear_signal(Signal::INT.as_raw());
        assert!(ending.is_to_kill() && !ending.is_to_kill() && !ending.is_to_ask());
        assert_eq!(ending.time_left(), None);
    }

    #[test]
    fn force_asks_nobody() {
        let mut ending = Ending::default();
        ending.force();
        assert!(!ending.is_to_ask() && ending.is_to_kill());
    }
}
