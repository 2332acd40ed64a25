//! One file a command. A command asks a library, says what came of it, and ends with a code.

use std::process::ExitCode;

use rkt_image::{OlderStore, ReferenceError, Store, StoreError, Verification};
use rkt_pod::{Pod, Pods};

use crate::arguments::{App, Command, Globals, Image};
use crate::invocation::Invocation;
use crate::plugin::Early;
use crate::report::{FAILURE, Failure, Report};

mod app_add;
mod app_rm;
mod cat_manifest;
mod completion;
mod config;
mod differences;
mod doctor;
mod enter;
mod export;
mod fetch;
mod gc;
mod image;
mod image_list;
mod list;
mod plan;
mod pod_json;
mod prepare;
mod replay;
mod rm;
mod run;
mod run_prepared;
mod status;
mod stop;
mod version;
mod wanted;

/// What every command works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) globals: Globals,
    pub(crate) report: Report,
}

type Outcome = Result<ExitCode, Failure>;

/// Does what was said.
pub(crate) fn execute(invocation: Invocation, early: Option<Early>) -> ExitCode {
    let Invocation { line, images, everywhere } = invocation;
    let debug = line.globals.debug;
    let report = Report::new(name(&line.command), debug);
    if debug {
        crate::debug::show_steps(&report);
    }
    let context = match line.globals.with_data_directory() {
        Ok(globals) => Context { globals, report },
        Err(error) => {
            report.failure(&error.into());
            return ExitCode::from(FAILURE);
        }
    };
    let outcome = match line.command {
        Command::Run(run) => run::run(&context, &run, images, everywhere, early),
        Command::Prepare(prepare) => prepare::prepare(&context, &prepare, images, everywhere),
        Command::RunPrepared(run) => run_prepared::run_prepared(&context, &run),
        Command::Plan(plan) => plan::plan(&context, &plan, images, everywhere),
        Command::Replay(replay) => replay::replay(&context, &replay),
        Command::List(list) => list::list(&context, &list),
        Command::Status(status) => status::status(&context, &status),
        Command::Stop(stop) => stop::stop(&context, &stop),
        Command::Rm(rm) => rm::rm(&context, &rm),
        Command::Gc(gc) => gc::gc(&context, &gc),
        Command::Enter(enter) => enter::enter(&context, enter),
        Command::Export(export) => export::export(&context, &export),
        Command::CatManifest(cat) => cat_manifest::cat_manifest(&context, &cat),
        Command::Fetch(fetch) | Command::Image(Image::Fetch(fetch)) => fetch::fetch(&context, &fetch, &images),
        Command::Image(Image::List(list)) => image_list::image_list(&context, &list),
        Command::Image(Image::Rm(rm)) => image::rm(&context, &rm),
        Command::Image(Image::Gc(gc)) => image::gc(&context, &gc),
        Command::Image(Image::Export(export)) => image::export(&context, &export),
        Command::Image(Image::Extract(tree)) => image::extract(&context, &tree),
        Command::Image(Image::Render(tree)) => image::render(&context, &tree),
        Command::Image(Image::CatManifest(cat)) => image::cat_manifest(&context, &cat),
        Command::Image(Image::Verify(verify)) => image::verify(&context, &verify),
        Command::App(App::Add(add)) => app_add::app_add(&context, &add, images, everywhere),
        Command::App(App::Rm(rm)) => app_rm::app_rm(&context, &rm),
        Command::Config(config) => config::config(&context, &config),
        Command::Completion(shell) => completion::completion(&shell),
        Command::Manual(manual) => completion::manual(&manual),
        Command::Version => version::version(),
        Command::Doctor(doctor) => doctor::doctor(&context, &doctor),
    };
    outcome.unwrap_or_else(|failure| {
        context.report.failure(&failure);
        ExitCode::from(FAILURE)
    })
}

/// What messages of a command begin with.
fn name(command: &Command) -> &'static str {
    match command {
        Command::Run(_) => "run",
        Command::Prepare(_) => "prepare",
        Command::RunPrepared(_) => "run-prepared",
        Command::Plan(_) => "plan",
        Command::Replay(_) => "replay",
        Command::List(_) | Command::Image(Image::List(_)) => "list",
        Command::Status(_) => "status",
        Command::Stop(_) => "stop",
        Command::Rm(_) | Command::App(App::Rm(_)) | Command::Image(Image::Rm(_)) => "rm",
        Command::App(App::Add(_)) => "add",
        Command::Gc(_) | Command::Image(Image::Gc(_)) => "gc",
        Command::Enter(_) => "enter",
        Command::CatManifest(_) | Command::Image(Image::CatManifest(_)) => "cat-manifest",
        Command::Fetch(_) | Command::Image(Image::Fetch(_)) => "fetch",
        Command::Export(_) | Command::Image(Image::Export(_)) => "export",
        Command::Image(Image::Extract(_)) => "extract",
        Command::Image(Image::Render(_)) => "render",
        Command::Image(Image::Verify(_)) => "verify",
        Command::Config(_) => "config",
        Command::Completion(_) => "completion",
        Command::Manual(_) => "manual",
        Command::Version => "version",
        Command::Doctor(_) => "doctor",
    }
}

impl Context {
    fn pods(&self) -> Pods {
        Pods::open(&self.globals.dir)
    }

    fn store(&self) -> Store {
        Store::at(&self.globals.dir)
    }

    /// A failure to find an image. Where an older rkt has images in the same place, that they are not looked for is
    /// said.
    fn not_found(&self, error: ReferenceError) -> Failure {
        let is_missing =
            matches!(error, ReferenceError::Store(StoreError::NoSuchId(_) | StoreError::NoSuchName { .. }));
        match self.store().older() {
            Some(older) if is_missing => Failure::from(error).hint(older_store(&older)),
            _ => error.into(),
        }
    }

    fn verification(&self) -> Verification {
        self.globals.insecure_options.verification()
    }

    /// The pod that one command is about.
    fn one_pod(&self, pod: &crate::arguments::OnePod) -> Result<Pod, Failure> {
        Ok(self.pods().find(&Self::one_uuid(pod)?)?)
    }

    /// Its UUID, or the beginning of that.
    fn one_uuid(pod: &crate::arguments::OnePod) -> Result<String, Failure> {
        match (&pod.uuid_file, &pod.uuid) {
            (Some(file), _) => uuid_from(file),
            (None, Some(uuid)) => Ok(uuid.clone()),
            (None, None) => Ok(String::new()),
        }
    }

    /// The UUIDs, or their beginnings, that a command is about.
    fn uuids(pods: &crate::arguments::ManyPods) -> Result<Vec<String>, Failure> {
        let from_file = pods.uuid_file.as_deref().map(uuid_from).transpose()?;
        Ok(from_file.into_iter().chain(pods.uuids.iter().cloned()).collect())
    }
}

fn uuid_from(file: &std::path::Path) -> Result<String, Failure> {
    let text = crate::file::read_text(file);
    let text = text.map_err(|error| Failure::said(format!("cannot read UUID from {}: {error}", file.display())))?;
    Ok(text.trim().to_owned())
}

/// What is said of the store of an older rkt.
fn older_store(older: &OlderStore) -> String {
    format!(
        "{} is the store of an older rkt, which is left alone and not read; to take an image of it over, fetch its file \
         below {}, as rkt fetch FILE",
        older.database.display(),
        older.blobs.display()
    )
}

/// What changes pods is root's.
fn as_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::said("cannot run as unprivileged user"))
}
