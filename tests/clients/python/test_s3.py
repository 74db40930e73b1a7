"""Steps whose output lies in an S3-like store (moto's server): read back and verified, with a worker that is killed as well."""

import json
import os
import re
import signal
import subprocess
import sys

import boto3
import pytest
from conftest import LOCKSTEP, wait_for

pytestmark = pytest.mark.json_only

MAPPER = """
import json, sys, time
print("a mapper says something", file=sys.stderr)
for line in sys.stdin:
    record = json.loads(line)
    if "state" in record:
        continue
    time.sleep(0.02)
    print(json.dumps({"group": record["group"], "loud": json.loads(record["body"])["text"].upper()}))
"""


def has_feature():
    """Whether the program under test was built with the cargo feature `s3`."""
    said = subprocess.run([LOCKSTEP, "verify", "--out", "s3://bucket/out", "--input", os.devnull], capture_output=True, text=True)
    return "--features s3" not in said.stderr


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A bucket that the environment leads to."""
    if not has_feature():
        pytest.skip("the program is built without the feature s3")
    with open(tmp_path / "moto.log", "w+") as log:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stdout=log, stderr=log)
    found = lambda: re.search(r"Running on (http://127\.0\.0\.1:\d+)", (tmp_path / "moto.log").read_text())
    try:
        endpoint = wait_for("the store", found)[1]
        for name, value in {
            "AWS_ENDPOINT_URL_S3": endpoint, "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        }.items():
            monkeypatch.setenv(name, value)
        s3 = boto3.session.Session().resource("s3", endpoint_url=endpoint, region_name="us-east-1")
        yield s3.create_bucket(Bucket="bucket")
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def day(tmp_path):
    """The input: 300 messages of 10 groups."""
    lines = [{"conversation_id": f"c{n % 10}", "turn": n, "sender": "agent", "text": f"t{n}"} for n in range(300)]
    path = tmp_path / "day.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def sent(serve, day):
    """A broker in the store's environment, with a queue that holds the day."""
    broker = serve()
    broker.lockstep("queue", "create", "day.fifo")
    broker.lockstep("send", "day.fifo", "--group-by", "conversation_id", stdin=day.read_text())
    return broker


def verify(out, day):
    done = subprocess.run([LOCKSTEP, "verify", "--out", out, "--input", day], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def keys(bucket):
    return [found.key for found in bucket.objects.all()]


def test_a_step_publishes_to_a_bucket_and_the_output_is_verified(bucket, day, serve):
    broker = sent(serve, day)
    out = "s3://bucket/some/out"
    words = ("--job", "transcript", "--input", "day.fifo", "--output", out, "--format", "jsonl.gz")
    broker.lockstep("emr", "cluster", "create", "--name", "once", "--workers", "2", *words, "--wait")
    assert "processed 300" in verify(out, day)
    assert "some/out/manifest.jsonl" in keys(bucket)
    assert all(re.fullmatch(r"some/out/(manifest\.jsonl|[0-9a-f-]+/\d+/\d+/[^/]+\.jsonl\.gz)", key) for key in keys(bucket)), keys(bucket)

    # The same place has the same reader: the next step goes on there.
    more = json.dumps({"conversation_id": "c1", "turn": 300, "sender": "agent", "text": "late"}) + "\n"
    broker.lockstep("send", "day.fifo", "--group-by", "conversation_id", stdin=more)
    day.write_text(day.read_text() + more)
    broker.lockstep("emr", "cluster", "create", "--name", "again", "--workers", "1", *words[:5], out + "/", *words[6:], "--wait")
    assert "processed 301" in verify(out, day)


def test_a_worker_that_is_killed_costs_time_and_no_message(bucket, day, serve, tmp_path):
    broker = sent(serve, day)
    out, program = "s3://bucket/out", tmp_path / "mapper.py"
    program.write_text(MAPPER)
    emr = broker.client(service="emr")
    args = ["hadoop-streaming", "-mapper", f"{sys.executable} {program}", "-input", "day.fifo", "-output", out]
    steps = [{"Name": "s", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar", "Args": args}}]
    instances = {"InstanceCount": 3, "KeepJobFlowAliveWhenNoSteps": True}
    flow = emr.run_job_flow(Name="day", Instances=instances, Steps=steps)["JobFlowId"]
    step = emr.list_steps(ClusterId=flow)["Steps"][0]["Id"]
    log = broker.directory / "data" / "emr" / "logs" / flow / "steps" / step / "controller"
    # One that works: its mapper is there.
    working = lambda: log.exists() and re.search(r"worker \d+ is process (\d+)", log.read_text())
    os.kill(int(wait_for("a worker", working)[1]), signal.SIGKILL)
    status = lambda: emr.describe_step(ClusterId=flow, StepId=step)["Step"]["Status"]
    wait_for("the end", lambda: status()["State"] not in ("PENDING", "RUNNING"), 60)
    assert status()["State"] == "COMPLETED", status()
    assert "ended unasked" in log.read_text()
    assert "processed 300" in verify(out, day)
    assert any(key.startswith("out/logs/mapper/") and key.endswith(".stderr") for key in keys(bucket))
    assert not any(".conditions-" in key for key in keys(bucket))


def test_what_is_no_place_is_refused_with_the_way_out(bucket, day, serve, monkeypatch):
    broker = sent(serve, day)
    emr = broker.client(service="emr")
    flow = emr.run_job_flow(Name="day", Instances={"InstanceCount": 2, "KeepJobFlowAliveWhenNoSteps": True})["JobFlowId"]

    def add(out):
        args = ["lockstep", "--job", "transcript", "--input", "day.fifo", "--output", out]
        step = {"Name": "s", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar", "Args": args}}
        return emr.add_job_flow_steps(JobFlowId=flow, Steps=[step])["StepIds"][0]

    for out, way in [("gs://bucket/out", "s3://BUCKET"), ("s3:///out", "no bucket")]:
        with pytest.raises(emr.exceptions.ClientError, match=way):
            add(out)
    step = add("s3://no-such-bucket/out")
    status = lambda: emr.describe_step(ClusterId=flow, StepId=step)["Step"]["Status"]
    wait_for("the end", lambda: status()["State"] not in ("PENDING", "RUNNING"), 60)
    failure = status()["FailureDetails"]
    assert failure["Reason"] == "Disk Error." and "no-such-bucket" in failure["Message"], failure

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    emr = serve().client(service="emr")
    flow = emr.run_job_flow(Name="day", Instances={"InstanceCount": 2, "KeepJobFlowAliveWhenNoSteps": True})["JobFlowId"]
    with pytest.raises(emr.exceptions.ClientError, match="AWS_ACCESS_KEY_ID"):
        add("s3://bucket/out")
    said = subprocess.run([LOCKSTEP, "emr", "compact", "s3://bucket/out"], capture_output=True, text=True)
    assert said.returncode != 0 and "not compacted" in said.stderr, said.stderr
