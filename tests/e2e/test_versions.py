"""Versions behind the alias: what publishes one, which one answers, and how to go back."""

import shutil

import pytest
import requests

from workshop import ROOT, client
from workshop.deployment import all_at_once, parameters, stacks, versions
from workshop.models.files import SYNSET, open_model, write_manifest
from workshop.samples import sample_path

MADE = []


def ask(url):
    answer = requests.post(
        url, sample_path("church").read_bytes(), headers={"Content-Type": "image/jpeg"}, timeout=60
    )
    return answer.json() | {"status": answer.status_code}


def redeploy(lab, files, **chosen):
    versions.upload(lab, files)
    named = parameters.application(lab, files.name, "float32", chosen, files.digest)
    return stacks.deploy(lab.client("cloudformation"), lab.app_stack, ROOT / "template-export.yml", named,
                         lab.role_arn(lab.cloudformation_role), ("CAPABILITY_AUTO_EXPAND",))  # fmt: skip


@pytest.fixture
def practice():
    return open_model(ROOT / "models" / "practice")


@pytest.fixture
def other(practice, tmp_path):
    """The practice model with one label in other words: other files, the same weights."""
    folder = tmp_path / "practice"
    folder.mkdir()
    for file in practice:
        shutil.copy(file, folder)
    labels = (folder / SYNSET).read_text().replace("church, church building", "a church")
    (folder / SYNSET).write_text(labels)
    write_manifest(folder)
    return open_model(folder)


def test_an_unchanged_deploy_publishes_nothing_and_other_settings_a_version(lab, practice):
    import time
    before = [version.number for version in versions.listed(lab)]
    assert redeploy(lab, practice) == []
    t=time.time()
    redeploy(lab, practice, ContactUrl="https://pages.example/")
    print("deploy", time.time()-t)
    now = versions.listed(lab)
    assert [version.number for version in now] == [before[0] + 1, *before]
    assert versions.weights(lab) == {before[0] + 1: 1.0}
    print(versions.table(now))


def test_a_version_keeps_its_model_and_rollback_brings_it_back(lab, url, practice, other):
    import time
    print(ask(url)["predictions"][0])
    redeploy(lab, other)
    print(versions.table(versions.listed(lab)))
    assert ask(url)["predictions"][0]["class"].endswith("a church")
    t=time.time()
    versions.rollback(lab)
    print("rb", time.time()-t)
    assert ask(url)["predictions"][0]["class"].endswith("church, church building")
    print("rb", time.time()-t)
