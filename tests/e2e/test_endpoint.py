"""The deployed function over HTTP, in a project of its own beside the notebooks' one."""

import base64
import json
import subprocess
import time

import pytest
import requests

from tests import contract
from workshop import client
from workshop.deployment import all_at_once
from workshop.deployment import iam as roles
from workshop.samples import SAMPLES, sample_path

KNOWN = [name for name, wnid in SAMPLES.items() if wnid]


def post(url, body, content_type="image/jpeg", **query):
    return requests.post(url, body, params=query, headers={"Content-Type": content_type}, timeout=60)


@pytest.mark.parametrize("name", KNOWN)
def test_each_sample_has_the_right_class_first(url, name):
    answer = post(url, sample_path(name).read_bytes())
    assert answer.status_code == 200, answer.text
    best = answer.json()["predictions"][0]
    assert best["class"].startswith(SAMPLES[name]), best


def test_by_url_and_by_body_are_the_same_prediction(lab, url):
    with client.lent_sample(lab, "golf_ball") as picture:
        by_url = requests.get(url, params={"url": picture, "top": 3}, timeout=60)
        by_json = requests.post(url, json={"url": picture, "top": 3}, timeout=60)
    by_body = post(url, sample_path("golf_ball").read_bytes(), top=3)
    assert [answer.status_code for answer in (by_url, by_json, by_body)] == [200] * 3, by_url.text
    predictions = [answer.json()["predictions"] for answer in (by_url, by_json, by_body)]
    assert predictions[0] == predictions[1] == predictions[2]
    assert len(predictions[0]) == 3


def test_several_in_one_request_are_the_predictions_of_each(lab, url):
    with client.lent_sample(lab, "golf_ball") as ball, client.lent_sample(lab, "church") as church:
        hostile = ["http://169.254.169.254/latest/meta-data/", ball.partition("?")[0] + ".missing"]
        addresses = [ball, hostile[0], church, *[ball] * 12, hostile[1]]
        alone = [requests.get(url, params={"url": picture}, timeout=60).json() for picture in (ball, church)]
        since = time.time()
        answer = requests.post(url, json={"urls": addresses}, timeout=60)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert not contract.violations("/predict", "post", 200, dict(answer.headers), answer.text)
    classes = [alone[0]["predictions"], None, alone[1]["predictions"], *[alone[0]["predictions"]] * 12, None]
    assert [result.get("predictions") for result in body["results"]] == classes
    failed = [result["error"]["code"] for result in body["results"] if "error" in result]
    assert failed == ["address_not_public", "host_answer"]
    assert body["model"] == alone[0]["model"]
    (line,) = [line for line in client.request_log(lab, since) if line["source"] == "urls"]
    assert (line["images"], line["answered"], line["failed"]) == (16, 14, 2)
    assert "Signature" not in json.dumps(line)


