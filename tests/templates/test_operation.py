"""How the stack is watched and what it answers by itself: gateway answers, alarms, dashboard, access logs."""

import array
import contextlib
import io
import json
import re
from types import SimpleNamespace

import pytest

from predict import fetching, inbox_function, lambda_function, model_store
from predict.decoder import Prepared
from predict.description import Description
from predict.errors import GATEWAY_STATUS, GUARD_STATUS, STATUS, failure
from predict.model_store import Model, ModelStore
from predict.rejection import Rejection
from tests import contract

PROJECT = "watched"
# What AWS counts by itself, and by which dimensions, of what is used here:
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
AWS_METRICS = {("AWS/Lambda", name, ("FunctionName",)) for name in ("Errors", "Throttles", "ConcurrentExecutions")} | {
    ("AWS/ApiGateway", name, ("ApiName", "Stage")) for name in ("Count", "4XXError", "5XXError", "Latency")
}
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
AWS_METRICS |= {
    ("AWS/SQS", f"ApproximateNumberOfMessages{which}", ("QueueName",)) for which in ("Visible", "NotVisible")
}
AWS_METRICS |= {("AWS/Lambda", "Duration", ("ExecutedVersion", "FunctionName", "Resource"))}
VALUES = {"service": f"{PROJECT}-predict", "function_name": "the-function", "FunctionName": "the-function",
          "ApiName": f"{PROJECT}-api", "Stage": "Prod", "Resource": "the-function:live",
          "ExecutedVersion": "the newest"}  # fmt: skip
QUEUES = {f"{PROJECT}-inbox", f"{PROJECT}-inbox-failed"}


def expected(dimensions):
    """The dimensions as they should be: of a queue's, either of the two."""
    own = {"QueueName": dimensions["QueueName"]} if dimensions.get("QueueName") in QUEUES else {}
    return {name: (VALUES | own)[name] for name in dimensions}


def resolved(value):
    """A value of the template with this project's names in it, and all that is made on request."""
    if isinstance(value, dict) and "Fn::Sub" in value:
        text, own = value["Fn::Sub"] if isinstance(value["Fn::Sub"], list) else (value["Fn::Sub"], {})
        known = {"ProjectId": PROJECT, "AWS::Region": "eu-central-1", "Predict": "the-function"}
        known |= {name: resolved(inner) for name, inner in own.items()}
        return re.sub(r"\$\{([^}]+)\}", lambda match: known.get(match[1], f"<{match[1]}>"), text)
    if value == {"Fn::GetAtt": ["Predict", "Version.Version"]}:
        return "the newest"
    if value == {"Fn::GetAtt": ["InboxFailedQueue", "QueueName"]}:
        return f"{PROJECT}-inbox-failed"
    if isinstance(value, dict) and value.get("Fn::If", [""])[0] == "IsInbox":
        return resolved(value["Fn::If"][1])
    if value == {"Ref": "Predict"}:
        return "the-function"
    return value


@pytest.fixture(scope="module")
def emitted():
    """{(namespace, name, dimension names)} of what the handler counts over requests that go well and wrong."""
    patch = pytest.MonkeyPatch()
    patch.setattr(model_store, "_model", None)
    patch.setattr("aws_lambda_powertools.metrics.provider.cold_start.is_cold_start", True)
    network = SimpleNamespace(run=lambda batch: [array.array("f", [1.0]), array.array("f", [2.0])])
    description = Description(rejection=Rejection(("flatten0",), (1.0,), 0.0, 1.0))
    model = Model(network, ["a"], "one", "float32", "0" * 64, description)
    patch.setattr(ModelStore, "from_environment", lambda: SimpleNamespace(bind=lambda seconds: model))
    patch.setattr(lambda_function._decoder, "prepare", lambda data, seconds, fitting: Prepared(b""))
    pictures = iter([b"picture"])

    def fetch(url, **options):
        with contextlib.suppress(StopIteration):
            return next(pictures)
        raise failure("host_not_found", "no such host")

    patch.setattr(fetching, "fetch", fetch)
    context = SimpleNamespace(
        function_name="the-function",
        memory_limit_in_mb=1769,
        invoked_function_arn="arn",
        aws_request_id="id",
        get_remaining_time_in_millis=lambda: 29_000,
    )
    event = {"httpMethod": "GET", "path": "/predict", "queryStringParameters": {"url": "https://example.com/"}}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for _ in range(2):
            lambda_function.lambda_handler(event, context)
    patch.undo()
    found = set()
    for line in printed.getvalue().splitlines():
        for directive in json.loads(line).get("_aws", {}).get("CloudWatchMetrics", []):
            for dimensions in directive["Dimensions"]:
                key = tuple(sorted(dimensions))
                found |= {(directive["Namespace"], metric["Name"], key) for metric in directive["Metrics"]}
    return found


