// The AWS SDK for JavaScript: it checks the digest of what it sends and receives by itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  ChangeMessageVisibilityCommand, CreateQueueCommand, DeleteMessageBatchCommand, DeleteQueueCommand,
  GetQueueAttributesCommand, ListQueuesCommand, QueueDoesNotExist, ReceiveMessageCommand, SendMessageBatchCommand,
  SendMessageCommand,
} from '@aws-sdk/client-sqs';

import { client, serve } from './broker.mjs';

const Attributes = { FifoQueue: 'true', ContentBasedDeduplication: 'true' };

test('a message lives and ends', async (story) => {
  const sqs = client(await serve(story));
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: 'js.fifo', Attributes }));
  const MessageAttributes = {
    kind: { DataType: 'String', StringValue: 'größe' },
    raw: { DataType: 'Binary', BinaryValue: new Uint8Array([0, 255, 16]) },
  };
  const sent = await sqs.send(new SendMessageCommand({
    QueueUrl, MessageBody: 'one', MessageGroupId: 'g', MessageAttributes,
  }));
  assert.match(sent.SequenceNumber, /^\d{20}$/);
  const Entries = ['two', 'three'].map((Id) => ({ Id, MessageBody: Id, MessageGroupId: 'g' }));
  const batch = await sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
  assert.equal(batch.Successful.length, 2);
  assert.equal(batch.Failed, undefined);

  const receive = { QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: ['All'] };
  const { Messages } = await sqs.send(new ReceiveMessageCommand(receive));
  assert.deepEqual(Messages.map((message) => message.Body), ['one', 'two', 'three']);
  assert.equal(Messages[0].MessageId, sent.MessageId);
  assert.deepEqual([...Messages[0].MessageAttributes.raw.BinaryValue], [0, 255, 16]);

  const [{ ReceiptHandle }] = Messages;
  await sqs.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 60 }));
  const handles = Messages.map((message, index) => ({ Id: `m${index}`, ReceiptHandle: message.ReceiptHandle }));
  const deleted = await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries: handles }));
  assert.equal(deleted.Successful.length, 3);
  const names = { QueueUrl, AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] };
  const counts = await sqs.send(new GetQueueAttributesCommand(names));
  assert.deepEqual(new Set(Object.values(counts.Attributes)), new Set(['0']));
  assert.equal((await sqs.send(new ReceiveMessageCommand(receive))).Messages, undefined);
});

test('an error has the name that the SDK knows', async (story) => {
  const sqs = client(await serve(story));
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: 'gone.fifo', Attributes }));
  assert.deepEqual((await sqs.send(new ListQueuesCommand({}))).QueueUrls, [QueueUrl]);
  await sqs.send(new DeleteQueueCommand({ QueueUrl }));
  await assert.rejects(sqs.send(new ReceiveMessageCommand({ QueueUrl })), (error) => {
    assert.ok(error instanceof QueueDoesNotExist);
    assert.equal(error.$metadata.httpStatusCode, 400);
    assert.ok(error.$metadata.requestId);
    return true;
  });
  assert.equal((await sqs.send(new ListQueuesCommand({}))).QueueUrls, undefined);
});
