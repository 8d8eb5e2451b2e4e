//! Modules of one folder do not import each other in a circle, in any crate of the workspace. Read from the text of the files: `use` and
//! paths that begin with a module, through re-exports. A folder's `mod.rs` is its face, and not held against its own files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module's or an item's path from the crate's root.
type Place = Vec<String>;

/// The text of each module of a crate, without comments and tests.
struct Sources(BTreeMap<Place, String>);

impl Sources {
    fn of(crate_name: &str) -> Self {
        let mut files = BTreeMap::new();
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(crate_name).join("src");
        read(&src, &mut Vec::new(), &mut files);
        Self::without_tests(files)
    }

    fn without_tests(files: BTreeMap<Place, String>) -> Self {
        let mut tests = BTreeSet::new();
        for (module, text) in &files {
            for gated in text.split("#[cfg(test)]").skip(1) {
                let declared =
                    gated.trim_start().split_once("mod ").and_then(|(_, rest)| rest.split_once(';'));
                if let Some((name, _)) = declared.filter(|(name, _)| is_name(name)) {
                    tests.insert([&module[..], &[name.to_owned()]].concat());
                }
            }
        }
        let is_test = |module: &Place| (1..=module.len()).any(|n| tests.contains(&module[..n]));
        let kept = files.into_iter().filter(|(module, _)| !is_test(module));
        Self(kept.map(|(module, text)| (module, without_inner_tests(&text))).collect())
    }

    /// The place that `path` means in `module`; none for other crates.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Place> {
        let supers = path.iter().take_while(|part| *part == "super").count();
        Some(match path.first()?.as_str() {
            "crate" => path[1..].to_vec(),
            "self" => [module, &path[1..]].concat(),
            "super" => [module.get(..module.len().checked_sub(supers)?)?, &path[supers..]].concat(),
            first => {
                let child = [module, &[first.to_owned()]].concat();
                self.0.contains_key(&child).then(|| [module, path].concat())?
            }
        })
    }

    /// The module that defines what is at `place`, given what modules re-export.
    fn module_of(&self, place: &[String], exports: &BTreeMap<Place, Place>, depth: usize) -> Option<Place> {
        let length = (0..=place.len()).rev().find(|&n| self.0.contains_key(&place[..n]))?;
        let item = &place[..(length + 1).min(place.len())];
        match exports.get(item).filter(|to| length < place.len() && depth < 9 && *to != item) {
            Some(to) => self.module_of(&[to, &place[item.len()..]].concat(), exports, depth + 1),
            None => Some(place[..length].to_vec()),
        }
    }

    /// From each module to those that it imports from.
    fn imports(&self) -> BTreeSet<(Place, Place)> {
        let (mut found, mut exports) = (Vec::new(), BTreeMap::new());
        for (module, text) in &self.0 {
            let (uses, rest) = statements(text);
            for (public, tree) in &uses {
                for path in paths(tree) {
                    let Some(place) = self.absolute(module, &path) else { continue };
                    if let Some(name) = place.last().filter(|_| *public) {
                        exports.insert([&module[..], std::slice::from_ref(name)].concat(), place.clone());
                    }
                    found.push((module, place));
                }
            }
            found
                .extend(inline(&rest).iter().filter_map(|path| Some((module, self.absolute(module, path)?))));
        }
        let import =
            |(from, place): (&Place, Place)| Some((from.clone(), self.module_of(&place, &exports, 0)?));
        found.into_iter().filter_map(import).collect()
    }

    /// A circle of modules in each folder that has one, as `a -> b -> a`.
    fn circles(&self) -> Vec<String> {
        let imports = self.imports();
        let folders: BTreeSet<&[String]> =
            self.0.keys().flat_map(|m| (0..m.len()).map(|n| &m[..n])).collect();
        let circle = |folder: &&[String]| {
            let inside =
                |module: &Place| module.starts_with(folder).then(|| module.get(folder.len()).cloned())?;
            let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (from, to) in &imports {
                if let (Some(from), Some(to)) = (inside(from), inside(to))
                    && from != to
                {
                    arrows.entry(from).or_default().insert(to);
                }
            }
            let way = arrows.keys().find_map(|start| way_back(start, &arrows))?;
            Some(format!("in {}/: {}", folder.join("/"), way.join(" -> ")))
        };
        folders.iter().filter_map(circle).collect()
    }
}

