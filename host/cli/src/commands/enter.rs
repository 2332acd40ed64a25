//! `rkt enter`: a command in an app, with the app's own rights. Its exit code is the command's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use rkt_appc::{PodManifest, RuntimeApp};
use rkt_monitor::{Ended, Enter as Request, Resized, Stdio, Terminal, WindowSize};
use rkt_sys::signal::Signals;
use rustix::process::Signal;
use rustix::termios::{self, OptionalActions, Termios};

use super::{Context, Outcome, as_root};
use crate::arguments::Enter;
use crate::report::{Failure, say};

const SHELL: &str = "/bin/bash";

pub(super) fn enter(context: &Context, enter: Enter) -> Outcome {
    as_root()?;
    let pod = context.pods().find(&enter.uuid)?;
    let control = pod.control()?;
    let app = choose(context, "enter", &pod.manifest()?, enter.app.as_deref())?.name.to_string();
    let arguments = if enter.command.is_empty() {
        context.report.line(&format!("no command specified, assuming {SHELL:?}"));
        vec![SHELL.to_owned()]
    } else {
        enter.command
    };
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    let mut stdio = Stdio { input: input.as_fd(), output: output.as_fd(), error: error.as_fd(), resized: None };
    if !termios::isatty(&input) || !termios::isatty(&output) {
        let request = Request { app, file: None, arguments, terminal: None };
        return Ok(code(control.enter(&request, stdio)?));
    }
    let window = Window::watch()?;
    stdio.resized = Some(&window);
    let terminal = Terminal { kind: std::env::var("TERM").ok(), size: size(input.as_fd())? };
    let request = Request { app, file: None, arguments, terminal: Some(terminal) };
    // Until it is dropped: what fails is said on a terminal that works.
    let raw = RawTerminal::set(input.as_fd())?;
    let ended = control.enter(&request, stdio);
    drop(raw);
    Ok(code(ended?))
}

/// The app that is named, or the only one, for a command.
pub(super) fn choose<'m>(
    context: &Context,
    command: &str,
    manifest: &'m PodManifest,
    named: Option<&str>,
) -> Result<&'m RuntimeApp, Failure> {
    match (named, manifest.apps()) {
        (Some(name), apps) => {
            let found = apps.iter().find(|app| app.name.as_str() == name);
            found.ok_or_else(|| Failure::said(format!("no app with name {name:?} in the pod")))
        }
        (None, [app]) => Ok(app),
        (None, apps) => {
            context.report.line("pod contains multiple apps:");
            for app in apps {
                say(&format!("\t{}", app.name));
            }
            Err(Failure::said(format!("specify app using \"rkt {command} --app= ...\"")))
        }
    }
}

/// As shells tell the end by a signal: 128 and its number.
fn code(ended: Ended) -> ExitCode {
    let code = match ended {
        Ended::Code(code) => code,
        Ended::Signal(signal) => 128 + signal,
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn size(terminal: BorrowedFd<'_>) -> io::Result<WindowSize> {
    let size = termios::tcgetwinsize(terminal)?;
    Ok(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// News that the terminal's window has another size.
#[derive(Debug)]
struct Window {
    signals: Signals,
}

impl Window {
    fn watch() -> Result<Self, Failure> {
        Ok(Self { signals: Signals::block(&[Signal::WINCH])? })
    }
}

impl Resized for Window {
    fn news(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    fn size(&self) -> Option<WindowSize> {
        while let Ok(Some(_)) = self.signals.read() {}
        size(io::stdin().as_fd()).ok()
    }
}

/// A terminal that hands on every key as it is pressed.
struct RawTerminal<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> RawTerminal<'a> {
    fn set(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        let before = termios::tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(terminal, OptionalActions::Now, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawTerminal<'_> {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to restore.
        let _ = termios::tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
