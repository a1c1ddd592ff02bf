"""The templates under checkov, with everything on that a parameter can turn on; each suppression has its reason."""

import json
import re
import subprocess
import sys

import pytest

from workshop import ROOT

pytestmark = pytest.mark.slow

# Parameters that are off by default: checkov passes over resources whose condition does not hold.
TURNED_ON = {
    "template.yml": {"AccessLogs": "true", "AlarmEmail": "a@example.com", "BulkScoring": "true", "OnUpload": "true"},
    "toolchain.yml": {"ApiLogsRole": "true", "WithPipeline": "true"},
}
SKIP = re.compile(r"# checkov:skip=(CKV2?_AWS_\d+): (.+)")


def turned_on(name: str) -> str:
    """The text of a template with other defaults."""
    text = (ROOT / name).read_text()
    for parameter, value in TURNED_ON[name].items():
        pattern = rf'(?m)^(  {parameter}:\n    Type: String\n    Default: )".*"$'
        text, count = re.subn(pattern, rf'\g<1>"{value}"', text)
        assert count == 1, f"{name} has no parameter {parameter} whose default could be another"
    return text


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """checkov's results of both templates: as they are, and below `bare` without the comments that suppress."""
    subprocess.run([sys.executable, ROOT / "scripts" / "setup.py", "linter"], check=True)
    folder = tmp_path_factory.mktemp("checkov")
    (folder / "bare").mkdir()
    for name in TURNED_ON:
        (folder / name).write_text(turned_on(name))
        (folder / "bare" / name).write_text(SKIP.sub("#", turned_on(name)))
    command = [ROOT / ".venv-linter" / "bin" / "checkov", "--directory", ".", "--framework", "cloudformation"]
    options = ["--skip-download", "--compact", "--output", "json"]
    run = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False)
    results = json.loads(run.stdout)["results"]
    assert not results["parsing_errors"]
    return results


def findings(results: list[dict], folder: str) -> set[tuple[str, str, str]]:
    """(template, logical id, check) of each result of the templates in `folder`."""
    found = set()
    for result in results:
        place, _, name = result["file_path"].strip("/").rpartition("/")
        if place == folder:
            found.add((name, result["resource"].rpartition(".")[2], result["check_id"]))
    return found


def test_checkov_finds_nothing_that_is_not_suppressed_with_a_reason(checked):
    assert findings(checked["failed_checks"], "") == set()
    for result in checked["skipped_checks"]:
        assert len(result["check_result"]["suppress_comment"]) > 20, result["check_id"]


def test_each_suppression_is_of_something_that_checkov_would_find(checked):
    skipped = findings(checked["skipped_checks"], "")
    assert skipped == findings(checked["failed_checks"], "bare")
    assert len(skipped) == sum(len(SKIP.findall(turned_on(name))) for name in TURNED_ON)


def test_every_kind_of_resource_on_request_is_checked(checked):
    ran = {name for _, name, _ in findings(checked["passed_checks"] + checked["skipped_checks"], "")}
    assert {"AlarmTopic", "ApiGatewayLogsRole", "ApiLogs", "BuildProject", "BulkBucket", "BulkScore", "Predict"} <= ran
