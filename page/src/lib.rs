//! The files of the console's page, embedded, and the headers that each of them is sent with. Whoever serves a page takes
//! them from here; no server, no data and no third party's code is in this crate.

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its content.
    pub bytes: &'static [u8],
    /// The value of the header `content-type`.
    pub content_type: &'static str,
}

/// What every file of the page is sent with: nothing but this origin's own files runs, and nobody frames it.
pub const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-cache"),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// The table of all files; each stands in `assets` under this name.
macro_rules! files {
    ($($name:literal $content_type:ident),* $(,)?) => {
        &[$(($name, Asset { bytes: include_bytes!(concat!("../assets/", $name)), content_type: $content_type })),*]
    };
}

const FILES: &[(&str, Asset)] = files![
    "api.js" SCRIPT,
    "base.css" CSS,
    "canvas.js" SCRIPT,
    "chart.js" SCRIPT,
    "console.css" CSS,
    "console.js" SCRIPT,
    "dialogs.js" SCRIPT,
    "dom.js" SCRIPT,
    "facts.js" SCRIPT,
    "favicon.svg" PICTURE,
    "feed.js" SCRIPT,
    "figures.js" SCRIPT,
    "index.html" HTML,
    "lab-answers.js" SCRIPT,
    "lab-lesson.js" SCRIPT,
    "lab-proof.js" SCRIPT,
    "lab-switches.js" SCRIPT,
    "lab-talk.js" SCRIPT,
    "lab-workers.js" SCRIPT,
    "lab.css" CSS,
    "lab.html" HTML,
    "lab.js" SCRIPT,
    "lanes.js" SCRIPT,
    "life.js" SCRIPT,
    "model.js" SCRIPT,
    "queue.js" SCRIPT,
    "queues.js" SCRIPT,
    "rules.js" SCRIPT,
    "series.js" SCRIPT,
    "shapes.js" SCRIPT,
    "sse.js" SCRIPT,
    "strip.js" SCRIPT,
    "words.js" SCRIPT,
];

/// The file of this name, such as `index.html`.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, asset)| *asset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_its_name_alone() {
        assert_eq!(asset("index.html").expect("the page").content_type, HTML);
        for other in ["", "/index.html", "../src/lib.rs", "INDEX.HTML"] {
            assert_eq!(asset(other), None, "{other}");
        }
    }

    fn texts() -> Vec<(&'static str, &'static str)> {
        FILES.iter().map(|(name, file)| (*name, std::str::from_utf8(file.bytes).expect("text"))).collect()
    }

    #[test]
    fn every_file_of_the_folder_is_in_the_table() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
        let mut there: Vec<_> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        there.sort();
        let table: Vec<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(there, table, "in the order of the names");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_no_data_becomes_markup() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "new Function",
            "@import",
            " style=\"",
        ];
        for (name, text) in texts() {
            for word in forbidden {
                assert!(!text.contains(word), "{name} has {word}");
            }
            let elsewhere = text.replace("http://www.w3.org/", "").matches("://").count();
            assert_eq!(elsewhere, 0, "{name} names another place");
            if name.ends_with(".html") {
                let inline = text.lines().any(|line| {
                    line.contains("<style")
                        || line.contains(" onclick")
                        || line.contains("<script") && !line.contains(" src=\"/console/")
                });
                assert!(!inline, "{name} has an inline script or style");
            }
        }
    }

    #[test]
    fn every_script_and_sheet_says_why_it_exists_and_stays_short() {
        for (name, text) in texts().into_iter().filter(|(name, _)| name.ends_with(".js") || name.ends_with(".css")) {
            assert!(text.starts_with("// ") || text.starts_with("/* "), "{name} does not say why it exists");
            let lines = text.lines().count();
            assert!(lines <= 400, "{name} has {lines} lines; 400 at most");
        }
    }
}
