"""The life of queues and messages as boto3 sees it, rule by rule. Runs over JSON and, with an older boto3, over query."""

import hashlib
import json
import time

import pytest
from botocore.exceptions import ClientError
from conftest import wait_for


def send(sqs, url, body, group="g", **more):
    return sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group, **more)


def receive(sqs, url, count=10, **more):
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=count, **more).get("Messages", [])


def bodies(messages):
    return [message["Body"] for message in messages]


def refused(call, code, status=400):
    """The error of a call that must be refused, under the name that every SDK shows."""
    with pytest.raises(ClientError) as refusal:
        call()
    error = refusal.value.response
    assert error["Error"]["Code"] == code, error
    assert error["ResponseMetadata"]["HTTPStatusCode"] == status, error
    assert error["ResponseMetadata"].get("RequestId"), error
    return error["Error"]["Message"]


def test_a_message_lives_and_ends(sqs, fifo):
    sent = send(sqs, fifo, "one", MessageDeduplicationId="first")
    assert sent["MD5OfMessageBody"] == hashlib.md5(b"one").hexdigest()
    assert len(sent["SequenceNumber"]) == 20 and sent["SequenceNumber"].isdigit()
    (message,) = receive(sqs, fifo, AttributeNames=["All"])
    assert (message["Body"], message["MessageId"]) == ("one", sent["MessageId"])
    attributes = message["Attributes"]
    assert attributes["ApproximateReceiveCount"] == "1"
    assert attributes["MessageGroupId"] == "g"
    assert attributes["MessageDeduplicationId"] == "first"
    assert attributes["SequenceNumber"] == sent["SequenceNumber"]
    assert abs(int(attributes["SentTimestamp"]) / 1000 - time.time()) < 60
    assert int(attributes["ApproximateFirstReceiveTimestamp"]) >= int(attributes["SentTimestamp"])
    assert attributes["SenderId"]
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=message["ReceiptHandle"])  # R4: twice is well
    assert receive(sqs, fifo) == []


def test_a_group_comes_in_order_and_waits_for_its_head(sqs, fifo):
    for body, group in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a")]:
        send(sqs, fifo, body, group)
    first = receive(sqs, fifo, 2)
    assert bodies(first) == ["a1", "a2"]  # O1: as many of one group as there are
    assert bodies(receive(sqs, fifo)) == ["b1"]  # O3: a3 waits for a1 and a2
    for message in first:
        sqs.delete_message(QueueUrl=fifo, ReceiptHandle=message["ReceiptHandle"])
    assert bodies(receive(sqs, fifo)) == ["a3"]  # O4


def test_a_repeat_is_turned_away_and_answered_as_the_first(sqs, fifo):
    first = send(sqs, fifo, "one", MessageDeduplicationId="same")
    again = send(sqs, fifo, "another body", MessageDeduplicationId="same")
    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])  # S6
    assert again["MD5OfMessageBody"] == hashlib.md5(b"another body").hexdigest()
    assert bodies(receive(sqs, fifo)) == ["one"]


def test_the_id_of_a_body_is_its_sha256(sqs, fifo):
    send(sqs, fifo, "same", MessageDeduplicationId=hashlib.sha256(b"same").hexdigest())
    send(sqs, fifo, "same")  # S3
    assert bodies(receive(sqs, fifo)) == ["same"]


def test_what_a_send_must_have(sqs, fifo):
    text = refused(lambda: sqs.send_message(QueueUrl=fifo, MessageBody="x"), "MissingParameter")
    assert text == "The request must contain the parameter MessageGroupId."
    plain = sqs.create_queue(QueueName="plain.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    text = refused(lambda: send(sqs, plain, "x"), "InvalidParameterValue")
    assert text == (
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
    )  # S2
    refused(lambda: send(sqs, fifo, "x", DelaySeconds=2), "InvalidParameterValue")  # S10
    refused(lambda: send(sqs, fifo, "x", "a group"), "InvalidParameterValue")  # L5
    refused(lambda: send(sqs, fifo, "\x00"), "InvalidMessageContents")  # L6
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"MaximumMessageSize": "1024"})
    text = refused(lambda: send(sqs, fifo, "x" * 1025), "InvalidParameterValue")
    assert text == "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."  # L2


