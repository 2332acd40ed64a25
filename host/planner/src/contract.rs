//! The contract from the host's side: what a plugin is told about its pod, and how the words that it
//! speaks become a plan.
//!
//! Nothing is judged here. A word is written down as it came; [`rkt_plan::check`] gives it meaning
//! later, in another process. Only its size is counted at once.
//!
//! A component speaks by way of the bindings that are made of the WIT, native code by way of a table
//! of functions ([`table`]). Both end in the same methods of a [`Session`].

use std::collections::HashMap;
use std::io;

use rkt_plan::{Plan, Pod};
use wasmtime::component::{HasSelf, Linker};

use crate::failure::Failure;
use crate::limits::Limits;
use crate::message::LastReply;

mod pods;
pub(crate) mod table;
mod words;

/// Handles that plugins hold. Each is an index into a [`Session`]; there is one pod and one plan.
#[allow(unreachable_pub, reason = "the generated code re-exports them")]
pub(crate) mod handles {
    /// The pod.
    pub struct Pod;
    /// An app of the pod.
    pub struct App;
    /// A place that was named.
    pub struct Place;
    /// The plan.
    pub struct Plan;
    /// A program that was named.
    pub struct Program;
    /// The jail of an app or a program that was named.
    pub struct Jail;
    /// A piece of an argument.
    pub struct Piece;
}

#[allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated code")]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "stage1",
        imports: { default: trappable },
        with: {
            "rkt:plugin/pods.pod": super::handles::Pod,
            "rkt:plugin/pods.app": super::handles::App,
            "rkt:plugin/places.place": super::handles::Place,
            "rkt:plugin/plans.plan": super::handles::Plan,
            "rkt:plugin/plans.program": super::handles::Program,
            "rkt:plugin/plans.jail": super::handles::Jail,
            "rkt:plugin/arguments.piece": super::handles::Piece,
        },
    });
}

/// Answers a question about the host.
pub(crate) type Ask = Box<dyn FnMut(&str) -> io::Result<Option<String>>>;

/// Whose jail it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    App(String),
    Program(rkt_plan::Role),
}

/// One life of a plugin: the pod that it plans, and the plan so far.
pub(crate) struct Session {
    /// None until the plugin is called. Only a call gives out handles that lead here.
    pod: Option<Pod>,
    plan: Plan,
    /// Places named so far.
    places: Vec<rkt_plan::Place>,
    /// Pieces made so far.
    pieces: Vec<rkt_plan::SpokenPiece>,
    /// Programs named so far.
    programs: Vec<rkt_plan::Role>,
    /// Whose jail was asked for so far.
    jails: Vec<Owner>,
    ask: Ask,
    answers: HashMap<String, Option<String>>,
    pub(crate) limits: Limits,
    texts: usize,
}

impl Session {
    pub(crate) fn new(limits: Limits, ask: Ask) -> Self {
        Self {
            pod: None,
            plan: Plan::default(),
            places: Vec::new(),
            pieces: Vec::new(),
            programs: Vec::new(),
            jails: Vec::new(),
            ask,
            answers: HashMap::new(),
            limits,
            texts: 0,
        }
    }

    /// The pod is known, and the plugin about to be called.
    pub(crate) fn begin(&mut self, pod: Pod) {
        self.pod = Some(pod);
    }

    fn pod(&self) -> &Pod {
        self.pod.as_ref().expect("the handle of the pod is given out in the call, which comes after `begin`")
    }

    pub(crate) fn take_plan(&mut self) -> Plan {
        std::mem::take(&mut self.plan)
    }

    /// A refusal, in the plugin's own words, where it is not too long for one.
    pub(crate) fn refusal(&self, message: String, hint: Option<String>) -> Result<LastReply, Failure> {
        let limit = self.limits.text;
        if message.len() + hint.as_ref().map_or(0, String::len) > limit {
            return Err(Failure::Text { word: "problem".to_owned(), limit });
        }
        Ok(LastReply::Problem { message, hint })
    }

    /// Counts the texts of a word against the limits.
    fn count<'t>(&mut self, word: &str, texts: impl IntoIterator<Item = &'t str>) -> Result<(), Failure> {
        // Each text costs its place in a list too, so that a list of empty ones is not free.
        let bytes = texts.into_iter().map(|text| text.len() + size_of::<String>()).sum::<usize>();
        if bytes > self.limits.text {
            return Err(Failure::Text { word: word.to_owned(), limit: self.limits.text });
        }
        self.texts += bytes;
        if self.texts > self.limits.texts {
            return Err(Failure::Texts { limit: self.limits.texts });
        }
        Ok(())
    }

    /// Whether one more thing of a kind fits.
    fn room_for_word(&self, so_far: usize) -> Result<(), Failure> {
        if so_far < self.limits.words { Ok(()) } else { Err(Failure::Words { limit: self.limits.words }) }
    }

    /// The answer to a question, asked once.
    fn fact(&mut self, name: String) -> Result<Option<String>, Failure> {
        if self.pod.is_none() {
            return Err(Failure::contract("it asked about the host before it was called"));
        }
        if let Some(answer) = self.answers.get(&name) {
            return Ok(answer.clone());
        }
        if self.answers.len() >= self.limits.questions {
            return Err(Failure::Questions { limit: self.limits.questions });
        }
        self.count("fact", [name.as_str()])?;
        let answer = (self.ask)(&name).map_err(|cause| Failure::contract(cause.to_string()))?;
        self.answers.insert(name, answer.clone());
        Ok(answer)
    }
}

/// Offers the contract to components.
pub(crate) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    session: fn(&mut T) -> &mut Session,
) -> wasmtime::Result<()> {
    bindings::Stage1::add_to_linker::<_, HasSelf<Session>>(linker, session)
}

impl bindings::rkt::plugin::facts::Host for Session {
    fn fact(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(Session::fact(self, name)?)
    }
}

impl bindings::rkt::plugin::problems::Host for Session {}
