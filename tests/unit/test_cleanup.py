"""Cleaning up a project on the tests' emulator: everything of it goes, twice is no error, nobody else's goes along."""

import functools
import json
import re
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from workshop import ROOT, access
from workshop.deployment import cleanup, iam, probe, stacks
from workshop.deployment.cleanup import Found
from workshop.lab import Lab, connect
from workshop.scale import bulk

pytestmark = pytest.mark.slow

TOOLCHAIN = ROOT / "toolchain.yml"
# A small application of what matters here: function, API, log group, buckets, state machine, named as the lab's.
APPLICATION = {
    "Resources": {
        "ModelStoreBucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketName": {"Fn::Sub": "${ProjectId}-${AWS::Region}-${AWS::AccountId}-models"},
                "VersioningConfiguration": {"Status": "Enabled"},
            },
        },
        "PredictLogs": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": {"Fn::Sub": "/aws/lambda/${ProjectId}-predict"}},
        },
        "Predict": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Handler": "index.handler",
                "Runtime": "python3.13",
                "Code": {"ZipFile": "def handler(event, context): pass"},
                "Role": {"Fn::ImportValue": {"Fn::Sub": "${ProjectId}-${AWS::Region}-LambdaTrustRole"}},
            },
        },
        "Alarm": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmName": {"Fn::Sub": "${ProjectId}-faults"},
                "Namespace": "AWS/Lambda",
                "MetricName": "Errors",
                "Statistic": "Sum",
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": 0,
                "ComparisonOperator": "GreaterThanThreshold",
            },
        },
        "Dashboard": {
            "Type": "AWS::CloudWatch::Dashboard",
            "Properties": {"DashboardName": {"Fn::Sub": "${ProjectId}-endpoint"}, "DashboardBody": '{"widgets": []}'},
        },
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": {"Fn::Sub": "${ProjectId}-api"}}},
        "BulkBucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {"BucketName": {"Fn::Sub": "${ProjectId}-${AWS::Region}-${AWS::AccountId}-bulk"}},
        },
        "BulkMachine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "StateMachineName": {"Fn::Sub": "${ProjectId}-bulk"},
                "RoleArn": {"Fn::ImportValue": {"Fn::Sub": "${ProjectId}-${AWS::Region}-BulkStatesRole"}},
                "Definition": {"StartAt": "Stay", "States": {"Stay": {"Type": "Wait", "Seconds": 300, "End": True}}},
            },
        },
    },
    "Parameters": {"ProjectId": {"Type": "String"}},
}


def toolchain(lab: Lab) -> None:
    stacks.deploy(
        lab.client("cloudformation"),
        lab.toolchain_stack,
        TOOLCHAIN,
        {"ProjectId": lab.project_id},
        capabilities=("CAPABILITY_NAMED_IAM",),
    )


def clean(lab: Lab) -> list[Found]:
    """What notebook 10 does, in its order."""
    cleanup.stop_bulk_scoring(lab)
    for bucket in cleanup.application_buckets(lab):
        cleanup.empty_bucket(lab, bucket)
    cleanup.delete_keys(lab)
    cleanup.delete_stack(lab, lab.app_stack)
    cleanup.delete_log_groups(lab)
    cleanup.remove_grants(lab)
    probe.delete_probes(lab)
    cleanup.empty_bucket(lab, lab.artifact_bucket)
    cleanup.delete_stack(lab, lab.toolchain_stack)
    return cleanup.left(lab, seconds=0)


@pytest.fixture
def lab(emulator_url: str, tmp_path) -> Iterator[Lab]:
    """A project with both stacks, several versions in both buckets, notebook 04's grants and logs."""
    lab = connect("local", "us-east-1", "cleanup-test")
    lab.client = functools.cache(lab.client)  # making a client takes longer than most requests to the emulator
    toolchain(lab)
    template = tmp_path / "template.json"
    template.write_text(json.dumps(APPLICATION))
    stacks.deploy(lab.client("cloudformation"), lab.app_stack, template, {"ProjectId": lab.project_id})
    for bucket in (lab.model_bucket, lab.artifact_bucket):
        for body in (b"first", b"second"):
            lab.client("s3").put_object(Bucket=bucket, Key="models/a", Body=body)
    lab.client("s3").delete_object(Bucket=lab.model_bucket, Key="models/a")
    read = iam.policy({"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{lab.model_bucket}/*"})
    lab.client("iam").put_role_policy(
        RoleName=lab.lambda_role, PolicyName=iam.GRANTS["Lambda"], PolicyDocument=json.dumps(read)
    )
    yield lab
    clean(lab)


