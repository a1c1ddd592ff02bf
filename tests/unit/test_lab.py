"""Where the lab works: never outside what was chosen, and every refusal says what to do."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from workshop import emulator_record
from workshop.choices import ChoiceError, check_project_id, check_region
from workshop.lab import Lab, LabError, check_loopback, connect, patience


@pytest.mark.parametrize("project_id", ["ab", "predictions", "a-1", "abcdefghijklmno"])
def test_a_project_id_of_codestars_rule_is_taken(project_id):
    assert check_project_id(project_id) == project_id


@pytest.mark.parametrize("project_id", ["", "a", "Predictions", "1ab", "-ab", "a_b", "a b", "abcdefghijklmnop", "ab\n"])
def test_any_other_project_id_is_refused(project_id):
    with pytest.raises(ChoiceError, match="2 to 15 characters"):
        check_project_id(project_id)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1", "ap-southeast-2"])
def test_a_region_is_taken(region):
    assert check_region(region) == region


@pytest.mark.parametrize("region", ["", "us-east", "US-EAST-1", "us-east-1/x", "everywhere"])
def test_what_is_no_region_is_refused(region):
    with pytest.raises(ChoiceError, match="us-east-1"):
        check_region(region)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4566", "http://localhost:1", "http://[::1]:4566/"])
def test_the_local_target_takes_loopback(endpoint):
    assert check_loopback(endpoint) == endpoint.rstrip("/")


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://s3.amazonaws.com",
        "http://s3.amazonaws.com:80",
        "http://10.0.0.1:4566",
        "http://0.0.0.0:4566",
        "http://127.0.0.1.example.com:4566",
        "http://user@127.0.0.1:4566",
        "http://127.0.0.1:4566/path",
        "http://127.0.0.1:99999",
        "ftp://127.0.0.1:21",
        "127.0.0.1:4566",
        "",
    ],
)
def test_the_local_target_refuses_everything_but_loopback(endpoint, monkeypatch):
    with pytest.raises(LabError, match="this machine only"):
        check_loopback(endpoint)
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(LabError, match="this machine only"):
            Lab("local", "us-east-1", "predictions")


def test_an_unknown_target_is_refused():
    with pytest.raises(ChoiceError, match="'local'"):
        connect(target="azure")


@pytest.mark.slow
def test_no_emulator_is_one_line_that_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setattr(emulator_record, "FOLDER", tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(LabError, match="make deploy") as refused:
        connect()
    assert "\n" not in str(refused.value)


def test_an_emulator_of_this_folder_on_another_port_is_named(monkeypatch, running_emulator):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(LabError, match=f"runs on port {running_emulator}: give the command PORT={running_emulator}$"):
        connect()
    assert emulator_record.on_another_port(running_emulator) == ""


def test_an_emulator_whose_record_is_left_over_is_not_named(running_emulator, tmp_path):
    file = tmp_path / str(running_emulator) / emulator_record.RECORD
    whole = file.read_text(encoding="utf-8")
    assert emulator_record.running_ports() == [running_emulator]
    for left_over in (
        "",
        "[]",
        "{}",
        whole.replace('"started": ', '"started": 1'),
        whole.replace('"port": ', '"port": 1'),
    ):
        file.write_text(left_over, encoding="utf-8")
        assert emulator_record.on_another_port(9) == ""


def test_no_credentials_is_one_line_that_says_what_to_run():
    with pytest.raises(LabError, match="aws configure") as refused:
        connect(target="aws")
    assert "\n" not in str(refused.value)


def test_expired_credentials_say_so(monkeypatch):
    lab = Lab("aws", "us-east-1", "predictions")

    class Expired:
        def get_caller_identity(self):
            raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, "GetCallerIdentity")

    monkeypatch.setattr(lab, "client", lambda *arguments, **settings: Expired())
    with pytest.raises(LabError, match="ExpiredToken.*aws sso login"):
        _ = lab.identity


def test_local_uses_nothing_of_the_users_settings(monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text("[profile real]\nregion = eu-west-1\naws_access_key_id = REAL\naws_secret_access_key = REAL\n")
    for name, value in {
        "AWS_PROFILE": "missing",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ACCESS_KEY_ID": "REAL",
        "AWS_SECRET_ACCESS_KEY": "REAL",
        "AWS_SESSION_TOKEN": "REAL",
        "AWS_ENDPOINT_URL_S3": "https://s3.eu-west-1.amazonaws.com",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4999")
    lab = Lab("local", "us-east-1", "predictions")
    client = lab.client("s3")
    credentials = lab.session.get_credentials()
    assert (credentials.access_key, credentials.secret_key, credentials.token) == ("test", "test", None)
    assert client.meta.endpoint_url == "http://127.0.0.1:4999"
    environment = lab.environment()
    assert "REAL" not in environment.values()
    assert "AWS_PROFILE" not in environment
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4999"
    assert "AWS_ENDPOINT_URL_S3" not in environment


def test_aws_ignores_an_endpoint_that_is_meant_for_the_emulator(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4999")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "MINE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "MINE")
    lab = Lab("aws", "eu-west-1", "predictions")
    assert lab.endpoint_url is None
    assert lab.client("s3").meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"
    environment = lab.environment()
    assert not [name for name in environment if name.startswith("AWS_ENDPOINT_URL")]
    assert environment["AWS_ACCESS_KEY_ID"] == "MINE"
    assert environment["AWS_REGION"] == "eu-west-1"


def test_a_waiter_asks_often_on_this_machine_and_every_two_seconds_on_aws(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    here, aws = (Lab(target, "eu-west-1", "predictions").client("cloudformation") for target in ("local", "aws"))
    assert patience(here, 60) == {"Delay": 0.2, "MaxAttempts": 300}
    assert patience(aws, 60) == {"Delay": 2.0, "MaxAttempts": 30}


@pytest.mark.slow
def test_names_and_outputs_on_the_emulator(emulator_url):
    lab = connect(project_id="names")
    assert lab.endpoint_url == emulator_url
    assert lab.account == "000000000000"
    assert lab.model_bucket == "names-us-east-1-000000000000-models"
    assert lab.artifact_bucket == "names-us-east-1-000000000000-artifacts"
    assert lab.role_arn(lab.lambda_role) == "arn:aws:iam::000000000000:role/CodeStarWorker-names-Lambda"
    with pytest.raises(LabError, match="names-app.*05_build_and_deploy"):
        lab.outputs(lab.app_stack)
    template = '{"Resources": {"B": {"Type": "AWS::S3::Bucket"}}, "Outputs": {"Bucket": {"Value": {"Ref": "B"}}}}'
    cloudformation = lab.client("cloudformation")
    cloudformation.create_stack(StackName="names-x", TemplateBody=template)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="names-x", WaiterConfig={"Delay": 1})
    assert lab.outputs("names-x")["Bucket"].startswith("names-x")
    cloudformation.delete_stack(StackName="names-x")
