"""Images that predict themselves, by the real bucket, queues, mapping, worker and roles, with workers killed."""

import json
import os
import threading
import time
from collections import Counter

import pytest

from tests.e2e.test_bulk import packaged
from workshop import ROOT, models
from workshop.deployment import cleanup, stacks
from workshop.lab import connect
from workshop.scale import bulk, inbox

PROJECT = "inbox-tests"
IMAGES = int(os.environ.get("INBOX_IMAGES", "150"))  # INBOX_IMAGES=500: a longer run
KILLED_AT = (IMAGES // 8, IMAGES // 3, 2 * IMAGES // 3)  # of the results
ODD = {"damaged.jpg": "image_broken", "notes.txt": "not_an_image"}


@pytest.fixture(scope="module")
def lab(deployed, tmp_path_factory):
    """A lab with the inbox switched on. A message that its worker did not end comes again after 5 s."""
    lab = connect("local", "us-east-1", PROJECT)
    cloudformation = lab.client("cloudformation")
    toolchain = ROOT / "toolchain.yml"
    named = ("CAPABILITY_NAMED_IAM",)
    stacks.deploy(cloudformation, lab.toolchain_stack, toolchain, {"ProjectId": PROJECT}, capabilities=named)
    template = packaged(deployed, lab, tmp_path_factory.mktemp("template"))
    parameters = {"ProjectId": PROJECT, "Emulator": "true", "InboxConcurrency": "2"}
    role, expand = lab.role_arn(lab.cloudformation_role), ("CAPABILITY_AUTO_EXPAND",)
    stacks.deploy(cloudformation, lab.app_stack, template, parameters, role, expand)
    for file in models.fetch("practice", tmp_path_factory.mktemp("models"), progress=False):
        lab.client("s3").upload_file(str(file), lab.model_bucket, f"models/practice/{file.name}")
    assert "InboxBucket" not in lab.outputs(lab.app_stack), "off by default"
    outputs = inbox.switch(lab, on=True)
    lab.client("sqs").set_queue_attributes(QueueUrl=outputs["InboxQueue"], Attributes={"VisibilityTimeout": "5"})
    yield lab
    inbox.switch(lab, on=False)
    assert "InboxBucket" not in lab.outputs(lab.app_stack)
    assert not inbox.queues(lab) and not cleanup.exists(lab, inbox.bucket(lab))


@pytest.fixture(scope="module")
def written(lab):
    """How often each result was written so far, by EventBridge, as a rule of somebody else's sees it."""
    events, sqs = lab.client("events"), lab.client("sqs")
    url = sqs.create_queue(QueueName=f"{PROJECT}-seen")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [allow | {"Resource": arn}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [inbox.bucket(lab)]}, "object": {"key": [{"prefix": inbox.PREDICTIONS}]}},
    }
    events.put_rule(Name=f"{PROJECT}-seen", EventPattern=json.dumps(pattern))
    events.put_targets(Rule=f"{PROJECT}-seen", Targets=[{"Id": "queue", "Arn": arn}])
    count: Counter[str] = Counter()

    def take() -> Counter[str]:
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                count[json.loads(message["Body"])["detail"]["object"]["key"]] += 1
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return count

    yield take
    events.remove_targets(Rule=f"{PROJECT}-seen", Ids=["queue"])
    events.delete_rule(Name=f"{PROJECT}-seen")
    sqs.delete_queue(QueueUrl=url)


def waiting(lab) -> int:
    """Messages of uploads that are in the queue, visible or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    queue = lab.outputs(lab.app_stack)["InboxQueue"]
    counted = lab.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(counted[name]) for name in names)


def emptied(lab, seconds=60) -> None:
    deadline = time.monotonic() + seconds
    while waiting(lab):
        assert time.monotonic() < deadline, f"{waiting(lab)} messages are left"
        time.sleep(0.5)


@pytest.mark.slow
def test_workers_killed_while_images_arrive_lose_and_double_nothing(lab, written):
    files = bulk.variants(["golf_ball", "parachute", "church", "gas_pump"], IMAGES, size=64)
    killed, marks = [], list(KILLED_AT)

    def kill(done: int) -> None:
        if marks and done >= marks[0]:
            marks.pop(0)
            killed.append(inbox.kill_workers(lab))

    arriving = threading.Thread(target=inbox.upload, args=(lab, files))
    arriving.start()
    inbox.wait(lab, IMAGES, kill, seconds=400)
    arriving.join()
    emptied(lab)
    assert len(killed) == len(KILLED_AT) and sum(killed) > 0
    results = inbox.results(lab)
    assert results.keys() == files.keys() and all("predictions" in line for line in results.values())
    assert written() == dict.fromkeys((f"{inbox.PREDICTIONS}{name}.json" for name in files), 1)
    assert inbox.dead_letters(lab) == []


def test_a_poisoned_image_goes_to_the_dead_letters_with_its_reason_and_blocks_nobody(lab):
    good = bulk.variants(["golf_ball"], 8)
    files = {"a/damaged.jpg": next(iter(good.values()))[:80], "a/notes.txt": b"not a picture"}
    files |= {f"a/{name}": data for name, data in good.items()}
    before = len(inbox.result_keys(lab))
    inbox.upload(lab, files)
    inbox.wait(lab, before + len(files))
    emptied(lab)
    letters = {letter["name"]: letter for letter in inbox.dead_letters(lab)}
    assert {name.removeprefix("a/"): letter["code"] for name, letter in letters.items()} == ODD
    results = inbox.results(lab)
    for name in files:
        assert ("error" in results[name]) == (name in letters)
    for name, letter in letters.items():
        assert letter["reason"] == results[name]["error"]["message"]
    assert results["a/00000-golf_ball.jpg"]["predictions"][0]["class"].startswith("n03445777")


def test_a_message_that_is_sent_twice_writes_once(lab, written):
    image = bulk.variants(["church"], 1)
    inbox.upload(lab, {"twice.jpg": next(iter(image.values()))})
    inbox.wait(lab, len(inbox.result_keys(lab)) + (f"{inbox.PREDICTIONS}twice.jpg.json" not in inbox.result_keys(lab)))
    emptied(lab)
    head = lab.client("s3").head_object(Bucket=inbox.bucket(lab), Key=f"{inbox.INBOX}twice.jpg")
    told = {"key": f"{inbox.INBOX}twice.jpg", "size": head["ContentLength"], "eTag": head["ETag"].strip('"')}
    body = json.dumps({"Records": [{"s3": {"bucket": {"name": inbox.bucket(lab)}, "object": told}}]})
    for _ in range(4):
        lab.client("sqs").send_message(QueueUrl=lab.outputs(lab.app_stack)["InboxQueue"], MessageBody=body)
    emptied(lab)
    assert written()[f"{inbox.PREDICTIONS}twice.jpg.json"] == 1
