//! Which file names which, inside each room: a circle of files can only be read all at once.
//!
//! A simple reader of paths: it follows `crate::`, `super::`, `self::` and the names of child modules, in imports and
//! in code, to the file of the module, and a name that this file imports itself to the file that it comes from. A glob
//! counts for the module's own file. What it does not see: inline modules, what macros write, and methods whose type is
//! in another file. Unit tests are left out: they may know everything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{has_extension, root, without_comment};

/// The files of a crate, by the module that each of them is.
struct Room {
    files: BTreeMap<Names, File>,
}

struct File {
    /// Below the room's folder.
    path: String,
    code: String,
}

/// A path in the code, as far as it is made of names: `super::state::{State, lock}` is two.
type Names = Vec<String>;

impl Room {
    fn read(folder: &str) -> Self {
        let mut files = BTreeMap::new();
        let mut folders = vec![root().join(folder)];
        while let Some(current) = folders.pop() {
            for entry in std::fs::read_dir(current).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if has_extension(&path, "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let path = path.strip_prefix(root().join(folder)).unwrap().to_owned();
                    files.insert(path, text);
                }
            }
        }
        Self::new(files.iter().map(|(path, text)| (&**path, &**text)))
    }

    fn new<'a>(files: impl Iterator<Item = (&'a Path, &'a str)>) -> Self {
        let mut room = Self { files: BTreeMap::new() };
        for (path, text) in files {
            let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
            let is_test = parts.iter().any(|part| *part == "tests" || part.ends_with("tests.rs"));
            if is_test {
                continue;
            }
            let mut module: Names =
                parts.iter().map(|part| part.trim_end_matches(".rs").to_owned()).collect();
            let last = module.last().unwrap().as_str();
            let is_root = module.len() == 1 && ["lib", "main"].contains(&last);
            // A binary beside a library is nothing that others can name.
            let is_second = is_root && last == "main" && room.files.contains_key(&Vec::new());
            if last == "mod" || is_root && !is_second {
                module.pop();
            }
            let lines = text.lines().take_while(|line| *line != "mod tests {");
            let code = lines.map(|line| format!("{}\n", without_comment(line))).collect();
            room.files.insert(module, File { path: parts.join("/"), code });
        }
        room
    }

    /// All that a module's file names, as paths from the crate's root.
    fn named(&self, module: &[String]) -> Vec<Names> {
        let code = &self.files[module].code;
        let mut found = Vec::new();
        for (at, word) in words(code) {
            let rest = &code[at..];
            let base = match word {
                "crate" => &[],
                "super" | "self" => module,
                _ if self.is_child(module, word) => module,
                _ => continue,
            };
            let mut paths = Vec::new();
            read_tree(rest, &mut Vec::new(), &mut paths);
            found.extend(paths.into_iter().map(|names| absolute(base, &names)));
        }
        found
    }

    fn is_child(&self, module: &[String], name: &str) -> bool {
        self.files.contains_key(&[module, &[name.to_owned()]].concat())
    }

    /// The module that has what this path names, and no other's.
    fn home(&self, names: &[String], depth: usize) -> &[String] {
        let len = (0..=names.len()).rev().find(|len| self.files.contains_key(&names[..*len])).unwrap();
        let (module, item) = (&names[..len], names.get(len));
        let (module, file) = self.files.get_key_value(module).unwrap();
        let Some(item) = item.filter(|_| depth < 8) else { return module };
        // What a module imports, those below it can name as its own, `pub` or not.
        for (at, found) in file.code.match_indices("use ") {
            let is_word = file.code[..at].ends_with(|c: char| c.is_whitespace());
            let mut paths = Vec::new();
            if at == 0 || is_word {
                read_tree(&file.code[at + found.len()..], &mut Vec::new(), &mut paths);
            }
            for path in paths.iter().filter(|path| path.last() == Some(item)) {
                let from = match path[0].as_str() {
                    "crate" => absolute(&[], path),
                    "super" | "self" => absolute(module, path),
                    child if self.is_child(module, child) => absolute(module, path),
                    _ => continue,
                };
                if from != [module, std::slice::from_ref(item)].concat() {
                    return self.home(&from, depth + 1);
                }
            }
        }
        module
    }

    /// Which files name which others, by their paths.
    fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut edges = BTreeMap::new();
        for (module, file) in &self.files {
            let named = self.named(module);
            let homes = named.iter().map(|names| self.home(names, 0));
            let others = homes.map(|home| self.files[home].path.as_str()).filter(|path| *path != file.path);
            edges.insert(file.path.as_str(), others.collect());
        }
        edges
    }
}

/// The words of the code that begin a path, and where each is.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices("::").filter_map(move |(end, _)| {
        let start = code[..end].rfind(|c| !is_part(c)).map_or(0, |before| before + 1);
        let before = code[..start].trim_end();
        let begins = start < end && !code[..start].ends_with("::") && !before.ends_with("(in");
        begins.then(|| (start, &code[start..end]))
    })
}

