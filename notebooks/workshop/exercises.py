"""The checks of the notebooks' exercises.

Each takes the answers first, and by keyword the facts of the notebook that they are compared with. Its outcome is true
when all is right, and shows as "Right." or as a sentence on the thing that is missing. A check raises nothing for an
answer of any form, so an empty cell stops no run: an answer that is still `...` is asked for by its name.
"""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

Policy = Mapping[str, Any]
# Of three statements of CloudFormation's role: the step that fails without each.
STEPS = {
    "PassTheLambdaRoleToLambdaOnly": "create a function",
    "FindLogGroups": "look up log groups",
    "ReadTheBuiltPackages": "fetch the code",
}


@dataclass(frozen=True)
class Checked:
    """The outcome of a check: `missing` is "" when all is right."""

    missing: str

    def __bool__(self) -> bool:
        return not self.missing

    def __repr__(self) -> str:
        return textwrap.fill(f"Not yet: {self.missing}" if self.missing else "Right.", 100)


def check(problem: Callable[..., str]) -> Callable[..., Checked]:
    """Make a check of a function that returns the sentence on the thing that is missing, "" when all is right."""
    kinds = inspect.signature(problem).parameters.values()
    answers = [one.name for one in kinds if one.kind is not inspect.Parameter.KEYWORD_ONLY]

    @functools.wraps(problem)
    def checked(*given: Any, **facts: Any) -> Checked:
        empty = [f"`{name}`" for name, answer in zip(answers, given, strict=True) if answer is ...]
        if empty:
            return Checked(f"assign {' and '.join(empty)} in the cell above, and run both cells.")
        try:
            return Checked(problem(*given, **facts))
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            said = f"{type(error).__name__}: {error}"
            return Checked(f"the answer has another form than the exercise asks for ({said}).")

    return checked


@check
def trust(trust: Policy) -> str:
    """00: the trust policy of the Lambda role."""
    if "Role" in trust:
        return 'this is all that get_role returns. The policy is at ["Role"]["AssumeRolePolicyDocument"].'
    principals = [statement.get("Principal") for statement in trust["Statement"]]
    if None in principals:
        return "these statements name no Principal: this is a policy of permissions, and not the trust policy."
    if principals != [{"Service": "lambda.amazonaws.com"}]:
        return f"this role trusts {principals}. Ask for the role `lab.lambda_role`."
    return ""


@check
def nothing_to_do(again: Sequence[Any]) -> str:
    """00: the events of a second deployment of the same stack."""
    if not isinstance(again, list):
        return "assign the list that `stacks.deploy` returns."
    return f"{len(again)} events: something differs from the first deployment. Use `named` again." if again else ""


@check
def resumed(starts: Sequence[int], *, size: int) -> str:
    """01: the first byte that each of four requests asks for, of a file of `size` bytes."""
    if len(starts) != 4:
        return f"{len(starts)} requests; three broken lines and the last download make four."
    if list(starts) != sorted(set(starts)):
        return "each request must begin behind the one before: take `request.start` of `server.requests`."
    if starts[0] != 0 or starts[-1] >= size:
        return f"the first request begins at byte 0, and the last before byte {size:,}."
    return ""


@check
def who_refuses(refusals: Sequence[str]) -> str:
    """01: the names of the functions that reject a model with one class too many, in the order of their calls."""
    if "write_manifest" in refusals:
        return "`write_manifest` writes sums for whatever is there, and rejects nothing."
    if "check_structure" not in refusals:
        return "a fresh manifest makes the sums right. Call `check_structure`, too."
    return "" if list(refusals) == ["open_model", "check_structure"] else "call `open_model` first, and keep the order."


@check
def other_cover(hottest: np.ndarray, *, plain: np.ndarray, by_gradient: np.ndarray) -> str:
    """02: the ten hottest parts under another cover, bool (7, 7), beside those of the square and of Grad-CAM."""
    if np.shape(hottest) != plain.shape or np.asarray(hottest).dtype != bool:
        return "expected the 7 × 7 booleans that `explain.hottest` makes of the new map's `heat`."
    if (hottest == by_gradient).all() and not (plain == by_gradient).all():
        return "this is Grad-CAM's map. Make one with `explain.occlusion`."
    if (hottest == plain).all():
        return "this is the map of the plain square. Give `explain.occlusion` another image as `cloth`."
    if hottest.sum() != plain.sum():
        return f"{hottest.sum()} parts are marked, and not {plain.sum()}."
    return ""


