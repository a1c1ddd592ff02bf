"""Roles and what they may do: their policies, the simulator's answers, requests for real, and pictures of both."""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib.pyplot as plt
from botocore.exceptions import ClientError
from matplotlib.patches import Rectangle

from .diagrams import GREY, arrow, box, canvas
from .plots import BLUE, GREEN, INK, RED, headline

READ_ONLY = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
# The inline policies that notebook 03 adds, by the role that gets them. Notebook 07 takes them away again: IAM deletes
# no role that has a policy CloudFormation does not know of.
GRANTS = {"CloudFormation": "put-model-store-policy", "Lambda": "read-model-store"}
ALLOWED, REFUSED = "allowed", "refused"


@dataclass(frozen=True)
class Question:
    """One thing that a role may or may not do: an action on a resource, and what to call the two in a table."""

    wish: str
    action: str
    resource: str


def policy(*statements: dict) -> dict:
    """A policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def policies_of(iam, role: str, without: Iterable[str] = ()) -> dict[str, dict]:
    """The policies of a role by name, inline and managed, as documents; those named in `without` are left out."""
    documents = {}
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=role):
        for name in page["PolicyNames"]:
            documents[name] = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        for attached in page["AttachedPolicies"]:
            documents[attached["PolicyName"]] = managed_policy(iam, attached["PolicyArn"])
    return {name: document for name, document in documents.items() if name not in without}


def managed_policy(iam, arn: str) -> dict:
    """The document of a managed policy's default version."""
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def statements_of(document: dict) -> Iterator[tuple[str, list[str], list[str]]]:
    """(Sid, actions, resources) of each statement; IAM lets a single one of anything stand without its list."""
    listed = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    for statement in listed:
        actions, resources = statement["Action"], statement["Resource"]
        yield (statement.get("Sid", ""), [actions] if isinstance(actions, str) else actions,
               [resources] if isinstance(resources, str) else resources)


def may(iam, role_arn: str, questions: Sequence[Question]) -> list[str]:
    """"allowed" or "refused" for each question, by `simulate_principal_policy` of the role as it is now.

    One call per question: a simulation answers for every pair of action and resource, also those nobody asked about.
    """
    return [_verdict(iam.simulate_principal_policy(
        PolicySourceArn=role_arn, ActionNames=[q.action], ResourceArns=[q.resource])) for q in questions]


def would(iam, documents: Iterable[dict], questions: Sequence[Question]) -> list[str]:
    """As `may`, for a role that had these policies and no others, by `simulate_custom_policy`: nothing is changed."""
    texts = [json.dumps(document) for document in documents]
    return [_verdict(iam.simulate_custom_policy(
        PolicyInputList=texts, ActionNames=[q.action], ResourceArns=[q.resource])) for q in questions]


def _verdict(answer: dict) -> str:
    decisions = {result["EvalDecision"] for result in answer["EvaluationResults"]}
    return ALLOWED if decisions == {"allowed"} else REFUSED


