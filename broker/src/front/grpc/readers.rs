//! The service `lockstep.v1.Readers`: claims and Commit (B1, B6).

use lockstep_engine::{
    command::{Abandon, Claim, DropReader, GroupOutcome, OpenReader, QueueRef, Rest, TakeClaim},
    limits as engine_limits,
    words::{ContentDigest, Epoch, GroupId, Label, QueueName, ReaderId, SequenceNumber, ValueKey},
};
use lockstep_proto::v1::{self, commit_request::Target, readers_server::Readers};
use prost::Message;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{
    Services,
    errors::status,
    input, output,
    queues::{Answered, parsed},
};
use crate::{
    failure::{Failure, Invalid},
    handle::{ClaimPages, NewCommit, NewOutput, NewTarget, NewValue},
    identity, limits,
};

fn label(text: &str) -> Result<Label, Invalid> {
    Ok(Label::parse(text)?)
}

fn claim(request: &v1::ClaimRequest) -> Result<(Claim, u64, u64), Invalid> {
    let queue = input::queue_life(&request.queue, request.queue_generation)?;
    let most = engine_limits::CLAIM_MESSAGES;
    let max_messages =
        input::count("max_messages", request.max_messages, limits::DEFAULT_CLAIM_MESSAGES.min(most), most, "H1")?;
    let max_bytes = match request.max_bytes {
        0 => limits::DEFAULT_CLAIM_BYTES,
        bytes if bytes <= engine_limits::CLAIM_BYTES => bytes,
        bytes => return Err(input::out_of_range("max_bytes", bytes, 1, engine_limits::CLAIM_BYTES, "H1")),
    };
    let at_least = input::count("min_messages", request.min_messages, 1, max_messages, "B6")?;
    let linger = u64::from(request.linger_ms);
    if linger > engine_limits::WAIT {
        return Err(input::out_of_range("linger_ms", linger, 0, engine_limits::WAIT, "B6"));
    }
    let reader = input::controlled(queue, &request.reader, request.reader_generation)?;
    let number = input::claim_number(request.number)?;
    Ok((Claim { reader, number, max_messages, max_bytes, at_least }, input::wait(request.wait_seconds)?, linger))
}

fn outcomes(given: &[v1::GroupOutcome]) -> Result<Vec<GroupOutcome>, Invalid> {
    let most = engine_limits::CLAIM_GROUPS;
    if given.len() > most {
        input::batch(given.len(), most)?;
    }
    let outcome = |(index, given): (usize, &v1::GroupOutcome)| {
        let rest = match v1::GroupRest::try_from(given.rest) {
            Ok(v1::GroupRest::GiveBack) => Ok(Rest::GivenBack),
            Ok(v1::GroupRest::DeadLetterHead) => Ok(Rest::HeadDeadLettered),
            Ok(v1::GroupRest::Park) => Ok(Rest::Parked),
            Ok(v1::GroupRest::Unspecified) => Err(input::missing("rest", "B7")),
            Err(_) => {
                Err(Invalid::new("OUTCOME_INVALID", "B7", format!("rest has the unknown value {} (B7)", given.rest)))
            }
        };
        let group = GroupId::parse(&given.message_group_id).map_err(Invalid::from).map_err(input::in_entry(index))?;
        let done_through = (given.done_through > 0).then_some(SequenceNumber(given.done_through));
        Ok(GroupOutcome { group, done_through, rest: rest.map_err(input::in_entry(index))? })
    };
    given.iter().enumerate().map(outcome).collect()
}

impl Services {
    fn commit_of(&self, request: v1::CommitRequest) -> Result<NewCommit, Invalid> {
        // The content is what was asked, whatever the engine makes of it: a repeat has the same bytes.
        let digest = ContentDigest(identity::half(&Sha256::digest(request.encode_to_vec())));
        let queue = input::queue_life(&request.queue, request.queue_generation)?;
        let id = label(&request.commit_id)?;
        if request.outputs.len() > limits::COMMIT_ENTRIES {
            input::batch(request.outputs.len(), limits::COMMIT_ENTRIES)?;
        }
        if request.values.len() > limits::COMMIT_VALUES {
            input::batch(request.values.len(), limits::COMMIT_VALUES)?;
        }
        let target = request.target.ok_or_else(|| input::missing("target", "B1"))?;
        let target = self.target(target, &queue)?;
        let value = |(index, value)| new_value(value).map_err(input::in_entry(index));
        let values: Vec<_> = request.values.into_iter().enumerate().map(value).collect::<Result<_, _>>()?;
        let output = |(index, output)| new_output(output).map_err(input::in_entry(index));
        let outputs: Vec<_> = request.outputs.into_iter().enumerate().map(output).collect::<Result<_, _>>()?;
        let commit = NewCommit { queue, id, digest, target, values, outputs };
        input::sum(commit_bytes(&commit))?;
        Ok(commit)
    }

