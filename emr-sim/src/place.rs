//! How an output is named: a folder of this machine by its path, or a place in an S3-like store by `s3://BUCKET/PREFIX`. Only
//! the name and what this program needs for it; what is done there is `store`'s business.

use std::path::Path;

/// Where an output lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder of this machine.
    Folder,
    /// A place in an S3-like store.
    Bucket {
        /// Its bucket.
        bucket: String,
        /// What the names of its objects begin with, without the slash between; none for the whole bucket.
        prefix: String,
    },
}

impl Place {
    /// Understands an output's name.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub(crate) fn of(out: &Path) -> Result<Self, String> {
        let Some((scheme, rest)) = out.to_str().and_then(url) else { return Ok(Self::Folder) };
        let bad = |why: &str| Err(format!("the output `{}` cannot be written: {why}", out.display()));
        if scheme != "s3" {
            return bad(&format!("no {scheme} is here; name a folder of this machine, or s3://BUCKET/PREFIX"));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return bad("it names no bucket; say s3://BUCKET/PREFIX");
        }
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(letters) {
            return bad("a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens");
        }
        let plain = |part: &str| {
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte);
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(letters)
        };
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() && !prefix.split('/').all(plain) {
            return bad("each part of a prefix has letters, digits and -_.= and is not empty");
        }
        Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

/// Whether an output is named by a URL, not by the path of a folder.
#[must_use]
pub fn is_url(out: &Path) -> bool {
    out.to_str().and_then(url).is_some()
}

fn url(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    (!scheme.is_empty() && scheme.bytes().all(letters)).then_some((scheme, rest))
}

/// Checks that this program, as it was built and started, can write to an output; asks nobody.
///
/// # Errors
/// What is missing, and what to do.
pub(crate) fn check_here(out: &Path) -> Result<(), String> {
    match Place::of(out)? {
        Place::Folder => Ok(()),
        Place::Bucket { .. } if !cfg!(feature = "s3") => Err(not_built_in(out)),
        Place::Bucket { .. } => credentials(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())),
    }
}

/// Says how to get what is not built in.
pub(crate) fn not_built_in(out: &Path) -> String {
    format!(
        "the output `{}` cannot be written: S3-like stores are not built in; build with the cargo feature `s3` \
         (cargo build --release --features s3)",
        out.display()
    )
}

/// An instance's own role is not asked for: where there is none, that takes minutes to find out.
fn credentials(is_set: impl Fn(&str) -> bool) -> Result<(), String> {
    let ways: [&[&str]; 4] = [
        &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
        &["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"],
        &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
        &["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
    ];
    if ways.iter().any(|names| names.iter().all(|name| is_set(name))) {
        return Ok(());
    }
    Err("there are no credentials for S3 in the environment: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and \
         AWS_REGION, AWS_ENDPOINT_URL_S3 where they are needed) for `lockstep serve`, and for each worker by hand"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Place, String> {
        Place::of(Path::new(text))
    }

    #[test]
    fn a_url_is_a_bucket_and_anything_else_a_folder() {
        let bucket = |prefix: &str| Ok(Place::Bucket { bucket: "my-bucket".into(), prefix: prefix.into() });
        assert_eq!(of("s3://my-bucket/day/out"), bucket("day/out"));
        assert_eq!(of("s3://my-bucket/day/"), bucket("day"));
        assert_eq!(of("s3://my-bucket"), bucket(""));
        for folder in ["/srv/out", "out", "/srv/s3://my-bucket", "s3:/x"] {
            assert_eq!(of(folder), Ok(Place::Folder), "{folder}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_way_out() {
        for (text, way) in [
            ("gs://bucket/out", "no gs is here"),
            ("s3a://bucket/out", "s3://BUCKET"),
            ("s3://", "no bucket"),
            ("s3:///out", "no bucket"),
            ("s3://My_Bucket/out", "lower-case"),
            ("s3://bucket/a//b", "prefix"),
            ("s3://bucket/../b", "prefix"),
            ("s3://bucket/a b", "prefix"),
        ] {
            let fault = of(text).unwrap_err();
            assert!(fault.contains(way), "{text}: {fault}");
        }
    }

    #[test]
    fn credentials_are_named_when_they_are_missing() {
        assert!(credentials(|_| false).unwrap_err().contains("AWS_ACCESS_KEY_ID"));
        assert!(credentials(|name| name == "AWS_ACCESS_KEY_ID").is_err());
        assert_eq!(credentials(|name| name.contains("_KEY")), Ok(()));
    }

    #[cfg(not(feature = "s3"))]
    #[test]
    fn without_the_feature_its_name_is_said() {
        assert!(check_here(Path::new("s3://bucket/out")).unwrap_err().contains("--features s3"));
        assert_eq!(check_here(Path::new("/srv/out")), Ok(()));
    }
}