/// Reads `a::{b, c::d}` as `a::b` and `a::c::d`. Returns how much of the text that was.
fn read_tree(text: &str, before: &mut Names, paths: &mut Vec<Names>) -> usize {
    let skipped = text.len() - text.trim_start().len();
    let rest = &text[skipped..];
    if let Some(group) = rest.strip_prefix('{') {
        let mut at = 0;
        loop {
            at += read_tree(&group[at..], before, paths);
            let after = group[at..].trim_start();
            at = group.len() - after.len();
            if let Some(more) = after.strip_prefix(',') {
                at = group.len() - more.len();
                if !more.trim_start().starts_with('}') {
                    continue;
                }
            }
            // To the brace that ends the group, or, in what is no import, wherever this is.
            let end = group[at..].find('}').map_or(at, |end| at + end + 1);
            return skipped + 1 + end;
        }
    }
    let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let name = &rest[..len];
    if !name.is_empty() {
        before.push(name.to_owned());
    }
    let after = &rest[len..];
    let used = match after.strip_prefix("::") {
        Some(more) if !name.is_empty() => len + 2 + read_tree(more, before, paths),
        _ => {
            paths.push(before.clone());
            len + if after.starts_with('*') { 1 } else { 0 }
        }
    };
    if !name.is_empty() {
        before.pop();
    }
    // `as other`
    let renamed = rest[used.min(rest.len())..].strip_prefix(" as ").map_or(0, |other| {
        " as ".len() + other.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(other.len())
    });
    skipped + used + renamed
}

/// A path from the crate's root, for one that a module names.
fn absolute(module: &[String], names: &[String]) -> Names {
    let mut path = module.to_vec();
    for name in names {
        match name.as_str() {
            "crate" => path.clear(),
            "super" => drop(path.pop()),
            "self" => {}
            other => path.push(other.to_owned()),
        }
    }
    path
}

/// Sets of files each of which leads to all the others.
fn circles<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<BTreeSet<&'a str>> {
    let reached = |from: &'a str| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            next.extend(edges[file].iter().copied().filter(|other| seen.insert(*other)));
        }
        seen
    };
    let reached: BTreeMap<_, _> = edges.keys().map(|file| (*file, reached(file))).collect();
    let with = |file: &&'a str| {
        let others = reached[file].iter().copied();
        others.filter(|other| reached[other].contains(file)).collect::<BTreeSet<_>>()
    };
    edges.keys().map(with).filter(|circle| !circle.is_empty()).collect()
}

/// One line for each file of a circle, with those in it that it names.
fn told(edges: &BTreeMap<&str, BTreeSet<&str>>, circle: &BTreeSet<&str>) -> String {
    let line = |file: &&str| {
        let others: Vec<&str> = edges[file].intersection(circle).copied().collect();
        format!("    {file} names {}\n", others.join(", "))
    };
    circle.iter().map(line).collect()
}

#[test]
fn no_files_of_a_room_name_each_other_in_a_circle() {
    let mut found = String::new();
    for folder in ["src", "harness/src", "cli/src", "bench/src"] {
        let room = Room::read(folder);
        let edges = room.edges();
        let count: usize = edges.values().map(BTreeSet::len).sum();
        assert!(count > edges.len(), "{folder}: {count} names in {} files: is it still read?", edges.len());
        for circle in circles(&edges) {
            found += &format!("{folder}:\n{}", told(&edges, &circle));
        }
    }
    assert!(found.is_empty(), "files that name each other:\n{found}");
}

fn edges_of(files: &[(&str, &str)]) -> Vec<String> {
    let room = Room::new(files.iter().map(|(path, code)| (Path::new(*path), *code)));
    let edges = room.edges();
    let pairs = edges.iter().flat_map(|(file, others)| others.iter().map(move |other| (file, other)));
    pairs.map(|(file, other)| format!("{file} → {other}")).collect()
}

#[test]
fn paths_are_followed_to_the_file_that_has_what_they_name() {
    let files = [
        ("lib.rs", "pub mod a;\nmod b;"),
        ("a/mod.rs", "mod x;\nmod y;\n\npub use self::x::{One, Two as Second};\nuse self::y::Z;"),
        ("a/x.rs", "use super::{own, y::{Y, Z}};\n// crate::b\nfn f() -> crate::b::B<Y> {}"),
        ("a/y.rs", "pub(in crate::a) use super::x::One;\nmod tests {\nuse crate::b::B;"),
        ("b.rs", "use crate::{\n    a::{One, y::Y as Other},\n};\nfn g() { self::h(); std::a::b(); }"),
    ];
    assert_eq!(
        edges_of(&files),
        [
            "a/mod.rs → a/x.rs",
            "a/mod.rs → a/y.rs",
            "a/x.rs → a/mod.rs",
            "a/x.rs → a/y.rs",
            "a/x.rs → b.rs",
            "a/y.rs → a/x.rs",
            "b.rs → a/x.rs",
            "b.rs → a/y.rs",
        ]
    );
}

#[test]
fn a_circle_is_found_whatever_hangs_on_it() {
    let edges = BTreeMap::from([
        ("above", BTreeSet::from(["one"])),
        ("one", BTreeSet::from(["two", "below"])),
        ("two", BTreeSet::from(["three"])),
        ("three", BTreeSet::from(["one"])),
        ("below", BTreeSet::new()),
    ]);
    assert_eq!(circles(&edges), BTreeSet::from([BTreeSet::from(["one", "two", "three"])]));
}
