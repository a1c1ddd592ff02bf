"""Before anything is made: may this caller do all that the lab does, is there room for it, and what will it cost?

    python -m workshop.deployment.preflight --target aws [--region …] [--project-id …]

Nothing is created or changed. Exit status 0 where the lab can begin, 1 where something must be done first.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from workshop import ROOT, choices
from workshop.deployment import cleanup, commands, judge, probe, stacks
from workshop.deployment.judge import machines, parameters, resolving
from workshop.lab import Lab
from workshop.scale import cost, quotas

FINE, DO, OPEN = "ok", "to do", "not asked"
MARKS = {FINE: "✓", DO: "✗", OPEN: "–"}
ACTIONS_PER_CALL = 50  # of a simulation
# The quota of buckets in an account: https://docs.aws.amazon.com/general/latest/gr/s3.html
BUCKET_QUOTA = ("s3", "L-DC2B2D3D")
BUCKETS = 3  # that the lab makes, at most
MORE_ROOM = ": delete some, or ask AWS for a higher quota"
STUCK = ("_FAILED", "_IN_PROGRESS")


@dataclass(frozen=True)
class Row:
    """One question, its answer (`FINE`, `DO`, `OPEN`), and what was found or is to be done."""

    question: str
    answer: str
    says: str


def check(lab: Lab, **choices: str) -> list[Row]:
    """Ask everything that the target can answer; a question that it cannot answer is a row, too.

    `choices`: parameters of template.yml and toolchain.yml that will be given. Raises LabError where not even the
    caller is known.
    """
    who = lab.identity["Arn"]
    rows = [_caller(lab, who)]
    questions: list[tuple[str, Callable[..., Iterator[Row]]]] = [
        ("permissions", _permissions),
        ("concurrency", _concurrency),
        ("room for buckets", _buckets),
        ("room for roles", _roles),
        ("bucket names", _names),
        ("an earlier run", _leftovers),
        ("templates", _templates),
        ("state machine", _machine),
        ("logs of the API", _api_logs),
    ]
    with ThreadPoolExecutor(4) as pool:
        rows += [row for found in pool.map(lambda one: list(_asked(lab, choices, *one)), questions) for row in found]
    return [*rows, *_costs(choices)]


def _asked(lab: Lab, choices: dict[str, str], question: str, ask: Callable[..., Iterator[Row]]) -> Iterator[Row]:
    """The rows of one question. Where the target does not know it, or does not let it be asked, that is the row."""
    try:
        yield from ask(lab, choices)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        action = error.operation_name
        if lab.target == "local":
            yield Row(question, OPEN, f"the emulator does not answer {action}")
        elif "AccessDenied" in code or code in ("403", "UnauthorizedOperation"):
            yield Row(question, OPEN, f"these credentials may not ask ({action}): allow it, or look yourself")
        else:
            yield Row(question, OPEN, f"{action} answered {code}: {error.response['Error'].get('Message', '')}")
    except BotoCoreError as error:
        yield Row(question, OPEN, f"no answer: {error}")


def _caller(lab: Lab, who: str) -> Row:
    shown = who.replace(lab.account, "<account>")
    if lab.target == "aws" and who.endswith(":root"):
        return Row("caller", DO, f"{shown} may assume no role (notebook 04): sign in as an IAM user or role")
    return Row("caller", FINE, f"{shown} in {lab.region}, which is enabled for this account")


# --- Permissions ----------------------------------------------------------------------------------------------------


def principal(lab: Lab, who: str) -> str:
    """The ARN that IAM simulates: of an assumed role's session, the role itself."""
    session = re.fullmatch(r"arn:([a-z-]+):sts::(\d+):assumed-role/([^/]+)/.+", who)
    return lab.client("iam").get_role(RoleName=session[3])["Role"]["Arn"] if session else who


def _permissions(lab: Lab, choices: dict[str, str]) -> Iterator[Row]:
    question = "permissions"
    who = lab.identity["Arn"]
    if who.endswith(":root"):
        yield Row(question, OPEN, "the root user may do everything, and IAM does not simulate it")
        return
    world = resolving.World(partition=lab.partition, region=lab.region, account=lab.account)
    known = _known("toolchain.yml") & choices.keys()
    needs = judge.caller_needs(lab.project_id, world, {name: choices[name] for name in known})
    denied = denials(lab, principal(lab, who), needs)
    if not denied:
        yield Row(question, FINE, f"{len(needs)} pairs of action and resource, simulated one by one")
        return
    by_action = defaultdict(list)
    for need in denied:
        by_action[need.action].append(need)
    first = next(iter(by_action.values()))[0]
    names = ", ".join(sorted(by_action)[:8]) + (" …" if len(by_action) > 8 else "")
    yield Row(question, DO, f"{len(by_action)} actions are denied, {first.action} for {first.why}: allow {names}")


