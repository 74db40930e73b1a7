//! The bytes of published files: JSON Lines plain, in gzip, in zstd, in Parquet. The same lines always give the same
//! bytes. What an encoder made is decoded and compared before it is committed: a fault in a codec must not be published.

#[cfg(feature = "parquet")]
mod parquet;

use std::io::{Read as _, Write as _};

use crate::format::Format;
use crate::rows::Rows;

/// A file that cannot be encoded or decoded, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EncodingError(String);

impl EncodingError {
    pub(crate) fn new(format: Format, what: impl std::fmt::Display) -> Self {
        Self(format!("{format}: {what}"))
    }
}

/// The file of these lines.
///
/// # Errors
/// [`EncodingError`] when the form is not built in, or the encoder's work does not read back as the lines.
pub fn encode(format: Format, rows: &Rows) -> Result<Vec<u8>, EncodingError> {
    let bytes = match format {
        Format::JsonLines => return Ok(rows.bytes().to_vec()),
        Format::Gzip => gzip(rows.bytes()).map_err(|error| EncodingError::new(format, error))?,
        Format::Zstd => zstd(rows.bytes()),
        Format::Parquet => columns::encode(rows)?,
    };
    match decode(format, &bytes)? == rows.bytes() {
        true => Ok(bytes),
        false => Err(EncodingError::new(format, "what was encoded does not read back as the lines")),
    }
}

/// The lines of a file, each with its LF. Files of one form that were joined, byte after byte, read as their lines
/// joined, but for Parquet.
///
/// # Errors
/// [`EncodingError`] when the form is not built in, or the bytes are not of it.
pub fn decode(format: Format, bytes: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let fault = |error: &dyn std::fmt::Display| EncodingError::new(format, error);
    match format {
        Format::JsonLines => Ok(bytes.to_vec()),
        Format::Gzip => {
            let mut lines = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut lines).map_err(|error| fault(&error))?;
            Ok(lines)
        }
        Format::Zstd => {
            let (mut rest, mut lines) = (bytes, Vec::new());
            while !rest.is_empty() {
                let mut frame = ruzstd::decoding::StreamingDecoder::new(&mut rest).map_err(|error| fault(&error))?;
                frame.read_to_end(&mut lines).map_err(|error| fault(&error))?;
            }
            Ok(lines)
        }
        Format::Parquet => decode_rows(bytes).map(Rows::into_bytes),
    }
}

/// The rows of a Parquet file, which says whose they are.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_rows(bytes: &[u8]) -> Result<Rows, EncodingError> {
    columns::decode(bytes)
}

/// A Parquet file with a row group for each of `next`'s rows, in order, until it has no more.
///
/// # Errors
/// As [`encode`], and those of `next`.
pub(crate) fn join_rows<E: From<EncodingError>>(next: impl FnMut() -> Result<Option<Rows>, E>) -> Result<Vec<u8>, E> {
    columns::join(next)
}

/// How many rows each row group of a Parquet file has.
///
/// # Errors
/// As [`decode`].
pub(crate) fn row_counts(bytes: &bytes::Bytes) -> Result<Vec<u64>, EncodingError> {
    columns::row_counts(bytes)
}

/// The rows of one row group of a Parquet file.
///
/// # Errors
/// As [`decode`].
pub(crate) fn row_group(bytes: &bytes::Bytes, place: usize) -> Result<Rows, EncodingError> {
    columns::row_group(bytes, place)
}

/// No name and no time in the header: the same lines give the same bytes.
fn gzip(lines: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(lines)?;
    encoder.finish()
}

fn zstd(lines: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(lines, ruzstd::encoding::CompressionLevel::Fastest)
}

#[cfg(feature = "parquet")]
use self::parquet as columns;

/// What stands where Parquet is not built in.
#[cfg(not(feature = "parquet"))]
mod columns {
    use super::{EncodingError, Format, Rows};

    fn absent<T>() -> Result<T, EncodingError> {
        Err(EncodingError(Format::Parquet.not_built_in()))
    }

    pub(super) fn encode(_: &Rows) -> Result<Vec<u8>, EncodingError> {
        absent()
    }

    pub(super) fn decode(_: &[u8]) -> Result<Rows, EncodingError> {
        absent()
    }

    pub(super) fn join<E: From<EncodingError>>(_: impl FnMut() -> Result<Option<Rows>, E>) -> Result<Vec<u8>, E> {
        Ok(absent()?)
    }

    pub(super) fn row_counts(_: &bytes::Bytes) -> Result<Vec<u64>, EncodingError> {
        absent()
    }

    pub(super) fn row_group(_: &bytes::Bytes, _: usize) -> Result<Rows, EncodingError> {
        absent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(seed: u64, lines: usize) -> Rows {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rows = Rows::default();
        for _ in 0..lines {
            let text: String = (0..random.usize(0..200)).map(|_| random.alphanumeric()).collect();
            rows.push(&format!("g{}", random.u8(0..4)), format!("{{\"text\":\"{text} ä\"}}").as_bytes());
        }
        rows
    }

    #[test]
    fn every_form_reads_back_as_the_lines_and_is_the_same_each_time() {
        for format in Format::ALL.into_iter().filter(|format| format.is_built_in()) {
            for lines in [0, 1, 2, 700] {
                let rows = rows(lines as u64, lines);
                let bytes = encode(format, &rows).unwrap();
                assert_eq!(decode(format, &bytes).unwrap(), rows.bytes(), "{format}, {lines} lines");
                assert_eq!(encode(format, &rows).unwrap(), bytes, "{format}, {lines} lines");
            }
        }
    }

    #[test]
    fn joined_files_read_as_joined_lines() {
        let (first, second) = (rows(1, 20), rows(2, 30));
        for format in [Format::JsonLines, Format::Gzip, Format::Zstd] {
            let joined = [encode(format, &first).unwrap(), encode(format, &second).unwrap()].concat();
            assert_eq!(decode(format, &joined).unwrap(), [first.bytes(), second.bytes()].concat(), "{format}");
        }
    }

    #[test]
    fn damage_and_what_is_not_built_in_are_named() {
        for format in [Format::Gzip, Format::Zstd] {
            let mut bytes = encode(format, &rows(3, 40)).unwrap();
            bytes.truncate(bytes.len() / 2);
            assert!(decode(format, &bytes).unwrap_err().to_string().starts_with(format.name()));
        }
        if !Format::Parquet.is_built_in() {
            let error = encode(Format::Parquet, &rows(1, 1)).unwrap_err().to_string();
            assert!(error.contains("cargo feature `parquet`"), "{error}");
        }
    }
}