@pytest.fixture(scope="module")
def alarms(template):
    resources = template["Resources"].items()
    return {name: each["Properties"] for name, each in resources if each["Type"] == "AWS::CloudWatch::Alarm"}


@pytest.fixture(scope="module")
def widgets(template):
    return json.loads(resolved(template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]))["widgets"]


def plotted(widgets):
    """(namespace, name, {dimension: value}) of every metric of the dashboard's widgets."""
    for widget in widgets:
        for metric in widget["properties"].get("metrics", []):
            namespace, *rest = [part for part in metric if not isinstance(part, dict)] or [None]
            if namespace:
                yield namespace, rest[0], dict(zip(rest[1::2], rest[2::2], strict=True))


def test_gateway_answers_are_of_the_contract(template):
    answers = contract.gateway_answers(template["Resources"]["Api"]["Properties"])
    seen = set()
    for kind, status, text, headers in answers:
        (body,) = json.loads(text.replace("$context.error.messageString", '"…"')).values()
        assert body.keys() == {"code", "message"}, kind
        assert status == (STATUS | GATEWAY_STATUS | GUARD_STATUS)[body["code"]], kind
        assert ("Retry-After" in headers) is (body["code"] in GATEWAY_STATUS), kind
        assert headers["Access-Control-Allow-Origin"]["Fn::If"][0] == "HasAllowOrigin", kind
        seen.add(body["code"])
    kinds = {kind for kind, *_ in answers}
    # The first three have a status of their own; the defaults take in every type that is not named.
    assert {"THROTTLED", "REQUEST_TOO_LARGE", "INTEGRATION_TIMEOUT", "DEFAULT_4XX", "DEFAULT_5XX"} <= kinds
    assert seen >= GATEWAY_STATUS.keys() | GUARD_STATUS.keys()
    assert len(STATUS | GATEWAY_STATUS | GUARD_STATUS) == len(STATUS) + len(GATEWAY_STATUS) + len(GUARD_STATUS)


def test_alarms_watch_errors_faults_throttles_and_the_slowest_answers(alarms, emitted):
    watched = set()
    for name, alarm in alarms.items():
        dimensions = {each["Name"]: resolved(each["Value"]) for each in alarm["Dimensions"]}
        assert dimensions == expected(dimensions), name
        key = (alarm["Namespace"], alarm["MetricName"], tuple(sorted(dimensions)))
        assert key in emitted | AWS_METRICS, name
        watched.add((*key[:2], alarm.get("Statistic") or alarm["ExtendedStatistic"]))
    assert watched == {
        ("AWS/Lambda", "Duration", "p50"),
        ("AWS/Lambda", "Errors", "Sum"),
        ("ServerlessPredictions", "Faults", "Sum"),
        ("ServerlessPredictions", "Unsure", "Average"),
        ("AWS/Lambda", "Throttles", "Sum"),
        ("AWS/ApiGateway", "Latency", "p99"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum"),
    }


def test_alarms_are_quiet_without_requests_and_tell_nobody_unless_told(alarms, template):
    assert template["Parameters"]["AlarmEmail"]["Default"] == ""
    assert template["Resources"]["AlarmTopic"]["Condition"] == "HasAlarmEmail"
    for name, alarm in alarms.items():
        assert alarm["TreatMissingData"] == "notBreaching", name
        assert resolved(alarm["AlarmName"]).startswith(f"{PROJECT}-"), name
        for actions in (alarm["AlarmActions"], alarm["OKActions"]):
            assert actions["Fn::If"] == ["HasAlarmEmail", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}], name


def test_lost_packets_of_a_name_lookup_leave_time_for_the_fetch(template):
    variables = template["Resources"]["Predict"]["Properties"]["Environment"]["Variables"]
    chosen = dict(option.split(":") for option in variables["RES_OPTIONS"].split())
    assert int(chosen["timeout"]) * int(chosen["attempts"]) < fetching.MAX_SECONDS / 2


