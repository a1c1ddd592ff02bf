"""Who may ask: keys and signatures against the emulator's API Gateway, over a stack of these tests' own."""

import contextlib
import json
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
import requests
from botocore.credentials import Credentials

from predict.errors import GATEWAY_STATUS, GUARD_STATUS
from tests import building, contract
from workshop import access, client, models
from workshop.deployment import all_at_once, cleanup, keys, parameters, stacks
from workshop.lab import Lab, connect
from workshop.models import ModelFiles
from workshop.samples import sample_path
from workshop.scale import load

pytestmark = pytest.mark.slow
QUOTA = 6


@pytest.fixture(scope="module")
def practice(tmp_path_factory) -> ModelFiles:
    return models.fetch("practice", tmp_path_factory.mktemp("models"), progress=False)


@pytest.fixture(scope="module")
def keyed(emulator_url: str, practice: ModelFiles) -> Iterator[Lab]:
    """A project of its own with Auth=key and a quota of a few requests a day."""
    lab = connect("local", "us-east-1", "access-tests")
    with building.alone():
        all_at_once.deploy(lab, practice, Auth="key", KeyQuota=str(QUOTA), AllowOrigin="https://pages.example")
    yield lab
    cleanup.delete_keys(lab)
    for bucket in (*cleanup.application_buckets(lab), lab.artifact_bucket):
        cleanup.empty_bucket(lab, bucket)
    cleanup.delete_stack(lab, lab.app_stack)
    assert not access.keys(lab) and not cleanup.usage_plans(lab)
    cleanup.remove_grants(lab)
    cleanup.delete_stack(lab, lab.toolchain_stack)


@pytest.fixture
def url(keyed: Lab) -> str:
    return client.predict_url(keyed)


@pytest.fixture
def key(keyed: Lab) -> Iterator[str]:
    """The value of a key of one test."""
    yield access.make(keyed, "reader-1")
    for found in access.keys(keyed, "reader-1"):
        access.delete(keyed, found["id"])


def switch(lab: Lab, practice: ModelFiles, **chosen: str) -> None:
    named = parameters.application(lab, practice.name, "float32", chosen, practice.digest)
    stacks.deploy(lab.client("cloudformation"), lab.app_stack, None, named,
                  lab.role_arn(lab.cloudformation_role), ("CAPABILITY_AUTO_EXPAND",))  # fmt: skip


def ask(url: str, key: str | None = None, method: str = "GET", **more) -> requests.Response:
    """A request that the function answers with 400 parameter_missing, where it is let in."""
    headers = {"Origin": "https://pages.example"} | ({} if key is None else {access.HEADER: key})
    return requests.request(method, url, headers=headers, timeout=120, **more)


def code(answer: requests.Response) -> str:
    """The error's code, of an answer that is as the contract and the pages of the allowed origin have it."""
    found = answer.json()["error"]["code"]
    assert not contract.problems(contract.resolved("#/components/schemas/Error"), answer.json())
    assert answer.status_code == (GUARD_STATUS | GATEWAY_STATUS | {"parameter_missing": 400})[found]
    assert answer.headers["Access-Control-Allow-Origin"] == "https://pages.example"
    return found


def test_without_a_key_nobody_gets_a_prediction(url):
    assert code(ask(url)) == "key_not_valid"
    picture = sample_path("church").read_bytes()
    answer = requests.post(url, picture, headers={"Content-Type": "image/jpeg"}, timeout=120)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "key_not_valid")


def test_the_page_the_preflight_and_unknown_paths_stay_open(keyed, url):
    page = requests.get(client.hello_url(keyed), headers={"Accept": "text/html"}, timeout=120)
    assert page.status_code == 200 and '<html lang="en" data-auth="key">' in page.text
    greeting = requests.get(client.hello_url(keyed), timeout=120).json()
    assert "x-api-key" in greeting["usage"]
    assert urljoin(client.hello_url(keyed), greeting["predict"]) == client.predict_url(keyed)
    preflight = ask(url, method="OPTIONS")
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Headers"] == "Content-Type, X-Api-Key"
    assert requests.get(client.hello_url(keyed) + "openapi.yml", timeout=120).status_code == 404


def test_a_key_opens_the_endpoint_until_it_is_revoked(keyed, url, key):
    assert code(ask(url, key)) == "parameter_missing"
    access.revoke(keyed, "reader-1")
    assert code(ask(url, key)) == "key_not_valid"
    with pytest.raises(access.AccessError, match="no key 'reader-1'"):
        access.revoke(keyed, "reader-1")


def test_a_disabled_key_opens_nothing(keyed, url):
    api = keyed.client("apigateway")
    # As it is made: a later change leaves it enabled on the emulator.
    entry = api.create_api_key(name="access-tests.disabled", enabled=False)
    api.create_usage_plan_key(usagePlanId=access.plan(keyed), keyId=entry["id"], keyType="API_KEY")
    try:
        assert code(ask(url, entry["value"])) == "key_not_valid"
    finally:
        access.delete(keyed, entry["id"])


@pytest.mark.parametrize("wrong", ["", "x" * 40])
def test_a_wrong_key_opens_nothing(url, wrong):
    assert code(ask(url, wrong)) == "key_not_valid"


def test_a_key_of_another_api_opens_nothing(keyed, url):
    api = keyed.client("apigateway")
    other = api.create_rest_api(name="other-api")["id"]
    stage = [{"apiId": other, "stage": "Prod"}]
    plan = api.create_usage_plan(name="other-plan", apiStages=stage)["id"]
    theirs = api.create_api_key(name="other.reader", enabled=True)
    api.create_usage_plan_key(usagePlanId=plan, keyId=theirs["id"], keyType="API_KEY")
    try:
        assert code(ask(url, theirs["value"])) == "key_not_valid"
        assert "other.reader" not in [each["name"] for each in access.keys(keyed)]
    finally:
        api.delete_api_key(apiKey=theirs["id"])
        api.delete_usage_plan(usagePlanId=plan)
        api.delete_rest_api(restApiId=other)