def denials(lab: Lab, arn: str, needs: list[judge.Need]) -> list[judge.Need]:
    """Those of `needs` that IAM's simulator does not allow to the principal `arn`."""
    groups = defaultdict(list)
    for need in needs:
        groups[need.resource, need.passed_to, need.function].append(need)
    calls = [
        (key, group[at : at + ACTIONS_PER_CALL])
        for key, group in groups.items()
        for at in range(0, len(group), ACTIONS_PER_CALL)
    ]
    iam = lab.client("iam", retries={"mode": "adaptive", "total_max_attempts": 6})

    def simulate(call) -> list[judge.Need]:
        (resource, passed_to, function), group = call
        known = {"iam:PassedToService": passed_to, "lambda:FunctionArn": function}
        keys = [
            {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for name, value in known.items()
            if value
        ]
        pages = iam.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=arn,
            ActionNames=[need.action for need in group],
            ResourceArns=[resource],
            ContextEntries=keys,
        )
        allowed = {
            result["EvalActionName"].lower()
            for page in pages
            for result in page["EvaluationResults"]
            if result["EvalDecision"] == "allowed"
        }
        return [need for need in group if need.action.lower() not in allowed]

    with ThreadPoolExecutor(4) as pool:
        return [need for denied in pool.map(simulate, calls) for need in denied]


# --- Quotas and names -----------------------------------------------------------------------------------------------


def _concurrency(lab: Lab, choices: dict[str, str]) -> Iterator[Row]:
    found = quotas.account(lab)
    total, free = found.concurrency, found.unreserved
    wanted = int(choices.get("ReservedConcurrency", -1))
    if wanted > 0 and not found.can_reserve(wanted):
        most = max(0, free - quotas.UNRESERVED)
        advice = f"reserve at most {most}" if most else "leave ReservedConcurrency at -1, or ask AWS for a higher quota"
        says = f"{wanted} cannot be reserved of {total} ({quotas.UNRESERVED} must stay free): {advice}"
        yield Row("concurrency", DO, says)
    elif total < 1000:
        reserves = (
            "reserves 2 of them for a while" if found.can_reserve(2) else "measures within that and reserves none"
        )
        words = f"{total} executions at once in this account: notebook 08 {reserves}"
        yield Row("concurrency", FINE, words)
    else:
        yield Row("concurrency", FINE, f"{total} executions at once, {free} of them unreserved")
    if total < 1000 and int(choices.get("MemorySize", 0)) > 3008:
        yield Row("memory", DO, "an account with this little concurrency is often limited to 3,008 MB: choose that")


