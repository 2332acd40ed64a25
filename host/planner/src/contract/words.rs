//! The words of a plan: `places` and `plans` in the contract. One method a word.

use rkt_plan::{self as plan, JailWord, Word};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::Session;
use super::bindings::rkt::plugin::pods::{Access, Credentials, SeccompFilter, SeccompMode};
use super::bindings::rkt::plugin::{places, plans};
use super::handles::{Jail, Place, Plan};

impl places::Host for Session {
    fn volume(&mut self, name: String) -> Result<Resource<Place>> {
        self.place(plan::Place::Volume(name))
    }

    fn empty(&mut self, name: String) -> Result<Resource<Place>> {
        self.place(plan::Place::Empty(name))
    }

    fn host(&mut self, path: String) -> Result<Resource<Place>> {
        self.place(plan::Place::Host(path))
    }
}

impl places::HostPlace for Session {
    fn drop(&mut self, _: Resource<Place>) -> Result<()> {
        Ok(())
    }
}

impl plans::Host for Session {}

impl plans::HostPlan for Session {
    fn share(&mut self, _: Resource<Plan>, namespace: String) -> Result<()> {
        self.say(Word::Share { namespace })
    }

    fn hostname(&mut self, _: Resource<Plan>, name: String) -> Result<()> {
        self.say(Word::Hostname { name })
    }

    fn app(&mut self, _: Resource<Plan>, name: String) -> Result<Resource<Jail>> {
        if let Some(index) = self.planned.iter().position(|known| *known == name) {
            return handle(index);
        }
        self.room_for_word(self.planned.len())?;
        self.count("app", [name.as_str()])?;
        self.planned.push(name);
        handle(self.planned.len() - 1)
    }

    fn claim(&mut self, _: Resource<Plan>, request: String, how: String) -> Result<()> {
        self.say(Word::Claim { request, how })
    }

    fn waive(&mut self, _: Resource<Plan>, request: String, reason: String) -> Result<()> {
        self.say(Word::Waive { request, reason })
    }

    fn note(&mut self, _: Resource<Plan>, text: String) -> Result<()> {
        self.say(Word::Note { text })
    }

    fn drop(&mut self, _: Resource<Plan>) -> Result<()> {
        Ok(())
    }
}

impl plans::HostJail for Session {
    fn root(&mut self, app: Resource<Jail>, access: Access) -> Result<()> {
        self.say_of(&app, JailWord::Root { access: spoken_access(access) })
    }

    fn bind(
        &mut self,
        app: Resource<Jail>,
        source: Resource<Place>,
        target: String,
        access: Access,
        reach: plans::Reach,
    ) -> Result<()> {
        let source = self.places[source.rep() as usize].clone();
        let recursive = matches!(reach, plans::Reach::Recursive);
        self.say_of(&app, JailWord::Bind { source, target, access: spoken_access(access), recursive })
    }

    fn mount(&mut self, app: Resource<Jail>, kind: String, target: String, options: Vec<String>) -> Result<()> {
        self.say_of(&app, JailWord::Mount { kind, target, options })
    }

    fn link(&mut self, app: Resource<Jail>, path: String, to: String) -> Result<()> {
        self.say_of(&app, JailWord::Link { path, to })
    }

    fn device(&mut self, app: Resource<Jail>, path: String) -> Result<()> {
        self.say_of(&app, JailWord::Device { path })
    }

    fn mask(&mut self, app: Resource<Jail>, path: String) -> Result<()> {
        self.say_of(&app, JailWord::Mask { path })
    }

    fn read_only(&mut self, app: Resource<Jail>, path: String) -> Result<()> {
        self.say_of(&app, JailWord::ReadOnly { path })
    }

    fn user(&mut self, app: Resource<Jail>, who: Credentials) -> Result<()> {
        let Credentials { uid, gid, groups } = who;
        self.say_of(&app, JailWord::User { credentials: plan::Credentials { uid, gid, groups } })
    }

    fn capabilities(&mut self, app: Resource<Jail>, names: Vec<String>) -> Result<()> {
        self.say_of(&app, JailWord::Capabilities { names })
    }