def test_a_key_that_is_used_up_is_told_so_and_the_load_does_not_try_on(url, key):
    assert [code(ask(url, key)) for _ in range(QUOTA)] == ["parameter_missing"] * QUOTA
    answer = ask(url, key)
    assert code(answer) == "quota_exceeded" and "Retry-After" not in answer.headers
    endpoint = access.Endpoint(url, access.Keyed(key))
    loaded = load.run(endpoint, [sample_path("church").read_bytes()], max_seconds=30)
    assert loaded.codes == {"429 quota_exceeded": 1}


def test_keys_are_listed_and_names_are_given_once(keyed, key):
    header, *lines = keys.table(keyed).splitlines()
    assert header.split()[0] == "key"
    assert [line.split()[0] for line in lines if "reader-1" in line] == ["reader-1"]
    assert lines[-1].endswith("enabled") and key not in keys.table(keyed)
    with pytest.raises(access.AccessError, match="already"):
        access.make(keyed, "reader-1")
    with pytest.raises(access.AccessError, match="'a b' is not valid"):
        access.make(keyed, "a b")


def test_the_command_line_makes_lists_and_revokes(keyed, url, capsys):
    port = ["--port", keyed.endpoint_url.rpartition(":")[2], "--project-id", keyed.project_id]
    assert keys.main(["make", "--name", "reader-2", *port]) == 0
    value = capsys.readouterr().out.strip()
    assert code(ask(url, value)) == "parameter_missing"
    assert keys.main(["list", *port]) == 0 and "reader-2" in capsys.readouterr().out
    assert keys.main(["revoke", "--name", "reader-2", *port]) == 0
    assert code(ask(url, value)) == "key_not_valid"
    assert keys.main(["make", *port]) == 1 and "NAME=reader-1" in capsys.readouterr().err


def test_the_lab_asks_with_a_key_of_its_own(keyed):
    endpoint = client.endpoint(keyed)
    answer = requests.get(endpoint.url, auth=endpoint.auth, timeout=120)
    assert answer.status_code == 400, answer.text
    assert client.endpoint(keyed) == endpoint, "the key that is there is used again"
    assert [each["name"] for each in access.keys(keyed, access.OWN)] == ["access-tests.lab"]


def test_a_key_above_its_rate_is_throttled(keyed, practice, key):
    switch(keyed, practice, KeyRate="1", KeyBurst="1")
    url = client.predict_url(keyed)
    codes = [code(answer) for answer in [ask(url, key) for _ in range(4)]]
    assert "throttled" in codes and set(codes) <= {"throttled", "parameter_missing"}


def test_with_iam_the_signature_and_the_principals_policy_decide(keyed, practice):
    switch(keyed, practice, Auth="iam", KeyRate="50", KeyBurst="100")
    url = client.predict_url(keyed)
    assert not cleanup.usage_plans(keyed)
    with pytest.raises(access.AccessError, match="takes no keys.*Auth=key"):
        access.plan(keyed)
    assert code(ask(url)) == "signature_not_valid"
    assert ask(url, method="OPTIONS").status_code == 204
    endpoint = client.endpoint(keyed)

    def signed(credentials: Credentials) -> requests.Response:
        auth = access.Signed(credentials, keyed.region)
        return requests.get(url, headers={"Origin": "https://pages.example"}, auth=auth, timeout=120)

    with client.lent_sample(keyed, "church") as picture:  # whose URL has a signature of its own to be quoted
        by_url = requests.get(url, params={"url": picture, "top": 2}, auth=endpoint.auth, timeout=120)
    assert by_url.status_code == 200 and len(by_url.json()["predictions"]) == 2
    loaded = load.run(endpoint, [sample_path("church").read_bytes()])
    assert loaded.codes == {"200": 1}, "httpx signs a body, too"
    assert code(signed(Credentials("nobody", "x" * 40))) == "signature_not_valid"
    iam = keyed.client("iam")
    iam.create_user(UserName="access-reader")
    made = iam.create_access_key(UserName="access-reader")["AccessKey"]
    reader = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    try:
        assert code(signed(Credentials(made["AccessKeyId"], "wrong"))) == "signature_not_valid"
        assert signed(reader).status_code == 403  # in a form of the emulator's own
        api = keyed.outputs(keyed.app_stack)["Api"]
        allowed = {"Effect": "Allow", "Action": "execute-api:Invoke",
                   "Resource": f"arn:aws:execute-api:{keyed.region}:{keyed.account}:{api}/Prod/*/predict"}  # fmt: skip
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName="access-reader", PolicyName="ask", PolicyDocument=document)
        assert code(signed(reader)) == "parameter_missing"
    finally:
        with contextlib.suppress(iam.exceptions.NoSuchEntityException):
            iam.delete_user_policy(UserName="access-reader", PolicyName="ask")
        iam.delete_access_key(UserName="access-reader", AccessKeyId=made["AccessKeyId"])
        iam.delete_user(UserName="access-reader")


def test_with_none_everybody_may_ask_again(keyed, practice):
    switch(keyed, practice, Auth="none")
    url = client.predict_url(keyed)
    assert code(ask(url)) == "parameter_missing"
    assert ask(url, method="OPTIONS").headers["Access-Control-Allow-Headers"] == "Content-Type"
    assert client.endpoint(keyed).auth is None
    page = requests.get(client.hello_url(keyed), headers={"Accept": "text/html"}, timeout=120)
    assert '<html lang="en">' in page.text
