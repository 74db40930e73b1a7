//! Parquet: one row a line, the columns `group` (the message group) and `record` (the line, a JSON object as text). The
//! record stays text, so that the file says byte for byte what was published, whatever a mapper's lines look like. Only the
//! column writer of the `parquet` crate is used, not Arrow.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::reader::{ColumnReader, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::EncodingError;
use crate::format::Format;
use crate::rows::Rows;

const SCHEMA: &str = "message lockstep { required binary group (UTF8); required binary record (UTF8); }";
/// The place of the column `record`.
const RECORD: usize = 1;
/// Rows read at once.
const ROWS: usize = 1_024;

pub(super) fn encode(rows: &Rows) -> Result<Vec<u8>, EncodingError> {
    write(rows).map_err(|error| EncodingError::new(Format::Parquet, error))
}

fn write(rows: &Rows) -> Result<Vec<u8>, ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).set_created_by("lockstep".into());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))?;
    if rows.lines() > 0 {
        let (groups, records): (Vec<ByteArray>, Vec<ByteArray>) =
            rows.iter().map(|(group, line)| (ByteArray::from(group), ByteArray::from(line.to_vec()))).unzip();
        let mut row_group = file.next_row_group()?;
        for values in [groups, records] {
            let mut column = row_group.next_column()?.ok_or_else(|| fault("a column is missing"))?;
            column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
            column.close()?;
        }
        row_group.close()?;
    }
    file.into_inner()
}

fn fault(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<u8>, EncodingError> {
    read(bytes).map_err(|error| EncodingError::new(Format::Parquet, error))
}

fn read(bytes: &[u8]) -> Result<Vec<u8>, ParquetError> {
    let file = SerializedFileReader::new(bytes::Bytes::copy_from_slice(bytes))?;
    let mut lines = Vec::new();
    for place in 0..file.num_row_groups() {
        let row_group = file.get_row_group(place)?;
        let ColumnReader::ByteArrayColumnReader(column) = row_group.get_column_reader(RECORD)? else {
            return Err(fault("the second column is no text"));
        };
        let mut column = get_typed_column_reader::<ByteArrayType>(ColumnReader::ByteArrayColumnReader(column));
        loop {
            let mut values = Vec::with_capacity(ROWS);
            let (read, ..) = column.read_records(ROWS, None, None, &mut values)?;
            if read == 0 {
                break;
            }
            for value in values {
                lines.extend_from_slice(value.data());
                lines.push(b'\n');
            }
        }
    }
    Ok(lines)
}
