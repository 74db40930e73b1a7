"""Celery on a FIFO queue, by kombu's SQS transport: every task runs once, those of a group in order."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE, wait_for

pytestmark = pytest.mark.json_only  # the older environment has no Celery


@pytest.fixture
def environment(broker, tmp_path, monkeypatch):
    broker.client().create_queue(QueueName="celery.fifo", Attributes={"FifoQueue": "true"})
    monkeypatch.setenv("STORY_ENDPOINT", broker.endpoint)
    monkeypatch.setenv("STORY_NOTES", str(tmp_path / "notes"))
    (tmp_path / "notes").touch()
    return tmp_path / "notes"


@pytest.fixture
def worker(environment, tmp_path):
    command = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--pool", "solo", "--loglevel", "INFO",
               "--without-gossip", "--without-mingle", "--without-heartbeat"]
    with open(tmp_path / "worker.log", "ab") as log:
        process = subprocess.Popen(command, cwd=Path(__file__).parent, env=os.environ, stdout=log, stderr=log)
    yield process
    process.terminate()
    process.wait(PATIENCE)


def test_every_task_runs_once_and_in_order(broker, environment, worker):
    tasks = importlib.import_module("celery_tasks")
    conversations, numbers = ["a", "b", "c"], range(8)
    for number in numbers:
        for conversation in conversations:
            properties = {"MessageGroupId": conversation, "MessageDeduplicationId": f"{conversation}-{number}"}
            tasks.note.apply_async((conversation, number), **properties)
    total = len(conversations) * len(numbers)
    wait_for("the last task", lambda: len(environment.read_text().splitlines()) >= total, 60)
    sqs = broker.client()
    url = sqs.get_queue_url(QueueName="celery.fifo")["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    wait_for("an empty queue", lambda: set(
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()) == {"0"})
    done = [line.split() for line in environment.read_text().splitlines()]
    assert len(done) == total
    for conversation in conversations:
        assert [int(number) for name, number in done if name == conversation] == list(numbers)
