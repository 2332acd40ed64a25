//! Programs that a plan starts, as plain values: one method a word, as in `wit/plans.wit`.

use crate::plan::{Jail, JailWord, Place};
use crate::pod::Access;

/// What a program is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    Main,
    Helper(String),
    Enter,
    Stop,
}

/// Everything that is said of one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) role: Role,
    pub(crate) file: Place,
    pub(crate) words: Vec<ProgramWord>,
    pub(crate) jail: Vec<JailWord>,
}

/// A word about a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProgramWord {
    Argument(Vec<Piece>),
    Environment { name: String, value: String },
    EnvironmentOf(String),
    Unconfined,
    OwnDirectory(String),
    SpeaksWithin { seconds: u32, hint: Option<String> },
    ReadyWhen(String),
}

/// A program of the plan. It runs in a jail of its own unless it is [`Program::unconfined`].
#[derive(Debug)]
pub struct Program<'plan> {
    planned: &'plan mut Planned,
}

impl<'plan> Program<'plan> {
    pub(crate) fn new(planned: &'plan mut Planned) -> Self {
        Self { planned }
    }

    /// One more argument: text, a piece, or several pieces with nothing between them. Of a program
    /// outside of its jail it needs a permission `argument:SHAPE`.
    pub fn argument(&mut self, argument: impl Into<Argument>) -> &mut Self {
        let Argument(pieces) = argument.into();
        self.say(ProgramWord::Argument(pieces))
    }

    /// More arguments.
    pub fn arguments<I>(&mut self, arguments: I) -> &mut Self
    where
        I: IntoIterator<Item: Into<Argument>>,
    {
        for argument in arguments {
            self.argument(argument);
        }
        self
    }

    /// A variable of its environment. Of a program outside of its jail it needs a permission
    /// `environment:SHAPE`, for `NAME=VALUE`.
    pub fn environment(&mut self, name: &str, value: &str) -> &mut Self {
        self.say(ProgramWord::Environment { name: name.to_owned(), value: value.to_owned() })
    }

    /// The environment of an app besides, for it to hand on. Not outside of its jail.
    pub fn environment_of(&mut self, app: &str) -> &mut Self {
        self.say(ProgramWord::EnvironmentOf(app.to_owned()))
    }

    /// Runs it outside of its jail, as root on the host. Permission `unconfined:PATH`.
    pub fn unconfined(&mut self) -> &mut Self {
        self.say(ProgramWord::Unconfined)
    }

    /// An empty directory in memory at this path of the host, which a program outside of its jail alone sees.
    /// Permission `own-directory:PATH`.
    pub fn own_directory(&mut self, path: &str) -> &mut Self {
        self.say(ProgramWord::OwnDirectory(path.to_owned()))
    }

    /// How many seconds the init that it starts has to speak, and what the user could do where it does not.
    pub fn speaks_within(&mut self, seconds: u32, hint: Option<&str>) -> &mut Self {
        self.say(ProgramWord::SpeaksWithin { seconds, hint: hint.map(str::to_owned) })
    }

    /// Of a helper: it is ready when there is something at this path of its jail.
    pub fn ready_when(&mut self, path: &str) -> &mut Self {
        self.say(ProgramWord::ReadyWhen(path.to_owned()))
    }

    /// Its view of files, and what it may do.
    pub fn jail(&mut self) -> Jail<'_> {
        Jail::new(&mut self.planned.jail)
    }

    fn say(&mut self, word: ProgramWord) -> &mut Self {
        self.planned.words.push(word);
        self
    }
}

/// An argument of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument(Vec<Piece>);

/// A piece of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// The number of a descriptor on which a place is open.
    Descriptor(Place, Access),
    /// The path of the tree that the jail's words make, for a program outside of its jail.
    Tree,
    /// What an app executes, each word an argument. Stands alone.
    Command(String),
    /// An app's working directory.
    WorkingDirectory(String),
    /// In `enter`, the command that is to be run, each word an argument. Stands alone.
    Words,
}

impl From<Piece> for Argument {
    fn from(piece: Piece) -> Self {
        Self(vec![piece])
    }
}

impl<const N: usize> From<[Piece; N]> for Argument {
    fn from(pieces: [Piece; N]) -> Self {
        Self(pieces.into())
    }
}

impl From<Vec<Piece>> for Argument {
    fn from(pieces: Vec<Piece>) -> Self {
        Self(pieces)
    }
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Piece::from(text).into()
    }
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Piece::Text(text).into()
    }
}

impl From<&str> for Piece {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Piece {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
