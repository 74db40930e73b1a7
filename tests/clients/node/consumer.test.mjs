// sqs-consumer: handlers see the messages of a group in order, each once; one that fails sees its message again.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CreateQueueCommand, GetQueueAttributesCommand, SendMessageBatchCommand } from '@aws-sdk/client-sqs';
import { Consumer } from 'sqs-consumer';

import { client, serve } from './broker.mjs';

const GROUPS = ['a', 'b'];
const EACH = 15;

async function filled(sqs) {
  const Attributes = { FifoQueue: 'true', VisibilityTimeout: '30' };
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: 'work.fifo', Attributes }));
  for (const group of GROUPS) {
    for (let first = 0; first < EACH; first += 5) {
      const Entries = Array.from({ length: 5 }, (_, index) => {
        const Id = `${group}-${first + index}`;
        return { Id, MessageBody: Id, MessageGroupId: group, MessageDeduplicationId: Id };
      });
      await sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
    }
  }
  return QueueUrl;
}

test('a consumer works through groups in order, and past a failure', { timeout: 60_000 }, async (story) => {
  const sqs = client(await serve(story));
  const queueUrl = await filled(sqs);
  const done = [];
  let failures = 1;
  await new Promise((resolve, reject) => {
    const consumer = Consumer.create({
      queueUrl, sqs, batchSize: 1, waitTimeSeconds: 1, terminateVisibilityTimeout: true,
      handleMessage: async (message) => {
        if (message.Body === 'a-3' && failures-- > 0) throw new Error('the handler fails once');
        done.push(message.Body);
        return message;
      },
    });
    consumer.on('error', reject);
    consumer.on('processing_error', () => {});
    consumer.on('empty', () => { if (done.length >= GROUPS.length * EACH) { consumer.stop(); resolve(); } });
    consumer.start();
    story.after(() => consumer.stop({ abort: true }));
  });
  for (const group of GROUPS) {
    const expected = Array.from({ length: EACH }, (_, index) => `${group}-${index}`);
    assert.deepEqual(done.filter((body) => body.startsWith(group)), expected);
  }
  const AttributeNames = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'];
  const counts = await sqs.send(new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames }));
  assert.deepEqual(new Set(Object.values(counts.Attributes)), new Set(['0']));
});
