"""The worker of bulk scoring on a store in memory: one line per image, whatever dies, is repeated or comes late."""

import hashlib
import io
import json
import time
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from obstore.exceptions import PreconditionError

from predict import bulk_function, model_store
from predict.decoder import Prepared
from predict.description import NOTHING_SAID
from predict.errors import failure

IMAGES, RESULTS = "images/job/", "results/job/"


class Store:
    """As much of S3 as the worker uses: ETags, conditional reads and writes, listings."""

    def __init__(self):
        self.objects = {}
        self.fail = lambda _operation, _key: None

    def _check(self, operation, key):
        code = self.fail(operation, key)
        if code:
            raise ClientError({"Error": {"Code": code}}, operation)

    def put_object(self, *, Bucket, Key, Body, IfNoneMatch=None, ContentType=""):
        self._check("PutObject", Key)
        if IfNoneMatch == "*" and Key in self.objects:
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        self.objects[Key] = bytes(Body)

    def get(self, _bucket, key, *, options):
        """obstore's, which takes no key with an empty part."""
        if "//" in key:
            raise ValueError("Could not parse path: empty path segment")
        self._check("GetObject", key)
        if key not in self.objects:
            raise FileNotFoundError(key)
        if options["if_match"] != f'"{etag(self.objects[key])}"':
            raise PreconditionError(key)
        return SimpleNamespace(bytes=lambda: self.objects[key])

    def get_object(self, *, Bucket, Key, IfMatch=None):
        self._check("GetObject", Key)
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        if IfMatch and IfMatch != etag(self.objects[Key]):
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}

    def get_paginator(self, _operation):
        return self

    def paginate(self, *, Bucket, Prefix):
        yield {
            "Contents": [
                {"Key": key, "ETag": f'"{etag(body)}"', "Size": len(body)}
                for key, body in sorted(self.objects.items())
                if key.startswith(Prefix)
            ]
        }


def etag(body):
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


class Decoder:
    def start(self):
        pass

    def prepare(self, data, _seconds, fitting):
        assert fitting == NOTHING_SAID.fitting
        if data.startswith(b"broken"):
            raise failure("image_broken", "it is damaged")
        return Prepared(data, partial=data.startswith(b"part"))


def give_out(made, monkeypatch):
    monkeypatch.setattr(bulk_function, "s3_client", lambda: made)
    monkeypatch.setattr(bulk_function, "_images", lambda: made)
    monkeypatch.setattr(bulk_function.obstore, "get", made.get)


@pytest.fixture
def store(monkeypatch):
    made = Store()
    for number in range(10):
        made.objects[f"{IMAGES}{number}.jpg"] = b"picture %d" % number
    made.objects[f"{IMAGES}broken.jpg"] = b"broken"
    made.objects[IMAGES] = b""  # what a console writes for a folder
    model = SimpleNamespace(
        sha256="a" * 64,
        name="practice",
        precision="float32",
        labels=["cat", "dog"],
        predictor=SimpleNamespace(run=lambda _batch: [[0.75, 0.25]]),
        description=NOTHING_SAID,
        verify=lambda: None,
    )
    monkeypatch.setenv("BULK_BUCKET_NAME", "bulk")
    give_out(made, monkeypatch)
    monkeypatch.setattr(bulk_function, "_decoder", Decoder())
    monkeypatch.setattr(model_store, "_model", model)
    monkeypatch.setattr(bulk_function, "_stored_model", lambda: (model.name, model.precision, model.sha256))
    return made


def items(store, names=None, top=1):
    """What Distributed Map's ItemSelector makes of the listing."""
    return [
        {"task": "score", "key": key, "etag": f'"{etag(body)}"', "size": len(body), "results": RESULTS, "top": top}
        for key, body in sorted(store.objects.items())
        if key.startswith(IMAGES) and (not names or key in names)
    ]


def score(batch):
    return bulk_function.lambda_handler({"Items": batch}, None)


def collect():
    return bulk_function.lambda_handler({"task": "collect", "images": IMAGES, "results": RESULTS, "top": 1}, None)


def written(store, file):
    return [json.loads(line) for line in store.objects[RESULTS + file].splitlines()]


def test_each_image_has_one_line_and_failures_are_apart(store):
    batch = items(store)
    score(batch[:5])
    score(batch[5:])
    assert collect() == {"images": 11, "scored": 10, "failed": 1, "missing": 0}
    scored = [line["key"] for line in written(store, "results.jsonl")]
    assert scored == [f"{IMAGES}{number}.jpg" for number in range(10)]
    assert written(store, "results.jsonl")[0]["predictions"] == [{"class": "cat", "probability": 0.75}]
    (failure,) = written(store, "failures.jsonl")
    assert failure["error"]["code"] == "image_broken"
    assert json.loads(store.objects[RESULTS + "summary.json"])["model"]["name"] == "practice"


def test_an_image_is_prepared_while_the_network_predicts_the_one_before(store, monkeypatch):
    names, begun, predicted = [f"{IMAGES}{number}.jpg" for number in range(4)], [], []

    class Watched(Decoder):
        def prepare(self, *given):
            begun.append(given)
            return super().prepare(*given)

    def run(batch):
        predicted.append(batch)
        end = time.monotonic() + 10
        while len(begun) < min(len(predicted) + 1, len(names)):
            assert time.monotonic() < end, "the next image waits for the network"
            time.sleep(0.01)
        return [[0.75, 0.25]]

    monkeypatch.setattr(bulk_function, "_decoder", Watched())
    monkeypatch.setattr(model_store._model, "predictor", SimpleNamespace(run=run))
    assert score(items(store, names))["images"] == len(predicted) == 4


