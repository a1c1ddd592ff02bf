"""Put a model's golden pictures to a version of Predict, before or while it gets requests.

CodeDeploy calls this before it moves traffic, with `DeploymentId` and `LifecycleEventHookExecutionId`, and waits to be
told the outcome. The lab calls it with `{"version": "7"}` where there is no CodeDeploy. Both get the report, which also
goes into the model store as `releases/<version>.json`.
"""

import base64
import json
import os
from typing import Any

import boto3
from botocore.config import Config

ALIAS = "live"
SLOWER = 3.0  # times as long as the old version, and
SLOWER_MS = 150.0  # milliseconds longer, is too slow
MAX_DISAGREEMENT = 0.5  # share of the golden pictures to which the old version answers another class that both know

Answer = dict[str, Any]


def lambda_handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Check a version; returns `{"version", "passed", "reasons", "pictures", "disagreement", "ms"}`."""
    functions = boto3.client("lambda", config=Config(read_timeout=60, retries={"total_max_attempts": 2}))
    version = str(event.get("version") or os.environ["NEW_VERSION"])
    try:
        report = check(functions, boto3.client("s3"), os.environ["PREDICT_FUNCTION"], version)
    except Exception as problem:  # whatever it is, the version is not known to be good
        report = {"passed": False, "reasons": [f"the check itself failed: {type(problem).__name__}: {problem}"]}
    report["version"] = version
    boto3.client("s3").put_object(
        Bucket=os.environ["MODEL_STORE_BUCKET_NAME"], Key=f"releases/{version}.json", Body=json.dumps(report).encode()
    )
    if "DeploymentId" in event:
        boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
            deploymentId=event["DeploymentId"],
            lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
            status="Succeeded" if report["passed"] else "Failed",
        )
    print(json.dumps(report))
    return report


def check(functions: Any, s3: Any, function: str, version: str) -> dict[str, Any]:
    """Ask a version, and the one that answers now, for the golden pictures of the version's model."""
    settings = functions.get_function_configuration(FunctionName=function, Qualifier=version)
    variables = settings["Environment"]["Variables"]
    bucket, prefix = variables["MODEL_STORE_BUCKET_NAME"], variables["MODEL_STORE_PREFIX"]
    precision = "int8" if "-int8-" in variables["MODEL_SYMBOL_FILE_NAME"] else "float32"
    try:
        golden = json.loads(s3.get_object(Bucket=bucket, Key=f"{prefix}/golden.json")["Body"].read())
    except s3.exceptions.NoSuchKey:
        return {"passed": False, "reasons": [f"{prefix}/golden.json is missing: upload the model again"]}
    pictures = {
        one["file"]: s3.get_object(Bucket=bucket, Key=f"{prefix}/golden/{one['file']}")["Body"].read()
        for one in golden["pictures"]
    }
    labels = s3.get_object(Bucket=bucket, Key=f"{prefix}/{variables['MODEL_SYNSET_FILE_NAME']}")["Body"].read().decode()
    known = {label.split(" ")[0] for label in labels.splitlines()}
    before = answering(functions, function, version)
    new, old = {}, {}
    for name, data in pictures.items():  # in turns, so that a busy moment falls on both
        new[name] = ask(functions, function, version, data)
        if before:
            old[name] = ask(functions, function, before, data)
    return judge(golden, precision, new, old, known)


def answering(functions: Any, function: str, besides: str) -> str | None:
    """The version that answers most requests, besides one; None where there is no other."""
    alias = functions.get_alias(FunctionName=function, Name=ALIAS)
    others = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    shares = {alias["FunctionVersion"]: 1 - sum(others.values())}
    for number, weight in others.items():
        shares[number] = shares.get(number, 0) + weight
    left = {number: share for number, share in shares.items() if number != besides and share > 0}
    return max(left, key=lambda number: left[number]) if left else None


def ask(functions: Any, function: str, version: str, picture: bytes) -> Answer:
    """A version's answer to one picture, by direct invocation: `{"status", "body"}`; status 0 for one that crashed."""
    event = {
        "resource": "/predict",
        "path": "/predict",
        "httpMethod": "POST",
        "headers": {"Content-Type": "image/jpeg"},
        "queryStringParameters": {"top": "1"},
        "requestContext": {"requestId": "golden"},
        "body": base64.b64encode(picture).decode(),
        "isBase64Encoded": True,
    }
    answered = functions.invoke(FunctionName=function, Qualifier=version, Payload=json.dumps(event).encode())
    payload = json.loads(answered["Payload"].read())
    if "FunctionError" in answered or "statusCode" not in payload:
        return {"status": 0, "body": {"error": {"code": payload.get("errorType", "no answer")}}}
    return {"status": payload["statusCode"], "body": json.loads(payload["body"])}


def judge(
    golden: dict[str, Any], precision: str, new: dict[str, Answer], old: dict[str, Answer], known: set[str]
) -> dict[str, Any]:
    """The report on a version's answers, beside those of the version that answers now (empty where there is none).

    `known`: the ids of the new version's classes. An old answer of another class says nothing against the new one.
    """
    reasons, tolerance = [], golden["tolerance"][precision]
    for one in golden["pictures"]:
        answer = new[one["file"]]
        if answer["status"] != 200:
            reasons.append(f"{one['file']}: {answer['status']} {answer['body']['error']['code']}")
            continue
        best = answer["body"]["predictions"][0]
        if first_word(best) != one["class"]:
            reasons.append(f"{one['file']}: {best['class']}, expected {one['class']}")
        elif abs(best["probability"] - one["probability"]) > tolerance:
            reasons.append(f"{one['file']}: {best['probability']:.2f}, expected {one['probability']:.2f} ± {tolerance}")
    both = [name for name in new if name in old and new[name]["status"] == old[name]["status"] == 200]
    compared = [name for name in both if first_of(old[name]) in known]
    differ = [name for name in compared if first_of(new[name]) != first_of(old[name])]
    disagreement = len(differ) / len(compared) if compared else 0.0
    if disagreement > MAX_DISAGREEMENT:
        reasons.append(f"another class than the version that answers now for {len(differ)} of {len(compared)} pictures")
    ms = {"new": least_ms(new), "old": least_ms(old)}
    if ms["old"] and ms["new"] > SLOWER * ms["old"] and ms["new"] > ms["old"] + SLOWER_MS:
        reasons.append(f"a prediction takes {ms['new']:.0f} ms, {ms['old']:.0f} ms in the version that answers now")
    return {
        "passed": not reasons,
        "reasons": reasons,
        "pictures": len(golden["pictures"]),
        "disagreement": disagreement,
        "ms": ms,
    }


def first_of(answer: Answer) -> str:
    return first_word(answer["body"]["predictions"][0])


def first_word(prediction: dict[str, Any]) -> str:
    """The id of a prediction's class: the first word of its label."""
    return prediction["class"].split(" ")[0]


def least_ms(answers: dict[str, Answer]) -> float:
    """The least milliseconds of the network, which a busy machine disturbs least; 0 where no picture was answered."""
    found = [answer["body"]["timings_ms"]["predict"] for answer in answers.values() if answer["status"] == 200]
    return min(found, default=0.0)
