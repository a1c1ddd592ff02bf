"""A new version gets a share of the requests, is watched, and then gets all of them or none.

On AWS, CodeDeploy does this while the stack is updated (template.yml, DeploymentPreference). The emulator has no
CodeDeploy. There this module moves the weights of the same alias, after the same check of the golden pictures. Instead
of alarms, which do not fire there, it reads the function's log.

`hold` comes before the deploy: CloudFormation then names the new version in the alias, and all requests still go to the
old one.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workshop import UserError, client
from workshop.deployment import parameters, stacks, versions
from workshop.lab import Lab
from workshop.models.files import ModelFiles

SHARE, SECONDS = 0.1, 300.0  # Shift's default: Canary10Percent5Minutes


class CanaryError(UserError):
    """The check of a new version did not run."""


@dataclass(frozen=True)
class Limits:
    """What takes a new version back while it gets requests. `slower`: times the old version's median milliseconds, when
    it is also `slower_ms` longer; `unsure`: share of pictures whose best class is a guess, of `enough` or more.
    """

    faults: int = 1
    slower: float = 3.0
    slower_ms: float = 300.0
    unsure: float = 0.8
    enough: int = 5


@dataclass
class Outcome:
    """How a release went: from `old` to `new`, taken back or not, and why. `shares`: (seconds since the start, the new
    version's share) at each change of it; `met`: how many requests the new version answered while it was watched.
    """

    old: int
    new: int
    taken_back: bool = False
    noticed_by: str = ""
    reasons: list[str] = field(default_factory=list)
    shares: list[tuple[float, float]] = field(default_factory=list)
    met: int = 0

    @property
    def live(self) -> int:
        """The version that answers now."""
        return self.old if self.taken_back else self.new


def ship(
    lab: Lab,
    files: ModelFiles,
    precision: str = "float32",
    chosen: dict[str, object] | None = None,
    **release_settings: Any,
) -> Outcome:
    """Upload a model, deploy a version that serves it, and release that. `release_settings`: as of `release`.

    The code stays: the stack keeps its template, whatever was built since.

    On AWS the stack's update fails when CodeDeploy takes the version back, and the stack is as before. Raises
    StackError where the deploy fails otherwise.
    """
    versions.upload(lab, files)
    old = hold(lab)
    cloudformation = lab.client("cloudformation")
    named = parameters.application(lab, files.name, precision, chosen or {}, files.digest)
    before = stacks.parameters(cloudformation, lab.app_stack)
    role = lab.role_arn(lab.cloudformation_role)
    try:
        stacks.deploy(cloudformation, lab.app_stack, None, named, role, ("CAPABILITY_AUTO_EXPAND",))
    except stacks.StackError as error:
        if lab.target == "local" or old is None or versions.live(lab) != old:
            raise
        new = max(version.number for version in versions.listed(lab))
        return Outcome(old, new, True, "CodeDeploy", versions.report(lab, new).get("reasons", [str(error)]))
    outcome = release(lab, old, **release_settings)
    if outcome.taken_back and lab.target == "local":
        # As CodeDeploy leaves it. Otherwise the stack's next update would let the version answer that was taken back.
        hold(lab)
        stacks.deploy(cloudformation, lab.app_stack, None, before, role, ("CAPABILITY_AUTO_EXPAND",))
        versions.point(lab, outcome.old)
    return outcome


def hold(lab: Lab) -> int | None:
    """Keep all requests where they are while a new version is deployed; returns the version that answers.

    None where nothing answers yet. On AWS CodeDeploy sees to it.
    """
    try:
        now = versions.live(lab)
    except UserError:
        return None
    if lab.target == "local":
        versions.point(lab, now, {now: 1.0})
    return now


def release(
    lab: Lab,
    old: int | None,
    share: float = SHARE,
    seconds: float = SECONDS,
    limits: Limits = Limits(),
    check: bool = True,
    progress: Callable[[Outcome], Any] | None = None,
) -> Outcome:
    """Move the requests from `old` (as `hold` returned it) to the version that the stack published.

    Its golden pictures come first (`check`). Then it gets `share` (0 to 1) of the requests for `seconds`, and all after
    that; with 0 seconds all at once. A first version with a snapshot is published again, now that the store has the
    model. What the limits do not allow takes it back. `progress(outcome)` is called each
    second. Raises CanaryError when the check does not run; then the old version answers.
    """
    new = int(lab.outputs(lab.app_stack)["PredictVersion"])
    outcome = Outcome(old or new, new)
    if lab.target == "aws" or old is None or old == new:
        versions_live = versions.live(lab)
        if lab.target == "local":
            versions.point(lab, versions_live)
        outcome.taken_back = versions_live != new
        if old is None and stacks.parameters(lab.client("cloudformation"), lab.app_stack).get("SnapStart") == "true":
            client.force_cold_start(lab)  # the store, and so its snapshot, had no model when the stack published this
        return outcome
    began, unix = time.monotonic(), time.time()

    def move(part: float) -> None:
        versions.point(lab, new, {old: 1 - part} if part < 1 else {})
        outcome.shares.append((time.monotonic() - began, part))

    def take_back(who: str, reasons: list[str]) -> Outcome:
        versions.point(lab, old)
        outcome.shares.append((time.monotonic() - began, 0.0))
        outcome.taken_back, outcome.noticed_by, outcome.reasons = True, who, reasons
        return outcome

    try:
        if check:
            report = asked(lab, new)
            if not report["passed"]:
                return take_back("golden pictures", report["reasons"])
        if seconds > 0:
            move(share)
        while time.monotonic() - began < seconds + (outcome.shares[0][0] if outcome.shares else 0):
            time.sleep(1)
            lines = answered(lab, unix)
            outcome.met = sum(line["version"] == str(new) for line in lines)
            if reasons := exceeded(lines, str(new), str(old), limits):
                return take_back("requests", reasons)
            if progress:
                progress(outcome)
        move(1.0)
    except BaseException:
        versions.point(lab, old)  # also when the cell is interrupted
        raise
    return outcome


def asked(lab: Lab, number: int) -> dict[str, Any]:
    """The report on a version's golden pictures, by the function that CodeDeploy would call. Raises CanaryError."""
    functions = lab.client("lambda", read_timeout=630, retries={"total_max_attempts": 1})
    name = lab.outputs(lab.app_stack)["GoldenCheckFunction"]
    answer = functions.invoke(FunctionName=name, Payload=json.dumps({"version": str(number)}).encode())
    report = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise CanaryError(f"the check of version {number} failed: {report.get('errorMessage', report)}")
    return report


def answered(lab: Lab, since: float) -> list[dict[str, Any]]:
    """The log lines of requests that came through the API since `since` (Unix time, s): none of the golden pictures."""
    try:
        lines = client.request_log(lab, since, wait=0)
    except TimeoutError:
        return []
    return [line for line in lines if line["api_request_id"] != "golden"]


def exceeded(lines: list[dict[str, Any]], new: str, old: str, limits: Limits) -> list[str]:
    """Which limits the new version's requests exceed, in words."""
    ours = [line for line in lines if line["version"] == new]
    faults = [line["code"] for line in ours if line["status"] in (500, 503)]
    found = []
    if len(faults) >= limits.faults:
        found.append(f"{len(faults)} of {len(ours)} requests failed: {', '.join(sorted(set(faults)))}")
    times = {
        version: [line["ms"]["predict"] for line in lines if line["version"] == version and "predict" in line["ms"]]
        for version in (new, old)
    }
    if min(map(len, times.values())) >= limits.enough:
        slow, before = statistics.median(times[new]), statistics.median(times[old])
        if slow > limits.slower * before and slow > before + limits.slower_ms:
            found.append(f"a prediction takes {slow:.0f} ms, {before:.0f} ms before")
    best = [line["best"] for line in ours if "best" in line]
    unsure = sum(probability < 0.5 for probability in best)
    if len(best) >= limits.enough and unsure > limits.unsure * len(best):
        found.append(f"no class with a probability of one half for {unsure} of {len(best)} pictures")
    return found
