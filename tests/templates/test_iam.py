"""What the roles may do once toolchain.yml is deployed, and the helpers of notebook 04, on the tests' own emulator."""

import json
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from workshop.deployment import figures, iam
from workshop.deployment import probe as probing
from workshop.deployment.iam import ALLOWED, DENIED, Question, policy

pytestmark = pytest.mark.slow

LOGS = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda"


def arn(lab, service, rest):
    return f"arn:aws:{service}:us-east-1:{lab.account}:{rest}"


def store(lab, key=""):
    return f"arn:aws:s3:::{lab.model_bucket}{key}"


@pytest.fixture
def probe(lab):
    with probing.probe(lab) as made:
        yield made


def test_toolchain_exports_the_lambda_role(lab):
    pages = lab.client("cloudformation").get_paginator("list_exports").paginate()
    exports = {export["Name"]: export["Value"] for page in pages for export in page["Exports"]}
    assert exports[f"{lab.project_id}-us-east-1-LambdaTrustRole"] == lab.role_arn(lab.lambda_role)
    assert lab.outputs(lab.toolchain_stack)["CloudFormationRole"] == lab.role_arn(lab.cloudformation_role)


def test_artifact_bucket_is_as_the_template_says(lab):
    s3, bucket = lab.client("s3"), lab.outputs(lab.toolchain_stack)["ArtifactBucket"]
    assert bucket == lab.artifact_bucket
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())


@pytest.mark.parametrize(
    ("action", "service", "rest", "decision"),
    [
        ("lambda:CreateFunction", "lambda", "function:templates-test-app-Predict", ALLOWED),
        ("lambda:CreateFunction", "lambda", "function:payroll", DENIED),
        ("lambda:InvokeFunction", "lambda", "function:templates-test-app-Predict", DENIED),
        ("logs:CreateLogGroup", "logs", "log-group:/aws/lambda/templates-test-predict", ALLOWED),
        ("logs:DeleteLogGroup", "logs", "log-group:/aws/lambda/payroll", DENIED),
        ("cloudwatch:PutMetricAlarm", "cloudwatch", "alarm:templates-test-errors", ALLOWED),
        ("cloudwatch:DeleteAlarms", "cloudwatch", "alarm:payroll", DENIED),
        ("iam:CreateRole", "iam", "role/any", DENIED),
        ("iam:PutRolePolicy", "iam", "role/CodeStarWorker-templates-test-Lambda", DENIED),
    ],
)
def test_the_cloudformation_role_touches_the_project_only(lab, action, service, rest, decision):
    question = Question("", action, arn(lab, service, rest))
    assert iam.may(lab.client("iam"), lab.role_arn(lab.cloudformation_role), [question]) == [decision]


@pytest.mark.parametrize(
    ("action", "key", "decision"),
    [
        ("s3:CreateBucket", "", ALLOWED),
        ("s3:PutEncryptionConfiguration", "", ALLOWED),
        ("s3:DeleteBucketPolicy", "", ALLOWED),
        ("s3:PutBucketPolicy", "", DENIED),
        ("s3:GetObject", "/models/any", DENIED),
        ("s3:DeleteObject", "/models/any", DENIED),
    ],
)
def test_the_cloudformation_role_manages_the_store_but_not_its_policy_or_objects(lab, action, key, decision):
    question = Question("", action, store(lab, key))
    assert iam.may(lab.client("iam"), lab.role_arn(lab.cloudformation_role), [question]) == [decision]


@pytest.mark.parametrize(
    ("action", "resource", "decision"),
    [
        ("logs:PutLogEvents", f"{LOGS}/templates-test-predict:log-stream:a", ALLOWED),
        ("logs:PutLogEvents", f"{LOGS}/payroll:log-stream:a", DENIED),
        ("logs:CreateLogGroup", f"{LOGS}/templates-test-predict", DENIED),
        ("xray:PutTraceSegments", "*", ALLOWED),
        ("s3:GetObject", "arn:aws:s3:::templates-test-us-east-1-000000000000-models/models/any", DENIED),
        ("s3:ListBucket", "arn:aws:s3:::templates-test-us-east-1-000000000000-models", DENIED),
    ],
)
def test_the_lambda_role_writes_logs_and_traces_and_reads_no_model(lab, action, resource, decision):
    assert iam.may(lab.client("iam"), lab.role_arn(lab.lambda_role), [Question("", action, resource)]) == [decision]


def test_a_simulation_after_an_edit_is_asked_again_until_it_shows(monkeypatch):
    """IAM on AWS spreads an edit over seconds; here the third answer is the first to know of it."""
    answers = iter(["implicitDeny", "implicitDeny", "allowed"])
    simulate = lambda **_: {"EvaluationResults": [{"EvalDecision": next(answers)}]}  # noqa: E731
    late = SimpleNamespace(simulate_principal_policy=simulate)
    monkeypatch.setattr(iam.time, "sleep", lambda seconds: None)
    question = Question("", "s3:PutBucketPolicy", "arn:aws:s3:::any")
    assert iam.may(late, "arn:aws:iam::000000000000:role/any", [question], [ALLOWED]) == [ALLOWED]