def short(arn: str, account: str) -> str:
    """An ARN without its fixed beginning, and with the account number masked."""
    return re.sub(r"^arn:[a-z-]+:", "", arn).replace(account, "<account>")


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of text in aligned columns, under a heading."""
    cells = [[str(cell) for cell in row] for row in [heading, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heading))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])


# --- For real -------------------------------------------------------------------------------------------------------


class Probe:
    """A role to try policies on for real, with a small store and somebody else's bucket to try them against.

    `store` and `other` are bucket names; `store` holds `models/resnet-18.params`, `other` holds `salaries.csv`.
    """

    def __init__(self, lab):
        self.lab, self.iam, self.s3 = lab, lab.client("iam"), lab.client("s3")
        name = f"{lab.project_id}-probe-{secrets.token_hex(4)}"
        self.role, self.store, self.other = name, f"{name}-store", f"{name}-other"
        self._as_role = None

    def create(self) -> None:
        """Make the role, which this account may assume and which may do nothing, and two buckets, an object in each."""
        trust = policy({"Effect": "Allow", "Principal": {"AWS": self.lab.account}, "Action": "sts:AssumeRole"})
        self.iam.create_role(RoleName=self.role, AssumeRolePolicyDocument=json.dumps(trust),
                             Description="Made by notebook 03 to try policies on; deleted at the end of the cell")
        self.iam.get_waiter("role_exists").wait(RoleName=self.role)
        where = {} if self.lab.region == "us-east-1" else {
            "CreateBucketConfiguration": {"LocationConstraint": self.lab.region}}
        for bucket, key in ((self.store, "models/resnet-18.params"), (self.other, "salaries.csv")):
            self.s3.create_bucket(Bucket=bucket, **where)
            self.s3.get_waiter("bucket_exists").wait(Bucket=bucket)
            self.s3.put_object(Bucket=bucket, Key=key, Body=b"something to read")

    def delete(self) -> None:
        """Delete role and buckets; what is not there is left out."""
        delete_probe(self.iam, self.s3, self.role, (self.store, self.other))

    def grant(self, *documents: dict) -> None:
        """Give the role these policies, and no others."""
        for name in self.iam.list_role_policies(RoleName=self.role)["PolicyNames"]:
            self.iam.delete_role_policy(RoleName=self.role, PolicyName=name)
        for number, document in enumerate(documents):
            self.iam.put_role_policy(RoleName=self.role, PolicyName=f"tried-{number}",
                                     PolicyDocument=json.dumps(document))

    def read_statement(self, effect: str) -> dict:
        """A statement that allows or denies to read the store's objects: for a policy of the role."""
        return {"Effect": effect, "Action": "s3:GetObject",
                "Resource": f"arn:{self.lab.partition}:s3:::{self.store}/*"}

    def put_bucket_policy(self, *statements: dict) -> None:
        """Have the store's bucket policy say these statements of the role; none takes the bucket policy away."""
        if not statements:
            self.s3.delete_bucket_policy(Bucket=self.store)
            return
        document = json.dumps(policy(*({**each, "Principal": {"AWS": self.lab.role_arn(self.role)}}
                                       for each in statements)))
        # For some seconds after a role was made, S3 on AWS does not know it and calls the policy malformed.
        put = _until(lambda: _answer(lambda: self.s3.put_bucket_policy(Bucket=self.store, Policy=document),
                                     "MalformedPolicy"), ALLOWED)
        if put != ALLOWED:
            raise TimeoutError(f"S3 did not take a bucket policy that names the role {self.role} within a minute")

    def client(self, service: str):
        """A client that signs with the role's own temporary credentials."""
        if self._as_role is None:
            sts, held = self.lab.client("sts"), {}
            arn = self.lab.role_arn(self.role)
            _until(lambda: _answer(lambda: held.update(
                sts.assume_role(RoleArn=arn, RoleSessionName="probe")["Credentials"])), ALLOWED)
            if not held:
                raise PermissionError("These credentials may not assume a role of their own account (sts:AssumeRole). "
                                      "The account's root user never may: sign in as an IAM user or role.")
            self._as_role = {"aws_access_key_id": held["AccessKeyId"],
                             "aws_secret_access_key": held["SecretAccessKey"],
                             "aws_session_token": held["SessionToken"]}
        like = self.lab.client(service).meta
        return self.lab.session.client(service, endpoint_url=self.lab.endpoint_url, config=like.config, **self._as_role)

    def requests(self) -> dict[str, Callable]:
        """The requests that notebook 03 tries, by what they wish, each to be called without arguments."""
        s3 = self.client("s3")
        harmless = policy({"Effect": "Allow", "Principal": {"AWS": self.lab.account}, "Action": "s3:GetObject",
                           "Resource": f"arn:{self.lab.partition}:s3:::{self.store}/*"})
        return {
            "read a model": lambda: s3.get_object(Bucket=self.store, Key="models/resnet-18.params"),
            "list the models": lambda: s3.list_objects_v2(Bucket=self.store),
            "replace a model": lambda: s3.put_object(Bucket=self.store, Key="models/resnet-18.params", Body=b"other"),
            "read another bucket": lambda: s3.get_object(Bucket=self.other, Key="salaries.csv"),
            "list all buckets": s3.list_buckets,
            "put the bucket policy": lambda: s3.put_bucket_policy(Bucket=self.store, Policy=json.dumps(harmless)),
        }

    def try_out(self, wishes: Sequence[str], expected: Sequence[str]) -> list[str]:
        """"allowed" or "refused" for each wish, from really asking.

        IAM takes seconds to spread a change on AWS, so it asks again, for a minute at most, while the answers differ
        from `expected`; what came last is returned, whatever it is. An error other than AccessDenied is raised.
        """
        requests = self.requests()
        return _until(lambda: [_answer(requests[wish]) for wish in wishes], list(expected))

    def reason(self, wish: str) -> str:
        """Why a wish was refused, from S3's own message; "" when it was not."""
        try:
            self.requests()[wish]()
        except ClientError as error:
            return why(error)
        return ""


@contextmanager
def probe(lab) -> Iterator[Probe]:
    """A `Probe` for a `with` block, deleted at its end whatever happens in it. Deletes those left behind, too."""
    delete_probes(lab)
    made = Probe(lab)
    try:
        made.create()
        yield made
    finally:
        made.delete()


def probes(lab) -> tuple[list[str], list[str]]:
    """Names of the probe roles and probe buckets that exist: none, but while a `with` block runs."""
    ours = re.compile(rf"{re.escape(lab.project_id)}-probe-[0-9a-f]{{8}}(-store|-other)?")
    pages = lab.client("iam").get_paginator("list_roles").paginate()
    roles = [role["RoleName"] for page in pages for role in page["Roles"] if ours.fullmatch(role["RoleName"])]
    buckets = [bucket["Name"] for bucket in lab.client("s3").list_buckets()["Buckets"]]
    return roles, [bucket for bucket in buckets if ours.fullmatch(bucket)]