    fn no_new_privileges(&mut self, app: Resource<Jail>) -> Result<()> {
        self.say_of(&app, JailWord::NoNewPrivileges)
    }

    fn seccomp(&mut self, app: Resource<Jail>, filter: SeccompFilter) -> Result<()> {
        let mode = match filter.mode {
            SeccompMode::Retain => plan::SeccompMode::Retain,
            SeccompMode::Remove => plan::SeccompMode::Remove,
        };
        let filter = plan::SeccompFilter { mode, calls: filter.calls, errno: filter.errno };
        self.say_of(&app, JailWord::Seccomp { filter })
    }

    fn limit(&mut self, app: Resource<Jail>, what: String, value: u64) -> Result<()> {
        self.say_of(&app, JailWord::Limit { what, value })
    }

    fn oom_score(&mut self, app: Resource<Jail>, adjustment: i32) -> Result<()> {
        self.say_of(&app, JailWord::OomScore { adjustment })
    }

    fn stdio(&mut self, app: Resource<Jail>, mode: String) -> Result<()> {
        self.say_of(&app, JailWord::Stdio { mode })
    }

    fn drop(&mut self, _: Resource<Jail>) -> Result<()> {
        Ok(())
    }
}

impl Session {
    fn place(&mut self, place: plan::Place) -> Result<Resource<Place>> {
        self.room_for_word(self.places.len())?;
        self.count("place", [text_of(&place)])?;
        self.places.push(place);
        handle(self.places.len() - 1)
    }

    fn say(&mut self, word: Word) -> Result<()> {
        self.room_for_word(self.plan.words.len())?;
        self.count(word.name(), texts(&word))?;
        self.plan.words.push(word);
        Ok(())
    }

    fn say_of(&mut self, app: &Resource<Jail>, word: JailWord) -> Result<()> {
        let app = self.planned[app.rep() as usize].clone();
        self.say(Word::App { app, word })
    }
}

/// A handle for what lies at an index; there are never more things than words.
fn handle<T: 'static>(index: usize) -> Result<Resource<T>> {
    Ok(Resource::new_own(u32::try_from(index)?))
}

fn spoken_access(access: Access) -> plan::Access {
    match access {
        Access::ReadWrite => plan::Access::ReadWrite,
        Access::ReadOnly => plan::Access::ReadOnly,
    }
}

fn text_of(place: &plan::Place) -> &str {
    match place {
        plan::Place::Volume(text) | plan::Place::Empty(text) | plan::Place::Host(text) => text,
    }
}

/// Every text of a word, for counting.
fn texts(word: &Word) -> Vec<&str> {
    match word {
        Word::Share { namespace: text } | Word::Hostname { name: text } | Word::Note { text } => vec![text],
        Word::Claim { request, how: text } | Word::Waive { request, reason: text } => vec![request, text],
        Word::App { app, word } => {
            let mut texts = texts_of_app(word);
            texts.push(app);
            texts
        }
    }
}

fn texts_of_app(word: &JailWord) -> Vec<&str> {
    match word {
        JailWord::Root { .. } | JailWord::NoNewPrivileges | JailWord::OomScore { .. } => Vec::new(),
        JailWord::Bind { source, target, .. } => vec![text_of(source), target],
        JailWord::Mount { kind, target, options } => {
            [kind, target].into_iter().chain(options).map(String::as_str).collect()
        }
        JailWord::Link { path, to } => vec![path, to],
        JailWord::Device { path: text }
        | JailWord::Mask { path: text }
        | JailWord::ReadOnly { path: text }
        | JailWord::Limit { what: text, .. }
        | JailWord::Stdio { mode: text } => vec![text],
        // A number is not larger than an empty text.
        JailWord::User { credentials } => vec![""; credentials.groups.len()],
        JailWord::Capabilities { names } => names.iter().map(String::as_str).collect(),
        JailWord::Seccomp { filter } => filter.calls.iter().chain(&filter.errno).map(String::as_str).collect(),
    }
}
