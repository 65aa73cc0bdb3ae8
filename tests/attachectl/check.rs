//! `attachectl check`: broken files with what is said of each beside them, the examples of this repository, and input
//! that is no configuration at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use attachectl::finding::{Severity, table};

use crate::copied;
use crate::tool::{Run, run, run_in};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs the tool on files of a folder.
fn check(folder: &Path, files: &[&str]) -> Run {
    run_in(folder, &[&["check", "--strict"], files].concat(), "")
}

/// The broken files: a name, and the files that belong together.
fn broken() -> Vec<(String, Vec<String>)> {
    let folder = root().join("tests/attachectl/check");
    let names = |folder: &Path| {
        let entries =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.collect::<BTreeSet<_>>()
    };
    let mut found = Vec::new();
    for name in names(&folder) {
        if let Some(stem) = name.strip_suffix(".yaml") {
            found.push((stem.to_owned(), vec![name.clone()]));
        } else if folder.join(&name).is_dir() {
            let files = names(&folder.join(&name)).into_iter().map(|file| format!("{name}/{file}")).collect();
            found.push((name, files));
        }
    }
    found
}

/// `ATTACHE_GOLDEN=write cargo test -p attachectl --test attachectl` writes what is said now; read the difference.
#[test]
fn each_broken_file_is_told_of_as_it_is_written_beside_it() {
    let folder = root().join("tests/attachectl/check");
    let broken = broken();
    assert!(broken.len() >= 30, "{}", broken.len());
    let mut wrong = Vec::new();
    for (name, files) in broken {
        let run = check(&folder, &files.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(run.stderr, "", "{name}");
        let said = format!("{}exit {}\n", run.stdout, run.code);
        let expected = folder.join(format!("{name}.txt"));
        if std::env::var_os("ATTACHE_GOLDEN").is_some() {
            fs::write(expected, said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{name}: now\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_rule_is_shown_by_a_broken_file_and_no_secret_is() {
    let folder = root().join("tests/attachectl/check");
    let text: String = broken()
        .iter()
        .map(|(name, _)| fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap())
        .collect();
    // Those of `--online` need a server: `online.rs` shows them.
    let offline = table::ALL.iter().filter(|rule| !rule.name.starts_with(table::ONLINE));
    let unseen: Vec<_> = offline.filter(|rule| !text.contains(&format!("[{}]", rule.name))).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
    assert!(!text.contains("hunter2"));
}

/// What an operator reads at once: each run says `ok` or why not, and ends with the code that it means.
#[test]
fn what_was_not_read_is_never_ok() {
    for (name, files) in broken() {
        let said = fs::read_to_string(root().join(format!("tests/attachectl/check/{name}.txt"))).unwrap();
        let is_ok = said.contains(": ok, ");
        let has_error = said.contains(": error: ");
        assert!(!(is_ok && has_error), "{name}: {said}");
        assert!(
            is_ok || said.contains("[nothing-checked]") || said.contains(": read, ") || has_error,
            "{files:?}"
        );
    }
}

/// What an operator would give to one call: each file with those that belong to it.
const EXAMPLES: &[&[&str]] = &[
    &["envoy.yaml"],
    &["sidecar.yaml"],
    &["sidecar.yaml", "deploy/sidecar/client-credential.yaml"],
    &["deploy/istio/wasmplugin.yaml"],
    &["deploy/istio/wasmplugin.yaml", "deploy/istio/issuer.yaml"],
    &["deploy/istio/wasmplugin.yaml", "deploy/istio/issuer.yaml", "deploy/istio/annotations.yaml"],
    &["deploy/istio/issuer.yaml", "deploy/istio/outbound/api.yaml", "deploy/istio/outbound/upstream.yaml"],
    &["deploy/istio/issuer.yaml", "deploy/istio/outbound/api.yaml", "deploy/istio/outbound/downstream.yaml"],
    &["deploy/istio/outbound/downstream.yaml", "deploy/istio/outbound/secrets.yaml"],
    &["deploy/istio/wasmplugin.yaml", "deploy/istio/workload.yaml", "deploy/istio/seal.yaml"],
    &["deploy/istio/trafficextension.yaml", "deploy/istio/issuer.yaml"],
    &["deploy/istio/gateway.yaml", "deploy/istio/issuer.yaml"],
    &["deploy/envoy-gateway/envoyextensionpolicy.yaml"],
    &["deploy/envoy-gateway/envoyextensionpolicy.yaml", "deploy/envoy-gateway/workload.yaml"],
    &[
        "deploy/envoy-gateway/gatewayclass.yaml",
        "deploy/envoy-gateway/gateway.yaml",
        "deploy/envoy-gateway/issuer.yaml",
        "deploy/envoy-gateway/envoyextensionpolicy.yaml",
    ],
    &["deploy/envoy-gateway/issuer.yaml", "deploy/envoy-gateway/outbound.yaml"],
];

#[test]
fn every_example_passes_without_a_warning() {
    for files in EXAMPLES {
        let run = check(&root(), files);
        assert_eq!(run.code, 0, "{files:?}: {}", run.stdout);
        assert!(run.stdout.contains(": ok, "), "{}", run.stdout);
    }
    let mut files: BTreeSet<String> = BTreeSet::new();
    let mut folders = vec![root().join("deploy")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            // Pieces for Envoy's other filters and loggers, in which there is nothing of ours.
            if ["deploy/neighbours", "deploy/observability"].iter().any(|folder| path.ends_with(folder)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                files.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let checked: BTreeSet<&str> = EXAMPLES.iter().flat_map(|files| files.iter().copied()).collect();
    assert!(files.iter().all(|file| checked.contains(&**file)), "{files:?}");
}

/// But for their indentation, their comments and the issuer's cluster, whose name each control plane makes.
#[test]
fn the_manifests_have_one_policy() {
    let policy = |file: &str| {
        let text = fs::read_to_string(root().join("deploy").join(file)).unwrap();
        let (_, policy) = text.split_once("inbound:\n").unwrap();
        let (policy, _) = policy.split_once("default: deny\n").unwrap();
        let lines = policy.lines().map(|line| line.split('#').next().unwrap().trim());
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("cluster: "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let files =
        ["istio/trafficextension.yaml", "istio/gateway.yaml", "envoy-gateway/envoyextensionpolicy.yaml"];
    for file in files {
        assert_eq!(policy(file), policy("istio/wasmplugin.yaml"), "{file}");
    }
}

/// A copy that leads anywhere but to this host is not safe until it has the TLS that the comment shows.
#[test]
fn an_example_that_is_copied_for_a_real_issuer_is_refused_until_it_has_tls() {
    for (name, clusters) in copied::EXAMPLES {
        let text = fs::read_to_string(root().join(name)).unwrap();
        let plain = run(&["check", "-"], &copied::with_host(&text));
        assert_eq!(plain.code, 1, "{}", plain.stdout);
        assert_eq!(plain.stdout.matches("[endpoint-plaintext]").count(), clusters, "{}", plain.stdout);
        let encrypted = run(&["check", "--strict", "-"], &copied::with_tls(&text));
        assert_eq!(encrypted.code, 0, "{}", encrypted.stdout);
    }
}

#[test]
fn a_file_without_the_filter_is_never_ok() {
    let run = run(&["check", "-"], "static_resources: { listeners: [] }\n");
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    assert!(run.stdout.contains("no configuration of Attaché here"), "{}", run.stdout);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let huge = "# a comment that goes on and on, and on, and on, and on\n".repeat(1_000_000);
    fs::write(folder.join("huge.yaml"), huge).unwrap();
    fs::write(folder.join("bytes.yaml"), b"inbound: \xff\xfe").unwrap();
    fs::write(folder.join("deep.yaml"), "[".repeat(100_000)).unwrap();
    fs::write(
        folder.join("deep-blocks.yaml"),
        (0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>(),
    )
    .unwrap();
    fs::write(folder.join("tab.yaml"), "inbound:\n\tdefault: deny\n").unwrap();
    fs::write(folder.join("empty.yaml"), "").unwrap();
    fs::copy(root().join("envoy.yaml"), folder.join("good.yaml")).unwrap();
    let unread =
        ["huge.yaml", "bytes.yaml", "deep.yaml", "deep-blocks.yaml", "tab.yaml", "missing.yaml", "."];
    for file in unread {
        let run = check(folder, &[file, "good.yaml"]);
        assert_eq!((run.code, run.stderr.as_str()), (2, ""), "{file}: {}", run.stdout);
        assert!(
            run.stdout.starts_with(file) && run.stdout.contains("[unreadable]"),
            "{file}: {}",
            run.stdout
        );
        assert!(run.stdout.contains(" (attache): ok, 1 issuer"), "{file}: {}", run.stdout);
    }
    let empty = check(folder, &["empty.yaml"]);
    assert!(empty.code == 1 && empty.stdout.contains("[nothing-checked]"), "{}", empty.stdout);
}

/// A set of files is one configuration: each is right alone, and together they are not.
#[test]
fn files_that_belong_together_are_read_together() {
    let folder = root().join("tests/attachectl/check");
    let alone = check(&folder, &["resource_lists/listeners.yaml"]);
    assert!(!alone.stdout.contains("cluster-doubtful"), "{}", alone.stdout);
    let together = check(&folder, &["resource_lists/listeners.yaml", "resource_lists/clusters.yaml"]);
    assert!(together.stdout.contains("did you mean idp?"), "{}", together.stdout);
}

#[test]
fn a_variable_that_is_set_is_checked_and_one_that_is_not_is_said_to_be_unchecked() {
    let text = "inbound: { issuers: [{ name: a, issuer: 'https://a.example', audiences: any, algorithms: [HS256], \
                keys: { shared_secret: { env: ATTACHECTL_TEST_UNSET } } }], default: deny }";
    let unset = run(&["check", "-"], text);
    assert!(unset.code == 0 && unset.stdout.contains("[variable-unset]"), "{}", unset.stdout);
    let set = run(&["check", "-"], &text.replace("ATTACHECTL_TEST_UNSET", "PATH"));
    assert!(set.code == 1 && set.stdout.contains("[configuration-invalid]"), "{}", set.stdout);
}

#[test]
fn the_exit_code_says_what_was_found() {
    let folder = root().join("tests/attachectl/check");
    let code = |arguments: &[&str]| run_in(&folder, arguments, "").code;
    assert_eq!(code(&["check", "tls_any_name.yaml"]), 0);
    assert_eq!(code(&["check", "--strict", "tls_any_name.yaml"]), 1);
    assert_eq!(code(&["check", "fail_open.yaml"]), 1);
    assert_eq!(code(&["check", "fail_open.yaml", "no_yaml.yaml"]), 2);
}

#[test]
fn json_has_every_finding_with_its_place() {
    let folder = root().join("tests/attachectl/check");
    let run = run_in(&folder, &["check", "--output", "json", "cluster_mistyped.yaml", "allowed.yaml"], "");
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let mistyped = findings.iter().find(|finding| finding["rule"] == "cluster-unknown").unwrap();
    assert_eq!(mistyped["severity"], "error");
    assert_eq!(mistyped["location"]["file"], "cluster_mistyped.yaml");
    assert_eq!(mistyped["location"]["line"], 29);
    assert!(mistyped["location"]["path"].as_str().unwrap().ends_with("inbound.issuers[0].keys.jwks.cluster"));
    assert_eq!(mistyped["advice"], "did you mean idp?");
    let allowed = findings.iter().find(|finding| finding["rule"] == "tls-unverified").unwrap();
    assert!(allowed["allowed"].as_str().unwrap().contains("pinned"), "{allowed}");
    assert_eq!(report["errors"], 2);
}

/// What GitHub needs of SARIF 2.1.0 to show a finding beside its line.
#[test]
fn sarif_has_what_code_hosts_need_to_show_findings_beside_lines() {
    let folder = root().join("tests/attachectl/check");
    let files: Vec<String> = broken().into_iter().flat_map(|(_, files)| files).collect();
    // That one has no line.
    let files: Vec<&str> = files.iter().map(String::as_str).chain(["missing.yaml"]).collect();
    let run = run_in(&folder, &[&["check", "--output", "sarif"], &*files].concat(), "");
    let sarif: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    assert!(sarif["$schema"].as_str().unwrap().contains("sarif-2.1.0"));
    let [one] = sarif["runs"].as_array().unwrap().as_slice() else { panic!("one run") };
    let driver = &one["tool"]["driver"];
    assert_eq!(driver["name"], "attachectl");
    let rules = driver["rules"].as_array().unwrap();
    assert_eq!(rules.len(), table::ALL.len());
    for rule in rules {
        for text in [&rule["id"], &rule["shortDescription"]["text"], &rule["help"]["text"]] {
            assert!(!text.as_str().unwrap().is_empty(), "{rule}");
        }
        assert!(
            ["note", "warning", "error"].contains(&rule["defaultConfiguration"]["level"].as_str().unwrap())
        );
    }
    let results = one["results"].as_array().unwrap();
    assert!(results.len() > 60, "{}", results.len());
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert_eq!(rules[index]["defaultConfiguration"]["level"], result["level"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let locations = result["locations"].as_array().unwrap().iter();
        let related =
            result.get("relatedLocations").and_then(|related| related.as_array()).into_iter().flatten();
        for location in locations.chain(related) {
            let place = &location["physicalLocation"];
            assert!(files.contains(&place["artifactLocation"]["uri"].as_str().unwrap()), "{location}");
            assert!(place["region"]["startLine"].as_u64().unwrap() >= 1, "{location}");
        }
        for suppression in result.get("suppressions").and_then(|all| all.as_array()).into_iter().flatten() {
            assert_eq!(suppression["kind"], "inSource");
            assert!(!suppression["justification"].as_str().unwrap().is_empty());
        }
    }
    assert!(results.iter().any(|result| result.get("suppressions").is_some()));
}

/// `docs/check.md` has every rule with its words, under its severity and in the order of the table.
#[test]
fn the_page_lists_the_rules_as_they_are() {
    let page = fs::read_to_string(root().join("docs/check.md")).unwrap();
    let (_, rules) = page.split_once("\n## Rules\n").unwrap();
    let (rules, _) = rules.split_once("\n## ").unwrap();
    let documented: Vec<String> = rules
        .split("\n### ")
        .skip(1)
        .flat_map(|part| {
            let (severity, part) = part.split_once('\n').unwrap();
            let severity = severity.trim_end_matches('s').to_lowercase();
            let entries = part.split("\n- ").skip(1);
            entries.map(move |entry| {
                format!("{severity} {}", entry.split_whitespace().collect::<Vec<_>>().join(" "))
            })
        })
        .collect();
    let mut expected = Vec::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        for rule in table::ALL.iter().filter(|rule| rule.severity == severity) {
            let (word, name) = (severity.word(), rule.name);
            expected.push(format!("{word} **`{name}`**: {} *What to do:* {}", rule.finds, rule.cure));
        }
    }
    assert_eq!(documented, expected);
    let names: BTreeSet<&str> = table::ALL.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), table::ALL.len(), "a name stands twice");
}
