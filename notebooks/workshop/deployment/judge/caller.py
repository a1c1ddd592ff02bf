"""What the person who runs the lab must be allowed: what toolchain.yml's resources take, and what the code asks AWS.

The code is read, not run: every boto3 operation that the notebooks and their library name is found by its method, its
paginator or its waiter, and becomes the IAM action that allows it.
"""

from __future__ import annotations

import ast
import contextlib
import functools
from collections.abc import Iterator, Mapping

from . import reference
from .permissions import Need, needs
from .resolving import Resolved, World

# boto3's name of a service, where IAM's prefix is another.
PREFIXES = {"stepfunctions": "states", "service-quotas": "servicequotas"}
# Operations whose IAM action has another name. S3's are in the reference by their permission.
ACTIONS: dict[str, tuple[str, ...]] = {
    "apigateway:CreateApiKey": ("apigateway:POST",),
    "apigateway:CreateUsagePlanKey": ("apigateway:POST",),
    "apigateway:DeleteApiKey": ("apigateway:DELETE",),
    "apigateway:GetApiKeys": ("apigateway:GET",),
    "apigateway:GetUsage": ("apigateway:GET",),
    "apigateway:GetUsagePlanKeys": ("apigateway:GET",),
    "apigateway:GetUsagePlans": ("apigateway:GET",),
    "apigateway:GetRestApis": ("apigateway:GET",),
    "apigateway:GetResources": ("apigateway:GET",),
    "apigateway:GetStage": ("apigateway:GET",),
    "apigateway:GetStages": ("apigateway:GET",),
    "apigateway:GetAccount": ("apigateway:GET",),
    "cloudwatch:GetMetricStatistics": ("cloudwatch:GetMetricStatistics",),
    "lambda:Invoke": ("lambda:InvokeFunction",),
    "s3:AbortMultipartUpload": ("s3:AbortMultipartUpload",),
    "s3:DeleteObjects": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "s3:DownloadFile": ("s3:GetObject",),
    "s3:GetBucketEncryption": ("s3:GetEncryptionConfiguration",),
    "s3:GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration",),
    "s3:GetPublicAccessBlock": ("s3:GetBucketPublicAccessBlock",),
    "s3:HeadBucket": ("s3:ListBucket",),
    "s3:HeadObject": ("s3:GetObject",),
    "s3:ListBuckets": ("s3:ListAllMyBuckets",),
    "s3:ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "s3:ListObjectVersions": ("s3:ListBucketVersions",),
    "s3:ListObjectsV2": ("s3:ListBucket",),
    "s3:PutPublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    "s3:UploadFile": ("s3:AbortMultipartUpload", "s3:PutObject"),
    "s3:UploadFileobj": ("s3:AbortMultipartUpload", "s3:PutObject"),
}
TRANSFERS = {"upload_file": "UploadFile", "upload_fileobj": "UploadFileobj", "download_file": "DownloadFile"}
ANYBODY = {"sts:GetCallerIdentity"}  # which no policy can refuse but by a Deny
# What tools ask that the code starts.
MORE: dict[str, tuple[str, ...]] = {
    "sam package": ("s3:GetObject", "s3:ListBucket", "s3:PutObject"),
}
# The lab's resources by the reference's forms of ARNs, without `arn:<partition>:`.
RESOURCES = {
    "apigateway:${Region}::/restapis": ("apigateway:{region}::/restapis",),
    "apigateway:${Region}::/restapis/${Path}": ("apigateway:{region}::/restapis/*",),
    "apigateway:${Region}::/apikeys": ("apigateway:{region}::/apikeys",),
    "apigateway:${Region}::/apikeys/${Id}": ("apigateway:{region}::/apikeys/*",),
    "apigateway:${Region}::/usageplans": ("apigateway:{region}::/usageplans",),
    "apigateway:${Region}::/usageplans/${Path}": ("apigateway:{region}::/usageplans/*",),
    "cloudformation:${Region}:${Account}:stack/${StackName}/${Id}":
        ("cloudformation:{region}:{account}:stack/{project}-*/*",),
    "cloudformation:${Region}:aws:transform/${Name}":
        ("cloudformation:{region}:aws:transform/Serverless-2016-10-31",),
    "cloudwatch:${Region}:${Account}:alarm:${AlarmName}": ("cloudwatch:{region}:{account}:alarm:{project}-*",),
    "iam::${Account}:policy/${PolicyNameWithPath}": ("iam::aws:policy/AmazonS3ReadOnlyAccess",),
    "iam::${Account}:role/${RoleNameWithPath}":
        ("iam::{account}:role/CodeStarWorker-{project}-*", "iam::{account}:role/{project}-probe-*"),
    "lambda:${Region}:${Account}:function:${FunctionName}": ("lambda:{region}:{account}:function:{project}-app-*",),
    "logs:${Region}:${Account}:log-group:${LogGroupName}": (
        "logs:{region}:{account}:log-group:/aws/lambda/{project}-*",
    ),
    "s3:::${BucketName}": ("s3:::{project}-*",),
    "s3:::${BucketName}/${ObjectName}": ("s3:::{project}-*/*",),
    "sqs:${Region}:${Account}:${QueueName}": ("sqs:{region}:{account}:{project}-inbox*",),
    "states:${Region}:${Account}:execution:${StateMachineName}:${ExecutionId}":
        ("states:{region}:{account}:execution:{project}-bulk:*",),
    "states:${Region}:${Account}:stateMachine:${StateMachineName}":
        ("states:{region}:{account}:stateMachine:{project}-bulk",),
}  # fmt: skip


