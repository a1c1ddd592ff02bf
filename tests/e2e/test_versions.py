"""Versions behind the alias: what publishes one, which one answers, how to go back, and what a broken one meets."""

import shutil
import threading
import time
from collections import Counter

import pytest
import requests

from workshop import client, models
from workshop.deployment import canary, parameters, stacks, versions
from workshop.models import ModelFiles, broken
from workshop.models.files import SYNSET, open_model, write_manifest
from workshop.samples import sample_path

pytestmark = pytest.mark.slow


def ask(url: str) -> requests.Response:
    picture = sample_path("church").read_bytes()
    return requests.post(url, picture, headers={"Content-Type": "image/jpeg"}, timeout=120)


def church(url: str) -> str:
    answer = ask(url)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"][0]["class"]


@pytest.fixture(scope="module")
def deploy(lab):
    """Deploys a model, with other parameters if need be; returns the stack events."""

    def deployed(files, **chosen):
        versions.upload(lab, files)
        named = parameters.application(lab, files.name, "float32", chosen, files.digest)
        return stacks.deploy(lab.client("cloudformation"), lab.app_stack, None, named,
                             lab.role_arn(lab.cloudformation_role), ("CAPABILITY_AUTO_EXPAND",))  # fmt: skip

    return deployed


class Requests(threading.Thread):
    """One client that asks a few times a second; `seen`: (status, version) of each answer."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.seen, self.ending = url, [], threading.Event()

    def run(self):
        while not self.ending.wait(0.15):
            answer = ask(self.url)
            self.seen.append((answer.status_code, answer.headers.get("X-Version")))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exception):
        self.ending.set()
        self.join(120)


@pytest.fixture(scope="module")
def practice(tmp_path_factory) -> ModelFiles:
    return models.fetch("practice", tmp_path_factory.mktemp("models"), progress=False)


@pytest.fixture(scope="module")
def reworded(practice, tmp_path_factory) -> ModelFiles:
    """The practice model with one label in other words: other files, the same answers otherwise."""
    folder = tmp_path_factory.mktemp("reworded") / practice.name
    shutil.copytree(practice.folder, folder)
    labels = (folder / SYNSET).read_text().replace("church, church building", "a church")
    (folder / SYNSET).write_text(labels)
    write_manifest(folder)
    return open_model(folder)


@pytest.fixture(autouse=True)
def as_before(lab, practice, deploy):
    """The practice model answers alone, after each test."""
    yield
    deploy(practice)
    versions.point(lab, int(lab.outputs(lab.app_stack)["PredictVersion"]))


def test_an_unchanged_deploy_publishes_nothing_and_other_settings_a_version(lab, practice, deploy):
    deploy(practice)
    before = [version.number for version in versions.listed(lab)]
    assert deploy(practice) == []
    deploy(practice, ContactUrl="https://pages.example/")
    assert [version.number for version in versions.listed(lab)] == [before[0] + 1, *before]
    assert versions.weights(lab) == {before[0] + 1: 1.0}


def test_rollback_brings_the_model_before_back_within_seconds(lab, url, practice, reworded, deploy):
    deploy(practice)
    assert church(url).endswith("church, church building")
    before = versions.live(lab)
    deploy(reworded)
    assert church(url).endswith("a church")
    begin = time.monotonic()
    now, back = versions.rollback(lab)
    assert (back, versions.weights(lab)) == (before, {before: 1.0}) and now > back
    assert church(url).endswith("church, church building")
    assert time.monotonic() - begin < 60, "seconds where the machine is idle; it may be busy here"


def test_old_versions_go_and_with_them_the_models_that_they_alone_named(lab, practice, reworded, deploy):
    deploy(reworded)
    old = versions.live(lab)
    for number in range(3):
        deploy(practice, ContactUrl=f"https://pages.example/{number}")
    assert old in versions.prune(lab, keep=2)
    left = versions.listed(lab)
    assert len(left) == 2 and left[0].share == 1.0
    stored = {each["Key"] for each in lab.client("s3").list_objects_v2(Bucket=lab.model_bucket)["Contents"]}
    assert not [key for key in stored if key.startswith(reworded.prefix)]
    assert [key for key in stored if key.startswith(practice.prefix)]


def test_a_good_model_gets_a_share_then_all_and_no_request_is_lost(lab, url, practice, reworded, deploy):
    deploy(practice)
    ask(url)
    with Requests(url) as client_:
        outcome = canary.ship(lab, reworded, share=0.5, seconds=8)
        time.sleep(2)
    assert not outcome.taken_back, outcome.reasons
    assert [share for _, share in outcome.shares] == [0.5, 1.0]
    assert versions.weights(lab) == {outcome.new: 1.0}
    statuses, numbers = zip(*client_.seen, strict=True)
    assert set(statuses) == {200}
    assert set(numbers) == {str(outcome.old), str(outcome.new)} and numbers[-1] == str(outcome.new)
    assert versions.listed(lab)[0].golden == "passed"


@pytest.mark.parametrize("way", broken.WAYS)
def test_a_broken_model_is_taken_back_and_meets_no_request(lab, url, practice, way, tmp_path, deploy):
    deploy(practice)
    ask(url)
    with Requests(url) as client_:
        outcome = canary.ship(lab, broken.copy(practice, way, tmp_path), seconds=60)
    assert outcome.taken_back and outcome.noticed_by == "golden pictures" and outcome.reasons
    assert versions.weights(lab) == {outcome.old: 1.0}
    assert Counter(client_.seen).keys() == {(200, str(outcome.old))}
    assert stacks.parameters(lab.client("cloudformation"), lab.app_stack)["ModelDigest"] == practice.digest
    refused = next(version for version in versions.listed(lab) if version.number == outcome.new)
    assert (refused.golden, refused.why != "") == ("refused", True)


def test_one_that_the_golden_pictures_were_not_asked_about_is_taken_back_by_its_requests(
    lab, url, practice, tmp_path, deploy
):
    deploy(practice)
    ask(url)
    with Requests(url) as client_:
        files = broken.copy(practice, "not loadable", tmp_path)
        outcome = canary.ship(lab, files, share=0.3, seconds=90, check=False)
    assert outcome.taken_back and outcome.noticed_by == "requests"
    assert "model_not_usable" in outcome.reasons[0]
    assert versions.weights(lab) == {outcome.old: 1.0}
    met = Counter(number for _, number in client_.seen)
    assert 0 < met[str(outcome.new)] < met[str(outcome.old)]


def test_a_cold_start_by_hand_leaves_one_version_of_its_own(lab, url, practice, deploy):
    deploy(practice)
    for _ in range(2):
        client.force_cold_start(lab)
        assert ask(url).headers["X-Cold-Start"] == "true"
    by_hand = [each for each in versions.listed(lab) if each.description.startswith(client.BY_HAND)]
    assert [version.share for version in by_hand] == [1.0]


def test_a_version_with_a_snapshot_is_restored_with_its_model(lab, url, deploy, practice):
    """The emulator runs SnapStart's hooks in each new process; `tests/unit/test_snapshot.py` freezes and copies one."""
    deploy(practice)
    functions, name = lab.client("lambda"), client.predict_function(lab)
    before = versions.live(lab)
    try:
        deploy(practice, SnapStart=True)
        number = versions.live(lab)
        assert number > before
        functions.get_waiter("function_active_v2").wait(FunctionName=name, Qualifier=str(number))
        version = functions.get_function_configuration(FunctionName=name, Qualifier=str(number))
        assert version["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
        since = time.time()
        first, second = ask(url), ask(url)
        assert first.json()["cold_start"] == "restored" and first.headers["X-Cold-Start"] == "restored"
        assert "load" not in first.json()["timings_ms"]  # it was there before anybody asked
        assert second.json()["cold_start"] is False
        assert first.json()["predictions"] == second.json()["predictions"]
        assert "restored" in [line["cold_start"] for line in client.request_log(lab, since)]
    finally:
        deploy(practice, SnapStart=False)
    assert ask(url).json()["cold_start"] is True