def test_a_batch_tells_what_was_stored_and_what_was_not(sqs, fifo):
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"MaximumMessageSize": "1024"})
    entries = [
        {"Id": "good", "MessageBody": "good", "MessageGroupId": "g"},
        {"Id": "long", "MessageBody": "x" * 1025, "MessageGroupId": "h"},
        {"Id": "again", "MessageBody": "good", "MessageGroupId": "g"},
    ]
    answer = sqs.send_message_batch(QueueUrl=fifo, Entries=entries)
    stored = {entry["Id"]: entry for entry in answer["Successful"]}
    assert sorted(stored) == ["again", "good"]
    assert stored["again"]["MessageId"] == stored["good"]["MessageId"]  # S9
    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("long", "InvalidParameterValue", True)
    assert bodies(receive(sqs, fifo)) == ["good"]


def test_a_batch_that_is_refused_as_a_whole(sqs, fifo):
    def batch(*ids, **more):
        entries = [{"Id": id, "MessageBody": id, "MessageGroupId": "g", **more} for id in ids]
        return lambda: sqs.send_message_batch(QueueUrl=fifo, Entries=entries)

    prefix = "AWS.SimpleQueueService."
    refused(batch(), prefix + "EmptyBatchRequest")
    text = refused(batch(*(f"i{n}" for n in range(11))), prefix + "TooManyEntriesInBatchRequest")
    assert text == "Maximum number of entries per request are 10. You have sent 11."
    refused(batch("same", "same"), prefix + "BatchEntryIdsNotDistinct")
    refused(batch("not good!"), prefix + "InvalidBatchEntryId")
    long = [{"Id": f"i{n}", "MessageBody": "x" * 600_000, "MessageGroupId": "g"} for n in range(2)]
    text = refused(lambda: sqs.send_message_batch(QueueUrl=fifo, Entries=long), prefix + "BatchRequestTooLong")
    assert text == "Batch requests cannot be longer than 1048576 bytes. You have sent 1200000 bytes."
    assert receive(sqs, fifo) == []