def test_the_latency_alarm_is_above_what_a_slow_host_can_cause(alarms):
    (alarm,) = [each for each in alarms.values() if each["MetricName"] == "Latency"]
    assert fetching.MAX_SECONDS * 1000 < alarm["Threshold"] < lambda_function.GATEWAY_SECONDS * 1000


def test_the_dashboard_shows_metrics_that_exist(widgets, emitted):
    shown = set()
    for namespace, name, dimensions in plotted(widgets):
        assert (namespace, name, tuple(sorted(dimensions))) in emitted | AWS_METRICS
        assert dimensions == expected(dimensions), name
        shown.add((namespace, name))
    # Errors are searched for, by code; everything else that the function counts is there by name.
    assert {name for namespace, name in shown if namespace == "ServerlessPredictions"} == {
        name for _, name, _ in emitted
    } - {"Errors"}
    (search,) = [metric[0]["expression"] for widget in widgets for metric in widget["properties"].get("metrics", [])
                 if isinstance(metric[0], dict)
                 if "code" in metric[0].get("expression", "")]  # fmt: skip
    schema = re.search(r"SEARCH\('\{([^}]*)\} MetricName=\"(\w+)\" service=\"([^\"]+)\"", search)
    namespace, *dimensions = schema[1].split(",")
    assert (namespace, schema[2], tuple(sorted(dimensions))) in emitted
    assert schema[3] == VALUES["service"]


def test_the_dashboard_shows_each_stage_by_percentile_and_every_alarm(widgets, alarms):
    stages = {*lambda_function.METRIC_NAMES.values(), "Latency"}
    by_percentile = {
        widget["properties"]["stat"]: {name for _, name, _ in plotted([widget])}
        for widget in widgets
        if widget["properties"].get("stat", "").startswith("p")
    }
    assert by_percentile == {"p50": stages, "p95": stages, "p99": stages}
    assert widgets[0]["properties"]["alarms"] == [f"<{name}.Arn>" for name in alarms]


def test_no_two_widgets_of_the_dashboard_overlap(widgets):
    taken = set()
    for widget in widgets:
        cells = {(x, y) for x in range(widget["x"], widget["x"] + widget["width"])
                 for y in range(widget["y"], widget["y"] + widget["height"])}  # fmt: skip
        assert not taken & cells and max(x for x, _ in cells) < 24
        taken |= cells


def test_metrics_of_two_projects_are_kept_apart(template):
    variables = template["Resources"]["Predict"]["Properties"]["Environment"]["Variables"]
    assert resolved(variables["POWERTOOLS_SERVICE_NAME"]) == VALUES["service"]


def test_access_logs_hold_nothing_that_a_client_chooses(template, toolchain):
    condition, setting, nothing = template["Resources"]["Api"]["Properties"]["AccessLogSetting"]["Fn::If"]
    assert (condition, nothing) == ("HasAccessLogs", {"Ref": "AWS::NoValue"})
    line = json.loads(setting["Format"])
    assert {"requestId", "status", "resource", "milliseconds"} <= line.keys()
    for variable in line.values():
        assert re.fullmatch(r"\$context\.[A-Za-z.]+", variable)
        # The path itself is the client's, and quotation marks in it are not escaped; queries and headers hold secrets.
        assert not re.search(r"\.path|query|header|userAgent|override", variable)
    group = template["Resources"][setting["DestinationArn"]["Fn::GetAtt"][0]]
    assert group["Condition"] == "HasAccessLogs"
    assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert template["Parameters"]["AccessLogs"]["Default"] == toolchain["Parameters"]["ApiLogsRole"]["Default"]


def test_the_inbox_hides_a_message_longer_than_its_worker_may_run(template):
    resources = template["Resources"]
    worker, queue = resources["InboxScore"]["Properties"], resources["InboxQueue"]["Properties"]
    mapping = worker["Events"]["Uploads"]["Properties"]
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    assert queue["VisibilityTimeout"] >= 6 * worker["Timeout"]
    assert worker["Timeout"] > mapping["BatchSize"] * inbox_function.DECODE_SECONDS
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    receives = worker["Environment"]["Variables"]["INBOX_RECEIVES"]
    assert str(queue["RedrivePolicy"]["maxReceiveCount"]) == receives