def delete_probes(lab) -> None:
    """Delete the probes that exist."""
    roles, buckets = probes(lab)
    for role in roles or [""]:
        delete_probe(lab.client("iam"), lab.client("s3"), role, buckets)


def delete_probe(iam, s3, role: str, buckets: Iterable[str]) -> None:
    """Delete a probe's role ("" for none) and its buckets, which are not versioned; what is not there is left out."""
    for bucket in buckets:
        try:
            for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=entry["Key"])
            s3.delete_bucket(Bucket=bucket)
        except s3.exceptions.NoSuchBucket:
            pass
    if role:
        try:
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                iam.delete_role_policy(RoleName=role, PolicyName=name)
            iam.delete_role(RoleName=role)
        except iam.exceptions.NoSuchEntityException:
            pass


def why(error: ClientError) -> str:
    """What decided against a request, from the words AWS puts into an AccessDenied message."""
    message = str(error)
    if "explicit deny in a resource-based policy" in message:
        return "Deny in the bucket policy"
    if "explicit deny in an identity-based policy" in message:
        return "Deny in the role's policy"
    return "no Allow in either" if error.response["Error"]["Code"] in ("AccessDenied", "403") else message


def _answer(request: Callable, *also: str) -> str:
    """"allowed", or "refused" for AccessDenied and the error codes named in `also`; any other error is raised."""
    try:
        request()
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "403", *also):
            raise
        return REFUSED
    return ALLOWED


def _until(ask: Callable, expected, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while (answer := ask()) != expected and time.monotonic() < deadline:
        time.sleep(2)
    return answer


# --- Pictures -------------------------------------------------------------------------------------------------------


def draw_roles():
    """Who acts in which role, and what the two are still refused (red, dashed)."""
    figure, axes = canvas(12, 4.0, "Each service acts in a role of its own; two permissions are missing on purpose")
    box(axes, 1.4, 3.0, "CloudFormation", "deploys template.yml", GREY, 2.3, 0.9)
    box(axes, 1.4, 0.95, "Lambda", "runs the functions", GREY, 2.3, 0.9)
    box(axes, 5.3, 3.0, "…-CloudFormation", "role", BLUE, 2.5, 0.9)
    box(axes, 5.3, 0.95, "…-Lambda", "role", BLUE, 2.5, 0.9)
    box(axes, 10.3, 3.45, "Functions, API, logs", "those of this project", GREEN, 2.9, 0.85)
    box(axes, 10.3, 1.98, "Model store", "bucket and its policy", RED, 2.9, 0.85)
    box(axes, 10.3, 0.5, "Log lines and traces", "", GREEN, 2.9, 0.75)
    arrow(axes, (2.6, 3.0), (4.0, 3.0), "assumes")
    arrow(axes, (2.6, 0.95), (4.0, 0.95), "assumes")
    arrow(axes, (6.6, 3.15), (8.8, 3.5), "create", GREEN, offset=(0, 0.2))
    arrow(axes, (6.6, 2.85), (8.8, 2.15), "put the bucket policy?", RED, dashed=True, offset=(0.75, 0.2))
    arrow(axes, (6.6, 1.1), (8.8, 1.8), "read the models?", RED, dashed=True, offset=(0.7, -0.2))
    arrow(axes, (6.6, 0.8), (8.8, 0.5), "write", GREEN, offset=(0, -0.22))
    return figure


def draw_decisions(title: str, wishes: Sequence[str], columns: dict[str, Sequence[str]], frame_changes: bool = True):
    """A tile for each wish (row) and state of a role (column): green where allowed, red where refused.

    `columns` maps a state's name to its decisions, one for each wish. Decisions that begin with "allowed" are green;
    the word stands in each tile too, so that the picture needs no colour vision. With `frame_changes`, a tile that
    differs from the one to its left has a thick frame.
    """
    labels, before = list(columns), None
    two_lines = any("\n" in decision for decisions in columns.values() for decision in decisions)
    height, fontsize = (0.62, 12) if two_lines else (0.42, 13)
    figure, axes = plt.subplots(figsize=(4 + 2.4 * len(labels), 1.3 + height * len(wishes)), layout="constrained")
    for x, label in enumerate(labels):
        for y, decision in enumerate(columns[label]):
            color = GREEN if decision.startswith(ALLOWED) else RED
            width, weight = (2.8, "bold") if before and before[y] != decision else (1, "normal")
            axes.add_patch(Rectangle((x + 0.03, y + 0.08), 0.94, 0.84, facecolor=color + "33", edgecolor=color,
                                     linewidth=width))
            axes.text(x + 0.5, y + 0.5, decision, ha="center", va="center", fontsize=fontsize, weight=weight, color=INK)
        before = columns[label] if frame_changes else None
    axes.set(xlim=(0, len(labels)), ylim=(len(wishes), 0))
    axes.set_xticks([x + 0.5 for x in range(len(labels))], labels, fontsize=13, color=INK)
    axes.set_yticks([y + 0.5 for y in range(len(wishes))], wishes, fontsize=13, color=INK)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    headline(figure, title)
    return figure