def test_keys_and_usage_plans_of_the_project_alone_are_found_and_its_keys_deleted(lab):
    api = lab.client("apigateway")
    ours = api.create_api_key(name="cleanup-test.reader", enabled=True)["id"]
    theirs = api.create_api_key(name="cleanup-test-2.reader", enabled=True)["id"]
    plans = [api.create_usage_plan(name=f"{project}-keys")["id"] for project in ("cleanup-test", "cleanup-test-2")]
    try:
        found = {(each.kind, each.name) for each in cleanup.inventory(lab) if each.kind in ("API key", "usage plan")}
        assert found == {("API key", "cleanup-test.reader"), ("usage plan", "cleanup-test-keys")}
        assert (cleanup.delete_keys(lab), cleanup.delete_keys(lab)) == (1, 0)
        assert [key["id"] for key in api.get_api_keys(nameQuery="cleanup-test")["items"]] == [theirs]
        access.delete(lab, ours)  # twice is no error
    finally:
        for plan in plans:
            api.delete_usage_plan(usagePlanId=plan)
        api.delete_api_key(apiKey=theirs)


def test_inventory_shows_everything_with_the_account_masked(lab):
    found = {(each.kind, each.name) for each in cleanup.inventory(lab)}
    assert found >= {
        ("stack", "cleanup-test-app"),
        ("stack", "cleanup-test-toolchain"),
        ("API", "cleanup-test-api"),
        ("bucket", "cleanup-test-us-east-1-<account>-models"),
        ("bucket", "cleanup-test-us-east-1-<account>-artifacts"),
        ("role", "CodeStarWorker-cleanup-test-Lambda"),
        ("role", "CodeStarWorker-cleanup-test-CloudFormation"),
        ("log group", "/aws/lambda/cleanup-test-predict"),
        ("state machine", "cleanup-test-bulk"),
        ("alarm", "cleanup-test-faults"),
        ("dashboard", "cleanup-test-endpoint"),
        ("bucket", "cleanup-test-us-east-1-<account>-bulk"),
        ("role", "CodeStarWorker-cleanup-test-BulkWorker"),
        ("role", "CodeStarWorker-cleanup-test-BulkStates"),
    }
    assert len(cleanup.functions(lab)) == 1
    assert not any(lab.account in each.name for each in cleanup.inventory(lab))
    held = {each.name: each.holds for each in cleanup.inventory(lab)}
    assert held["cleanup-test-us-east-1-<account>-models"] == "3 object versions, 0 MB"  # two versions and a marker
    assert held["CodeStarWorker-cleanup-test-Lambda"] == "read-model-store, write-logs-and-traces"


def test_everything_goes_and_twice_is_no_error(lab):
    assert clean(lab) == []
    assert clean(lab) == []


def test_a_project_that_never_was_is_clean(emulator_url):
    assert clean(connect("local", "us-east-1", "never-was")) == []


def test_a_bucket_is_emptied_of_versions_and_delete_markers(lab):
    counted = []
    assert cleanup.empty_bucket(lab, lab.model_bucket, counted.append) == 3
    assert counted == [3]
    assert cleanup.weigh(lab, lab.model_bucket) == (0, 0)


def test_more_versions_than_one_request_deletes(lab, monkeypatch):
    monkeypatch.setattr(cleanup, "BATCH", 2)
    counted = []
    assert cleanup.empty_bucket(lab, lab.model_bucket, counted.append) == 3
    assert counted == [2, 1]


def test_unfinished_uploads_go_too(lab):
    s3 = lab.client("s3")
    s3.create_multipart_upload(Bucket=lab.model_bucket, Key="half")
    cleanup.empty_bucket(lab, lab.model_bucket)
    assert s3.list_multipart_uploads(Bucket=lab.model_bucket).get("Uploads", []) == []


def test_bulk_scoring_is_stopped_and_its_unversioned_bucket_emptied(lab):
    states, (machine,) = lab.client("stepfunctions"), cleanup.state_machines(lab)
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    lab.client("s3").put_object(Bucket=bulk.bucket(lab), Key="images/job/a.jpg", Body=b"picture")
    assert cleanup.stop_bulk_scoring(lab) == 1
    assert states.describe_execution(executionArn=execution)["status"] == "ABORTED"
    assert cleanup.stop_bulk_scoring(lab) == 0
    assert cleanup.empty_bucket(lab, bulk.bucket(lab)) == 1
    assert clean(lab) == []


def test_a_version_that_s3_keeps_is_an_error(lab, monkeypatch):
    s3 = lab.resource("s3")
    answer = {"Errors": [{"Key": "models/a", "Code": "AccessDenied", "Message": "locked"}]}
    monkeypatch.setattr(s3.meta.client, "delete_objects", lambda **request: answer)
    monkeypatch.setattr(lab, "resource", lambda service: s3)
    with pytest.raises(RuntimeError, match="did not delete models/a from .*AccessDenied: locked"):
        cleanup.empty_bucket(lab, lab.model_bucket)