    fn target(&self, target: Target, queue: &QueueRef) -> Result<NewTarget, Invalid> {
        match target {
            Target::Claim(it) => Ok(NewTarget::Claim {
                reader: input::controlled(queue.clone(), &it.reader, it.reader_generation)?,
                number: input::claim_number(it.number)?,
                epoch: Epoch(input::required("epoch", it.epoch, "B2")?),
                record: (!it.record.is_empty()).then_some(it.record),
                outcomes: outcomes(&it.outcomes)?,
            }),
            Target::Deliveries(it) => {
                input::batch(it.receipt_handles.len(), limits::COMMIT_ENTRIES)?;
                let open = |handle: &String| self.handle.receipt(handle).map_err(Invalid::from);
                Ok(NewTarget::Deliveries(it.receipt_handles.iter().map(open).collect::<Result<_, _>>()?))
            }
            Target::Reader(it) => {
                input::controlled(queue.clone(), &it.reader, it.reader_generation).map(NewTarget::Reader)
            }
        }
    }

    /// Reads a claim page by page, as fast as its caller takes the pages.
    async fn stream(self, mut pages: ClaimPages, into: mpsc::Sender<Result<v1::ReadClaimResponse, Status>>) {
        loop {
            let page = match pages.next().await {
                Ok(Some((values, messages))) => Ok(v1::ReadClaimResponse {
                    values: values.into_iter().map(output::value).collect(),
                    messages: messages.into_iter().map(output::claimed_message).collect(),
                }),
                Ok(None) => return,
                Err(failure) => Err(self.refuse(&failure)),
            };
            let failed = page.is_err();
            if into.send(page).await.is_err() || failed {
                return;
            }
        }
    }
}

fn new_value(value: v1::ValueChange) -> Result<NewValue, Invalid> {
    let group = value.message_group_id.as_deref().map(GroupId::parse).transpose()?;
    Ok(NewValue { group, key: ValueKey::parse(&value.key)?, value: value.value })
}

fn new_output(output: v1::Output) -> Result<NewOutput, Invalid> {
    let queue = QueueName::parse(&output.queue)?;
    Ok(NewOutput { message: input::message(&queue, output.entry)?, queue })
}

/// Bodies, values, record and ids together (H1).
fn commit_bytes(commit: &NewCommit) -> u64 {
    let value = |value: &NewValue| {
        let group = value.group.as_ref().map_or(0, |group| group.as_str().len());
        (group + value.key.as_str().len() + value.value.as_ref().map_or(0, bytes::Bytes::len)) as u64
    };
    let record = match &commit.target {
        NewTarget::Claim { record, .. } => record.as_ref().map_or(0, |record| record.len() as u64),
        NewTarget::Deliveries(_) | NewTarget::Reader(_) => 0,
    };
    let outputs = commit.outputs.iter().map(|output| input::message_bytes(&output.message)).sum::<u64>();
    outputs + commit.values.iter().map(value).sum::<u64>() + record
}

#[tonic::async_trait]
impl Readers for Services {
    type ReadClaimStream = ReceiverStream<Result<v1::ReadClaimResponse, Status>>;