@check
def upside_down(
    turned: np.ndarray,
    changed: Sequence[str],
    *,
    photos: Mapping[str, Image.Image],
    firsts: Mapping[str, int],
    ask: Callable[[Image.Image], np.ndarray],
) -> str:
    """02: the probabilities (N, classes) of N samples upside down, and the names of those with another first class.

    `ask` gives the probabilities (1, classes) of one image, `firsts` the class of each sample as it is.
    """
    wanted = np.concatenate([ask(ImageOps.flip(photo)) for photo in photos.values()])
    if np.shape(turned) != wanted.shape:
        return f"expected {wanted.shape[0]} rows of {wanted.shape[1]} probabilities, got {np.shape(turned)}."
    if not np.allclose(turned, wanted, rtol=1e-2, atol=1e-4):
        return "these are other probabilities. `ImageOps.flip` turns upside down; `mirror` swaps left and right."
    differ = {name for name, row in zip(photos, wanted, strict=True) if row.argmax() != firsts[name]}
    if set(changed) != differ:
        wrong = sorted(set(changed) ^ differ)
        return f"`changed` is wrong about {', '.join(wrong)}. Compare the first class with that in `firsts`."
    return ""


@check
def threshold(covered: float, correct: float, *, bins: Sequence[Mapping[str, float]]) -> str:
    """03: of the test set in `bins`, the share with a confidence above 0.8, and the share that is right in it."""
    if not bins:
        return "no test of this model is recorded. Try the exercise with the practice model."
    sure = [one for one in bins if one["low"] >= 0.8]
    count = sum(one["count"] for one in sure)
    if max(covered, correct) > 1:
        return "give shares from 0 to 1, and not per cent."
    if abs(covered - count / sum(one["count"] for one in bins)) > 0.001:
        return "`covered` is not the share above 80 %. Add up the counts of the bins whose `low` is 0.8 or more."
    if abs(correct - sum(one["count"] * one["accuracy"] for one in sure) / count) > 0.001:
        return "`correct` is wrong. Weigh each bin's accuracy with its count, and divide by the images in these bins."
    return ""


@check
def blank_images(blank: Sequence[Any]) -> str:
    """03: the verdicts on a white image, noise and a ramp."""
    if len(blank) != 3:
        return f"{len(blank)} verdicts; three images were asked for."
    scores = [verdict.score for verdict in blank]
    if len({round(score, 6) for score in scores}) < 3:
        return "two images have the same score: they are the same image."
    if all(verdict.known for verdict in blank):
        return "all are known: these images show something. Make them of one colour, of noise and of a ramp."
    return ""


@check
def one_folder(one_model: Policy, told: Sequence[str], *, store: str) -> str:
    """04: a policy for the folder models/practice/ of the store, and the decisions on a model inside and outside."""
    statements = one_model["Statement"]
    resources = [resource for each in statements for resource in _as_list(each["Resource"])]
    if resources != [f"{store}/models/practice/*"]:
        return f"the resource is {', '.join(resources)}. It must be the objects of models/practice/, and no more."
    if {action for each in statements for action in _as_list(each["Action"])} != {"s3:GetObject"}:
        return "one action is enough to read an object: s3:GetObject."
    if list(told) != ["allowed", "denied"]:
        return f"the decisions are {list(told)}. Ask about practice first, then about another folder."
    return ""


@check
def old_packages(forecast: Mapping[str, str], *, grants: Mapping[str, Any]) -> str:
    """04: "allowed" or "denied" for each state of the grants: may Lambda read an old package?"""
    if set(forecast) != set(grants):
        return f"give one word for each of {', '.join(grants)}."
    odd = set(forecast.values()) - {"allowed", "denied"}
    if odd:
        return f"the words are allowed and denied, and not {', '.join(map(str, odd))}."
    right = {state: "allowed" if state == "AmazonS3ReadOnlyAccess" else "denied" for state in grants}
    wrong = [state for state in grants if forecast[state] != right[state]]
    return f"look again at {', '.join(wrong)}: which of its actions match s3:GetObjectVersion?" if wrong else ""


