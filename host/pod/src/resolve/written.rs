//! What a manifest says that the user wrote: it counts as it is, and nothing of a command line is put in.

use rkt_appc::{Isolator, Mount, PodManifest, RuntimeApp};
use rkt_plan::Origin;

use super::ResolveError;
use super::app::Wanted;
use crate::request::AppImage;
use crate::{isolators, volumes};

/// Refuses what the types of a manifest allow and no pod can have. Errors name the field.
pub(super) fn check(manifest: &PodManifest) -> Result<(), ResolveError> {
    if manifest.apps().is_empty() {
        return Err(ResolveError::NoApp);
    }
    if let Some((index, port)) = manifest.ports.iter().enumerate().next() {
        return Err(ResolveError::HostPort { index, name: port.name.clone(), host: port.host_port });
    }
    for (index, app) in manifest.apps().iter().enumerate() {
        check_mounts(index, app)?;
    }
    Ok(())
}

/// On a command line the first mount on a path counts. Who writes two into a manifest means something else.
fn check_mounts(app: usize, runtime: &RuntimeApp) -> Result<(), ResolveError> {
    let mut before: Vec<(&Mount, _)> = Vec::new();
    for (index, mount) in runtime.mounts.iter().enumerate() {
        let path = mount.path.as_str();
        let target = volumes::clean(path).map_err(|cause| ResolveError::Volume { app: runtime.name.clone(), cause })?;
        if let Some(first) = before.iter().position(|(_, other)| *other == target) {
            return Err(ResolveError::SameTarget { app, index, first, path: path.to_owned() });
        }
        if let Some(own) = &mount.app_volume {
            let other = |(other, _): &(&Mount, _)| {
                other.app_volume.as_ref().is_some_and(|other| other.name == own.name && other != own)
            };
            if let Some(first) = before.iter().position(other) {
                return Err(ResolveError::TwoVolumes { app, index, first, volume: own.name.clone() });
            }
        }
        before.push((mount, target));
    }
    Ok(())
}

/// An app of a written manifest, with these isolators in the place of those of their kind. Where the manifest does not
/// say how it is run, its image does.
pub(super) fn wanted(app: &RuntimeApp, image: &AppImage, isolators: &[Isolator]) -> Result<Wanted, ResolveError> {
    let by = Origin::PodManifest;
    let (section, of_section) = match (&app.app, &image.manifest.app) {
        (Some(section), _) => (section, by),
        (None, Some(section)) => (section, Origin::Image),
        (None, None) => return Err(ResolveError::NoSection { app: app.name.clone() }),
    };
    let mut section = section.clone();
    section.isolators = isolators::merged(&section.isolators, isolators);
    let is_the_users = |isolator: &Isolator| of_section == by || isolators.contains(isolator);
    let users_isolators = section.isolators.iter().filter(|isolator| is_the_users(isolator)).cloned().collect();
    Ok(Wanted { runtime: app.clone(), section, by, of_section, of_user: of_section, users_isolators })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use rkt_plan::{LimitKind, requests};

    use super::*;
    use crate::request::ManifestRequest;
    use crate::resolve::tests::{APP, image};
    use crate::resolve::{ResolvedPod, resolve_manifest};
    use crate::uuid::Uuid;

    fn manifest(apps: &str, more: &str) -> PodManifest {
        let json = format!(r#"{{"acVersion":"0.8.11","acKind":"PodManifest","apps":[{apps}]{more}}}"#);
        PodManifest::from_json(json.as_bytes()).unwrap()
    }

    fn app(name: &str, more: &str) -> String {
        format!(r#"{{"name":"{name}","image":{{"id":"sha512-{}"}}{more}}}"#, "0".repeat(64))
    }

    fn resolved(manifest: PodManifest, section: &str) -> Result<ResolvedPod, ResolveError> {
        let find = |_: usize, _: &RuntimeApp| Ok::<_, Infallible>(image("example.com/a", section));
        let Ok(request) = ManifestRequest::new(manifest, find);
        resolve_manifest(Uuid::random().unwrap(), request)
    }

    #[test]
    fn what_the_manifest_says_is_its_request_and_what_it_leaves_to_the_image_is_the_images() {
        let section = r#","app":{"exec":["/b"],"user":"1","group":"1","isolators":[
            {"name":"rkt/pids-limit","value":5}],"mountPoints":[{"name":"v","path":"/v"}]},"readOnlyRootFS":true"#;
        let apps = [app("said", section), app("left", "")].join(",");
        let written = manifest(&apps, r#","volumes":[{"name":"v","kind":"empty"},{"name":"data","kind":"empty"}]"#);
        let pod = resolved(written, APP).unwrap();
        let asked: Vec<(String, Origin)> = requests(&pod.view).into_iter().map(|asked| (asked.id, asked.by)).collect();
        let (user, image) = (Origin::PodManifest, Origin::Image);
        assert_eq!(
            asked,
            [
                ("app/said/user".to_owned(), user),
                ("app/said/read-only-root".to_owned(), user),
                ("app/said/volume/v".to_owned(), user),
                ("app/said/limit/pids".to_owned(), user),
                ("app/left/user".to_owned(), image),
                ("app/left/volume/data".to_owned(), image),
            ]
        );
        assert_eq!(
            (&pod.commands["said"].arguments[0], &pod.commands["left"].arguments[0]),
            (&"/b".into(), &"/bin/a".into())
        );
        assert_eq!(pod.view.apps[0].limits[&LimitKind::Pids].value, 5);
    }

    #[test]
    fn it_is_kept_as_it_was_written_but_for_the_annotation_and_implicit_volumes() {
        let written = manifest(&app("a", ""), r#","annotations":[{"name":"x","value":"y"}],"userLabels":{"l":"m"}"#);
        let kept = resolved(written.clone(), APP).unwrap().manifest;
        assert_eq!(kept.annotations.get("x"), Some("y"));
        assert_eq!(kept.annotations.get("coreos.com/rkt/stage1/mutable"), Some("false"));
        assert_eq!((&kept.user_labels, &kept.ac_version), (&written.user_labels, &written.ac_version));
        assert_eq!((kept.apps()[0].app.is_none(), kept.apps()[0].mounts.len()), (true, 1));
        let volumes: Vec<&str> = kept.volumes().iter().map(|volume| volume.name.as_str()).collect();
        assert_eq!(volumes, ["a-data"]);
    }

    #[test]
    fn an_app_that_nobody_says_how_to_run_is_refused() {
        let error = resolved(manifest(&app("a", ""), ""), "").unwrap_err().to_string();
        assert_eq!(error, "app \"a\": no app section in the pod manifest or the image manifest");
    }
}
