"""Roles and what they may do: their policies, the simulator's answers, requests for real, and pictures of both."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from workshop.printing import table as table  # the notebooks' `iam.table`

# The inline policies that notebook 04 adds, by the role that gets them. Notebook 10 takes them away again: IAM deletes
# no role that has a policy CloudFormation does not know of.
GRANTS = {"CloudFormation": "put-model-store-policy", "Lambda": "read-model-store"}
ALLOWED, DENIED = "allowed", "denied"


@dataclass(frozen=True)
class Question:
    """One thing that a role may or may not do: an action on a resource, and what to call the two in a table."""

    attempt: str
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


def read_only(partition: str) -> str:
    """The ARN of AWS's own policy AmazonS3ReadOnlyAccess in a partition (`lab.partition`)."""
    return f"arn:{partition}:iam::aws:policy/AmazonS3ReadOnlyAccess"


def managed_policy(iam, arn: str) -> dict:
    """The document of a managed policy's default version."""
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]


def statements_of(document: dict) -> Iterator[tuple[str, list[str], list[str]]]:
    """(Sid, actions, resources) of each statement; IAM lets a single one of anything stand without its list."""
    listed = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    for statement in listed:
        actions, resources = statement["Action"], statement["Resource"]
        yield (
            statement.get("Sid", ""),
            [actions] if isinstance(actions, str) else actions,
            [resources] if isinstance(resources, str) else resources,
        )


def may(iam, role_arn: str, questions: Sequence[Question], expected: Sequence[str] | None = None) -> list[str]:
    """ "allowed" or "denied" for each question, by `simulate_principal_policy` of the role as it is now.

    One call per question: a simulation answers for every pair of action and resource, also those nobody asked about.
    After an edit, `expected` says what is to come of it: IAM takes seconds to spread a change on AWS, so it asks again,
    for a minute at most, while the answers differ; what came last is returned, whatever it is.
    """

    def ask() -> list[str]:
        return [
            _verdict(
                iam.simulate_principal_policy(
                    PolicySourceArn=role_arn, ActionNames=[q.action], ResourceArns=[q.resource]
                )
            )
            for q in questions
        ]

    return ask() if expected is None else until(ask, list(expected))


def until(ask: Callable, expected, seconds: float = 60):
    """What `ask()` answers, asked again until it is `expected`, for so many seconds at most."""
    deadline = time.monotonic() + seconds
    while (answer := ask()) != expected and time.monotonic() < deadline:
        time.sleep(2)
    return answer


def would(iam, documents: Iterable[dict], questions: Sequence[Question]) -> list[str]:
    """As `may`, for a role that had these policies and no others, by `simulate_custom_policy`: nothing is changed."""
    texts = [json.dumps(document) for document in documents]
    return [
        _verdict(iam.simulate_custom_policy(PolicyInputList=texts, ActionNames=[q.action], ResourceArns=[q.resource]))
        for q in questions
    ]


def _verdict(answer: dict) -> str:
    decisions = {result["EvalDecision"] for result in answer["EvaluationResults"]}
    return ALLOWED if decisions == {"allowed"} else DENIED


def short(arn: str, account: str) -> str:
    """An ARN without its fixed beginning, and with the account number masked."""
    return re.sub(r"^arn:[a-z-]+:", "", arn).replace(account, "<account>")