def test_a_line_about_a_part_of_a_picture_says_so(store):
    store.objects[f"{IMAGES}0.jpg"] = b"part of a picture"
    score(items(store))
    collect()
    whole, part = written(store, "results.jsonl")[1], written(store, "results.jsonl")[0]
    assert part["partial"] is True and "partial" not in whole


def test_a_single_item_is_a_batch_of_one(store):
    assert bulk_function.lambda_handler(items(store)[1], None) == {"images": 1, "new": True}


def test_a_worker_that_dies_half_way_leaves_nothing_and_the_repeat_is_whole(store):
    store.fail = lambda operation, key: "InternalError" if operation == "GetObject" and key.endswith("7.jpg") else None
    before = set(store.objects)
    with pytest.raises(ClientError):
        score(items(store))
    assert set(store.objects) == before
    store.fail = lambda _operation, _key: None
    score(items(store))
    assert collect()["missing"] == 0


def test_a_repeated_batch_changes_nothing(store):
    assert score(items(store))["new"] is True
    before = dict(store.objects)
    assert score(items(store)) == {"images": 11, "new": False}
    assert store.objects == before


def test_a_late_worker_does_not_overwrite_the_first(store, monkeypatch):
    score(items(store))
    before = dict(store.objects)
    monkeypatch.setattr(bulk_function, "_exists", lambda _key: False)  # it looked before the other wrote
    assert score(items(store))["new"] is False
    assert store.objects == before


def test_batches_cut_otherwise_in_the_next_run_count_no_image_twice(store):
    batch = items(store)
    score(batch[:6])
    score(batch[3:])
    assert collect()["images"] == 11
    keys = [line["key"] for file in ("results.jsonl", "failures.jsonl") for line in written(store, file)]
    assert len(keys) == len(set(keys)) == 11


def test_collect_refuses_while_an_image_is_missing_and_writes_nothing(store):
    score(items(store)[:4])
    with pytest.raises(bulk_function.Incomplete, match="8 of 11 images have no result"):
        collect()
    assert RESULTS + "results.jsonl" not in store.objects


def test_an_image_that_was_replaced_is_scored_anew(store):
    score(items(store))
    store.objects[f"{IMAGES}3.jpg"] = b"another picture"
    with pytest.raises(bulk_function.Incomplete, match="1 of 11"):
        collect()
    score(items(store))
    assert collect()["scored"] == 10


def test_an_image_that_was_deleted_is_left_out(store):
    score(items(store))
    del store.objects[f"{IMAGES}3.jpg"]
    assert collect()["images"] == 10


def test_an_image_deleted_after_it_was_listed_does_not_stop_its_batch(store):
    batch = items(store)
    del store.objects[f"{IMAGES}3.jpg"]
    score(batch)
    assert collect() == {"images": 10, "scored": 9, "failed": 1, "missing": 0}


def test_an_image_replaced_after_it_was_listed_does_not_stop_its_batch(store):
    batch = items(store)
    store.objects[f"{IMAGES}3.jpg"] = b"another picture"
    score(batch)
    with pytest.raises(bulk_function.Incomplete, match="1 of 11"):
        collect()


@pytest.mark.parametrize("change", ["none", "replaced", "deleted"])
def test_a_key_that_obstore_does_not_take_is_read_all_the_same(store, change):
    key = f"{IMAGES}a//b.jpg"
    store.objects[key] = b"picture"
    batch = items(store)
    if change == "replaced":
        store.objects[key] = b"another picture"
    elif change == "deleted":
        del store.objects[key]
    score(batch)
    if change == "replaced":
        with pytest.raises(bulk_function.Incomplete, match="1 of 12"):
            collect()
    else:
        assert collect()["scored"] == (11 if change == "none" else 10)


def test_another_model_precision_or_top_makes_other_parts():
    images = [bulk_function.Image("images/job/1.jpg", "e", 1)]
    asked = [("float32", "a" * 64, 5), ("float32", "b" * 64, 5), ("int8", "a" * 64, 5), ("float32", "a" * 64, 3)]
    assert len({bulk_function.part_key(RESULTS, *one, images) for one in asked}) == len(asked)


def test_objects_that_are_no_images_by_size_are_not_fetched(store):
    store.fail = lambda operation, _key: "InternalError" if operation == "GetObject" else None
    huge = items(store)[1] | {"size": 10**9}
    assert score([huge]) == {"images": 1, "new": True}


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"task": "dance"},
        {"task": "collect", "images": "other/", "results": RESULTS, "top": 1},
        {"task": "collect", "images": IMAGES, "results": "images/job/", "top": 1},
        {"task": "collect", "images": IMAGES, "results": RESULTS, "top": 0},
        {"task": "collect", "images": "images/", "results": RESULTS, "top": 1},
    ],
)
def test_other_events_are_refused(store, event):
    with pytest.raises(ValueError):
        bulk_function.lambda_handler(event, None)
