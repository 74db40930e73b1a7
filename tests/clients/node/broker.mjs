// A real broker for each story, and a client that is pointed at it. No story is told here.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { SQSClient } from '@aws-sdk/client-sqs';

/** Starts `lockstep serve` on a free port; the story ends it. */
export async function serve(story, ...flags) {
  const directory = mkdtempSync(join(tmpdir(), 'lockstep-node-'));
  const command = ['serve', '--listen', '127.0.0.1:0', '--data', join(directory, 'data'), ...flags];
  const broker = spawn(process.env.LOCKSTEP, command, { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise((resolve) => broker.once('exit', resolve));
  story.after(async () => {
    broker.kill('SIGTERM');
    await ended;
    rmSync(directory, { recursive: true, force: true });
  });
  for await (const line of createInterface({ input: broker.stdout })) {
    const found = /^listening on (http\S+)/.exec(line);
    if (found) return found[1];
  }
  throw new Error('the broker ended before it listened');
}

export function client(endpoint) {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  return new SQSClient({ endpoint, region: 'us-east-1', credentials });
}
