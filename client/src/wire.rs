//! The streams `Produce` and `Consume` as they are written: what waits for its answer goes from where it waits into the
//! frame, at every try, without being copied first. What is sent and when is `produce_stream`'s and `consume_stream`'s.

use std::{marker::PhantomData, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};

use lockstep_proto::v1;
use prost::Message as _;
use tokio_stream::Stream;
use tonic::{
    GrpcMethod, IntoStreamingRequest as _, Response, Status, Streaming,
    client::Grpc,
    codec::{Codec, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
};
use tonic_prost::ProstDecoder;

use crate::{client::Wire, message::entry_size};

/// What a message takes on the wire beside its texts, at most: tags and lengths.
const ENTRY_OVERHEAD: usize = 48;

/// A [`v1::ProduceRequest`] whose entries are elsewhere.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The request without its entries.
    pub(crate) head: v1::ProduceRequest,
    pub(crate) entries: Arc<Vec<v1::SendEntry>>,
}

/// Field 3 of the request, of a length: its entries.
const ENTRIES: u8 = 3 << 3 | 2;

/// What a stream writes.
pub(crate) trait Written {
    /// How many bytes it takes, nearly.
    fn room(&self) -> usize;

    fn write(&self, into: &mut impl BufMut) -> Result<(), prost::EncodeError>;
}

impl Written for Outgoing {
    fn room(&self) -> usize {
        self.entries.iter().map(|entry| entry_size(entry) + ENTRY_OVERHEAD).sum()
    }

    fn write(&self, into: &mut impl BufMut) -> Result<(), prost::EncodeError> {
        self.head.encode(into)?;
        for entry in self.entries.iter() {
            into.put_u8(ENTRIES);
            entry.encode_length_delimited(into)?;
        }
        Ok(())
    }
}

/// A request that is written already.
impl Written for Bytes {
    fn room(&self) -> usize {
        self.len()
    }

    fn write(&self, into: &mut impl BufMut) -> Result<(), prost::EncodeError> {
        into.put_slice(self);
        Ok(())
    }
}

/// Field 4 of a [`v1::ConsumeRequest`], of a length: the handles of deletes.
const DELETE_HANDLES: u8 = 4 << 3 | 2;

/// A request with these handles to delete.
pub(crate) fn consume_request<'a>(
    request: &v1::ConsumeRequest,
    deletes: impl ExactSizeIterator<Item = &'a String>,
) -> Bytes {
    /// Of a handle, with its tag and length.
    const HANDLE: usize = 96;
    let mut written = BytesMut::with_capacity(request.encoded_len() + HANDLE * deletes.len());
    request.encode_raw(&mut written);
    for handle in deletes {
        written.put_u8(DELETE_HANDLES);
        prost::encode_length_delimiter(handle.len(), &mut written).expect("it grows");
        written.put_slice(handle.as_bytes());
    }
    written.freeze()
}

/// Opens the stream `Produce`.
pub(crate) async fn produce<S>(grpc: Grpc<Wire>, requests: S) -> Result<Streaming<v1::ProduceResponse>, Status>
where
    S: Stream<Item = Outgoing> + Send + 'static,
{
    open(grpc, "Produce", PathAndQuery::from_static("/lockstep.v1.Messages/Produce"), requests).await
}

/// Opens the stream `Consume`.
pub(crate) async fn consume<S>(grpc: Grpc<Wire>, requests: S) -> Result<Streaming<v1::ConsumeResponse>, Status>
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    open(grpc, "Consume", PathAndQuery::from_static("/lockstep.v1.Messages/Consume"), requests).await
}

async fn open<T, U, S>(
    mut grpc: Grpc<Wire>,
    method: &'static str,
    path: PathAndQuery,
    requests: S,
) -> Result<Streaming<U>, Status>
where
    T: Written + Send + Sync + 'static,
    U: prost::Message + Default + Send + Sync + 'static,
    S: Stream<Item = T> + Send + 'static,
{
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let mut request = requests.into_streaming_request();
    request.extensions_mut().insert(GrpcMethod::new("lockstep.v1.Messages", method));
    grpc.streaming(request, path, Blocks(PhantomData)).await.map(Response::into_inner)
}

/// Writes `T` and reads `U`.
#[derive(Clone, Copy, Debug)]
struct Blocks<T, U>(PhantomData<(T, U)>);

impl<T, U> Codec for Blocks<T, U>
where
    T: Written + Send + 'static,
    U: prost::Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Blocks<T, ()>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        Blocks(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

impl<T: Written> Encoder for Blocks<T, ()> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, written: T, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(written.room());
        written.write(into).map_err(|error| Status::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_written_as_the_request_that_it_is() {
        let entry = |n: u8| v1::SendEntry {
            message_group_id: format!("g{n}"),
            message_deduplication_id: "x".repeat(n.into()),
            body: vec![b'b'; 300].into(),
            delay_seconds: (n > 1).then_some(n.into()),
            ..v1::SendEntry::default()
        };
        let entries: Vec<_> = (0..4).map(entry).collect();
        let session = Some(v1::SendSession { producer: "p".to_owned(), epoch: 3, first_number: 900 });
        let head =
            v1::ProduceRequest { queue: "q.fifo".to_owned(), queue_generation: Some(7), entries: Vec::new(), session };
        let whole = v1::ProduceRequest { entries: entries.clone(), ..head.clone() };
        let mut written = Vec::new();
        Outgoing { head, entries: Arc::new(entries) }.write(&mut written).unwrap();
        assert_eq!(v1::ProduceRequest::decode(written.as_slice()).unwrap(), whole);
    }

    #[test]
    fn deletes_are_written_as_the_request_that_they_are() {
        let change = v1::VisibilityEntry { receipt_handle: "c".repeat(80), visibility_timeout_seconds: 0 };
        let head = v1::ConsumeRequest { tag: 9, changes: vec![change], ..v1::ConsumeRequest::default() };
        let handles: Vec<_> = (0..3).map(|n| n.to_string().repeat(200)).collect();
        let whole = v1::ConsumeRequest { delete_handles: handles.clone(), ..head.clone() };
        let written = consume_request(&head, handles.iter());
        assert_eq!(v1::ConsumeRequest::decode(written).unwrap(), whole);
    }
}
