"""What makes a version another one, and how versions are listed. tests/e2e/test_versions.py has the deployed ones."""

import pytest

from predict.model_store import ModelStore
from workshop import choices
from workshop.deployment import parameters, versions
from workshop.deployment.versions import Version
from workshop.models.files import PRACTICE, ModelFiles


@pytest.mark.parametrize("name", ["ModelName", "ModelDigest", "Precision", "MemorySize", "ContactUrl", "AllowOrigin",
                                  "AllowedPrivateHosts", "ReservedConcurrency", "ProjectId"])  # fmt: skip
@pytest.mark.slow
def test_a_parameter_of_predict_makes_another_version(name):
    assert parameters.settings({name: "another"}) != parameters.settings({})


@pytest.mark.parametrize("name", ["ThrottlingRate", "AlarmEmail", "BulkScoring", "LogRetentionDays", "Settings"])
@pytest.mark.slow
def test_any_other_parameter_makes_none(name):
    assert parameters.settings({name: "another"}) == parameters.settings({})


@pytest.mark.slow
def test_a_default_that_is_named_is_the_default():
    default = choices.parameters(choices.APPLICATION)["MemorySize"].default
    assert parameters.settings({"MemorySize": default}) == parameters.settings({})
    assert choices.parameters(choices.APPLICATION)["Settings"].takes(parameters.settings({}))


def test_a_models_place_in_the_store_is_of_all_its_files(tmp_path):
    files = ModelFiles(tmp_path, "flowers", "", "", [], {})
    (tmp_path / "SHA256SUMS").write_text("one")
    before = files.prefix
    (tmp_path / "SHA256SUMS").write_text("other")
    assert files.prefix != before and files.prefix.startswith("models/flowers/")
    assert choices.parameters(choices.APPLICATION)["ModelDigest"].takes(files.digest)


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("models/flowers/0123456789ab", "flowers"),
        ("models/flowers", "flowers"),
        ("models/0123456789ab", "0123456789ab"),
        ("flowers", "flowers"),
        ("", "bucket"),
    ],
)
def test_the_model_is_called_by_its_name_and_not_by_its_digest(prefix, name):
    assert ModelStore("bucket", prefix, "p", "s", "l").name == name


def test_the_list_says_which_version_answers_and_why_one_was_refused():
    listed = [
        Version(12, "2026-01-02 03:04:05", "models/practice/0123456789ab", "int8", 0.1, "passed"),
        Version(3, "2026-01-01 03:04:05", "models/practice/ba9876543210", "float32", 0.9, "refused", "a.jpg: no"),
        Version(2, "2026-01-01 03:00:00", "models/practice", "float32", 0.0),
    ]
    head, *rows = versions.table(listed).splitlines()
    assert head.split() == ["version", "published", "(UTC)", "model", "precision", "requests", "golden", "pictures"]
    assert rows[0].split() == ["12", "2026-01-02", "03:04:05", "practice/0123456789ab", "int8", "10%", "passed"]
    assert rows[1].endswith("90%       refused: a.jpg: no")
    assert rows[2].split() == ["2", "2026-01-01", "03:00:00", "practice", "float32", "-", "not", "asked"]


@pytest.mark.slow
def test_the_practice_model_lies_where_its_manifest_says():
    assert len(ModelFiles(PRACTICE, "practice", "practice", "", [], {}).digest) == 12
