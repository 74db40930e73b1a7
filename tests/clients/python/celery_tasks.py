"""The Celery application of the story: each task appends what it did to a file."""

import os

from celery import Celery

ENDPOINT = os.environ["STORY_ENDPOINT"]
QUEUE = "celery.fifo"

app = Celery("story", broker=f"sqs://test:test@{ENDPOINT.removeprefix('http://')}")
app.conf.update(
    task_default_queue=QUEUE,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "is_secure": False,
        "region": "us-east-1",
        "wait_time_seconds": 1,
        "polling_interval": 0.1,
        "predefined_queues": {QUEUE: {
            "url": f"{ENDPOINT}/000000000000/{QUEUE}", "access_key_id": "test", "secret_access_key": "test",
        }},
    },
)


@app.task(name="story.note")
def note(conversation, number):
    with open(os.environ["STORY_NOTES"], "a", encoding="utf-8") as notes:
        notes.write(f"{conversation} {number}\n")
