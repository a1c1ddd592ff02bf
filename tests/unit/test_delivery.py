"""The changes that a change set lists, without those that only the emulator lists."""

import pytest

from workshop.deployment import delivery


def change(action: str, name: str) -> dict:
    return {"Type": "Resource", "ResourceChange": {"Action": action, "LogicalResourceId": name}}


CHANGE_SET = {
    "Changes": [
        change("Add", "Predict"),
        change("Add", "ApiDeployment0a1b"),
        change("Add", "BulkMachine"),
        change("Add", "ApiLogs"),
        change("Add", "InboxScoreUploads"),
        change("Remove", "BulkBucket"),
    ]
}


@pytest.mark.parametrize(
    ("parameters", "more"),
    [
        ({}, []),
        ({"BulkScoring": "true"}, ["BulkMachine"]),
        ({"BulkScoring": "true", "AccessLogs": "true"}, ["BulkMachine", "ApiLogs"]),
        ({"OnUpload": "true"}, ["InboxScoreUploads"]),
    ],
    ids=["default", "bulk", "both", "inbox"],
)
def test_resources_whose_condition_is_false_are_left_out(parameters, more):
    names = [each["LogicalResourceId"] for each in delivery.changes(CHANGE_SET, {"ProjectId": "lab"} | parameters)]
    assert names == ["Predict", "ApiDeployment0a1b", *more, "BulkBucket"]