def test_attributes_travel_with_their_types(sqs, fifo):
    given = {
        "kind": {"DataType": "String.sort", "StringValue": "größe"},
        "count": {"DataType": "Number", "StringValue": "12.5"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff\x10"},
    }
    sent = send(sqs, fifo, "with attributes", MessageAttributes=given)
    (message,) = receive(sqs, fifo, MessageAttributeNames=["All"])
    for name, attribute in given.items():
        found = message["MessageAttributes"][name]
        assert {key: found[key] for key in attribute} == attribute
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    sqs.change_message_visibility(QueueUrl=fifo, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    (message,) = receive(sqs, fifo, MessageAttributeNames=["ki.*", "none", "count"])
    assert sorted(message["MessageAttributes"]) == ["count"]
    sqs.change_message_visibility(QueueUrl=fifo, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    (message,) = receive(sqs, fifo)
    assert "MessageAttributes" not in message and "MD5OfMessageAttributes" not in message


def test_the_recorded_digest_of_attributes(sqs, fifo):
    sent = send(sqs, fifo, "msg", MessageAttributes={"Foo": {"DataType": "String", "StringValue": "Bar"}})
    assert sent["MD5OfMessageAttributes"] == "ae7155c6026991b6d54b11589678bf9c"
    assert sent["MD5OfMessageBody"] == "6e2baaf3b97dbeef01c0043275f9a0e7"


def test_a_trace_header_has_its_own_digest(sqs, fifo):
    header = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    sent = send(sqs, fifo, "traced", MessageSystemAttributes=header)
    assert sent["MD5OfMessageSystemAttributes"] and "MD5OfMessageAttributes" not in sent
    (message,) = receive(sqs, fifo, AttributeNames=["AWSTraceHeader"])
    assert message["Attributes"] == {"AWSTraceHeader": header["AWSTraceHeader"]["StringValue"]}


def test_a_handle_dies_with_its_lease(sqs, fifo):
    send(sqs, fifo, "one")
    (message,) = receive(sqs, fifo, VisibilityTimeout=1)
    (again,) = wait_for("the lapsed message", lambda: receive(sqs, fifo, WaitTimeSeconds=2))
    text = refused(
        lambda: sqs.delete_message(QueueUrl=fifo, ReceiptHandle=message["ReceiptHandle"]), "InvalidParameterValue"
    )
    assert text.endswith("for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.")  # R3
    entries = [{"Id": "old", "ReceiptHandle": message["ReceiptHandle"]}, {"Id": "new", "ReceiptHandle": again["ReceiptHandle"]}]
    answer = sqs.delete_message_batch(QueueUrl=fifo, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["new"]
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("old", "ReceiptHandleIsInvalid")]
    refused(lambda: sqs.delete_message(QueueUrl=fifo, ReceiptHandle="garbage"), "ReceiptHandleIsInvalid")


def test_a_receive_can_be_repeated(sqs, fifo):
    for body in ["one", "two"]:
        send(sqs, fifo, body)
    first = receive(sqs, fifo, ReceiveRequestAttemptId="try")
    again = receive(sqs, fifo, ReceiveRequestAttemptId="try")
    assert [(m["Body"], m["ReceiptHandle"]) for m in first] == [(m["Body"], m["ReceiptHandle"]) for m in again]  # R7
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=first[0]["ReceiptHandle"])
    text = refused(lambda: receive(sqs, fifo, ReceiveRequestAttemptId="try"), "InvalidParameterValue")
    assert "is not valid anymore since the receive call is not retryable" in text


def test_a_dead_letter_keeps_its_id_and_moves_back(sqs, fifo):
    dead = sqs.create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "1"})
    sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"RedrivePolicy": policy})
    sources = sqs.list_dead_letter_source_queues(QueueUrl=dead)
    assert sources["queueUrls"] == [fifo]
    sent = send(sqs, fifo, "poison")
    send(sqs, fifo, "after")
    (message,) = receive(sqs, fifo, 1)
    sqs.change_message_visibility(QueueUrl=fifo, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert bodies(receive(sqs, fifo)) == ["after"]  # Q2: the group goes on
    (message,) = receive(sqs, dead, AttributeNames=["All"])
    assert (message["Body"], message["MessageId"]) == ("poison", sent["MessageId"])
    assert message["Attributes"]["MessageDeduplicationId"] == sent["MessageId"]  # Q3
    assert message["Attributes"]["DeadLetterQueueSourceArn"].endswith(":orders.fifo")
    sqs.change_message_visibility(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    if not hasattr(sqs, "start_message_move_task"):
        return
    sqs.start_message_move_task(SourceArn=arn)
    (task,) = wait_for("the end of the task", lambda: [
        task for task in sqs.list_message_move_tasks(SourceArn=arn)["Results"] if task["Status"] == "COMPLETED"
    ])
    assert task["ApproximateNumberOfMessagesMoved"] == 1 and "TaskHandle" not in task
    assert receive(sqs, dead) == []


def test_moves_that_cannot_be(sqs, fifo):
    arn = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    text = refused(lambda: sqs.start_message_move_task(SourceArn=arn), "InvalidParameterValue")
    assert text == "Source queue must be configured as a Dead Letter Queue."  # Q6
    refused(lambda: sqs.cancel_message_move_task(TaskHandle="garbage"), "InvalidParameterValue")


def test_a_queue_tells_exactly_what_it_is(sqs, fifo):
    send(sqs, fifo, "one")
    attributes = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=["All"])["Attributes"]
    assert sorted(attributes) == [
        "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible",
        "ContentBasedDeduplication", "CreatedTimestamp", "DeduplicationScope", "DelaySeconds", "FifoQueue",
        "FifoThroughputLimit", "LastModifiedTimestamp", "MaximumMessageSize", "MessageRetentionPeriod", "QueueArn",
        "ReceiveMessageWaitTimeSeconds", "SqsManagedSseEnabled", "VisibilityTimeout",
    ]  # L9
    assert attributes["ApproximateNumberOfMessages"] == "1"
    assert attributes["QueueArn"] == "arn:aws:sqs:us-east-1:000000000000:orders.fifo"
    assert abs(int(attributes["CreatedTimestamp"]) - time.time()) < 60
    assert sqs.get_queue_attributes(QueueUrl=fifo).get("Attributes", {}) == {}
    refused(lambda: sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=["Nothing"]), "InvalidAttributeName")


def test_queues_are_made_found_listed_and_ended(sqs, fifo):
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    assert sqs.create_queue(QueueName="orders.fifo", Attributes=attributes)["QueueUrl"] == fifo  # A1
    other = {"FifoQueue": "true", "VisibilityTimeout": "99"}
    text = refused(lambda: sqs.create_queue(QueueName="orders.fifo", Attributes=other), "QueueAlreadyExists")
    assert text == "A queue already exists with the same name and a different value for attribute VisibilityTimeout"
    assert sqs.get_queue_url(QueueName="orders.fifo")["QueueUrl"] == fifo
    for number in range(5):
        sqs.create_queue(QueueName=f"page-{number}")
    first = sqs.list_queues(QueueNamePrefix="page-", MaxResults=3)
    rest = sqs.list_queues(QueueNamePrefix="page-", MaxResults=3, NextToken=first["NextToken"])
    names = [url.rsplit("/", 1)[1] for url in first["QueueUrls"] + rest["QueueUrls"]]
    assert names == [f"page-{number}" for number in range(5)] and "NextToken" not in rest
    sqs.delete_queue(QueueUrl=fifo)
    code = "AWS.SimpleQueueService.NonExistentQueue"
    text = refused(lambda: sqs.get_queue_url(QueueName="orders.fifo"), code)
    assert text.startswith("The specified queue does not exist")
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        receive(sqs, fifo)