def test_grants_and_policies_attached_by_hand_come_off_and_the_toolchains_stay(lab):
    lab.client("iam").attach_role_policy(RoleName=lab.lambda_role, PolicyArn=iam.read_only(lab.partition))
    assert set(cleanup.remove_grants(lab)) == {iam.GRANTS["Lambda"], "AmazonS3ReadOnlyAccess"}
    assert cleanup.role_policies(lab, lab.lambda_role) == ["write-logs-and-traces"]
    assert cleanup.role_policies(lab, lab.cloudformation_role) == ["deploy-application"]
    assert cleanup.remove_grants(lab) == []


def test_the_policies_that_stay_are_those_of_the_template(lab):
    made = cleanup.role_policies(lab, lab.cloudformation_role) + cleanup.role_policies(lab, lab.lambda_role)
    assert set(made) - set(iam.GRANTS.values()) == cleanup.MADE_BY_TOOLCHAIN


def test_a_stack_that_is_needed_says_by_whom(lab):
    with pytest.raises(stacks.StackError, match="toolchain was not deleted: .*imported by stack cleanup-test-app"):
        cleanup.delete_stack(lab, lab.toolchain_stack)  # the application still imports its export


def test_a_stack_whose_deletion_fails_names_the_resource(lab, monkeypatch):
    cloudformation = lab.client("cloudformation")
    failed = {
        "EventId": "new",
        "LogicalResourceId": "ModelStoreBucket",
        "ResourceStatus": "DELETE_FAILED",
        "ResourceStatusReason": "The bucket you tried to delete is not empty",
    }
    answers = [[], [failed]]
    monkeypatch.setattr(cleanup, "events", lambda client, stack: answers.pop(0))
    monkeypatch.setattr(cloudformation, "delete_stack", lambda StackName: None)
    monkeypatch.setattr(lab, "client", lambda service: cloudformation)
    monkeypatch.setattr(cleanup, "patience", lambda client: {"Delay": 0.1, "MaxAttempts": 1})
    with pytest.raises(stacks.StackError, match="app was not deleted: ModelStoreBucket: The bucket .* is not empty"):
        cleanup.delete_stack(lab, lab.app_stack)


@pytest.mark.parametrize(
    "name",
    [
        "/aws/lambda/cleanup-test-2-predict",
        "/aws/lambda/cleanup-test-app-predict",
        "/aws/lambda/other-predict",
    ],
)
def test_log_groups_of_projects_with_similar_names_are_left_alone(lab, name):
    logs = lab.client("logs")
    logs.create_log_group(logGroupName=name)
    try:
        assert name not in cleanup.log_groups(lab)
        clean(lab)
        assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    finally:
        logs.delete_log_group(logGroupName=name)


def test_alarms_and_dashboards_of_projects_with_similar_names_are_not_taken_for_ours(lab):
    cloudwatch = lab.client("cloudwatch")
    cloudwatch.put_dashboard(DashboardName="cleanup-test-endpoint-2", DashboardBody='{"widgets": []}')
    try:
        assert cleanup.dashboards(lab) == ["cleanup-test-endpoint"]
        assert cleanup.alarms(lab) == ["cleanup-test-faults"]
    finally:
        cloudwatch.delete_dashboards(DashboardNames=["cleanup-test-endpoint-2"])


def test_the_alarms_and_the_dashboard_are_those_of_the_template():
    template = (ROOT / "template.yml").read_text()
    named = re.findall(r"(?:AlarmName|DashboardName): !Sub \$\{ProjectId\}-(\S+)", template)
    lab = SimpleNamespace(project_id="p", client=lambda _service: Everything())
    assert sorted(cleanup.alarms(lab) + cleanup.dashboards(lab)) == sorted(f"p-{name}" for name in named)


class Everything:
    """A CloudWatch that has whatever is asked for."""

    def get_paginator(self, _operation):
        return self

    def paginate(self, AlarmNames=(), DashboardNamePrefix=""):
        yield {
            "MetricAlarms": [{"AlarmName": name} for name in AlarmNames],
            "DashboardEntries": [{"DashboardName": DashboardNamePrefix}],
        }


def test_a_log_group_that_a_function_made_by_itself_goes(lab):
    name = f"/aws/lambda/{lab.app_stack}-Predict-0A1B2C3D4E5F"
    lab.client("logs").create_log_group(logGroupName=name)
    assert name in cleanup.log_groups(lab)
    assert clean(lab) == []


def test_a_project_whose_name_begins_alike_keeps_everything(lab):
    other = connect("local", "us-east-1", "cleanup-test2")
    toolchain(other)
    try:
        before = cleanup.inventory(other)
        assert clean(lab) == []
        assert cleanup.inventory(other) == before != []
    finally:
        assert clean(other) == []


def test_left_asks_again_until_nothing_shows(lab, monkeypatch):
    answers = [[Found("role", "slow")], [Found("role", "slow")], []]
    monkeypatch.setattr(cleanup, "inventory", lambda lab: answers.pop(0))
    monkeypatch.setattr(cleanup.time, "sleep", lambda seconds: None)
    assert cleanup.left(lab) == []