@check
def reasons(why: Mapping[str, tuple[str, str]], *, statements: Sequence[Mapping[str, Any]]) -> str:
    """04: for three statements of a role, the step that fails without each, and the part that limits it."""
    by_name = {each["Sid"]: each for each in statements}
    for name, step in STEPS.items():
        if name not in why:
            return f"{name} is missing."
        step_named, limit = why[name]
        limits = [part for part, there in _limits(by_name[name]).items() if there]
        if step_named != step:
            return f"{name}: another step than “{step_named}” fails without it. Its actions name the step."
        if limit != (" and ".join(limits) or "neither"):
            return f"{name}: “{limit}” is not the part that limits it. Print its Resource and its Condition."
    return ""


def _limits(statement: Mapping[str, Any]) -> dict[str, bool]:
    return {"resource": statement["Resource"] != "*", "condition": "Condition" in statement}


def _as_list(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


@check
def zip_share(zipped: int, share: float, *, unzipped: int) -> str:
    """05: the size of the zip in bytes, and its share of the unzipped size."""
    if share > 1:
        return "give a share from 0 to 1: the zip's size over the unzipped one."
    if not 0.1 < zipped / unzipped < 0.6:
        return f"{zipped:,} bytes is not the size of Predict's zip. Ask for `CodeSize` of the function PredictFunction."
    return "" if abs(share - zipped / unzipped) < 0.01 else f"{zipped:,} of {unzipped:,} bytes is another share."


@check
def other_precision(functions: set[str], *, waiting: Sequence[Any]) -> str:
    """05: the functions that another precision changes. `waiting`: the stack's change sets that were not executed."""
    if not functions:
        return "no function is in the change set: give `Precision` the other value."
    if "HelloWorld" in functions:
        return "HelloWorld loads no model, so it does not change. Take the change set's own list."
    if "Predict" not in functions:
        return (
            "the function that loads the model is missing. Take `LogicalResourceId` of the type AWS::Lambda::Function."
        )
    return f"{len(waiting)} change sets are left. Delete yours with `delete_change_set`." if waiting else ""


@check
def all_classes(probabilities: Sequence[float], *, classes: int) -> str:
    """06: the probabilities that come back with `top` set to 20, of a model with so many `classes`."""
    if any(not isinstance(one, float) for one in probabilities):
        return "take the number at `probability` of each prediction."
    if len(probabilities) != min(20, classes):
        return f"{len(probabilities)} numbers, not {min(20, classes)}: send `top` as a parameter of the URL."
    if not 0 < sum(probabilities) < 1 + 1e-3:
        return f"they add up to {sum(probabilities):.3f}. All classes together share 1."
    return ""


@check
def cold_starts(starts: Sequence[str]) -> str:
    """06: the header X-Cold-Start of two requests that were sent at once, after a forced cold start."""
    if len(starts) != 2:
        return f"{len(starts)} headers; two requests were asked for."
    if list(starts).count("true") == 1:
        return "one environment served both: the second request was sent after the first was answered."
    return (
        "" if list(starts) == ["true", "true"] else "no environment had to start: call `client.force_cold_start` first."
    )


@check
def taken_back(outcome: Any) -> str:
    """07: the outcome of `canary.ship` with a broken model and `check=False`."""
    if not outcome.taken_back:
        return "this version was kept: ship the model that is not loadable, while requests arrive."
    if outcome.noticed_by != "requests":
        return f"it was noticed by {outcome.noticed_by}. Leave the golden pictures out with `check=False`."
    return ""


@check
def one_more_part(again: Mapping[str, int], added: int) -> str:
    """08: the counts of the second run of a job with one more image, and the number of parts that it wrote."""
    if again["scored"] != 6:
        return f"{again['scored']} images are scored, and not 6: put one more below the same prefix."
    if added != 1:
        return f"{added} parts were written, and not 1: start the same job, which skips the parts that are there."
    return ""


@check
def enough_environments(
    enough: int,
    *,
    rate: Callable[[np.ndarray], np.ndarray],
    seconds: np.ndarray,
    throttled: Callable[[int, float], float],
) -> str:
    """09: the environments for the day's peak. `rate` is the requests a second at a time of the day, `seconds` the
    measured durations, and `throttled(count, busy)` Erlang's share.
    """
    busy = float(rate(np.arange(0.0, 86_400, 60)).max() * np.mean(seconds))
    if int(enough) != enough or enough < 1:
        return "expected a whole number of environments."
    if throttled(enough, busy) >= 0.001:
        share = throttled(enough, busy)
        return f"{enough} environments throttle {share:.2%} at the peak. Take the peak, and not the mean."
    if enough > 1 and throttled(enough - 1, busy) < 0.001:
        return f"{enough} are more than needed: {enough - 1} throttle fewer than one in a thousand, too."
    return ""


@check
def left_behind(listed: int, count: int, size: int) -> str:
    """10: the objects that a bucket lists after a plain delete, its versions and markers, and their bytes."""
    if listed:
        return f"{listed} objects are listed: delete the object first."
    if count == 0:
        return "nothing is left: switch versioning on before you put the object."
    if count == 1 or not size:
        return "the object's version is gone, too: delete it without naming a version."
    return ""


@check
def remembered(ours: Sequence[Mapping[str, Any]], *, names: Sequence[str]) -> str:
    """10: CloudFormation's records of this project's deleted stacks."""
    alive = [each["StackName"] for each in ours if each.get("StackStatus") != "DELETE_COMPLETE"]
    if alive:
        return f"{', '.join(alive)}: ask for stacks in the state DELETE_COMPLETE."
    found = {each["StackName"] for each in ours}
    if found - set(names):
        return f"{', '.join(sorted(found - set(names)))}: keep the stacks of this project alone."
    missing = [name for name in names if name not in found]
    return f"{', '.join(missing)} is missing." if missing else ""


@check
def gained(gained: np.ndarray, *, rounded: np.ndarray, exact: np.ndarray, labels: np.ndarray) -> str:
    """A1: for each class, the images that are right by the rounding. `rounded`, `exact`: probabilities (N, classes)."""
    right = [(said.argmax(axis=1) == labels) for said in (rounded, exact)]
    wanted = [
        sum(int(hit) for hit, label in zip(hits, labels, strict=True) if label == one)
        for hits in right
        for one in range(rounded.shape[1])
    ]
    by_rounding, before = np.split(np.array(wanted), 2)
    if np.shape(gained) != by_rounding.shape:
        return f"expected one number for each of {len(by_rounding)} classes."
    if (np.asarray(gained) == by_rounding - before).all():
        return ""
    if (np.asarray(gained) == before - by_rounding).all():
        return "the signs are swapped: the images gained by the rounding count as positive."
    return "expected the difference of both diagonals: right after the rounding, less right before it."


@check
def thresholds(answered: Sequence[float], right_then: Sequence[float], *, said: np.ndarray, labels: np.ndarray) -> str:
    """A1: for the thresholds 0.3 to 0.9 the share that gets a prediction, and the share of those that is right."""
    limits, sure, hits = np.arange(0.3, 0.91, 0.1), said.max(axis=1), said.argmax(axis=1) == labels
    if not len(answered) == len(right_then) == len(limits):
        return f"expected {len(limits)} shares in each list, from the threshold 0.3 to 0.9."
    if max(*answered, *right_then) > 1:
        return "give shares from 0 to 1, and not counts or per cent."
    if not np.allclose(answered, [(sure >= limit).mean() for limit in limits], atol=1e-3):
        return "`answered` is wrong: count the images whose largest probability reaches the threshold."
    wanted = [hits[sure >= limit].mean() if (sure >= limit).any() else 1.0 for limit in limits]
    if not np.allclose(right_then, wanted, atol=1e-3):
        return "`right_then` is wrong: divide by the images that get a prediction, and not by all."
    return ""
