//! Pods that share the host's namespaces.

use crate::pod::TestPod;

#[test]
fn hello_comes_out_as_it_went_in_and_its_code_is_the_pods() {
    let ended = TestPod::shared(&["echo hello; echo oops >&2; exit 7"]).run();
    assert_eq!((ended.output.as_str(), ended.error.as_str(), ended.code), ("hello\n", "oops\n", Some(7)));
    assert_eq!(ended.status("a").as_deref(), Some("7"));
}