def test_would_leaves_the_role_alone(lab):
    read = policy({"Effect": "Allow", "Action": "s3:GetObject", "Resource": store(lab, "/*")})
    question = Question("", "s3:GetObject", store(lab, "/models/any"))
    before = iam.policies_of(lab.client("iam"), lab.lambda_role)
    assert iam.would(lab.client("iam"), [read], [question]) == [ALLOWED]
    assert iam.would(lab.client("iam"), before.values(), [question]) == [DENIED]
    assert iam.policies_of(lab.client("iam"), lab.lambda_role) == before


def test_policies_of_leaves_out_what_it_is_told_to(lab):
    assert set(iam.policies_of(lab.client("iam"), lab.lambda_role)) == {"write-logs-and-traces"}
    assert iam.policies_of(lab.client("iam"), lab.lambda_role, without=["write-logs-and-traces"]) == {}


def test_managed_policy_is_the_original_labs(lab):
    ((_, actions, resources),) = iam.statements_of(iam.managed_policy(lab.client("iam"), iam.read_only(lab.partition)))
    assert "s3:Get*" in actions
    assert resources == ["*"]


def test_a_probe_may_nothing_until_it_is_granted(probe):
    attempts = list(probe.requests())
    assert probe.try_out(attempts, [DENIED] * 6) == [DENIED] * 6
    assert probe.reason("read a model") == "no Allow in either"


def test_granting_replaces_what_was_granted_before(probe):
    probe.grant(policy(probe.read_statement("Allow")))
    assert probe.try_out(["read a model", "replace a model"], [ALLOWED, DENIED]) == [ALLOWED, DENIED]
    probe.grant()
    assert probe.try_out(["read a model"], [DENIED]) == [DENIED]


@pytest.mark.parametrize(
    ("role", "bucket", "decision", "reason"),
    [
        (None, None, DENIED, "no Allow in either"),
        ("Allow", None, ALLOWED, ""),
        (None, "Allow", ALLOWED, ""),
        ("Allow", "Allow", ALLOWED, ""),
        ("Deny", "Allow", DENIED, "Deny in the role's policy"),
        ("Allow", "Deny", DENIED, "Deny in the bucket policy"),
    ],
)
def test_either_grant_is_enough_and_either_deny_wins(probe, role, bucket, decision, reason):
    probe.grant(*[policy(probe.read_statement(role))] if role else [])
    probe.put_bucket_policy(*[probe.read_statement(bucket)] if bucket else [])
    assert probe.try_out(["read a model"], [decision]) == [decision]
    assert probe.reason("read a model") == reason


def test_try_out_returns_what_came_not_what_was_expected(probe, monkeypatch):
    until = iam.until
    monkeypatch.setattr(iam, "until", lambda ask, expected: until(ask, expected, seconds=0))
    assert probe.try_out(["read a model"], [ALLOWED]) == [DENIED]


def test_an_error_other_than_a_refusal_is_raised(probe):
    probe.grant(policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}))
    probe.lab.client("s3").delete_object(Bucket=probe.other, Key="salaries.csv")
    with pytest.raises(ClientError, match="NoSuchKey"):
        probe.try_out(["read another bucket"], [ALLOWED])


def test_a_probe_is_deleted_when_its_block_fails(lab):
    with pytest.raises(ZeroDivisionError), probing.probe(lab):
        assert probing.probes(lab) != ([], [])
        raise ZeroDivisionError
    assert probing.probes(lab) == ([], [])


def test_a_probe_that_was_left_behind_goes_with_the_next(lab):
    left = probing.Probe(lab)
    left.create()
    left.grant(policy(left.read_statement("Allow")))
    with probing.probe(lab) as made:
        roles, buckets = probing.probes(lab)
        assert roles == [made.role]
        assert set(buckets) == {made.store, made.other}
    left.delete()  # deleting what is gone is no error
    assert probing.probes(lab) == ([], [])


def test_short_masks_the_account():
    assert (
        iam.short("arn:aws:lambda:us-east-1:123456789012:function:a", "123456789012")
        == "lambda:us-east-1:<account>:function:a"
    )


def test_statements_of_takes_single_values_and_lists():
    document = {"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ["x", "y"]}}
    assert list(iam.statements_of(json.loads(json.dumps(document)))) == [("", ["s3:GetObject"], ["x", "y"])]


def test_draw_decisions_writes_the_word_into_each_tile():
    columns = {"before": [DENIED, ALLOWED], "after": [ALLOWED, ALLOWED]}
    figure = figures.draw_decisions("title", ["one", "two"], columns)
    assert [text.get_text() for text in figure.axes[0].texts] == [DENIED, ALLOWED, ALLOWED, ALLOWED]
    assert [text.get_fontweight() for text in figure.axes[0].texts] == ["normal", "normal", "bold", "normal"]