def needs_of_caller(
    toolchain: Resolved, sources: Mapping[str, str], project: str = "predictions", world: World | None = None
) -> list[Need]:
    """Everything that the caller's own credentials must allow, sorted and each once.

    `toolchain`: toolchain.yml, resolved with the parameters that it is deployed with. `sources`: Python text by file,
    as `judge.sources()` returns it. Resources hold `*` where the lab does not know the name; `Need.why` names the
    resource of toolchain.yml or the file.
    """
    world = world or toolchain.world
    found = {
        Need(need.action, need.resource or "*", f"toolchain.yml: {need.why}", need.passed_to)
        for need in needs(toolchain)
    }
    for place, source in sources.items():
        for service, operation in operations(ast.parse(source)):
            for action in actions_of(service, operation):
                found |= {Need(action, resource, place) for resource in resources_of(action, project, world)}
    found.add(
        Need(
            "iam:PassRole", toolchain.arn("CloudFormationRole"), "the change sets' role", "cloudformation.amazonaws.com"
        )
    )
    for why, actions in MORE.items():
        found |= {
            Need(action, resource, why) for action in actions for resource in resources_of(action, project, world)
        }
    first: dict[tuple[str, str, str], Need] = {}
    for need in sorted(found):
        first.setdefault((need.action, need.resource, need.passed_to), need)
    return list(first.values())


def actions_of(service: str, operation: str) -> tuple[str, ...]:
    """The IAM actions that allow an operation of a boto3 service (`s3`, `HeadBucket`). Raises LookupError for none."""
    prefix = PREFIXES.get(service, service)
    name = f"{prefix}:{operation}"
    if name in ANYBODY:
        return ()
    actions = ACTIONS.get(name, (name,))
    for action in actions:
        if not reference.row(action):
            raise LookupError(f"{name}: no such IAM action: name it in judge/caller.py, ACTIONS")
    return actions


def operations(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(boto3 service, operation) of each call in a module: a client's method, or what names a paginator or waiter.

    A method is a client's when an operation of one of the lab's services has its name. Where two services have it, the
    name of what it is called on decides (`cloudformation.…`, `lab.client("logs").…`).
    """
    known = _operations()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        method, argument = node.func.attr, node.args[0] if node.args else None
        if (
            method in ("get_paginator", "get_waiter")
            and isinstance(argument, ast.Constant)
            and isinstance(argument.value, str)
        ):
            method = f"waiter {argument.value}" if method == "get_waiter" else argument.value
        if method in TRANSFERS:
            yield "s3", TRANSFERS[method]
        services = known.get(method, {})
        called_on = ast.unparse(node.func.value)
        named = [service for service in services if _hints(service, called_on)]
        for service in named or (services if len(services) == 1 else ()):
            yield service, services[service]


SERVICES = (
    "apigateway",
    "cloudformation",
    "cloudwatch",
    "iam",
    "lambda",
    "logs",
    "s3",
    "service-quotas",
    "sqs",
    "stepfunctions",
    "sts",
)
HINTS = {"lambda": ("lambda", "functions"), "stepfunctions": ("stepfunctions", "states"), "service-quotas": ("quotas",)}


def _hints(service: str, called_on: str) -> bool:
    last = called_on.lower().rsplit(".", 1)[-1]
    return any(hint in last for hint in HINTS.get(service, (service,)))


@functools.cache
def _operations() -> dict[str, dict[str, str]]:
    """{method, or `waiter <name>`: {service: operation}} of the lab's services."""
    import botocore.session
    from botocore import xform_name
    from botocore.exceptions import DataNotFoundError

    session = botocore.session.get_session()
    found: dict[str, dict[str, str]] = {}
    for service in SERVICES:
        for operation in session.get_service_model(service).operation_names:
            found.setdefault(xform_name(operation), {})[service] = operation
        with contextlib.suppress(DataNotFoundError):  # a service without waiters
            model = session.get_waiter_model(service)
            for name in model.waiter_names:
                found.setdefault(f"waiter {xform_name(name)}", {})[service] = model.get_waiter(name).operation
    return found


def resources_of(action: str, project: str, world: World) -> list[str]:
    """The project's resources that an action is asked for, by the forms that the reference gives; `*` for none."""
    names = {"project": project, "region": world.region, "account": world.account}
    forms = [form.removeprefix("arn:${Partition}:") for form in reference.forms(action)]
    known = {name.format(**names) for form in forms for name in RESOURCES.get(form, ())}
    return sorted(f"arn:{world.partition}:{name}" for name in known) or ["*"]
