"""The emulator: on loopback, with IAM enforced, reused, and gone without a trace when it is stopped."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from workshop import ROOT, emulator
from workshop.emulator import Emulator, EmulatorError
from workshop.lab import Lab, LabError, connect

pytestmark = pytest.mark.slow


@pytest.fixture
def own(tmp_path):
    """An emulator of this test alone, not yet started."""
    one = Emulator(emulator.free_port(), tmp_path / "emulator")
    yield one
    one.stop()


def pid_of(one: Emulator) -> int:
    return json.loads((one.folder / "emulator.json").read_text())["pid"]


def make_function(lab: Lab, name: str, answer: str) -> None:
    """A function that answers with a Python expression, and its first version; with the lab's role, made here."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", f"import os\ndef handler(event, context):\n    return {answer}\n")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    lab.client("iam").create_role(RoleName=lab.lambda_role, AssumeRolePolicyDocument=policy)
    lab.client("lambda").create_function(
        FunctionName=name,
        Runtime="python{}.{}".format(*sys.version_info),
        Handler="index.handler",
        Role=lab.role_arn(lab.lambda_role),
        Code={"ZipFile": code.getvalue()},
        Publish=True,
    )
    lab.client("lambda").get_waiter("function_active_v2").wait(FunctionName=name)


def group_members(group: int) -> list[int]:
    """The living processes of a process group (proc(5), field 5 of stat)."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            members.append(int(stat.parent.name))
    return members


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def test_it_is_started_once_and_reused(own):
    url = own.start()
    pid = pid_of(own)
    assert url == f"http://127.0.0.1:{own.port}"
    assert emulator.health(own.port)["auth"] == "enabled"
    assert own.start() == url
    assert pid_of(own) == pid
    assert own.is_running()
    assert own.log.stat().st_size


def test_stopping_takes_it_its_workers_and_their_files(own, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", own.start())
    lab = connect(project_id="workers")
    functions = lab.client("lambda")
    make_function(lab, "pid", "[os.getpid(), sorted(os.environ)]")
    worker, names = json.loads(functions.invoke(FunctionName="pid")["Payload"].read())
    leader = pid_of(own)
    assert worker in group_members(leader)
    assert list(own.temporary.glob("ministack-lambda-pid-*"))
    assert "PYTHONPATH" not in names

    assert own.stop()
    wait_until(lambda: not group_members(leader))
    assert not own.temporary.exists()
    assert not emulator.is_taken(own.port)
    assert not own.stop()


def test_a_killed_one_is_started_again_and_its_leftovers_go(own):
    own.start()
    pid = pid_of(own)
    (own.temporary / "leftover").mkdir()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not own.is_running()
    own.start()
    assert pid_of(own) != pid
    assert not (own.temporary / "leftover").exists()


def test_a_stale_record_never_ends_somebody_elses_process(own):
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        own.folder.mkdir(parents=True)
        record = {"pid": bystander.pid, "started": "1", "port": own.port, "fingerprint": "x"}
        (own.folder / "emulator.json").write_text(json.dumps(record))
        assert not own.stop()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_taken_port_is_one_line_that_names_another(own):
    says = pytest.raises(EmulatorError, match=rf"another program.*make deploy PORT={own.port + 1}")
    with socket.create_server(("127.0.0.1", own.port)), says as refused:
        own.start()
    assert "\n" not in str(refused.value)


def test_an_emulator_of_another_folder_is_not_taken_over(own, tmp_path):
    own.start()
    with pytest.raises(EmulatorError, match="another emulator"):
        Emulator(own.port, tmp_path / "second").start()
    assert own.is_running()


def test_one_with_other_settings_is_started_again(own, monkeypatch, capsys):
    own.start()
    pid = pid_of(own)
    monkeypatch.setattr(emulator, "SERVICES", ("s3", "sts"))
    own.start()
    assert pid_of(own) != pid
    assert set(emulator.health(own.port)["services"]) == {"s3", "sts"}
    assert "other settings" in capsys.readouterr().err


def test_it_listens_on_loopback_only(own):
    own.start()
    listening = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if Path(table).exists():
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
            listening += [row[1] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == own.port]
    assert listening == [f"0100007F:{own.port:04X}"]


def test_nothing_of_the_users_aws_settings_reaches_it(own, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "REAL")
    monkeypatch.setenv("AWS_PROFILE", "real")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    own.start()
    environment = Path(f"/proc/{pid_of(own)}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0].decode() for entry in environment if entry}
    assert not {name for name in names if name.startswith("AWS_")}
    assert "PYTHONPATH" not in names


def test_iam_is_enforced(emulator_url):
    iam = connect().client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    s3 = boto3.client(
        "s3",
        endpoint_url=emulator_url,
        region_name="us-east-1",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_buckets()
    iam.delete_access_key(UserName="nobody", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="nobody")


def test_start_uses_the_one_that_the_environment_names(emulator_url):
    assert emulator.start() == emulator_url


def test_start_refuses_an_endpoint_that_is_not_this_machine(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.amazonaws.com")
    with pytest.raises(LabError, match="this machine only"):
        emulator.start()


def test_its_environment_sees_none_of_the_workbooks_packages():
    emulator.make_environment()
    found = subprocess.run(
        [emulator.ENVIRONMENT / "bin" / "python", "-c", "import numpy"], capture_output=True, text=True, check=False
    )
    assert "No module named 'numpy'" in found.stderr
    boto = "import boto3, samtranslator, ministack"
    subprocess.run([emulator.ENVIRONMENT / "bin" / "python", "-c", boto], check=True)


def test_the_command_says_what_it_does():
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "workshop.emulator", *arguments]
        return subprocess.run(line, cwd=ROOT / "notebooks", capture_output=True, text=True, check=False)

    port = str(emulator.free_port())
    try:
        assert command("status", "--port", port).returncode == 3
        started = command("start", "--port", port)
        assert f"http://127.0.0.1:{port}" in started.stdout and "emulator.log" in started.stdout
        assert command("status", "--port", port).returncode == 0
        assert "Stopped" in command("stop", "--port", port).stdout
        assert "No emulator" in command("stop", "--port", port).stdout
        assert "1 to 65535" in command("start", "--port", "70000").stderr
    finally:
        command("stop", "--port", port)
        shutil.rmtree(ROOT / ".emulator" / port, ignore_errors=True)


def test_requests_to_an_alias_follow_its_weights_and_the_functions_concurrency(emulator_url):
    lab = connect(project_id="weights")
    functions, name = lab.client("lambda"), "weights"
    make_function(lab, name, "os.environ['AWS_LAMBDA_FUNCTION_VERSION']")
    functions.update_function_configuration(FunctionName=name, Description="another")
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert functions.publish_version(FunctionName=name)["Version"] == "2"
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion="2")

    def answers(weight: float, count: int) -> list[str]:
        routing = {"AdditionalVersionWeights": {"1": weight} if weight else {}}
        functions.update_alias(FunctionName=name, Name="live", FunctionVersion="2", RoutingConfig=routing)
        asked = [functions.invoke(FunctionName=name, Qualifier="live") for _ in range(count)]
        said = [json.loads(answer["Payload"].read()) for answer in asked]
        assert said == [answer["ExecutedVersion"] for answer in asked]
        return said

    try:
        assert set(answers(0, 5)) == {"2"}
        assert set(answers(1.0, 5)) == {"1"}
        assert 5 < answers(0.5, 60).count("1") < 55, "less likely than one in a billion otherwise"
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        with pytest.raises(functions.exceptions.TooManyRequestsException):
            functions.invoke(FunctionName=name, Qualifier="live")
    finally:
        functions.delete_function(FunctionName=name)
        lab.client("iam").delete_role(RoleName=lab.lambda_role)


def test_environments_share_the_files_of_their_package_and_no_folder(emulator_url):
    lab = connect(project_id="packages")
    functions, name = lab.client("lambda"), "packages"
    make_function(lab, name, "[os.getpid(), os.stat('index.py').st_ino, os.listdir(), open('own', 'w').close()]")

    def ask(version: str) -> list:
        return json.loads(functions.invoke(FunctionName=name, Qualifier=version)["Payload"].read())

    try:
        first, second = ask("1"), ask("$LATEST")
        assert first[0] != second[0] and first[1] == second[1]
        assert "own" not in first[2] + second[2]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("index.py", "def handler(event, context):\n    return 'other code'\n")
        functions.update_function_code(FunctionName=name, ZipFile=code.getvalue())
        functions.get_waiter("function_updated_v2").wait(FunctionName=name)
        assert ask("$LATEST") == "other code" and ask("1")[1] == first[1]
    finally:
        functions.delete_function(FunctionName=name)
        lab.client("iam").delete_role(RoleName=lab.lambda_role)


def test_an_api_has_the_gateway_responses_of_the_text_that_it_is_made_from(emulator_url):
    lab = connect(project_id="answers")
    response = {
        "statusCode": "418",
        "responseParameters": {"gatewayresponse.header.X-Own": "'yes'"},
        "responseTemplates": {"application/json": '{"own": true}'},
    }
    method = {"x-amazon-apigateway-integration": {"type": "mock"}, "security": [{"api_key": []}]}
    body = {
        "swagger": "2.0",
        "info": {"title": "answers", "version": "1"},
        "paths": {"/": {"get": method}},
        "securityDefinitions": {"api_key": {"type": "apiKey", "name": "x-api-key", "in": "header"}},
        "x-amazon-apigateway-gateway-responses": {"INVALID_API_KEY": response},
    }
    api, deployed = "AWS::ApiGateway::RestApi", "AWS::ApiGateway::Deployment"
    resources = {
        "Api": {"Type": api, "Properties": {"Body": body}},
        "Deployment": {"Type": deployed, "Properties": {"RestApiId": {"Ref": "Api"}, "StageName": "Prod"}},
    }
    template = json.dumps({"Resources": resources, "Outputs": {"Api": {"Value": {"Ref": "Api"}}}})
    cloudformation = lab.client("cloudformation")
    cloudformation.create_stack(StackName="answers", TemplateBody=template)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="answers", WaiterConfig={"Delay": 1})
    try:
        url = f"{emulator_url}/restapis/{lab.outputs('answers')['Api']}/Prod/_user_request_/"
        answer = requests.get(url, timeout=60)
        assert (answer.status_code, answer.json(), answer.headers["X-Own"]) == (418, {"own": True}, "yes")
    finally:
        cloudformation.delete_stack(StackName="answers")
