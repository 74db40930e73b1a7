"""A message's whole life while the broker is killed with SIGKILL before every call of it: what was answered holds."""

import json

import pytest

#: The calls of a life.
CALLS = 20


class Life:
    """The calls of one life. Each is made on a broker that was killed and started again just before, when it should be."""

    def __init__(self, broker, kill_before):
        self.broker, self.kill_before, self.step = broker, kill_before, 0
        self.sqs = broker.client()

    def __getattr__(self, operation):
        def call(**arguments):
            if self.kill_before in (self.step, "all"):
                self.broker.restart()
            self.step += 1
            return getattr(self.sqs, operation)(**arguments)

        return call


def live(life):
    """Each call judges what those before it were told."""
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    dead = life.create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    url = life.create_queue(QueueName="life.fifo", Attributes=fifo, tags={"team": "blue"})["QueueUrl"]
    arn = life.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    life.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})
    first = life.send_message(QueueUrl=url, MessageBody="one", MessageGroupId="g")
    again = life.send_message(QueueUrl=url, MessageBody="one", MessageGroupId="g")
    assert again["MessageId"] == first["MessageId"] and again["SequenceNumber"] == first["SequenceNumber"]
    entries = [{"Id": body, "MessageBody": body, "MessageGroupId": "g"} for body in ["two", "three"]]
    assert len(life.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == 2
    received = life.receive_message(QueueUrl=url, MaxNumberOfMessages=10, ReceiveRequestAttemptId="try")["Messages"]
    assert [message["Body"] for message in received] == ["one", "two", "three"]
    repeated = life.receive_message(QueueUrl=url, MaxNumberOfMessages=10, ReceiveRequestAttemptId="try")["Messages"]
    assert [message["ReceiptHandle"] for message in repeated] == [message["ReceiptHandle"] for message in received]
    one, two, three = received
    life.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
    life.change_message_visibility(QueueUrl=url, ReceiptHandle=three["ReceiptHandle"], VisibilityTimeout=600)
    life.change_message_visibility(QueueUrl=url, ReceiptHandle=two["ReceiptHandle"], VisibilityTimeout=0)
    (two,) = life.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])["Messages"]
    assert (two["Body"], two["Attributes"]["ApproximateReceiveCount"]) == ("two", "2")
    life.change_message_visibility(QueueUrl=url, ReceiptHandle=two["ReceiptHandle"], VisibilityTimeout=0)
    # Two is dead now; three is in flight still.
    assert "Messages" not in life.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    (moved,) = life.receive_message(QueueUrl=dead)["Messages"]
    assert (moved["Body"], moved["MessageId"]) == ("two", two["MessageId"])
    life.delete_message(QueueUrl=dead, ReceiptHandle=moved["ReceiptHandle"])
    life.delete_message(QueueUrl=url, ReceiptHandle=three["ReceiptHandle"])
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = life.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert set(counts.values()) == {"0"}
    assert life.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "blue"}
    return life.step


@pytest.mark.parametrize("journal", ["sled", "segments"])
def test_killed_before_every_call(serve, journal):
    assert live(Life(serve("--journal", journal), "all")) == CALLS


@pytest.mark.parametrize("step", range(1, CALLS, 3))
def test_killed_before_one_call(serve, step):
    live(Life(serve(), step))