def test_the_answer_names_the_model_and_its_times(url):
    _, response = (post(url, sample_path("church").read_bytes()) for _ in range(2))
    answer = response.json()
    assert answer["model"]["name"] == "practice" and len(answer["model"]["sha256"]) == 64
    assert set(answer["timings_ms"]) == {"fetch", "decode", "predict"}, "a warm request loads no model"
    assert answer["cold_start"] is False and response.headers["X-Cold-Start"] == "false"
    probabilities = [item["probability"] for item in answer["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True) and 0 < sum(probabilities) <= 1.0001


@pytest.mark.parametrize(
    ("method", "path", "query", "status", "code"),
    [
        ("GET", "predict", {}, 400, "parameter_missing"),
        ("GET", "predict", {"url": "http://169.254.169.254/latest/meta-data/"}, 400, "address_not_public"),
        ("GET", "predict", {"url": "http://127.0.0.1:9001/2018-06-01/runtime"}, 400, "address_not_public"),
        ("GET", "predict", {"url": "file:///proc/self/environ"}, 400, "url_malformed"),
        ("GET", "predict", {"url": "http://example.com/", "top": "21"}, 400, "parameter_malformed"),
        ("DELETE", "predict", {}, 405, "method_not_allowed"),
        ("GET", "nothing/here", {}, 404, "path_not_found"),
    ],
)
def test_what_the_endpoint_refuses(lab, method, path, query, status, code):
    answer = requests.request(method, client.hello_url(lab) + path, params=query, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["Content-Type"].startswith("application/json")


def test_bytes_that_are_no_image_are_refused(url):
    answer = post(url, b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml")
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "not_an_image")


def test_each_request_leaves_one_log_line_without_the_signature(lab, url):
    since = time.time()
    with client.lent_sample(lab, "golf_ball") as picture:
        assert requests.get(url, params={"url": picture}, timeout=60).status_code == 200
    (line,) = [line for line in client.request_log(lab, since) if line["source"] == "url"]
    assert line["status"] == 200 and line["ms"]["total"] > 0
    assert "Signature" not in json.dumps(line)


def test_without_any_grant_a_cold_start_names_the_refused_action_and_recovers(lab, url):
    iam, s3 = lab.client("iam"), lab.client("s3")
    picture = sample_path("golf_ball").read_bytes()
    bucket_policy = s3.get_bucket_policy(Bucket=lab.model_bucket)["Policy"]
    iam.delete_role_policy(RoleName=lab.lambda_role, PolicyName=roles.GRANTS["Lambda"])
    s3.delete_bucket_policy(Bucket=lab.model_bucket)
    try:
        client.force_cold_start(lab)
        refused = post(url, picture)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_store_denied")
        assert "s3:GetObject" in refused.json()["error"]["message"]
        s3.put_bucket_policy(Bucket=lab.model_bucket, Policy=bucket_policy)
        assert post(url, picture).status_code == 200, "either grant is enough within one account"
    finally:
        all_at_once.grant(lab)
        s3.put_bucket_policy(Bucket=lab.model_bucket, Policy=bucket_policy)


def test_what_watches_the_endpoint_is_deployed(lab):
    cloudwatch, project = lab.client("cloudwatch"), lab.project_id
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix=f"{project}-")["MetricAlarms"]
    kinds = ("faults", "function-errors", "latency-p99", "shift-faults", "shift-latency", "throttles", "unsure")
    assert sorted(alarm["AlarmName"] for alarm in alarms) == [f"{project}-{kind}" for kind in kinds]
    assert all(alarm["AlarmActions"] == alarm["OKActions"] != [] for alarm in alarms)
    name = lab.outputs(lab.app_stack)["Dashboard"]
    widgets = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])["widgets"]
    assert [alarm["AlarmArn"] in widgets[0]["properties"]["alarms"] for alarm in alarms] == [True] * len(kinds)
    groups = lab.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/apigateway/{project}-api")["logGroups"]
    assert [group["retentionInDays"] for group in groups] == [14]


def test_files_as_clients_send_them(url):
    church = sample_path("church")
    picture = church.read_bytes()
    ways = [
        {"files": {"file": picture}},
        {"files": {"image": ("Kirche am Weiher ü.jpg", picture, "image/jpeg")}, "data": {"comment": "first"}},
        {"data": picture, "headers": {"Content-Type": "application/x-image"}},
        {"data": picture, "headers": {"Content-Type": "binary/octet-stream"}},
        {"json": {"image": base64.b64encode(picture).decode()}},
        {"json": {"url": "data:image/jpeg;base64," + base64.b64encode(picture).decode(), "top": 1}},
    ]
    for way in ways:
        answer = requests.post(url, timeout=60, **way)
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0]["class"].startswith("n03028079")
    for options in (["-F", f"file=@{church}"], ["--data-binary", f"@{church}"]):
        done = subprocess.run(["curl", "--silent", *options, url], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["predictions"][0]["class"].startswith("n03028079"), options


def test_bytes_without_a_type_are_a_prediction_or_say_how_to_send_them(url):
    """API Gateway takes them as binary here; the emulator makes text of them (docs/aws.md)."""
    answer = requests.post(url, data=sample_path("church").read_bytes(), timeout=60)
    assert answer.status_code == 415 and "-H 'Content-Type: image/jpeg'" in answer.json()["error"]["message"]


@pytest.mark.parametrize("size", [4_600_001, 7_000_000])
def test_a_body_that_lambda_would_refuse_on_aws_is_refused_here(url, size):
    answer = requests.post(url, data=bytes(size), headers={"Content-Type": "image/jpeg"}, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "image_too_large")
