"""The preflight on the tests' own emulator: what it finds, and what it says where nobody can answer."""

import json
import re
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError

from workshop.deployment import judge, preflight
from workshop.deployment.preflight import DO, FINE, OPEN, Row
from workshop.lab import connect


@pytest.fixture(scope="module")
def lab(emulator_url):
    return connect("local", "us-east-1", "preflight-test")


def answers(rows: list[Row], question: str) -> list[str]:
    return [row.answer for row in rows if row.question == question]


@pytest.mark.slow
def test_on_an_empty_emulator_the_lab_can_begin(lab):
    rows = preflight.check(lab)
    assert not [row for row in rows if row.answer == DO]
    unknown = [row for row in rows if row.answer == OPEN]
    assert {row.question for row in unknown} == {"permissions", "room for buckets"}
    assert all("emulator does not answer" in row.says or "root user" in row.says for row in unknown)
    shown = preflight.table(rows)
    assert "the lab can begin; 2 could not be asked" in shown
    assert not re.search(r"\d{12}", shown), "the account's number is masked"
    assert max(map(len, shown.splitlines())) <= 110


@contextmanager
def user(lab, *statements: dict):
    """An IAM user with one policy; yields its ARN."""
    iam, name = lab.client("iam"), "preflight-reader"
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    try:
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps(document))
        yield arn
    finally:
        iam.delete_user_policy(UserName=name, PolicyName="all")
        iam.delete_user(UserName=name)


EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


@pytest.mark.slow
def test_a_caller_who_may_do_everything_is_denied_nothing(lab):
    needs = judge.caller_needs(lab.project_id, judge.World(account=lab.account, region=lab.region))
    assert len(needs) > 100
    with user(lab, EVERYTHING) as arn:
        assert preflight.denials(lab, arn, needs) == []


@pytest.mark.slow
@pytest.mark.parametrize("action", ["iam:PutRolePolicy", "s3:CreateBucket", "cloudformation:ExecuteChangeSet"])
def test_an_action_that_is_denied_is_named_with_what_needs_it(lab, monkeypatch, action):
    with user(lab, EVERYTHING, {"Effect": "Deny", "Action": action, "Resource": "*"}) as arn:
        monkeypatch.setitem(lab.__dict__, "identity", {"Account": lab.account, "Arn": arn})
        (row,) = [row for row in preflight.check(lab) if row.question == "permissions"]
    assert row.answer == DO and action in row.says and "1 actions" in row.says


@pytest.mark.slow
def test_a_caller_who_may_not_simulate_is_told_so(monkeypatch, lab):
    def refuse(lab, choices):
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "SimulatePrincipalPolicy")

    monkeypatch.setattr(lab, "target", "aws")
    (row,) = preflight._asked(lab, {}, "permissions", refuse)
    assert row.answer == OPEN and "SimulatePrincipalPolicy" in row.says


def test_a_session_is_simulated_as_its_role(lab):
    iam = lab.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    arn = iam.create_role(RoleName="operator", Path="/staff/", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    try:
        session = f"arn:aws:sts::{lab.account}:assumed-role/operator/somebody@example.com"
        assert preflight.principal(lab, session) == arn
        assert preflight.principal(lab, arn) == arn
    finally:
        iam.delete_role(RoleName="operator")


def test_a_bucket_of_somebody_else_and_one_of_ones_own(lab, monkeypatch):
    s3 = lab.client("s3")
    s3.create_bucket(Bucket=lab.artifact_bucket)
    try:
        (row,) = preflight._names(lab, {})
        assert row.answer == FINE and "1 of 3" in row.says
        monkeypatch.setattr(lab, "client", lambda service, **_: s3 if service == "s3" else None)
        closed = ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadBucket")
        monkeypatch.setattr(s3, "head_bucket", lambda **_: (_ for _ in ()).throw(closed))
        (row,) = preflight._names(lab, {})
        assert row.answer == DO and "PROJECT_ID" in row.says
    finally:
        monkeypatch.undo()
        s3.delete_bucket(Bucket=lab.artifact_bucket)


def settings_of(monkeypatch, lab, total: int, free: int) -> None:
    class Lambda:
        def get_account_settings(self):
            return {"AccountLimit": {"ConcurrentExecutions": total, "UnreservedConcurrentExecutions": free}}

    monkeypatch.setattr(lab, "client", lambda service, **_: Lambda())


@pytest.mark.parametrize(
    ("total", "choices", "expected"),
    [
        (1000, {}, [FINE]),
        (1000, {"ReservedConcurrency": "900"}, [FINE]),
        (1000, {"ReservedConcurrency": "901"}, [DO]),
        (10, {}, [FINE]),
        (10, {"ReservedConcurrency": "1"}, [DO]),
        (10, {"MemorySize": "3538"}, [FINE, DO]),
    ],
)
def test_a_new_account_reserves_nothing_and_has_less_memory(monkeypatch, lab, total, choices, expected):
    settings_of(monkeypatch, lab, total, total)
    assert [row.answer for row in preflight._concurrency(lab, choices)] == expected


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        ("", FINE),
        ("CREATE_COMPLETE", FINE),
        ("DELETE_FAILED", DO),
        ("UPDATE_IN_PROGRESS", DO),
        ("ROLLBACK_COMPLETE", FINE),
    ],
)
def test_what_an_earlier_run_left(monkeypatch, lab, state, answer):
    monkeypatch.setattr(preflight.stacks, "status", lambda cloudformation, stack: state)
    assert {row.answer for row in preflight._leftovers(lab, {})} == {answer}


@pytest.mark.slow
def test_the_command_says_by_its_status_whether_to_begin(monkeypatch, capsys, emulator_url):
    port = emulator_url.rpartition(":")[2]
    monkeypatch.setattr(preflight.commands.emulator.Emulator, "start", lambda self: emulator_url)
    assert preflight.main(["--port", port, "--project-id", "preflight-test"]) == 0
    assert "the lab can begin" in capsys.readouterr().out
    assert preflight.main(["--port", port, "ReservedConcurrency=99999"]) == 1
    assert "1 to do first" in capsys.readouterr().out
    assert preflight.main(["--port", port, "--project-id", "X"]) == 1
    assert "project_id='X' is not valid" in capsys.readouterr().err
