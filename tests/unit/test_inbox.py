"""The inbox's worker on a store in memory: whatever comes twice, late, broken or dies, each image has one result."""

import json
from types import SimpleNamespace
from urllib.parse import quote_plus

import pytest
from botocore.exceptions import ClientError

from predict import bulk_function, inbox_function, model_store
from predict.errors import failure
from tests.unit import test_bulk

BUCKET = "inbox-bucket"


class Store(test_bulk.Store):
    """With metadata, conditional overwriting, and every write counted."""

    def __init__(self):
        super().__init__()
        self.metadata = {}
        self.writes = []
        self.before_put = lambda _key: None

    def head_object(self, *, Bucket, Key):
        self._check("HeadObject", Key)
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "404"}}, "HeadObject")
        return {"ETag": f'"{test_bulk.etag(self.objects[Key])}"', "Metadata": self.metadata[Key]}

    def put_object(self, *, Bucket, Key, Body, Metadata, IfMatch=None, **options):
        self.before_put(Key)
        there = self.objects.get(Key)
        if IfMatch and (there is None or IfMatch.strip('"') != test_bulk.etag(there)):
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        super().put_object(Bucket=Bucket, Key=Key, Body=Body, **options)
        self.metadata[Key] = Metadata
        self.writes.append(Key)


class Queue:
    def __init__(self):
        self.sent = []
        self.problem = None

    def send_message(self, *, QueueUrl, MessageBody, MessageAttributes):
        if self.problem:
            raise self.problem
        told = {name: value["StringValue"] for name, value in MessageAttributes.items()}
        self.sent.append((QueueUrl, MessageBody, told))


@pytest.fixture
def store(monkeypatch):
    made = Store()
    model = SimpleNamespace(
        sha256="a" * 64, name="practice", precision="float32", labels=["cat", "dog"],
        predictor=SimpleNamespace(run=lambda _batch: [[0.75, 0.25]]), description=test_bulk.NOTHING_SAID,
        verify=lambda: None,
    )  # fmt: skip
    monkeypatch.setenv("BULK_BUCKET_NAME", BUCKET)
    monkeypatch.setenv("INBOX_FAILED_URL", "https://queues.example/failed")
    monkeypatch.setenv("INBOX_RECEIVES", "5")
    test_bulk.give_out(made, monkeypatch)
    monkeypatch.setattr(bulk_function, "_decoder", test_bulk.Decoder())
    monkeypatch.setattr(model_store, "_model", model)
    return made


@pytest.fixture
def failed(monkeypatch):
    queue = Queue()
    monkeypatch.setattr(inbox_function, "_sqs", lambda: queue)
    return queue


def uploaded(store, name, body=b"picture", receives=1):
    """Put an image, and give the message that the queue hands out."""
    key = f"inbox/{name}"
    store.objects[key] = body
    told = {"key": quote_plus(key, safe="/"), "size": len(body), "eTag": test_bulk.etag(body)}
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": BUCKET}, "object": told}}
    return message(name, json.dumps({"Records": [record]}), receives)


def message(identifier, body, receives=1):
    return {"messageId": identifier, "body": body, "attributes": {"ApproximateReceiveCount": str(receives)}}


def handle(*messages, milliseconds=60_000):
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: milliseconds)
    answer = inbox_function.lambda_handler({"Records": list(messages)}, context)
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def result(store, name):
    return json.loads(store.objects[f"predictions/{name}.json"])


def test_each_upload_has_its_result(store, failed):
    names = ["a.jpg", "holiday/b c+ü.jpg"]
    assert handle(*(uploaded(store, name, name.encode()) for name in names)) == []
    for name in names:
        assert result(store, name)["key"] == f"inbox/{name}"
        assert result(store, name)["predictions"][0] == {"class": "cat", "probability": 0.75}
        assert result(store, name)["model"] == {"name": "practice", "precision": "float32", "sha256": "a" * 64}
    assert not failed.sent


def test_a_message_that_comes_again_writes_nothing(store, failed):
    told = uploaded(store, "a.jpg")
    assert handle(told) == handle(told) == handle(told, told) == []
    assert store.writes == ["predictions/a.jpg.json"]


def test_two_workers_with_one_message_write_once(store, failed):
    told = uploaded(store, "a.jpg")

    def other_first(_key):
        store.before_put = lambda _key: None
        assert handle(told) == []

    store.before_put = other_first
    assert handle(told) == []
    assert store.writes == ["predictions/a.jpg.json"]


def test_another_image_of_the_same_name_has_its_own_result(store, failed):
    first = uploaded(store, "a.jpg", b"first")
    handle(first)
    second = uploaded(store, "a.jpg", b"second")
    assert handle(first) == [], "which is gone"
    assert result(store, "a.jpg")["etag"] == test_bulk.etag(b"first")
    assert handle(second) == []
    assert result(store, "a.jpg")["etag"] == test_bulk.etag(b"second")


