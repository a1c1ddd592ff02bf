"""What a request to the endpoint must carry: nothing, an API key, or a signature. And the keys that there are.

The stack's parameter `Auth` decides. Keys are no part of the stack: a template should hold no secret, and a key that
was handed out outlives a deployment. Their names begin with the project's id and a dot, which no project id holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from workshop import UserError
from workshop.lab import Lab

HEADER = "x-api-key"
OWN = "lab"  # the name of the key that the lab itself asks with
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

# Takes a request of requests or httpx just before it is sent, and returns it; either library takes it as `auth`.
Auth = Callable[[Any], Any]


class AccessError(UserError):
    """What is wrong with who may ask, and what to do about it."""


@dataclass(frozen=True)
class Endpoint:
    """The URL of `/predict`, and what a request to it must carry; None for nothing."""

    url: str
    auth: Auth | None = None

    @classmethod
    def of(cls, given: str | Endpoint) -> Endpoint:
        """An endpoint as it is, or one that asks for nothing at a URL."""
        return given if isinstance(given, Endpoint) else cls(given)


@dataclass(frozen=True)
class Keyed:
    """Puts an API key into a request."""

    key: str

    def __repr__(self) -> str:
        return "Keyed(…)"

    def __call__(self, request: Any) -> Any:
        request.headers[HEADER] = self.key
        return request


@dataclass(frozen=True)
class Signed:
    """Signs a request by Signature Version 4, for API Gateway.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
    """

    credentials: Credentials | botocore.credentials.ReadOnlyCredentials
    region: str

    def __repr__(self) -> str:
        return f"Signed({self.region})"

    def __call__(self, request: Any) -> Any:
        body = request.body if hasattr(request, "body") else request.content
        plain = AWSRequest(method=request.method, url=str(request.url), data=body or b"")
        SigV4Auth(self.credentials, "execute-api", self.region).add_auth(plain)
        request.headers.update({name: str(value) for name, value in plain.headers.items()})
        return request


def mode(lab: Lab) -> str:
    """`none`, `key` or `iam`: the deployed stack's `Auth`; `none` for a stack from before that parameter."""
    described = lab.client("cloudformation").describe_stacks(StackName=lab.app_stack)["Stacks"][0]
    values = {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])}
    return values.get("Auth", "none")


def signed(lab: Lab) -> Signed:
    """What signs requests with the lab's own credentials."""
    credentials = lab.session.get_credentials()
    if credentials is None:
        raise AccessError("there are no AWS credentials to sign with: run `aws configure` or `aws sso login`")
    return Signed(credentials, lab.region)


# --- The keys ---------------------------------------------------------------------------------------------------------


def plan(lab: Lab) -> str:
    """The id of the usage plan that keys belong to. Raises AccessError where the endpoint takes none."""
    found = lab.outputs(lab.app_stack).get("KeyPlan")
    if found is None:
        raise AccessError(f"the endpoint of {lab.project_id} takes no keys: deploy it with `make deploy Auth=key`")
    return found


def keys(lab: Lab, name: str = "") -> list[dict[str, Any]]:
    """API Gateway's entries of the project's keys, or of the one of this name, with their values."""
    prefix = f"{lab.project_id}.{name}"
    pages = lab.client("apigateway").get_paginator("get_api_keys").paginate(nameQuery=prefix, includeValues=True)
    found = [key for page in pages for key in page["items"]]
    # nameQuery looks for the beginning of a name.
    return [key for key in found if key["name"] == prefix or (not name and key["name"].startswith(prefix))]


def in_plan(lab: Lab, plan_id: str) -> set[str]:
    """The ids of the keys of a usage plan."""
    pages = lab.client("apigateway").get_paginator("get_usage_plan_keys").paginate(usagePlanId=plan_id)
    return {key["id"] for page in pages for key in page["items"]}


def make(lab: Lab, name: str) -> str:
    """Make a key of the usage plan and return its value. Raises AccessError for a name that is taken or not valid.

    A key of this name from before, which belongs to no plan any more, is taken into the plan.
    """
    if not NAME.fullmatch(name):
        raise AccessError(f"{name!r} is not valid: expected 1 to 64 letters, digits, '-' and '_'")
    api, plan_id = lab.client("apigateway"), plan(lab)
    found = keys(lab, name)
    if any(key["id"] in in_plan(lab, plan_id) for key in found):
        raise AccessError(f"there is a key {name!r} already: revoke it first, or choose another name")
    key = found[0] if found else api.create_api_key(name=f"{lab.project_id}.{name}", enabled=True)
    api.create_usage_plan_key(usagePlanId=plan_id, keyId=key["id"], keyType="API_KEY")
    return key["value"]


def revoke(lab: Lab, name: str) -> None:
    """Delete a key. Raises AccessError where there is none of this name."""
    found = keys(lab, name)
    if not found:
        raise AccessError(f"there is no key {name!r} of {lab.project_id}: `make keys` lists them")
    for key in found:
        delete(lab, key["id"])


def delete(lab: Lab, key_id: str) -> None:
    """Delete a key by its id; one that is gone already is passed over."""
    try:
        lab.client("apigateway").delete_api_key(apiKey=key_id)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotFoundException":
            raise


def own_key(lab: Lab) -> tuple[str, bool]:
    """The value of the lab's own key, and whether it was made just now."""
    member = in_plan(lab, plan(lab))
    for key in keys(lab, OWN):
        if key["id"] in member and key["enabled"]:
            return key["value"], False
    return make(lab, OWN), True
