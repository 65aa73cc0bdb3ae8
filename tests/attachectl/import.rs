//! `attachectl import`: what it writes for exports of other gateways, word for word.
//!
//! Each file `import/*.txt` is a command and what came of it; `ATTACHE_GOLDEN=write` writes it anew.

use std::path::PathBuf;

use crate::documents::root;
use crate::tool::{Run, run_in};

fn directory() -> PathBuf {
    root().join("tests/attachectl/import")
}

fn import(command: &str) -> Run {
    let words: Vec<&str> = command.split_whitespace().collect();
    run_in(&directory(), words.strip_prefix(&["attachectl"]).unwrap(), "")
}

#[test]
fn every_import_reads_as_it_is_written_down_and_is_accepted_by_check() {
    let (mut wrong, mut accepted) = (String::new(), 0);
    let entries = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    for file in entries.filter(|path| path.extension().is_some_and(|one| one == "txt")) {
        let expected = std::fs::read_to_string(&file).unwrap();
        let command = expected.lines().next().unwrap().strip_prefix("$ ").unwrap();
        let Run { code, stdout, stderr } = import(command);
        if !stdout.is_empty() {
            let run = run_in(&root(), &["check", "-"], &stdout);
            assert_eq!(run.code, 0, "{}:\n{stdout}\n{}{}", file.display(), run.stdout, run.stderr);
            accepted += 1;
        }
        let told = format!("$ {command}\n{stdout}{stderr}exit {code}\n");
        if std::env::var_os("ATTACHE_GOLDEN").is_some() {
            std::fs::write(&file, &told).unwrap();
        } else if told != expected {
            wrong += &format!("{}:\n{told}\n", file.display());
        }
    }
    assert!(accepted >= 5, "{accepted}");
    assert!(wrong.is_empty(), "other than written down:\n{wrong}");
}

/// Every block of the page that begins with a command is run, and prints what the page says.
#[test]
fn every_import_of_the_page_prints_what_the_page_says() {
    let path = root().join("docs/apigee.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (mut written, mut commands) = (String::new(), 0);
    for (index, part) in page.split("```").enumerate() {
        let separator = if index == 0 { "" } else { "```" };
        let block = part.strip_prefix("console\n$ ").filter(|_| index % 2 == 1);
        let Some(block) = block else {
            written += &format!("{separator}{part}");
            continue;
        };
        commands += 1;
        let end = block.match_indices('\n').find(|(end, _)| !block[..*end].ends_with('\\')).unwrap().0;
        let Run { stdout, stderr, .. } = import(&block[..end].replace('\\', " "));
        written += &format!("{separator}console\n$ {}\n{stdout}{stderr}", &block[..end]);
    }
    assert!(commands > 0);
    if std::env::var_os("ATTACHE_GOLDEN").is_some() {
        std::fs::write(&path, written).unwrap();
    } else {
        assert_eq!(written, page, "other than the page says");
    }
}

/// What an export says is never more than a text of the configuration.
#[test]
fn an_export_cannot_write_lines_of_the_configuration() {
    let run = import(
        "attachectl import apigee hostile.json --issuer https://issuer.example --audience a --base-path /",
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    for text in [&run.stdout, &run.stderr] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
    assert_eq!(run.stdout.lines().filter(|line| line.trim_start().starts_with("default:")).count(), 1);
    assert!(!run.stdout.lines().any(|line| line.trim_start().starts_with("stolen")), "{}", run.stdout);
    // A method that is not known must not become every method.
    // Nor must a product without one of its scopes ask for less.
    let routes: Vec<&str> = run.stdout.lines().filter(|line| line.contains("match:")).collect();
    assert_eq!(routes, [r#"    match: { path: "/ok/{v1}", methods: [GET] }"#]);
}

#[test]
fn what_is_no_export_is_told() {
    for (text, why) in [
        ("", "not JSON"),
        ("1", "expected an object or a list"),
        ("{}", "no API product here"),
        (r#"{"apiProduct":1}"#, "is not a list"),
        ("[1]", "expected an object"),
        (r#"[{"scopes":[]}]"#, "has no `name`"),
        (r#"["a","b"]"#, "?expand=true"),
        (r#"[{"name":"a","proxies":["p"]},{"name":"a","proxies":["p"]}]"#, "is there twice"),
        ("[]", "none of the 0"),
    ] {
        let words = ["import", "apigee", "-", "--issuer", "https://issuer.example", "--audience", "a"];
        let run = run_in(&directory(), &words, text);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{text}");
        assert!(run.stderr.contains(why), "{text}: {}", run.stderr);
    }
}

#[test]
fn what_an_option_lacks_is_told() {
    for (options, why) in [
        ("--audience a", "--issuer"),
        ("--issuer https://issuer.example", "--audience"),
        ("--issuer issuer --audience a --base-path /v1", "needs an `issuer` that is an https URL"),
        ("--issuer https://issuer.example --audience a --base-path orders=v1", "expected PROXY=/PATH"),
        ("--issuer https://issuer.example --audience a --base-path /a=b", "orders.json: 2 API products"),
        ("--issuer https://issuer.example --audience a --base-path /a/../b", "nothing carries over"),
    ] {
        let mut words = vec!["import", "apigee", "orders.json"];
        words.extend(options.split(' '));
        let run = run_in(&directory(), &words, "");
        assert!(run.stderr.contains(why), "{options}: {}", run.stderr);
        assert_eq!(run.code == 0, why.ends_with("products"), "{options}: {}", run.stderr);
    }
}

/// In Apigee, an operation of any of a client's products is enough.
#[test]
fn a_token_of_each_product_that_covers_a_request_is_accepted_and_no_other() {
    let run = import(
        "attachectl import apigee products.json --issuer https://issuer.example --audience https://orders.example \
         --base-path orders=/v1 --base-path stock=/stock",
    );
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.yaml"), &run.stdout).unwrap();
    for (method, path, needs) in [
        ("GET", "/v1/orders", "that meets orders-read, or that meets orders-full"),
        ("POST", "/v1/orders", "that meets orders-full"),
        ("PUT", "/v1/orders", "denied"),
        ("GET", "/v1/orders/1", "or that meets"),
        ("PUT", "/v1/orders/1", "that meets orders-full"),
        ("GET", "/v1/orders/1/lines", "that meets orders-full"),
        ("GET", "/v1/reports/1", "denied"),
        ("GET", "/stock/items/1", "that meets orders-full, or that meets legacy"),
        ("PUT", "/stock/items/1", "that meets legacy"),
        ("GET", "/stock/items/1/history", "that meets orders-full, or that meets legacy"),
        ("GET", "/stock/other", "that meets orders-full"),
        ("PUT", "/stock/other", "denied"),
    ] {
        let run = run_in(
            directory.path(),
            &["explain", "--config", "config.yaml", "--method", method, "--path", path],
            "",
        );
        let step = run.stdout.lines().next().unwrap_or_default();
        assert!(step.contains(needs), "{method} {path}: {step}\n{}", run.stderr);
        assert_eq!(
            step.contains("or that meets"),
            needs.contains("or that meets"),
            "{method} {path}: {step}"
        );
    }
}
