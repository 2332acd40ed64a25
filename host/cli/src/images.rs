//! The grammar of commands that take several images, each with flags and arguments of its own:
//!
//! ```text
//! rkt --debug run --net=host a.aci --user=1 -- -x -y --- b.aci --mount volume=v,target=/d -- --port 7
//! ```
//!
//! Words are read one by one, inside or outside the arguments of an app. Outside, flags are read as
//! they come: those of the pod and of rkt may stand anywhere, those of an app belong to the image
//! before them. `--` begins the arguments of the image before it, `---` ends them. What is none of
//! this is an image.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::later;

/// What each flag of a command belongs to, and whether the next word can be its value.
#[derive(Debug)]
pub(crate) struct Flags {
    known: BTreeMap<String, Flag>,
}

#[derive(Debug, Clone, Copy)]
struct Flag {
    of: Owner,
    takes_next: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The pod, or rkt.
    Pod,
    /// An image.
    Image,
}

impl Flags {
    /// Those of a command's definition; flags in `of_images` belong to images.
    pub(crate) fn new(root: &clap::Command, command: &clap::Command, of_images: Option<&clap::Command>) -> Self {
        let mut known = BTreeMap::new();
        let globals = root.get_arguments().filter(|arg| arg.is_global_set());
        let of_images: Vec<&str> =
            of_images.into_iter().flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_long).collect();
        for arg in globals.chain(command.get_arguments()) {
            let takes_next = arg.get_action().takes_values() && !arg.is_require_equals_set();
            let names = arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default());
            let of =
                if arg.get_long().is_some_and(|name| of_images.contains(&name)) { Owner::Image } else { Owner::Pod };
            known.extend(names.map(|name| (name.to_owned(), Flag { of, takes_next })));
        }
        Self { known }
    }
}

/// Words, told apart. Flags are still words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Flags of the pod and of rkt.
    pub(crate) pod: Vec<OsString>,
    /// Mounts in every app.
    pub(crate) everywhere: Vec<OsString>,
    /// Images, in order.
    pub(crate) images: Vec<ImageWords>,
}

/// An image and what belongs to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageWords {
    /// What the user calls it by.
    pub(crate) image: String,
    /// Its flags.
    pub(crate) flags: Vec<OsString>,
    /// Its arguments; none: no `--` was said.
    pub(crate) arguments: Option<Vec<String>>,
}

/// Tells words apart.
pub(crate) fn walk(words: &[OsString], flags: &Flags) -> Result<Walked, GrammarError> {
    let mut walked = Walked::default();
    let mut inside = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.to_str().ok_or_else(|| GrammarError::NotText(word.clone()))?;
        match (inside, text) {
            (true, "---") => inside = false,
            (true, argument) => walked.add_argument(argument),
            (false, "" | "---") => {}
            (false, "--") => {
                walked.begin_arguments()?;
                inside = true;
            }
            (false, text) if text.starts_with("--") => walked.add_flag(text, word, &mut words, flags)?,
            // The only short flag is that for help.
            (false, "-h") => walked.pod.push(word.clone()),
            (false, text) if text.starts_with('-') && text.len() > 1 => {
                return Err(GrammarError::UnknownFlag(text.to_owned()));
            }
            (false, image) => walked.images.push(ImageWords { image: image.to_owned(), ..ImageWords::default() }),
        }
    }
    Ok(walked)
}

impl Walked {
    fn begin_arguments(&mut self) -> Result<(), GrammarError> {
        let image = self.images.last_mut().ok_or(GrammarError::ArgumentsOfNothing)?;
        if image.arguments.is_some() {
            return Err(GrammarError::ArgumentsTwice);
        }
        image.arguments = Some(Vec::new());
        Ok(())
    }

    fn add_argument(&mut self, argument: &str) {
        let image = self.images.last_mut().expect("arguments were begun, so there is an image");
        image.arguments.as_mut().expect("arguments were begun").push(argument.to_owned());
    }

    fn add_flag<'a>(
        &mut self,
        text: &str,
        word: &OsString,
        rest: &mut impl Iterator<Item = &'a OsString>,
        flags: &Flags,
    ) -> Result<(), GrammarError> {
        let name = text.trim_start_matches("--").split('=').next().unwrap_or_default();
        if name == "help" {
            self.pod.push(word.clone());
            return Ok(());
        }
        let Some(flag) = flags.known.get(name) else {
            return Err(if later::is_flag(name) {
                GrammarError::NotYet(name.to_owned())
            } else {
                GrammarError::UnknownFlag(format!("--{name}"))
            });
        };
        let mut found = vec![word.clone()];
        if flag.takes_next && !text.contains('=') {
            found.push(rest.next().ok_or_else(|| GrammarError::NeedsArgument(name.to_owned()))?.clone());
        }
        self.flags_of(flag.of, name)?.extend(found);
        Ok(())
    }

    fn flags_of(&mut self, owner: Owner, name: &str) -> Result<&mut Vec<OsString>, GrammarError> {
        match (owner, self.images.last_mut()) {
            (Owner::Pod, _) => Ok(&mut self.pod),
            (Owner::Image, Some(image)) => image.check(name).map(|()| &mut image.flags),
            (Owner::Image, None) if name == "mount" => Ok(&mut self.everywhere),
            (Owner::Image, None) => Err(GrammarError::MustFollow(name.to_owned())),
        }
    }
}