def _buckets(lab: Lab, choices: dict[str, str]) -> Iterator[Row]:
    count = len(lab.client("s3").list_buckets()["Buckets"])
    service, code = BUCKET_QUOTA
    quota = int(lab.client("service-quotas").get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"])
    enough = count + BUCKETS <= quota
    says = f"{count} of {quota} are there, the lab makes {BUCKETS}" + ("" if enough else MORE_ROOM)
    yield Row("room for buckets", FINE if enough else DO, says)


def _roles(lab: Lab, choices: dict[str, str]) -> Iterator[Row]:
    summary = lab.client("iam").get_account_summary()["SummaryMap"]
    count, quota = summary["Roles"], summary["RolesQuota"]
    resources = resolving.load(ROOT / judge.TOOLCHAIN)["Resources"].values()
    roles = sum(each["Type"] == "AWS::IAM::Role" for each in resources)  # with those that are made on request
    enough = count + roles <= quota
    says = f"{count} of {quota} are there, the lab makes {roles}" + ("" if enough else MORE_ROOM)
    yield Row("room for roles", FINE if enough else DO, says)


def _names(lab: Lab, choices: dict[str, str]) -> Iterator[Row]:
    s3, taken, mine = lab.client("s3"), [], []
    for bucket in (*cleanup.application_buckets(lab), lab.artifact_bucket):
        try:
            s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=lab.account)
            mine.append(bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
                taken.append(bucket)
    if taken:
        names = ", ".join(taken).replace(lab.account, "<account>")
        says = f"{names} belongs to somebody else, or is closed to you: choose another PROJECT_ID"
        yield Row("bucket names", DO, says)
    else:
        yield Row("bucket names", FINE, f"{len(mine)} of {BUCKETS} are there and yours, the others are free")


def _leftovers(lab: Lab, choices: dict[str, str]) -> Iterator[Row]:
    cloudformation = lab.client("cloudformation")
    states = {stack: stacks.status(cloudformation, stack) for stack in (lab.toolchain_stack, lab.app_stack)}
    there = {stack: state for stack, state in states.items() if state and state != "DELETE_COMPLETE"}
    stuck = {
        stack: state
        for stack, state in there.items()
        if state.endswith(STUCK) and state not in ("REVIEW_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE")
    }
    for stack, state in stuck.items():
        advice = "wait until it ends" if state.endswith("_IN_PROGRESS") else "run notebook 10, or delete the stack"
        yield Row("an earlier run", DO, f"{stack} is in {state}: {advice}")
    roles, buckets = probe.probes(lab)
    if roles or buckets:
        says = f"{len(roles)} roles and {len(buckets)} buckets of notebook 04 are left: it deletes them"
        yield Row("an earlier run", FINE, says)
    if not stuck:
        says = ", ".join(f"{stack} is in {state}" for stack, state in there.items())
        yield Row("an earlier run", FINE, f"{says}: it will be updated" if says else "none: this will be the first")


# --- Templates ------------------------------------------------------------------------------------------------------


def _known(template: str) -> set[str]:
    return set(resolving.load(ROOT / template).get("Parameters", {}))


def _templates(lab: Lab, choices: dict[str, str]) -> Iterator[Row]:
    cloudformation = lab.client("cloudformation")
    for name in (judge.APP, judge.TOOLCHAIN):
        try:
            cloudformation.validate_template(TemplateBody=stacks.request_body((ROOT / name).read_text()))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            yield Row("templates", DO, f"{name}: {error.response['Error']['Message']}")
            return
    yield Row("templates", FINE, f"{judge.APP} and {judge.TOOLCHAIN} are valid to CloudFormation")


def _machine(lab: Lab, choices: dict[str, str]) -> Iterator[Row]:
    template = resolving.load(ROOT / judge.APP)
    chosen = next(parameters.cases(template)) | {"BulkScoring": "true"}
    stack = resolving.resolve(resolving.expand(template, chosen), chosen, resolving.World(lab.app_stack))
    for name, resource in stack.resources.items():
        if resource["Type"] != "AWS::StepFunctions::StateMachine":
            continue
        text = machines.definition(resource["Properties"])
        answer = lab.client("stepfunctions").validate_state_machine_definition(definition=text)
        problems = [each["message"] for each in answer["diagnostics"] if each["severity"] == "ERROR"]
        says = "; ".join(problems) or f"{name} is valid to Step Functions"
        yield Row("state machine", DO if problems else FINE, says)


def _api_logs(lab: Lab, choices: dict[str, str]) -> Iterator[Row]:
    if choices.get("AccessLogs") != "true":
        yield Row("logs of the API", FINE, "off; AccessLogs=true asks for them")
    elif lab.client("apigateway").get_account().get("cloudwatchRoleArn") or choices.get("ApiLogsRole") == "true":
        yield Row("logs of the API", FINE, "API Gateway has a role to write them")
    else:
        yield Row("logs of the API", DO, "API Gateway has no role to write them: add ApiLogsRole=true")


# --- Costs ----------------------------------------------------------------------------------------------------------


def _costs(choices: dict[str, str]) -> Iterator[Row]:
    template = resolving.load(ROOT / judge.APP)
    left_out = () if choices.get("OnUpload") == "true" else ("IsInbox",)
    kinds = [one["Type"] for one in template["Resources"].values() if one.get("Condition") not in left_out]
    idle = cost.idle(kinds.count("AWS::CloudWatch::Alarm"), kinds.count("AWS::CloudWatch::Dashboard"))
    per_day = cost.total(idle) / cost.HOURS_PER_MONTH * 24
    memory = choices.get("MemorySize", template["Parameters"]["MemorySize"]["Default"])
    work = cost.Workload(requests=1000, memory_mb=int(memory))
    per_thousand = cost.total(cost.serverless(work))
    table = cost.table()
    yield Row(
        "cost",
        FINE,
        f"about ${per_day:.2f} a day while nobody asks (alarms and dashboard, free tier not counted), and about "
        f"${per_thousand:.3f} for 1,000 predictions of {work.billed_ms:.0f} ms; list prices of {table['region']}, "
        f"{table['checked']}",
    )


# --- For a person and for scripts -----------------------------------------------------------------------------------


def table(rows: list[Row], width: int = 110) -> str:
    """The rows with a tick, a cross or a dash each, and a last line that counts them."""
    first = max(len(row.question) for row in rows)
    lines = []
    for row in rows:
        wrapped = textwrap.wrap(row.says, width - first - 4, break_on_hyphens=False) or [""]
        lines.append(f"{MARKS[row.answer]} {row.question:<{first}}  {wrapped[0]}")
        lines += [" " * (first + 4) + line for line in wrapped[1:]]
    to_do, not_asked = (sum(row.answer == answer for row in rows) for answer in (DO, OPEN))
    verdict = f"{to_do} to do first" if to_do else "the lab can begin"
    return "\n".join([*lines, "", verdict + (f"; {not_asked} could not be asked" if not_asked else "")])


def main(arguments: list[str] | None = None) -> int:
    parser = commands.parser("preflight", __doc__.splitlines()[0])
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="of template.yml and toolchain.yml")
    chosen = parser.parse_args(arguments)
    to_do: list[Row] = []

    def ask(lab: Lab) -> None:
        rows = check(lab, **choices.given(chosen.parameters))
        print(table(rows))
        to_do.extend(row for row in rows if row.answer == DO)

    return commands.run("preflight", chosen, ask, start=True) or bool(to_do)


if __name__ == "__main__":
    sys.exit(main())
