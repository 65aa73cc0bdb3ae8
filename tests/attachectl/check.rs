//! `attachectl check`.

use crate::tool::run;

#[test]
fn a_file_without_the_filter_is_never_ok() {
    let run = run(&["check", "-"], "static_resources: { listeners: [] }\n");
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    assert!(run.stdout.contains("no configuration of Attaché here"), "{}", run.stdout);
}
