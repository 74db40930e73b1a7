"""The emulated EMR as boto3's `emr` client sees it: a session with every operation, steps that run, and what is refused."""

import json
import os
import sys

import pytest
from botocore.exceptions import ClientError, WaiterError
from conftest import wait_for

OPERATIONS = {
    "RunJobFlow", "DescribeCluster", "ListClusters", "TerminateJobFlows", "AddJobFlowSteps", "DescribeStep", "ListSteps",
    "CancelSteps", "ListInstanceGroups", "ListInstances", "AddInstanceGroups", "ModifyInstanceGroups", "ModifyCluster",
    "PutManagedScalingPolicy", "GetManagedScalingPolicy", "SetTerminationProtection",
}
SOON = {"Delay": 1, "MaxAttempts": 60}
MAPPER = """
import json, sys
for line in sys.stdin:
    record = json.loads(line)
    print(json.dumps({"group": record["group"], "loud": json.loads(record["body"])["text"].upper()}))
"""


@pytest.fixture
def emr(broker):
    return broker.client(service="emr")


@pytest.fixture
def day(broker, tmp_path):
    """A queue with 90 messages of 3 groups, and the file they came from."""
    lines = [{"conversation_id": f"c{n % 3}", "turn": n, "sender": "agent", "text": f"t{n}"} for n in range(90)]
    path = tmp_path / "day.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    broker.lockstep("queue", "create", "day.fifo")
    broker.lockstep("send", "day.fifo", "--group-by", "conversation_id", stdin=path.read_text())
    return path


def step(*words, name="step", action="CONTINUE", jar="command-runner.jar"):
    return {"Name": name, "ActionOnFailure": action, "HadoopJarStep": {"Jar": jar, "Args": [str(word) for word in words]}}


def transcript(out, *words, **more):
    return step("lockstep", "--job", "transcript", "--input", "day.fifo", "--output", out, *words, **more)


def cluster(emr, steps=(), workers=1, keep=True, **more):
    instances = {"InstanceCount": workers + 1, "KeepJobFlowAliveWhenNoSteps": keep}
    return emr.run_job_flow(Name="day", Instances=instances, Steps=list(steps), **more)["JobFlowId"]


def add(emr, flow, *steps):
    return emr.add_job_flow_steps(JobFlowId=flow, Steps=list(steps))["StepIds"]


def state(emr, flow, id):
    return emr.describe_step(ClusterId=flow, StepId=id)["Step"]["Status"]["State"]


def ended(emr, flow, id):
    """Waits for a step's end; its status."""
    active = ("PENDING", "RUNNING", "CANCEL_PENDING")
    wait_for("the end of a step", lambda: state(emr, flow, id) not in active, 60)
    return emr.describe_step(ClusterId=flow, StepId=id)["Step"]["Status"]


def cluster_state(emr, flow):
    return emr.describe_cluster(ClusterId=flow)["Cluster"]["Status"]["State"]