impl Walked {
    /// The first word that is no flag, where it names a pod and what comes after it an image.
    pub(crate) fn take_pod(&mut self) -> Result<Option<OsString>, GrammarError> {
        if self.images.is_empty() {
            return Ok(None);
        }
        let pod = self.images.remove(0);
        if pod.arguments.is_some() {
            return Err(GrammarError::ArgumentsOfNothing);
        }
        match pod.flags.first() {
            None => Ok(Some(pod.image.into())),
            Some(flag) => {
                let name = flag.to_string_lossy();
                let name = name.trim_start_matches("--").split('=').next().unwrap_or_default();
                Err(GrammarError::MustFollow(name.to_owned()))
            }
        }
    }
}

impl ImageWords {
    fn has(&self, names: &[&str]) -> bool {
        self.flags.iter().filter_map(|word| word.to_str()?.strip_prefix("--")).any(|word| {
            let name = word.split('=').next().unwrap_or_default();
            names.contains(&name)
        })
    }

    /// Flags that cannot stand together on one image.
    fn check(&self, name: &str) -> Result<(), GrammarError> {
        const RETAIN: [&str; 2] = ["caps-retain", "cap-retain"];
        const REMOVE: [&str; 2] = ["caps-remove", "cap-remove"];
        if name == "exec" && self.has(&["exec"]) {
            return Err(GrammarError::Twice(name.to_owned()));
        }
        if (RETAIN.contains(&name) && self.has(&REMOVE)) || (REMOVE.contains(&name) && self.has(&RETAIN)) {
            return Err(GrammarError::BothCapabilitySets);
        }
        Ok(())
    }
}

/// Words that make no sense in their place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrammarError {
    #[error("an image is required before any app arguments")]
    ArgumentsOfNothing,
    #[error("only one set of app arguments allowed per image")]
    ArgumentsTwice,
    #[error("--{0} must follow an image")]
    MustFollow(String),
    #[error("--{0} specified multiple times for the same image")]
    Twice(String),
    #[error("error: cannot use both --caps-retain and --caps-remove on the same image")]
    BothCapabilitySets,
    #[error("unknown flag: {0}")]
    UnknownFlag(String),
    #[error("flag needs an argument: --{0}")]
    NeedsArgument(String),
    #[error("--{0} is not supported by this rkt yet")]
    NotYet(String),
    #[error("{0:?} is not text in UTF-8")]
    NotText(OsString),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments;

    fn flags() -> Flags {
        let root = arguments::definition();
        let run = root.find_subcommand("run").unwrap();
        Flags::new(&root, run, Some(&arguments::app_definition()))
    }

    fn split(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn walked(line: &str) -> String {
        let joined = |words: &[OsString]| words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
        match walk(&split(line), &flags()) {
            Err(error) => format!("error: {error}"),
            Ok(walked) => {
                let mut parts = vec![joined(&walked.pod)];
                if !walked.everywhere.is_empty() {
                    parts.push(format!("everywhere {}", joined(&walked.everywhere)));
                }
                parts.extend(walked.images.iter().map(|image| {
                    let arguments =
                        image.arguments.as_ref().map_or(String::new(), |list| format!(" [{}]", list.join(" ")));
                    format!("{}({}){arguments}", image.image, joined(&image.flags))
                }));
                parts.join(" | ")
            }
        }
    }

    #[test]
    fn each_word_belongs_where_the_grammar_puts_it() {
        let table = [
            ("a.aci", " | a.aci()"),
            ("a.aci b.aci", " | a.aci() | b.aci()"),
            (
                "--net=host a.aci --user=1 -- -x -y --- b.aci --mount volume=v,target=/d -- --port 7",
                "--net=host | a.aci(--user=1) [-x -y] | b.aci(--mount volume=v,target=/d) [--port 7]",
            ),
            // Flags of the pod and of rkt may stand after images.
            ("a.aci --volume v,kind=empty --debug --dir /d", "--volume v,kind=empty --debug --dir /d | a.aci()"),
            // A switch does not take the next word.
            ("--strict a.aci --inherit-env=false", "--strict --inherit-env=false | a.aci()"),
            ("a.aci --readonly-rootfs true", " | a.aci(--readonly-rootfs true)"),
            ("a.aci --cap-retain=CAP_CHOWN", " | a.aci(--cap-retain=CAP_CHOWN)"),
            // The last image's arguments need no end, and an end without a beginning is nothing.
            ("--- a.aci -- --- --user=1", " | a.aci(--user=1) []"),
            ("a.aci -- -- x", " | a.aci() [-- x]"),
            ("--mount volume=v,target=/d a.aci", " | everywhere --mount volume=v,target=/d | a.aci()"),
            ("a.aci  b.aci", " | a.aci() | b.aci()"),
            ("--help", "--help"),
            ("-", " | -()"),
        ];
        for (line, expected) in table {
            assert_eq!(walked(line), expected, "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_rkts_words() {
        let table = [
            ("-- x", "an image is required before any app arguments"),
            ("a.aci -- x --- -- y", "only one set of app arguments allowed per image"),
            ("--user=1 a.aci", "--user must follow an image"),
            ("a.aci --exec=/a --exec /b", "--exec specified multiple times for the same image"),
            (
                "a.aci --caps-remove=CAP_KILL --cap-retain=CAP_KILL",
                "error: cannot use both --caps-retain and --caps-remove on the same image",
            ),
            ("a.aci --colour", "unknown flag: --colour"),
            ("a.aci -x", "unknown flag: -x"),
            ("a.aci --user", "flag needs an argument: --user"),
            ("a.aci --port=http:80", "--port is not supported by this rkt yet"),
        ];
        for (line, expected) in table {
            assert_eq!(walked(line), format!("error: {expected}"), "{line}");
        }
    }
}
