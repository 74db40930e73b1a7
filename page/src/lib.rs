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

const FILES: &[(&str, Asset)] =
    &[("index.html", Asset { bytes: include_bytes!("../assets/index.html"), content_type: HTML })];

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
}
