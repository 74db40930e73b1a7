//! Parquet: one row a line, the columns `group` (the message group) and `record` (the line, a JSON object as text). The
//! record stays text, so that the file says byte for byte what was published, whatever a mapper's lines look like. Only the
//! column writer of the `parquet` crate is used, not Arrow.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::reader::{ColumnReader, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, RowGroupReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::EncodingError;
use crate::format::Format;
use crate::rows::Rows;

const SCHEMA: &str = "message lockstep { required binary group (UTF8); required binary record (UTF8); }";
/// The places of the columns.
const GROUP: usize = 0;
const RECORD: usize = 1;
/// Rows read at once.
const ROWS: usize = 1_024;

pub(super) fn encode(rows: &Rows) -> Result<Vec<u8>, EncodingError> {
    let write = || {
        let mut file = begin()?;
        if rows.lines() > 0 {
            write_row_group(&mut file, rows)?;
        }
        file.into_inner()
    };
    write().map_err(fault)
}

/// One file with a row group for each of `next`'s, in order. It was read back and compared when it is answered.
pub(super) fn join<E: From<EncodingError>>(mut next: impl FnMut() -> Result<Option<Rows>, E>) -> Result<Vec<u8>, E> {
    let (mut file, mut digests) = (begin().map_err(fault)?, Vec::new());
    while let Some(rows) = next()? {
        if rows.lines() > 0 {
            write_row_group(&mut file, &rows).map_err(fault)?;
            digests.push(rows.digest());
        }
    }
    let bytes = bytes::Bytes::from(file.into_inner().map_err(fault)?);
    for (place, digest) in digests.iter().enumerate() {
        if row_group(&bytes, place)?.digest() != *digest {
            return Err(fault("what was joined does not read back as the rows").into());
        }
    }
    Ok(bytes.into())
}

fn begin() -> Result<SerializedFileWriter<Vec<u8>>, ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).set_created_by("lockstep".into());
    SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))
}

fn write_row_group(file: &mut SerializedFileWriter<Vec<u8>>, rows: &Rows) -> Result<(), ParquetError> {
    let (groups, records): (Vec<ByteArray>, Vec<ByteArray>) =
        rows.iter().map(|(group, line)| (ByteArray::from(group), ByteArray::from(line.to_vec()))).unzip();
    let mut row_group = file.next_row_group()?;
    for values in [groups, records] {
        let missing = || ParquetError::General("a column is missing".to_owned());
        let mut column = row_group.next_column()?.ok_or_else(missing)?;
        column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
        column.close()?;
    }
    row_group.close().map(|_| ())
}

fn fault(what: impl std::fmt::Display) -> EncodingError {
    EncodingError::new(Format::Parquet, what)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Rows, EncodingError> {
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let mut rows = Rows::default();
    for place in 0..row_counts(&bytes)?.len() {
        rows.append(&row_group(&bytes, place)?);
    }
    Ok(rows)
}

/// How many rows each row group has.
pub(super) fn row_counts(bytes: &bytes::Bytes) -> Result<Vec<u64>, EncodingError> {
    let file = SerializedFileReader::new(bytes.clone()).map_err(fault)?;
    let count = |rows: i64| u64::try_from(rows).map_err(fault);
    file.metadata().row_groups().iter().map(|group| count(group.num_rows())).collect()
}

/// The rows of one row group.
pub(super) fn row_group(bytes: &bytes::Bytes, place: usize) -> Result<Rows, EncodingError> {
    let file = SerializedFileReader::new(bytes.clone()).map_err(fault)?;
    let row_group = file.get_row_group(place).map_err(fault)?;
    let [groups, records] = [GROUP, RECORD].map(|place| column(&*row_group, place).map_err(fault));
    let (groups, records) = (groups?, records?);
    if groups.len() != records.len() {
        return Err(fault("its columns differ in length"));
    }
    let mut rows = Rows::default();
    for (group, record) in groups.iter().zip(&records) {
        rows.push(group.as_utf8().map_err(fault)?, record.data());
    }
    Ok(rows)
}

fn column(row_group: &dyn RowGroupReader, place: usize) -> Result<Vec<ByteArray>, ParquetError> {
    let ColumnReader::ByteArrayColumnReader(column) = row_group.get_column_reader(place)? else {
        return Err(ParquetError::General("a column is no text".to_owned()));
    };
    let mut column = get_typed_column_reader::<ByteArrayType>(ColumnReader::ByteArrayColumnReader(column));
    let mut values = Vec::new();
    while column.read_records(ROWS, None, None, &mut values)?.0 > 0 {}
    Ok(values)
}
