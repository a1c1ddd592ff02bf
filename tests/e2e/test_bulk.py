"""Bulk scoring by the real state machine, worker and roles, with workers killed and the run stopped on the way."""

import math
import time

import pytest

from tests import building
from workshop import ROOT, models
from workshop.deployment import stacks
from workshop.lab import connect
from workshop.scale import bulk

PROJECT = "bulk-tests"
IMAGES = 60
BATCH = 4
ODD_NAMES = {"00001-parachute.jpg": "blank + ü%20#parachute.jpg", "00002-church.jpg": "empty//part/church.jpg"}


def packaged(deployed, lab, folder):
    """What was built and packaged for `deployed`, as a template of `lab`'s, whose bucket gets the same packages."""
    s3 = lab.client("s3")
    for entry in s3.list_objects_v2(Bucket=deployed.artifact_bucket, Prefix="artifacts/")["Contents"]:
        source = {"Bucket": deployed.artifact_bucket, "Key": entry["Key"]}
        s3.copy_object(Bucket=lab.artifact_bucket, Key=entry["Key"], CopySource=source)
    template = building.template_of(deployed)
    assert deployed.artifact_bucket in template
    file = folder / "template.yml"
    file.write_text(template.replace(deployed.artifact_bucket, lab.artifact_bucket))
    return file


@pytest.fixture(scope="module")
def lab(deployed, tmp_path_factory):
    """A lab with bulk scoring switched on and the practice model in its store. The Lambda role may read no model."""
    lab = connect("local", "us-east-1", PROJECT)
    cloudformation = lab.client("cloudformation")
    stacks.deploy(
        cloudformation,
        lab.toolchain_stack,
        ROOT / "toolchain.yml",
        {"ProjectId": PROJECT},
        capabilities=("CAPABILITY_NAMED_IAM",),
    )
    parameters = {"ProjectId": PROJECT, "Emulator": "true"}
    template = packaged(deployed, lab, tmp_path_factory.mktemp("template"))
    stacks.deploy(
        cloudformation,
        lab.app_stack,
        template,
        parameters,
        lab.role_arn(lab.cloudformation_role),
        ("CAPABILITY_AUTO_EXPAND",),
    )
    files = models.fetch("practice", tmp_path_factory.mktemp("models"), progress=False)
    for file in files:
        lab.client("s3").upload_file(str(file), lab.model_bucket, f"models/practice/{file.name}")
    assert "BulkMachine" not in lab.outputs(lab.app_stack), "bulk scoring is off by default"
    bulk.switch(lab, on=True, concurrency=2, batch=BATCH)
    yield lab
    bulk.switch(lab, on=False)
    assert "BulkMachine" not in lab.outputs(lab.app_stack)


@pytest.fixture(scope="module")
def pictures():
    made = bulk.variants(["golf_ball", "parachute", "church", "gas_pump"], IMAGES)
    made = {ODD_NAMES.get(name, name): picture for name, picture in made.items()}
    return made | {"damaged.jpg": made["00000-golf_ball.jpg"][:80], "notes.txt": b"not a picture"}


def one_line_for_each(lab, job, pictures):
    results, failures = bulk.lines(lab, job, "results.jsonl"), bulk.lines(lab, job, "failures.jsonl")
    keys = [line["key"] for line in results + failures]
    assert sorted(keys) == sorted(f"images/{job}/{name}" for name in pictures)
    assert {line["key"].rpartition("/")[2]: line["error"]["code"] for line in failures} == {
        "damaged.jpg": "image_broken",
        "notes.txt": "not_an_image",
    }
    assert set(bulk.part_lines(lab, job).values()) == {1}
    return results


def test_each_image_is_scored_once_and_failures_are_apart(lab, pictures):
    bulk.put(lab, "images/plain/", pictures)
    counts = bulk.counts(bulk.wait(lab, bulk.start(lab, "plain", top=1)))
    assert counts == {"images": IMAGES + 2, "scored": IMAGES, "failed": 2, "missing": 0}
    assert bulk.parts(lab, "plain") == math.ceil((IMAGES + 2) / BATCH)
    results = one_line_for_each(lab, "plain", pictures)
    right = [
        line["predictions"][0]["class"].split(" ", 1)[1].split(",")[0].replace(" ", "_") in line["key"]
        for line in results
    ]
    assert sum(right) >= 0.8 * IMAGES


def test_workers_killed_half_way_lose_and_double_nothing(lab, pictures):
    bulk.put(lab, "images/killed/", pictures)
    execution, killed = bulk.start(lab, "killed"), 0
    for batches in (1, 5, 10):
        bulk.wait(lab, execution, until=lambda least=batches: bulk.parts(lab, "killed") >= least)
        killed += bulk.kill_workers(lab)
    described = bulk.wait(lab, execution)
    assert killed
    if described["status"] != "SUCCEEDED":  # too many batches met too many kills: the job goes on where it is
        described = bulk.wait(lab, bulk.start(lab, "killed"))
    assert bulk.counts(described)["missing"] == 0
    one_line_for_each(lab, "killed", pictures)


def test_a_stopped_run_goes_on_where_it_was(lab, pictures):
    bulk.put(lab, "images/stopped/", pictures)
    execution = bulk.start(lab, "stopped")
    bulk.wait(lab, execution, until=lambda: bulk.parts(lab, "stopped") >= 2)
    bulk.stop(lab, execution)
    time.sleep(1)  # what is under way may still write its part
    before = {key: bulk.part_lines(lab, "stopped")[key] for key in bulk.part_lines(lab, "stopped")}
    assert len(before) > 0
    bulk.counts(bulk.wait(lab, bulk.start(lab, "stopped")))
    one_line_for_each(lab, "stopped", pictures)
    assert set(before) <= set(bulk.part_lines(lab, "stopped"))


def test_a_prefix_outside_of_images_is_refused(lab):
    states, machine = lab.client("stepfunctions"), lab.outputs(lab.app_stack)["BulkMachine"]
    execution = states.start_execution(
        stateMachineArn=machine, input='{"images": "results/plain/", "results": "results/plain/", "top": 5}'
    )["executionArn"]
    with pytest.raises(RuntimeError, match="expected a prefix|ValueError"):
        bulk.counts(bulk.wait(lab, execution))
