"""`aws sqs` from the command line, as a shell script would use it."""

import pytest

pytestmark = pytest.mark.json_only  # the older environment has no command line


def test_a_message_from_the_command_line(aws):
    attributes = "FifoQueue=true,ContentBasedDeduplication=true"
    url = aws("create-queue", "--queue-name", "shell.fifo", "--attributes", attributes)["QueueUrl"]
    assert aws("list-queues")["QueueUrls"] == [url]
    sent = aws("send-message", "--queue-url", url, "--message-body", "hello", "--message-group-id", "g",
               "--message-attributes", '{"n": {"DataType": "Number", "StringValue": "7"}}')
    (message,) = aws("receive-message", "--queue-url", url, "--message-attribute-names", "All",
                     "--message-system-attribute-names", "All", "--wait-time-seconds", "1")["Messages"]
    assert message["MessageId"] == sent["MessageId"]
    assert message["MessageAttributes"]["n"]["StringValue"] == "7"
    assert message["Attributes"]["SequenceNumber"] == sent["SequenceNumber"]
    aws("delete-message", "--queue-url", url, "--receipt-handle", message["ReceiptHandle"])
    assert aws("receive-message", "--queue-url", url) is None
    aws("purge-queue", "--queue-url", url)
    aws("delete-queue", "--queue-url", url)
    assert aws("list-queues") is None
    assert "NonExistentQueue" in aws("get-queue-url", "--queue-name", "shell.fifo", fails=True)
