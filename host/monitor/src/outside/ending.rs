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
    /// When apps were to be killed.
    killed: Option<Instant>,
    /// Whether init was, which had not done that.
    gave_up: bool,
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

    /// The same, where apps have no more than this time.
    pub(crate) fn want_within(&mut self, patience: Duration) {
        self.is_wanted = true;
        // A time that no clock can tell does not come.
        if let Some(deadline) = Instant::now().checked_add(patience) {
            self.deadline = Some(self.deadline.map_or(deadline, |sooner| sooner.min(deadline)));
        } else {
            self.begin();
        }
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

    /// How long until there is something to be done.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let next = match self.killed {
            None => self.deadline,
            Some(at) if !self.gave_up => Some(at + PATIENCE),
            Some(_) => None,
        };
        Some(next?.saturating_duration_since(Instant::now()))
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
        let is_time = self.killed.is_none() && self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        if is_time {
            self.killed = Some(Instant::now());
        }
        is_time
    }

    /// Whether init is to be killed now, which was to end the pod and has not; said once.
    pub(crate) fn is_to_give_up(&mut self) -> bool {
        let is_time = self.killed.is_some_and(|at| at + PATIENCE <= Instant::now());
        is_time && !std::mem::replace(&mut self.gave_up, true)
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
        // From then on init has its time.
        assert!(ending.time_left().is_some_and(|left| left <= PATIENCE) && !ending.is_to_give_up());
    }

    #[test]
    fn the_least_patience_counts() {
        let mut ending = Ending::default();
        ending.want_within(Duration::from_hours(1));
        assert!(ending.is_to_ask() && ending.time_left() > Some(Duration::from_mins(50)));
        ending.want_within(Duration::MAX);
        ending.want();
        assert!(ending.time_left() > Some(Duration::from_mins(50)));
        ending.want_within(Duration::ZERO);
        assert!(ending.is_to_kill() && !ending.is_to_ask());
    }

    #[test]
    fn an_init_that_does_not_end_the_pod_is_given_up_once() {
        let mut ending = Ending::default();
        ending.force();
        assert!(ending.is_to_kill());
        ending.killed = Instant::now().checked_sub(PATIENCE);
        assert!(ending.is_to_give_up() && !ending.is_to_give_up());
        assert_eq!(ending.time_left(), None);
    }

    #[test]
    fn force_asks_nobody() {
        let mut ending = Ending::default();
        ending.force();
        assert!(!ending.is_to_ask() && ending.is_to_kill());
    }
}