    async fn open_reader(&self, request: Request<v1::OpenReaderRequest>) -> Answered<v1::OpenReaderResponse> {
        let it = request.into_inner();
        let queue = parsed(input::queue(&it.queue, it.queue_generation))?;
        let (reader, instance) = (parsed(label(&it.reader))?, parsed(label(&it.instance))?);
        if it.claim_limit_seconds == Some(0) {
            return Err(super::errors::invalid_status(&input::missing("claim_limit_seconds", "B6")));
        }
        let claim_limit = it.claim_limit_seconds.map(|seconds| u64::from(seconds) * 1_000);
        let opened = self.handle.open_reader(OpenReader { queue, reader, instance, claim_limit }).await;
        let opened = opened.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::OpenReaderResponse {
            queue_generation: opened.queue.0,
            reader_id: opened.id.0,
            reader_generation: opened.generation.0,
            open_claims: opened.open.into_iter().map(output::open_claim).collect(),
            last_committed: opened.last_committed.0,
            last_number: opened.last_number.0,
            commits: opened.commits.0,
            journal_id: self.handle.identity().journal_id().to_string(),
        }))
    }

    async fn claim(&self, request: Request<v1::ClaimRequest>) -> Answered<v1::ClaimResponse> {
        let (command, wait, linger) = parsed(claim(&request.into_inner()))?;
        let claimed = self.handle.claim(command, wait, linger).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(output::claimed(claimed)))
    }

    async fn take_claim(&self, request: Request<v1::TakeClaimRequest>) -> Answered<v1::TakeClaimResponse> {
        let it = request.into_inner();
        let queue = parsed(input::queue_life(&it.queue, it.queue_generation))?;
        let reader = parsed(input::controlled(queue, &it.reader, it.reader_generation))?;
        let (number, worker) = (parsed(input::claim_number(it.number))?, parsed(label(&it.worker))?);
        let command = TakeClaim { reader, number, worker, previous_failed: it.previous_failed };
        let claim = self.handle.take_claim(command).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::TakeClaimResponse { claim: Some(output::open_claim(claim)) }))
    }

    async fn read_claim(&self, request: Request<v1::ReadClaimRequest>) -> Answered<Self::ReadClaimStream> {
        let it = request.into_inner();
        let queue = parsed(input::queue_life(&it.queue, it.queue_generation))?;
        let reader = parsed(input::reader(queue, &it.reader))?;
        let number = parsed(input::claim_number(it.number))?;
        let epoch = Epoch(parsed(input::required("epoch", it.epoch, "B2"))?);
        let shards = it.shards.max(1);
        if it.shard >= shards {
            let most = u64::from(shards) - 1;
            let invalid = input::out_of_range("shard", it.shard.into(), 0, most, "B6");
            return Err(super::errors::invalid_status(&invalid));
        }
        let pages = self.handle.read_claim(reader, number, epoch, it.shard, shards).await;
        let pages = pages.map_err(|failure| self.refuse(&failure))?;
        let (into, stream) = mpsc::channel(1);
        tokio::spawn(self.clone().stream(pages, into));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn abandon(&self, request: Request<v1::AbandonRequest>) -> Answered<v1::AbandonResponse> {
        let it = request.into_inner();
        let queue = parsed(input::queue(&it.queue, it.queue_generation))?;
        let mut reader = parsed(input::reader(queue, &it.reader))?;
        reader.generation = it.reader_generation.map(Epoch);
        let number = (it.number != 0).then_some(lockstep_engine::words::ClaimNumber(it.number));
        let burnt = self.handle.abandon(Abandon { reader, number }).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::AbandonResponse { burnt: burnt.into_iter().map(|number| number.0).collect() }))
    }

    async fn commit(&self, request: Request<v1::CommitRequest>) -> Answered<v1::CommitResponse> {
        let commit = parsed(self.commit_of(request.into_inner()))?;
        let queue = commit.queue.generation;
        let kinds: Vec<bool> = commit.outputs.iter().map(|output| output.queue.is_fifo()).collect();
        let committed = self.handle.commit(commit).await;
        let committed = committed.map_err(|failure: Failure| status(&failure, &self.handle, queue))?;
        Ok(Response::new(v1::CommitResponse {
            commit_number: committed.commit.map_or(0, |commit| commit.0),
            outputs: committed
                .outputs
                .iter()
                .zip(kinds)
                .map(|(output, fifo)| output::accepted(&self.handle, output, fifo))
                .collect(),
            already_committed: committed.repeated,
        }))
    }

    async fn read_values(&self, request: Request<v1::ReadValuesRequest>) -> Answered<v1::ReadValuesResponse> {
        let it = request.into_inner();
        let queue = parsed(input::queue(&it.queue, None))?;
        let reader = parsed(input::reader(queue, &it.reader))?;
        let group = it.message_group_id.as_deref().map(GroupId::parse).transpose().map_err(Invalid::from);
        let group = parsed(group)?;
        let max = parsed(input::count("max_results", it.max_results, limits::DEFAULT_VALUES, limits::PAGE, "L13"))?;
        let read = self.handle.read_values(reader, group, it.key_prefix, it.after, max as usize).await;
        let values = read.map_err(|failure| self.refuse(&failure))?;
        // A page that is neither full nor near its limit in bytes was cut by nothing but the end.
        let bytes = values.iter().map(|value| value.value.len() as u64).sum::<u64>();
        let cut = values.len() == max as usize || bytes + u64::from(engine_limits::VALUE_BYTES) > limits::ANSWER_BYTES;
        let last = values.last().filter(|_| cut);
        let next = last.map(|value| value.key.to_string()).unwrap_or_default();
        let values = values.into_iter().map(output::value).collect();
        Ok(Response::new(v1::ReadValuesResponse { values, next }))
    }

    async fn list_readers(&self, request: Request<v1::ListReadersRequest>) -> Answered<v1::ListReadersResponse> {
        let v1::ListReadersRequest { queue, max_results, after } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let max = parsed(input::count("max_results", max_results, limits::PAGE, limits::PAGE, "L13"))? as usize;
        let views = self.handle.readers(queue, after, max).await.map_err(|failure| self.refuse(&failure))?;
        let next = views.last().filter(|_| views.len() == max).map(|view| view.name.to_string()).unwrap_or_default();
        let readers = views.into_iter().map(output::reader).collect();
        Ok(Response::new(v1::ListReadersResponse { readers, next }))
    }

    async fn describe_reader(
        &self,
        request: Request<v1::DescribeReaderRequest>,
    ) -> Answered<v1::DescribeReaderResponse> {
        let v1::DescribeReaderRequest { queue, reader } = request.into_inner();
        let (queue, name) = (parsed(input::queue(&queue, None))?, parsed(label(&reader))?);
        let view = self.handle.reader(queue, name).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::DescribeReaderResponse { reader: Some(output::reader(view)) }))
    }

    async fn drop_reader(&self, request: Request<v1::DropReaderRequest>) -> Answered<v1::DropReaderResponse> {
        let v1::DropReaderRequest { queue, reader, reader_id } = request.into_inner();
        let (queue, reader) = (parsed(input::queue(&queue, None))?, parsed(label(&reader))?);
        let command = DropReader { queue, reader, id: reader_id.map(ReaderId) };
        self.handle.drop_reader(command).await.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::DropReaderResponse {}))
    }
}