def test_a_worker_that_comes_late_does_not_undo_a_newer_result(store, failed):
    first = uploaded(store, "a.jpg", b"first")

    def newer_first(_key):
        store.before_put = lambda _key: None
        assert handle(uploaded(store, "a.jpg", b"second")) == []

    store.before_put = newer_first
    assert handle(first) == []
    assert result(store, "a.jpg")["etag"] == test_bulk.etag(b"second")
    assert store.writes == ["predictions/a.jpg.json"]


def test_another_model_predicts_again(store, failed, monkeypatch):
    told = uploaded(store, "a.jpg")
    handle(told)
    model = SimpleNamespace(**{**vars(model_store._model), "sha256": "b" * 64})
    monkeypatch.setattr(model_store, "_model", model)
    handle(told)
    assert result(store, "a.jpg")["model"]["sha256"] == "b" * 64


def test_a_broken_image_goes_to_the_dead_letters_with_its_reason_and_blocks_nobody(store, failed):
    broken = uploaded(store, "x.jpg", b"broken")
    assert handle(uploaded(store, "a.jpg"), broken, uploaded(store, "b.jpg")) == []
    assert result(store, "x.jpg")["error"]["code"] == "image_broken"
    assert {"predictions"} <= result(store, "a.jpg").keys() & result(store, "b.jpg").keys()
    assert failed.sent == [
        ("https://queues.example/failed", broken["body"], {"code": "image_broken", "reason": "it is damaged"})
    ]
    assert handle(broken) == [] and len(failed.sent) == 1, "a message that comes again has its result"


def test_without_a_dead_letter_a_broken_image_has_no_result_either(store, failed):
    """Its message comes again, so that its reason is not lost."""
    failed.problem = ConnectionError("SQS does not answer")
    assert handle(uploaded(store, "x.jpg", b"broken")) == ["x.jpg"]
    assert not store.writes


def test_what_may_pass_is_tried_again_alone_and_the_last_time_has_its_reason(store, failed):
    store.fail = lambda operation, key: "SlowDown" if (operation, key) == ("GetObject", "inbox/bad.jpg") else None
    assert handle(uploaded(store, "bad.jpg"), uploaded(store, "a.jpg")) == ["bad.jpg"]
    assert store.writes == ["predictions/a.jpg.json"]
    assert handle(uploaded(store, "bad.jpg", receives=4)) == ["bad.jpg"] and not failed.sent
    assert handle(uploaded(store, "bad.jpg", receives=5)) == []
    ((_, _, told),) = failed.sent
    assert told["code"] == "ClientError" and "SlowDown" in told["reason"]
    failed.problem = ConnectionError("SQS does not answer")
    assert handle(uploaded(store, "bad.jpg", receives=5)) == ["bad.jpg"], "the queue itself moves it then"


def test_a_store_without_its_model_fails_each_message(store, failed, monkeypatch):
    def denied():
        raise failure("model_store_denied", "grant it")

    monkeypatch.setattr(inbox_function, "loaded_model", denied)
    assert handle(uploaded(store, "a.jpg"), uploaded(store, "b.jpg", receives=5)) == ["a.jpg"]
    assert [told["code"] for _, _, told in failed.sent] == ["model_store_denied"]


def test_images_that_were_here_before_come_last(store, failed):
    handle(
        uploaded(store, "third.jpg", receives=3),
        uploaded(store, "first.jpg"),
        uploaded(store, "second.jpg", receives=2),
    )
    assert store.writes == [f"predictions/{name}.jpg.json" for name in ("first", "second", "third")]


def test_without_time_nothing_is_begun(store, failed):
    assert handle(uploaded(store, "a.jpg"), milliseconds=11_000) == ["a.jpg"]
    assert not store.writes


@pytest.mark.parametrize("body", [json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET})])
def test_the_message_that_tries_the_queue_is_taken(store, failed, body):
    assert handle(message("test", body)) == [] and not store.writes


def test_folders_have_no_result(store, failed):
    assert handle(uploaded(store, "holiday/", b"")) == [] and not store.writes


def record(bucket, key):
    return json.dumps(
        {"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": key, "eTag": "e", "size": 1}}}]}
    )


@pytest.mark.parametrize(
    "body",
    ["no json", "[]", "{}", '{"Records": [{}]}', record("other", "inbox/a.jpg"), record(BUCKET, "predictions/a.json")],
)
def test_a_message_of_something_else_ends_among_the_dead_letters(store, failed, body):
    assert handle(message("odd", body)) == ["odd"]
    assert handle(message("odd", body, receives=5)) == []
    assert failed.sent[0][1] == body and not store.writes