/// The shortest way from `start` back to itself.
fn way_back(start: &String, arrows: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut ways = std::collections::VecDeque::from([vec![start.clone()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in arrows.get(way.last()?).into_iter().flatten() {
            let longer = [&way[..], std::slice::from_ref(next)].concat();
            if next == start {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                ways.push_back(longer);
            }
        }
    }
    None
}

fn read(folder: &Path, module: &mut Place, files: &mut BTreeMap<Place, String>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let is_face = ["mod", "lib", "main"].contains(&&*name);
        if !is_face {
            module.push(name);
        }
        if path.is_dir() {
            read(&path, module, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("readable");
            let code = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
            files.insert(module.clone(), code.collect::<Vec<_>>().join("\n"));
        }
        if !is_face {
            module.pop();
        }
    }
}

/// `text` up to its own tests, which stand last.
fn without_inner_tests(text: &str) -> String {
    let gates = text.match_indices("#[cfg(test)]").map(|(at, _)| at);
    let is_module = |at: &usize| {
        let head = text[*at..].split_once('{').map_or("", |(head, _)| head);
        head.contains("mod ") && !head.contains(';')
    };
    gates.into_iter().find(is_module).map_or(text, |at| &text[..at]).to_owned()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The trees of `use` statements, with whether they are re-exports, and the text without them.
fn statements(text: &str) -> (Vec<(bool, String)>, String) {
    let (mut uses, mut rest) = (Vec::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        let exported = line
            .split_once(" use ")
            .filter(|(before, _)| *before == "pub" || (before.starts_with("pub(") && before.ends_with(')')));
        let Some(tree) = exported.map(|(_, tree)| tree).or_else(|| line.strip_prefix("use ")) else {
            rest += line;
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            tree += lines.next().expect("a statement has an end");
        }
        uses.push((exported.is_some(), tree));
    }
    (uses, rest)
}

/// The paths of a `use` tree.
fn paths(tree: &str) -> Vec<Place> {
    fn walk(prefix: &[String], tree: &str, out: &mut Vec<Place>) {
        let (head, group) = match tree.split_once('{') {
            Some((head, rest)) => (head, Some(rest.rsplit_once('}').map_or(rest, |(group, _)| group))),
            None => (tree, None),
        };
        let parts = head.split("::").map(|part| part.split_whitespace().next().unwrap_or_default());
        let path =
            [prefix, &parts.filter(|part| is_name(part)).map(str::to_owned).collect::<Vec<_>>()].concat();
        let Some(group) = group else {
            // `self` in a group means the group's own path.
            let own = if path.len() > 1 && path.last().is_some_and(|l| l == "self") { 1 } else { 0 };
            return out.push(path[..path.len() - own].to_vec());
        };
        let (mut depth, mut begun) = (0, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    walk(&path, &group[begun..at], out);
                    begun = at + 1;
                }
                _ => {}
            }
        }
        if !group[begun..].trim().is_empty() {
            walk(&path, &group[begun..], out);
        }
    }
    let mut out = Vec::new();
    walk(&[], tree.trim_end_matches(';'), &mut out);
    out
}

/// The paths of at least two names in `text`.
fn inline(text: &str) -> Vec<Place> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let path =
        |word: &str| word.split("::").filter(|part| is_name(part)).map(str::to_owned).collect::<Vec<_>>();
    words.filter(|word| word.contains("::")).map(path).filter(|path| path.len() > 1).collect()
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    for name in ["nasty", "nasty-kernels", "nasty-serve", "nasty-teacher"] {
        let sources = Sources::of(name);
        assert!(sources.imports().len() > sources.0.len(), "{name}: hardly any import was found");
        let circles = sources.circles();
        assert!(circles.is_empty(), "{name}: {}", circles.join("; "));
    }
}

#[test]
fn circles_are_found_through_re_exports_and_inside_of_folders() {
    let sources = |files: &[(&str, &str)]| {
        let place = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Sources::without_tests(files.iter().map(|(path, text)| (place(path), (*text).to_owned())).collect())
    };
    let fine = [
        ("", "mod a;\nmod b;\npub use a::{A, deep::{self, D}};\n#[cfg(test)]\nmod t;\n"),
        ("a", "pub struct A;"),
        ("b", "use crate::A;\n#[cfg(test)]\nmod tests {\n    use crate::t::T;\n}\n"),
        ("t", "use super::b::B;"),
    ];
    assert_eq!(sources(&fine).circles(), Vec::<String>::new());
    let back = [
        fine[0],
        ("a", "pub struct A(crate::c::B);"),
        fine[2],
        ("c", "pub(crate) use super::{\n    b::B,\n};"),
    ];
    assert_eq!(sources(&back).circles(), ["in /: a -> b -> a"], "c only hands B on");
    let inside = [
        ("", "mod f;"),
        ("f", "mod x;\nmod y;"),
        ("f/x", "fn x() { super::y::y() }"),
        ("f/y", "use crate::f::x::x;"),
    ];
    assert_eq!(sources(&inside).circles(), ["in f/: x -> y -> x"]);
}