def refused(code, words, call, *arguments, **named):
    """EMR's own error shape, and a message that says what to do."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **named)
    answer = caught.value.response
    assert answer["Error"]["Code"] == code, answer
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400 and answer["ResponseMetadata"]["RequestId"], answer
    for word in words:
        assert word in answer["Error"]["Message"], answer
    return answer


def in_order(timeline, *names):
    times = [timeline[name] for name in names]
    assert times == sorted(times), timeline


def verified(broker, out, day):
    said = broker.lockstep("verify", "--out", str(out), "--input", str(day))
    assert said.startswith("ok: ") and "lost 0, duplicated 0, out of order 0" in said, said


def published(out):
    """The lines of the published files in the order of their commits, without anything of the product."""
    lines = []
    for line in (out / "manifest.jsonl").read_text().splitlines()[1:]:
        lines += [json.loads(one) for one in (out / json.loads(line)["file"]).read_text().splitlines()]
    return lines


def test_a_session_with_every_operation(emr, broker, day, tmp_path):
    called = set()
    emr.meta.events.register("before-call.emr", lambda model, **_: called.add(model.name))
    groups = [
        {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1},
        {"Name": "workers", "InstanceRole": "CORE", "InstanceType": "m5.xlarge", "InstanceCount": 2, "Market": "SPOT"},
    ]
    made = emr.run_job_flow(
        Name="session", ReleaseLabel="emr-7.1.0", Applications=[{"Name": "Hadoop"}], Tags=[{"Key": "k", "Value": "v"}],
        Instances={"InstanceGroups": groups, "KeepJobFlowAliveWhenNoSteps": True}, ServiceRole="EMR_DefaultRole",
        JobFlowRole="EMR_EC2_DefaultRole", VisibleToAllUsers=True, StepConcurrencyLevel=1,
    )
    flow = made["JobFlowId"]
    assert flow.startswith("j-") and made["ClusterArn"].endswith(flow)
    emr.get_waiter("cluster_running").wait(ClusterId=flow, WaiterConfig=SOON)
    shown = emr.describe_cluster(ClusterId=flow)["Cluster"]
    assert (shown["Name"], shown["Status"]["State"], shown["ReleaseLabel"]) == ("session", "WAITING", "emr-7.1.0")
    assert (shown["AutoTerminate"], shown["TerminationProtected"], shown["StepConcurrencyLevel"]) == (False, False, 1)
    assert shown["Tags"] == [{"Key": "k", "Value": "v"}] and shown["Applications"][0]["Name"] == "Hadoop"
    in_order(shown["Status"]["Timeline"], "CreationDateTime", "ReadyDateTime")
    assert [one["Id"] for one in emr.list_clusters(ClusterStates=["WAITING"])["Clusters"]] == [flow]
    assert emr.list_clusters(ClusterStates=["TERMINATED"])["Clusters"] == []

    (master, core) = emr.list_instance_groups(ClusterId=flow)["InstanceGroups"]
    assert (master["InstanceGroupType"], core["InstanceGroupType"]) == ("MASTER", "CORE")
    assert (core["Name"], core["Market"], core["RequestedInstanceCount"], core["RunningInstanceCount"]) == ("workers", "SPOT", 2, 2)
    assert core["Status"]["State"] == "RUNNING"
    assert len(emr.list_instances(ClusterId=flow)["Instances"]) == 3
    assert len(emr.list_instances(ClusterId=flow, InstanceGroupTypes=["CORE"], InstanceStates=["RUNNING"])["Instances"]) == 2

    (first,) = add(emr, flow, transcript(tmp_path / "out", name="transcripts"))
    emr.get_waiter("step_complete").wait(ClusterId=flow, StepId=first, WaiterConfig=SOON)
    shown = emr.describe_step(ClusterId=flow, StepId=first)["Step"]
    assert (shown["Name"], shown["Status"]["State"], shown["ActionOnFailure"]) == ("transcripts", "COMPLETED", "CONTINUE")
    assert shown["Config"]["Jar"] == "command-runner.jar" and shown["Config"]["Args"][0] == "lockstep"
    in_order(shown["Status"]["Timeline"], "CreationDateTime", "StartDateTime", "EndDateTime")
    verified(broker, tmp_path / "out", day)

    added = emr.add_instance_groups(JobFlowId=flow, InstanceGroups=[
        {"InstanceRole": "TASK", "InstanceType": "m5.large", "InstanceCount": 1}])
    (task,) = added["InstanceGroupIds"]
    emr.modify_instance_groups(ClusterId=flow, InstanceGroups=[{"InstanceGroupId": task, "InstanceCount": 2}])
    wait_for("five instances", lambda: len(emr.list_instances(ClusterId=flow, InstanceStates=["RUNNING"])["Instances"]) == 5)
    limits = {"UnitType": "Instances", "MinimumCapacityUnits": 1, "MaximumCapacityUnits": 4}
    assert "ManagedScalingPolicy" not in emr.get_managed_scaling_policy(ClusterId=flow)
    emr.put_managed_scaling_policy(ClusterId=flow, ManagedScalingPolicy={"ComputeLimits": limits})
    assert emr.get_managed_scaling_policy(ClusterId=flow)["ManagedScalingPolicy"]["ComputeLimits"] == limits

    follow, later = add(emr, flow, transcript(tmp_path / "out", "--follow"), transcript(tmp_path / "out"))
    wait_for("a running step", lambda: state(emr, flow, follow) == "RUNNING")
    assert [one["Id"] for one in emr.list_steps(ClusterId=flow, StepStates=["RUNNING", "PENDING"])["Steps"]] == [later, follow]
    told = emr.cancel_steps(ClusterId=flow, StepIds=[follow, later, first])["CancelStepsInfoList"]
    assert {one["StepId"]: one["Status"] for one in told} == {follow: "SUBMITTED", later: "SUBMITTED", first: "FAILED"}
    assert ended(emr, flow, follow)["State"] == "CANCELLED" and ended(emr, flow, later)["State"] == "CANCELLED"
    assert emr.modify_cluster(ClusterId=flow, StepConcurrencyLevel=2)["StepConcurrencyLevel"] == 2

    (last,) = add(emr, flow, transcript(tmp_path / "out", "--follow"))
    wait_for("a running step", lambda: state(emr, flow, last) == "RUNNING")
    emr.set_termination_protection(JobFlowIds=[flow], TerminationProtected=True)
    assert emr.describe_cluster(ClusterId=flow)["Cluster"]["TerminationProtected"]
    refused("ValidationException", ["termination protected", "SetTerminationProtection"],
            emr.terminate_job_flows, JobFlowIds=[flow])
    emr.set_termination_protection(JobFlowIds=[flow], TerminationProtected=False)
    emr.terminate_job_flows(JobFlowIds=[flow])
    emr.get_waiter("cluster_terminated").wait(ClusterId=flow, WaiterConfig=SOON)
    status = emr.describe_cluster(ClusterId=flow)["Cluster"]["Status"]
    assert (status["State"], status["StateChangeReason"]["Code"]) == ("TERMINATED", "USER_REQUEST")
    in_order(status["Timeline"], "CreationDateTime", "ReadyDateTime", "EndDateTime")
    assert state(emr, flow, last) == "INTERRUPTED"
    assert {one["Status"]["State"] for one in emr.list_instances(ClusterId=flow)["Instances"]} == {"TERMINATED"}
    assert {one["Status"]["State"] for one in emr.list_instance_groups(ClusterId=flow)["InstanceGroups"]} == {"TERMINATED"}
    assert called == OPERATIONS
    verified(broker, tmp_path / "out", day)


def test_a_streaming_step_runs_the_callers_program_over_every_message_once(emr, broker, day, tmp_path):
    (tmp_path / "loud.py").write_text(MAPPER)
    out = tmp_path / "out"
    words = ["hadoop-streaming", "-mapper", f"{sys.executable} {tmp_path}/loud.py", "-reducer", "NONE",
             "-input", f"{broker.endpoint}/000000000000/day.fifo", "-output", out.as_uri()]
    flow = cluster(emr, [step(*words, name="loud", action="TERMINATE_CLUSTER")], workers=2, keep=False)
    emr.get_waiter("cluster_terminated").wait(ClusterId=flow, WaiterConfig=SOON)
    (shown,) = emr.list_steps(ClusterId=flow)["Steps"]
    assert shown["Status"]["State"] == "COMPLETED"
    status = emr.describe_cluster(ClusterId=flow)["Cluster"]["Status"]
    assert status["StateChangeReason"]["Code"] == "ALL_STEPS_COMPLETED"
    lines = published(out)
    for group in range(3):
        assert [line["loud"] for line in lines if line["group"] == f"c{group}"] == [f"T{n}" for n in range(group, 90, 3)]
    assert len(lines) == 90
    verified(broker, out, day)


def test_a_step_that_fails_says_why_and_the_waiters_end(emr, day, tmp_path):
    none = ["lockstep", "--job", "count", "--input", "none.fifo", "--output", tmp_path / "none"]
    flow = cluster(emr, [step(*none, action="TERMINATE_CLUSTER"), transcript(tmp_path / "out")])
    with pytest.raises(WaiterError):
        emr.get_waiter("cluster_terminated").wait(ClusterId=flow, WaiterConfig=SOON)
    status = emr.describe_cluster(ClusterId=flow)["Cluster"]["Status"]
    assert (status["State"], status["StateChangeReason"]["Code"]) == ("TERMINATED_WITH_ERRORS", "STEP_FAILURE")
    later, failed = emr.list_steps(ClusterId=flow)["Steps"]
    assert (failed["Status"]["State"], later["Status"]["State"]) == ("FAILED", "CANCELLED")
    why = failed["Status"]["FailureDetails"]
    assert why["Reason"] == "Queue Not Found." and "lockstep queue create none.fifo" in why["Message"]
    assert os.path.exists(why["LogFile"])

    # Nobody can write there, or read what lies there.
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "manifest.jsonl").write_text("no manifest\n")
    flow = cluster(emr)
    for out, reason in [(tmp_path / "file" / "out", "Disk Error."), (tmp_path / "full", "Output Refused.")]:
        (id,) = add(emr, flow, transcript(out))
        with pytest.raises(WaiterError):
            emr.get_waiter("step_complete").wait(ClusterId=flow, StepId=id, WaiterConfig=SOON)
        why = emr.describe_step(ClusterId=flow, StepId=id)["Step"]["Status"]["FailureDetails"]
        assert why["Reason"] == reason and str(out) in why["Message"], why
    assert cluster_state(emr, flow) == "WAITING"


def test_what_cannot_be_is_refused_in_emrs_own_shape(emr, day, tmp_path):
    flow, out = cluster(emr, workers=0), tmp_path / "out"

    def bad(words, *args, **more):
        refused("ValidationException", words, add, emr, flow, step(*args, **more))

    io = ["--input", "day.fifo", "--output", out]
    bad(["transscript", "reply-pairs"], "lockstep", "--job", "transscript", *io)
    bad(["what to run"], "lockstep", *io)
    bad(["no value"], "hadoop-streaming", *io, "-mapper")
    bad(["no-such-program", "interpreter"], "hadoop-streaming", "-mapper", "no-such-program", *io)
    bad(["no reducer"], "hadoop-streaming", "-mapper", "cat", "-reducer", "wc", *io)
    bad(["URL", "orders.fifo"], "lockstep", "--job", "count", "--input", "http:///day", "--output", out)
    bad([".fifo"], "lockstep", "--job", "count", "--input", "day", "--output", out)
    bad(["absolute"], "lockstep", "--job", "count", "--input", "day.fifo", "--output", "out")
    bad(["ftp://"], "lockstep", "--job", "count", "--input", "day.fifo", "--output", "ftp://host/out")
    bad(["Spark", "hadoop-streaming"], "spark-submit", "my.py")
    bad(["no Java"], "x", jar="s3://bucket/my.jar")
    assert emr.list_steps(ClusterId=flow)["Steps"] == []

    answer = refused("InvalidRequestException", ["j-NONE", "ListClusters"], emr.describe_cluster, ClusterId="j-NONE")
    assert answer["ErrorCode"] == "InvalidRequest"
    refused("InvalidRequestException", ["s-NONE", "ListSteps"], emr.describe_step, ClusterId=flow, StepId="s-NONE")
    refused("InvalidRequestException", ["ig-NONE", "ListInstanceGroups"], emr.modify_instance_groups, ClusterId=flow,
            InstanceGroups=[{"InstanceGroupId": "ig-NONE", "InstanceCount": 1}])
    refused("InvalidRequestException", ["ListSecurityConfigurations", "RunJobFlow"], emr.list_security_configurations)
    refused("ValidationException", ["BootstrapActions"], cluster, emr,
            BootstrapActions=[{"Name": "b", "ScriptBootstrapAction": {"Path": "s3://b/x.sh"}}])
    refused("ValidationException", ["at most 32"], cluster, emr, workers=33)
    refused("ValidationException", ["60"], cluster, emr, AutoTerminationPolicy={"IdleTimeout": 59})
    refused("ValidationException", ["1 to 256"], emr.modify_cluster, ClusterId=flow, StepConcurrencyLevel=257)

    # Several steps at once, of which one must not touch the others.
    emr.modify_cluster(ClusterId=flow, StepConcurrencyLevel=2)
    for action in ("CANCEL_AND_WAIT", "TERMINATE_CLUSTER", "TERMINATE_JOB_FLOW"):
        refused("ValidationException", ["CONTINUE", "StepConcurrencyLevel"], add, emr, flow, transcript(out, action=action))
    refused("ValidationException", ["CONTINUE"], cluster, emr, [transcript(out, action="CANCEL_AND_WAIT")],
            StepConcurrencyLevel=2)
    emr.modify_cluster(ClusterId=flow, StepConcurrencyLevel=1)

    # 256 steps may be active, and are told page by page.
    ids = add(emr, flow, *[transcript(out, "--follow", name=f"s{n}") for n in range(256)])
    refused("ValidationException", ["256", "wait for some to end"], add, emr, flow, transcript(out))
    pages = emr.get_paginator("list_steps").paginate(ClusterId=flow)
    assert [one["Id"] for page in pages for one in page["Steps"]] == ids[::-1]
    emr.terminate_job_flows(JobFlowIds=[flow])
    emr.get_waiter("cluster_terminated").wait(ClusterId=flow, WaiterConfig=SOON)
    refused("ValidationException", [flow, "may not be modified", "RunJobFlow"], add, emr, flow, transcript(out))
    refused("ValidationException", [flow], emr.modify_cluster, ClusterId=flow, StepConcurrencyLevel=2)
    emr.terminate_job_flows(JobFlowIds=[flow])  # as in EMR: it has ended, which is what was asked


def test_clusters_and_steps_are_as_they_were_after_a_kill(emr, broker, day, tmp_path):
    flow = cluster(emr, [transcript(tmp_path / "out", "--idle-seconds", "2")], workers=2)
    wait_for("a running step", lambda: emr.list_steps(ClusterId=flow, StepStates=["RUNNING"])["Steps"])
    broker.restart()
    (id,) = [one["Id"] for one in emr.list_steps(ClusterId=flow)["Steps"]]
    emr.get_waiter("step_complete").wait(ClusterId=flow, StepId=id, WaiterConfig=SOON)
    verified(broker, tmp_path / "out", day)


@pytest.mark.json_only
def test_the_aws_command_line(aws, broker, day, tmp_path):
    out = tmp_path / "out"
    made = aws("create-cluster", "--name", "shell", "--release-label", "emr-7.1.0", "--use-default-roles",
               "--instance-groups", "InstanceGroupType=MASTER,InstanceCount=1,InstanceType=m5.xlarge",
               "InstanceGroupType=CORE,InstanceCount=2,InstanceType=m5.xlarge", "--no-auto-terminate", service="emr")
    flow = made["ClusterId"]
    words = f"lockstep,--job,transcript,--input,day.fifo,--output,{out}"
    added = aws("add-steps", "--cluster-id", flow, "--steps",
                f"Type=CUSTOM_JAR,Name=shell,ActionOnFailure=CONTINUE,Jar=command-runner.jar,Args=[{words}]", service="emr")
    (id,) = added["StepIds"]

    def complete():
        shown = aws("describe-step", "--cluster-id", flow, "--step-id", id, service="emr")["Step"]
        return shown["Status"]["State"] == "COMPLETED"

    wait_for("the end of the step", complete, 60)
    # It looks every 30 s, so the waiting is done before.
    aws("wait", "step-complete", "--cluster-id", flow, "--step-id", id, service="emr")
    verified(broker, out, day)
    (tmp_path / "loud.py").write_text(MAPPER)
    loud = f"-mapper,python3 {tmp_path}/loud.py,-input,day.fifo,-output,{tmp_path}/loud"
    (streaming,) = aws("add-steps", "--cluster-id", flow, "--steps",
                       f"Type=STREAMING,Name=loud,ActionOnFailure=CONTINUE,Args=[{loud}]", service="emr")["StepIds"]
    shown = aws("describe-step", "--cluster-id", flow, "--step-id", streaming, service="emr")["Step"]
    assert shown["Config"]["Args"][0] == "hadoop-streaming"
    instances = aws("list-instances", "--cluster-id", flow, "--instance-group-types", "CORE", service="emr")["Instances"]
    assert len(instances) == 2
    assert [one["Id"] for one in aws("list-clusters", "--active", service="emr")["Clusters"]] == [flow]
    aws("terminate-clusters", "--cluster-ids", flow, service="emr")
    describe = lambda: aws("describe-cluster", "--cluster-id", flow, service="emr")["Cluster"]["Status"]["State"]
    wait_for("the end of the cluster", lambda: describe() == "TERMINATED", 60)
    aws("wait", "cluster-terminated", "--cluster-id", flow, service="emr")
    assert "InvalidRequestException" in aws("describe-cluster", "--cluster-id", "j-NONE", service="emr", fails=True)
