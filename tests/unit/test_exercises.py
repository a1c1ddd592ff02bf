"""The checks of the exercises: the right answer, three typical wrong ones and an empty cell for each.

That the notebooks' solutions are right is nbval's part, with the real answers.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from workshop import exercises
from workshop.inspection.known import Scored
from workshop.scale.simulation import erlang_b

STORE = "arn:aws:s3:::store"
HOT, GRADIENT, OTHER = (np.roll(np.arange(49) < 10, by).reshape(7, 7) for by in (0, 5, 2))
PHOTOS = {name: Image.effect_mandelbrot((8, 8), box, 9) for name, box in (("a", (-2, -1, 1, 3)), ("b", (-2, -3, 1, 1)))}
BINS = [
    {"low": 0.7, "count": 50, "accuracy": 0.9},
    {"low": 0.8, "count": 30, "accuracy": 0.95},
    {"low": 0.9, "count": 20, "accuracy": 1.0},
]
GRANTS = {"as it was made": [], "AmazonS3ReadOnlyAccess": [{}], "narrow": [{}]}
STATEMENTS = [
    {"Sid": "PassTheLambdaRoleToLambdaOnly", "Resource": "arn:aws:iam::1:role/a", "Condition": {"StringEquals": {}}},
    {"Sid": "FindLogGroups", "Resource": "*"},
    {"Sid": "ReadTheBuiltPackages", "Resource": "arn:aws:s3:::artifacts/*"},
]
WHY = {
    "PassTheLambdaRoleToLambdaOnly": ("create a function", "resource and condition"),
    "FindLogGroups": ("look up log groups", "neither"),
    "ReadTheBuiltPackages": ("fetch the code", "resource"),
}
SAID = np.array([[0.95, 0.05], [0.6, 0.4], [0.4, 0.6], [0.45, 0.55]])
EXACT = np.array([[0.95, 0.05], [0.4, 0.6], [0.4, 0.6], [0.45, 0.55]])
LABELS = np.array([0, 0, 1, 0])
LIMITS = np.arange(0.3, 0.91, 0.1)
ANSWERED = [float((SAID.max(axis=1) >= limit).mean()) for limit in LIMITS]
RIGHT = [float((SAID.argmax(axis=1) == LABELS)[SAID.max(axis=1) >= limit].mean()) for limit in LIMITS]


def trusting(principal):
    return {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}]}


def ask(photo):
    """Probabilities that depend on the upper and lower half: some images change upside down."""
    upper, lower = np.split(np.asarray(photo, float), 2)
    share = (upper.sum() + 1) / (upper.sum() + lower.sum() + 2)
    return np.array([[share, 1 - share]])


def stacked(turn):
    return np.concatenate([ask(photo.transpose(turn)) for photo in PHOTOS.values()])


def reads(resource, action="s3:GetObject"):
    return {"Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}


def deleted(*names, status="DELETE_COMPLETE"):
    return [{"StackName": name, "StackStatus": status} for name in names]


def shipped(taken_back, by):
    return SimpleNamespace(taken_back=taken_back, noticed_by=by)


def daily(at):
    return np.where((at > 60_000) & (at < 70_000), 100.0, 10.0)


FIRSTS = {name: int(ask(photo).argmax()) for name, photo in PHOTOS.items()}
UPSIDE_DOWN = stacked(Image.Transpose.FLIP_TOP_BOTTOM)
CHANGED = [name for name, row in zip(PHOTOS, UPSIDE_DOWN, strict=True) if row.argmax() != FIRSTS[name]]
PEAK = {"rate": daily, "seconds": np.array([0.05, 0.05]), "throttled": erlang_b}
ENOUGH = next(count for count in range(1, 100) if erlang_b(count, 5.0) < 0.001)
TURN = {"photos": PHOTOS, "firsts": FIRSTS, "ask": ask}
TRAINED = {"rounded": SAID, "exact": EXACT, "labels": LABELS}

# The check, its facts, the right answers, and the wrong ones with a part of the sentence on each.
CASES = [
    (
        exercises.trust,
        {},
        (trusting({"Service": "lambda.amazonaws.com"}),),
        [
            (({"Role": {"AssumeRolePolicyDocument": trusting("*")}},), "AssumeRolePolicyDocument"),
            ((trusting({"Service": "cloudformation.amazonaws.com"}),), "lab.lambda_role"),
            ((reads("*"),), "no Principal"),
            (("arn:aws:iam::1:role/a",), "another form"),
        ],
    ),
    (
        exercises.nothing_to_do,
        {},
        ([],),
        [(([{"LogicalResourceId": "a"}],), "1 events"), ((0,), "the list"), ((None,), "the list")],
    ),
    (
        exercises.resumed,
        {"size": 1000},
        ([0, 500, 750, 875],),
        [
            (([0, 500, 750],), "3 requests"),
            (([0, 0, 0, 0],), "behind"),
            (([500, 750, 875, 1000],), "byte 0"),
            ((4,), "form"),
        ],
    ),
    (
        exercises.who_refuses,
        {},
        (["open_model", "check_structure"],),
        [
            ((["open_model", "write_manifest", "check_structure"],), "rejects nothing"),
            ((["open_model"],), "check_structure"),
            ((["check_structure", "open_model"],), "order"),
        ],
    ),
    (
        exercises.other_cover,
        {"plain": HOT, "by_gradient": GRADIENT},
        (OTHER,),
        [
            ((np.zeros((224, 224), np.float32),), "hottest"),
            ((HOT,), "plain square"),
            ((GRADIENT,), "Grad-CAM"),
            ((~OTHER,), "39 parts"),
        ],
    ),
    (
        exercises.upside_down,
        TURN,
        (UPSIDE_DOWN, CHANGED),
        [
            ((stacked(Image.Transpose.FLIP_LEFT_RIGHT), CHANGED), "mirror"),
            ((UPSIDE_DOWN[0], CHANGED), "2 rows"),
            ((UPSIDE_DOWN, sorted(set(PHOTOS) - set(CHANGED))), "wrong about"),
        ],
    ),
    (
        exercises.threshold,
        {"bins": BINS},
        (0.5, 0.97),
        [
            ((50, 97), "per cent"),
            ((0.2, 0.97), "`covered`"),
            ((0.5, 0.975), "Weigh"),
            ((0.5, 0.485), "`correct`"),
        ],
    ),
    (
        exercises.blank_images,
        {},
        ([Scored(-1.0, False), Scored(0.2, True), Scored(-0.3, False)],),
        [
            (([Scored(-1.0, False)],), "1 verdicts"),
            (([Scored(-1.0, False)] * 3,), "same image"),
            (([Scored(float(one), True) for one in range(3)],), "all are known"),
            (([1.0, 2.0, 3.0],), "form"),
        ],
    ),
    (
        exercises.one_folder,
        {"store": STORE},
        (reads(f"{STORE}/models/practice/*"), ["allowed", "denied"]),
        [
            ((reads(f"{STORE}/*"), ["allowed", "allowed"]), "no more"),
            ((reads(f"{STORE}/models/practice"), ["denied", "denied"]), "the resource"),
            ((reads(f"{STORE}/models/practice/*", "s3:*"), ["allowed", "denied"]), "one action"),
            ((reads(f"{STORE}/models/practice/*"), ["denied", "allowed"]), "practice first"),
        ],
    ),
    (
        exercises.old_packages,
        {"grants": GRANTS},
        (dict(zip(GRANTS, ("denied", "allowed", "denied"), strict=True)),),
        [
            ((dict.fromkeys(GRANTS, "denied"),), "look again at AmazonS3ReadOnlyAccess"),
            ((dict(zip(GRANTS, ("denied", "allowed", "allowed"), strict=True)),), "look again at narrow"),
            ((dict.fromkeys(GRANTS, "yes"),), "the words"),
            (({"narrow": "denied"},), "one word for each"),
        ],
    ),
    (
        exercises.reasons,
        {"statements": STATEMENTS},
        (WHY,),
        [
            ((WHY | {"FindLogGroups": ("look up log groups", "resource")},), "FindLogGroups: “resource”"),
            (
                (WHY | {"ReadTheBuiltPackages": ("create a function", "resource")},),
                "ReadTheBuiltPackages: another step",
            ),
            ((WHY | {"PassTheLambdaRoleToLambdaOnly": ("create a function", "resource")},), "PassTheLambdaRole"),
            (({"FindLogGroups": WHY["FindLogGroups"]},), "is missing"),
        ],
    ),
    (
        exercises.zip_share,
        {"unzipped": 240_000_000},
        (90_000_000, 0.375),
        [
            ((90_000_000, 37.5), "from 0 to 1"),
            ((4_000, 0.00002), "PredictFunction"),
            ((90_000_000, 0.6), "another share"),
        ],
    ),
    (
        exercises.other_precision,
        {"waiting": []},
        ({"Predict", "BulkFunction"},),
        [
            ((set(),), "the other value"),
            (({"Predict", "HelloWorld"},), "loads no model"),
            (({"ModelStoreBucket"},), "is missing"),
        ],
    ),
    (
        exercises.all_classes,
        {"classes": 10},
        ([0.91] + [0.01] * 9,),
        [
            (([0.91] + [0.01] * 4,), "5 numbers"),
            ((["n03028079 church"] * 10,), "the number"),
            (([91.0] + [1.0] * 9,), "share 1"),
        ],
    ),
    (
        exercises.cold_starts,
        {},
        (["true", "true"],),
        [((["true", "false"],), "one environment"), ((["false", "false"],), "force"), ((["true"],), "1 headers")],
    ),
    (
        exercises.taken_back,
        {},
        (shipped(True, "requests"),),
        [
            ((shipped(False, ""),), "kept"),
            ((shipped(True, "golden pictures"),), "check=False"),
            (("requests",), "form"),
        ],
    ),
    (
        exercises.one_more_part,
        {},
        ({"images": 6, "scored": 6, "failed": 0, "missing": 0}, 1),
        [
            (({"scored": 5}, 0), "5 images"),
            (({"scored": 6}, 6), "6 parts"),
            (({"scored": 1}, 1), "same prefix"),
        ],
    ),
    (
        exercises.enough_environments,
        PEAK,
        (ENOUGH,),
        [
            ((ENOUGH - 1,), "throttle"),
            ((100,), "more than needed"),
            ((1,), "the peak"),
            ((5.5,), "whole number"),
        ],
    ),
    (
        exercises.left_behind,
        {},
        (0, 2, 1000),
        [((1, 1, 1000), "delete the object"), ((0, 0, 0), "versioning"), ((0, 1, 0), "naming a version")],
    ),
    (
        exercises.remembered,
        {"names": ["p-app", "p-toolchain"]},
        (deleted("p-app", "p-toolchain", "p-app"),),
        [
            ((deleted("p-app"),), "p-toolchain is missing"),
            ((deleted("p-app", "p-toolchain", "other"),), "other: keep"),
            ((deleted("p-app", "p-toolchain", status="CREATE_COMPLETE"),), "DELETE_COMPLETE"),
        ],
    ),
    (
        exercises.gained,
        TRAINED,
        (np.array([1, 0]),),
        [((np.array([-1, 0]),), "swapped"), ((np.array([2, 1]),), "difference"), ((1,), "one number for each")],
    ),
    (
        exercises.thresholds,
        {"said": SAID, "labels": LABELS},
        (ANSWERED, RIGHT),
        [
            ((ANSWERED, [a * b for a, b in zip(ANSWERED, RIGHT, strict=True)]), "and not by all"),
            (([100 * one for one in ANSWERED], RIGHT), "from 0 to 1"),
            ((ANSWERED[1:], RIGHT[1:]), "7 shares"),
            (([1 - one for one in ANSWERED], RIGHT), "`answered`"),
        ],
    ),
]
NAMES = [check.__name__ for check, *_ in CASES]


@pytest.mark.parametrize(("check", "facts", "right", "wrong"), CASES, ids=NAMES)
def test_the_right_answer_is_right(check, facts, right, wrong):
    found = check(*right, **facts)
    assert found and repr(found) == "Right."


@pytest.mark.parametrize(
    ("check", "facts", "answers", "missing"),
    [(check, facts, *one) for check, facts, _, wrong in CASES for one in wrong],
    ids=[f"{check.__name__}-{number}" for check, _, _, wrong in CASES for number, _ in enumerate(wrong, 1)],
)
def test_a_wrong_answer_is_told_the_missing_part(check, facts, answers, missing):
    found = check(*answers, **facts)
    assert not found
    shown = repr(found)
    assert shown.startswith("Not yet: ") and missing in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize(("check", "facts", "right", "wrong"), CASES, ids=NAMES)
def test_an_empty_cell_is_asked_for_each_answer(check, facts, right, wrong):
    assert len(wrong) >= 3
    empty = check(*[...] * len(right), **facts)
    assert not empty and repr(empty).count("`") == 2 * len(right)


def test_every_check_is_tested():
    checks = {name for name, value in vars(exercises).items() if hasattr(value, "__wrapped__")}
    assert checks == set(NAMES)


def test_a_change_set_that_waits_is_named():
    assert "delete_change_set" in repr(exercises.other_precision({"Predict"}, waiting=[{}])).replace("\n", " ")


def test_a_model_without_a_test_has_no_threshold():
    assert "practice" in repr(exercises.threshold(0.5, 0.9, bins=[]))