def test_names_that_cannot_be(sqs):
    for name in ["", "a b", "x" * 81, "no-suffix"]:
        with pytest.raises(ClientError):
            sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})
    refused(lambda: sqs.create_queue(QueueName="standard.fifo"), "InvalidParameterValue")
    bad = {"VisibilityTimeout": "43201"}
    refused(lambda: sqs.create_queue(QueueName="bad", Attributes=bad), "InvalidAttributeValue")
    refused(lambda: sqs.create_queue(QueueName="bad", Attributes={"Nothing": "1"}), "InvalidAttributeName")


def test_tags_and_permissions(sqs, fifo):
    sqs.tag_queue(QueueUrl=fifo, Tags={"team": "blue", "cost": ""})
    assert sqs.list_queue_tags(QueueUrl=fifo)["Tags"] == {"team": "blue", "cost": ""}
    sqs.untag_queue(QueueUrl=fifo, TagKeys=["cost", "never"])
    assert sqs.list_queue_tags(QueueUrl=fifo)["Tags"] == {"team": "blue"}
    sqs.add_permission(QueueUrl=fifo, Label="share", AWSAccountIds=["111122223333"], Actions=["SendMessage"])
    policy = sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=["Policy"])["Attributes"]["Policy"]
    (statement,) = json.loads(policy)["Statement"]
    assert statement["Sid"] == "share"
    sqs.remove_permission(QueueUrl=fifo, Label="share")
    assert "Policy" not in sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=["Policy"]).get("Attributes", {})


def test_a_purge_forgets_ids_too(sqs, fifo):
    send(sqs, fifo, "one", MessageDeduplicationId="id")
    sqs.purge_queue(QueueUrl=fifo)
    assert receive(sqs, fifo) == []
    send(sqs, fifo, "one", MessageDeduplicationId="id")
    assert bodies(receive(sqs, fifo)) == ["one"]  # S5
    sqs.purge_queue(QueueUrl=fifo)  # A3: the rule of 60 s is off


def test_a_standard_queue_delays_and_deletes_late(sqs):
    url = sqs.create_queue(QueueName="tasks")["QueueUrl"]
    sent = sqs.send_message(QueueUrl=url, MessageBody="now")
    assert "SequenceNumber" not in sent  # S12
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=2)
    (message,) = receive(sqs, url, VisibilityTimeout=1)
    assert message["Body"] == "now"
    (again,) = wait_for("the lapsed message", lambda: receive(sqs, url, 1, WaitTimeSeconds=2))
    assert again["Body"] == "now"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])  # R3: on a standard queue it works
    (later,) = wait_for("the delayed message", lambda: receive(sqs, url, WaitTimeSeconds=5))
    assert later["Body"] == "later"


def test_a_long_poll_wakes_when_the_head_is_deleted(broker, sqs, fifo):
    import threading

    send(sqs, fifo, "head")
    (head,) = receive(sqs, fifo)
    send(sqs, fifo, "next")
    found = []
    poll = threading.Thread(target=lambda: found.extend(receive(broker.client(), fifo, WaitTimeSeconds=20)))
    poll.start()
    started = time.monotonic()
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=head["ReceiptHandle"])
    poll.join(15)
    assert bodies(found) == ["next"] and time.monotonic() - started < 10  # R2


@pytest.mark.json_only  # the older client takes the URL for the address to call
def test_a_url_may_name_any_host_or_none(sqs, fifo):
    send(sqs, "http://queue.example:1234/000000000000/orders.fifo", "far")
    send(sqs, "orders.fifo", "bare")
    assert bodies(receive(sqs, fifo)) == ["far", "bare"]  # P6


def test_a_key_of_twelve_digits_is_an_account(broker):
    sqs = broker.client(key="123456789012", region="eu-central-1")
    url = sqs.create_queue(QueueName="mine")["QueueUrl"]
    assert url == f"{broker.endpoint}/123456789012/mine"
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    assert arn == "arn:aws:sqs:eu-central-1:123456789012:mine"  # P7
