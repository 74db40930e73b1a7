"""A real broker for each story, and clients that are pointed at it. No story is told here."""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time

import boto3
import pytest
from botocore.config import Config

LOCKSTEP = os.environ["LOCKSTEP"]
PATIENCE = 30


class Broker:
    """`lockstep serve` on a socket that outlives it: a broker that is killed comes back at the same address."""

    def __init__(self, directory, flags):
        self.directory = directory
        self.flags = [str(flag) for flag in flags]
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.log = open(directory / "broker.log", "ab")
        self.start()

    def start(self):
        command = [LOCKSTEP, "serve", "--listen", "stdin", "--data", str(self.directory / "data"), *self.flags]
        self.process = subprocess.Popen(command, stdin=self.socket, stdout=subprocess.PIPE, stderr=self.log)
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline().decode() if ready else ""
        assert line.startswith("listening on"), (self.directory / "broker.log").read_text()

    def kill(self):
        """SIGKILL: nothing is said, nothing is written any more."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    def restart(self):
        self.kill()
        self.start()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.socket.close()
        self.log.close()

    def client(self, key="test", secret="test", region="us-east-1", service="sqs", **config):
        config.setdefault("retries", {"max_attempts": 2, "mode": "standard"})
        return boto3.session.Session().client(
            service, endpoint_url=self.endpoint, region_name=region, aws_access_key_id=key,
            aws_secret_access_key=secret, config=Config(**config),
        )

    def lockstep(self, *arguments, stdin=None):
        """The product's own command line, at the other door."""
        command = [LOCKSTEP, *arguments, "--endpoint", self.endpoint]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def serve(tmp_path):
    """Starts brokers with flags, each with its own directory; ends them."""
    brokers = []

    def start(*flags):
        directory = tmp_path / f"broker-{len(brokers)}"
        directory.mkdir()
        brokers.append(Broker(directory, flags))
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.stop()
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def broker(serve):
    return serve()


@pytest.fixture
def aws(broker):
    """The command line `aws`, as a shell script would use it."""
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "AWS_PAGER": "",
    }

    def run(*arguments, service="sqs", fails=False):
        command = ["aws", "--endpoint-url", broker.endpoint, service, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        if fails:
            assert done.returncode != 0, done
            return done.stderr
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


@pytest.fixture
def sqs(broker):
    return broker.client()


@pytest.fixture
def fifo(sqs):
    """The URL of a FIFO queue whose deduplication is content-based."""
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    return sqs.create_queue(QueueName="orders.fifo", Attributes=attributes)["QueueUrl"]


def wait_for(what, condition, seconds=PATIENCE):
    """Waits for a state; there is no other way to wait here."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {seconds} s")


def pytest_configure(config):
    config.addinivalue_line("markers", "json_only: needs a client that speaks the JSON protocol")
