"""One state behind two doors: what one protocol puts in, the other finds."""

import json

from botocore.exceptions import ClientError
import pytest


def test_sent_by_one_door_received_by_the_other(broker, sqs, fifo):
    broker.lockstep("send", "orders.fifo", "from gRPC", "--group", "g", "--attribute", "colour=blue")
    (message,) = sqs.receive_message(QueueUrl=fifo, MessageAttributeNames=["All"])["Messages"]
    assert message["Body"] == "from gRPC"
    assert message["MessageAttributes"]["colour"]["StringValue"] == "blue"
    sqs.delete_message(QueueUrl=fifo, ReceiptHandle=message["ReceiptHandle"])

    attributes = {"colour": {"DataType": "String", "StringValue": "red"}}
    sent = sqs.send_message(QueueUrl=fifo, MessageBody="from SQS", MessageGroupId="g", MessageAttributes=attributes)
    (line,) = broker.lockstep("receive", "orders.fifo", "--json").splitlines()
    found = json.loads(line)
    assert (found["body"], found["message_id"]) == ("from SQS", sent["MessageId"])
    assert "red" in line


def test_an_id_counts_at_both_doors(broker, sqs, fifo):
    sqs.send_message(QueueUrl=fifo, MessageBody="one", MessageGroupId="g", MessageDeduplicationId="id")
    broker.lockstep("send", "orders.fifo", "two", "--group", "g", "--id", "id")
    assert [message["Body"] for message in sqs.receive_message(QueueUrl=fifo, MaxNumberOfMessages=10)["Messages"]] == ["one"]


def test_a_strict_queue_refuses_to_leave_a_hole(sqs):
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    tags = {"lockstep:GroupDelivery": "strict"}
    url = sqs.create_queue(QueueName="strict.fifo", Attributes=attributes, tags=tags)["QueueUrl"]
    for body in ["one", "two", "three"]:
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId="g")
    one, two, three = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    with pytest.raises(ClientError) as refusal:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=two["ReceiptHandle"])
    assert refusal.value.response["Error"]["Code"] == "InvalidParameterValue"
    entries = [{"Id": "one", "ReceiptHandle": one["ReceiptHandle"]}, {"Id": "three", "ReceiptHandle": three["ReceiptHandle"]}]
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["one"]
    assert [entry["Id"] for entry in answer["Failed"]] == ["three"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=two["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=three["ReceiptHandle"])


def test_a_server_may_make_every_queue_strict(serve):
    broker = serve("--sqs-delivery", "strict")
    sqs = broker.client()
    sqs.create_queue(QueueName="pool.fifo", Attributes={"FifoQueue": "true"})
    described = json.loads(broker.lockstep("queue", "describe", "pool.fifo", "--json"))
    assert "strict" in json.dumps(described).lower()
