"""Everything that a person may choose: the names, the defaults, and which values are taken.

    python -m workshop.choices                                               lists the stacks' parameters
    python -m workshop.choices --for deploy --given "NAME …" NAME=VALUE …    checks what stands on make's command line

The parameters of the two stacks are read from the templates, which are their one list. `make` asks this before anything
is installed, so it takes the standard library alone.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workshop import ROOT, UserError, together

TOOLCHAIN, APPLICATION = "toolchain.yml", "template.yml"
MODELS = ("practice", "efficientnet-lite0", "imagenet")  # sources with a name of their own
FOREIGN = (".onnx", ".safetensors", ".pth", ".pt", ".bin")  # files of other frameworks, which are converted
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")

# Parameters that the lab fills: something else that is chosen decides on each, and two answers could contradict.
FILLED = {
    "ProjectId": "both stacks, their roles and buckets share one: give PROJECT_ID (in a notebook, project_id)",
    "ModelName": "it is the name of the model whose files are uploaded: give MODEL (in a notebook, model)",
    "ModelDigest": "it is the digest of the model's files: give MODEL (in a notebook, model)",
    "Settings": "it is the digest of the other parameters: give those",
    "Precision": "the model must have the files for it: give PRECISION (in a notebook, precision)",
    "Emulator": "it says whether the target is the emulator: give TARGET (in a notebook, target)",
}


class ChoiceError(UserError):
    """A choice that cannot be taken: what was given, what is expected."""


# --- The templates' parameters --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One parameter of a template, with its rules as they stand there: texts, and a list for AllowedValues."""

    name: str
    template: str
    rules: Mapping[str, str | list[str]]

    def _text(self, rule: str) -> str | None:
        """A rule that is one text; None where the template has none."""
        found = self.rules.get(rule)
        if isinstance(found, list):
            raise ValueError(f"{self.template}: {rule} of {self.name} is a list; expected one text")
        return found

    @property
    def default(self) -> str | None:
        """The template's default; None where one must be given."""
        return self._text("Default")

    @property
    def expected(self) -> str:
        """The values that are taken, in words."""
        rules = self.rules
        if constraint := self._text("ConstraintDescription"):
            return constraint
        if "AllowedValues" in rules:
            return f"one of {', '.join(rules['AllowedValues'])}"
        if rules["Type"] == "Number":
            words = ["a whole number"]
        else:
            words = [f"a text that matches {rules['AllowedPattern']}" if "AllowedPattern" in rules else "a text"]
        bounds = {"MinValue": "from {}", "MaxValue": "to {}", "MinLength": "of {} or more characters",
                  "MaxLength": "of {} or fewer characters"}  # fmt: skip
        return " ".join(words + [words_.format(rules[rule]) for rule, words_ in bounds.items() if rule in rules])

    def takes(self, value: str) -> bool:
        """Whether CloudFormation takes `value`. Every number here counts something, so only whole ones pass."""
        rules = self.rules
        if rules["Type"] == "Number":
            if not re.fullmatch(r"0|-?[1-9][0-9]*", value):
                return False
            size, low, high = int(value), self._text("MinValue"), self._text("MaxValue")
        else:
            size, low, high = len(value), self._text("MinLength"), self._text("MaxLength")
        within = (low is None or size >= int(low)) and (high is None or size <= int(high))
        allowed = value in rules.get("AllowedValues", [value])
        return within and allowed and re.fullmatch(self._text("AllowedPattern") or "(?s:.*)", value) is not None

    def check(self, value: str, given_as: str = "") -> str:
        """Return `value`, or raise ChoiceError with what is expected."""
        if not self.takes(value):
            meaning = (self._text("Description") or "").partition(";")[0].rstrip(".")
            raise ChoiceError(f"{given_as or self.name}={value!r} is not valid: expected {self.expected} ({meaning})")
        return value


def read_parameters(text: str) -> dict[str, dict[str, str | list[str]]]:
    """The `Parameters` of a template, with every scalar as text; raises ValueError at a line of another form.

    The templates write them in one form: two spaces and a name, four and a rule, whose value stands on its line (plain,
    quoted, or a list in brackets) or is folded (`>-`) over the lines below it. Nothing more is read.
    """
    found: dict[str, dict[str, str | list[str]]] = {}
    folded: tuple[dict, str] | None = None
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"[^\s#]", line):
            inside = re.fullmatch(r"Parameters:\s*(#.*)?", line) is not None
        elif not inside or not line.strip():
            continue
        elif folded and line.startswith(" " * 6):
            rules, key = folded
            rules[key] = f"{rules[key]} {line.strip()}".strip()
        elif line.lstrip().startswith("#"):
            continue
        elif match := re.fullmatch(r"  (\w+):\s*(#.*)?", line):
            rules = found[match[1]] = {}
            folded = None
        elif found and (match := re.fullmatch(r"    (\w+): +(.+?)\s*", line)):
            rules[match[1]] = "" if match[2] == ">-" else _value(match[2], number)
            folded = (rules, match[1]) if match[2] == ">-" else None
        else:
            raise ValueError(f"line {number} of Parameters has a form that is not read here: {line!r}")
    return found


def _value(text: str, number: int) -> str | list[str]:
    """A YAML scalar, or a list of them in brackets, with a comment behind it or none."""
    inner, closed, behind = text[1:].partition("]")
    if text[0] == "[" and closed and re.fullmatch(r"(\s+#.*)?", behind):
        return [_scalar(part.strip(), number) for part in inner.split(",")]
    return _scalar(text, number)


def _scalar(text: str, number: int) -> str:
    if match := re.fullmatch(r"""("[^"\\]*"|'[^']*')(\s+#.*)?""", text):
        return match[1][1:-1]
    plain = re.split(r"\s#", text)[0].rstrip()
    if not re.match(r"""[^\s"'&*!|>%@`\[\]{},#?:-]|-[0-9]""", plain) or re.search(r":(\s|$)", plain):
        raise ValueError(f"line {number} of Parameters has a value that is not read here: {text!r}")
    return plain


@functools.cache
def parameters(template: str) -> dict[str, Parameter]:
    """All parameters of a template of this repository (`TOOLCHAIN` or `APPLICATION`), by name."""
    declared = read_parameters((ROOT / template).read_text(encoding="utf-8"))
    return {name: Parameter(name, template, rules) for name, rules in declared.items()}


def choosable() -> dict[str, Parameter]:
    """The parameters of both templates that a person chooses, by name."""
    both = parameters(TOOLCHAIN) | parameters(APPLICATION)
    return {name: parameter for name, parameter in both.items() if name not in FILLED}


def checked(chosen: Mapping[str, object]) -> dict[str, str]:
    """The chosen parameters as CloudFormation takes them. Raises ChoiceError at the first that cannot be taken.

    Numbers and truth values may be given as such: `{"MemorySize": 3008, "AccessLogs": True}`.
    """
    texts = {}
    for name, value in chosen.items():
        if name in FILLED:
            raise ChoiceError(f"{name} is filled in by the lab; {FILLED[name]}")
        if name not in choosable():
            raise ChoiceError(f"there is no parameter {name!r}{closest(name, choosable())}")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        texts[name] = choosable()[name].check(text)
    return texts


def given(texts: Iterable[str]) -> dict[str, str]:
    """The parameters out of texts like `MemorySize=3008`, checked. Raises ChoiceError."""
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not equals:
            raise ChoiceError(f"{name!r}: expected NAME=VALUE, as in MemorySize=3008")
    return checked({name: value for name, _, value in pairs})


def of(template: str, chosen: Mapping[str, object]) -> dict[str, str]:
    """Those of the chosen parameters that `template` has; all are checked, whichever template has them."""
    return {name: text for name, text in checked(chosen).items() if name in parameters(template)}


def closest(name: str, names: Iterable[str]) -> str:
    """`: did you mean …?` with the most similar of `names`, or all of them where none is similar."""
    by_lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f": did you mean {by_lower[near[0]]}?" if near else f"; there are: {', '.join(sorted(names))}"


def parameter_list(
    named: Mapping[str, object], declared: Iterable[str], previous: Iterable[str]
) -> list[dict[str, object]]:
    """`Parameters` of a request: the values of those that are named, and of the others the stack's previous value.

    Without `UsePreviousValue` CloudFormation would set what is not named back to the template's default. `declared`:
    the names that the template has; `previous`: those that the stack has, none when it is created.
    """
    kept = [name for name in previous if name in set(declared) and name not in named]
    values: list[dict[str, object]] = [
        {"ParameterKey": name, "ParameterValue": str(value)} for name, value in named.items()
    ]
    return values + [{"ParameterKey": name, "UsePreviousValue": True} for name in kept]


# --- The lab's own choices ------------------------------------------------------------------------------------------


def check_target(target: str) -> str:
    """Return `target`, or raise ChoiceError unless it is one of the two."""
    if target not in ("local", "aws"):
        raise ChoiceError(f"target {target!r} is not valid: 'local' (the emulator) or 'aws' (your account)")
    return target


def check_project_id(project_id: str) -> str:
    """Return `project_id`, or raise ChoiceError unless the templates take it.

    The rule is CodeStar's; bucket and role names of the lab start with it.
    """
    return parameters(TOOLCHAIN)["ProjectId"].check(project_id, "project_id")


def check_region(region: str) -> str:
    """Return `region`, or raise ChoiceError unless it looks like an AWS region."""
    if not REGION.fullmatch(region):
        raise ChoiceError(f"region {region!r} is not valid: write it as in 'us-east-1' or 'eu-central-1'")
    return region


def check_port(port: str) -> str:
    """Return `port`, or raise ChoiceError unless it is a TCP port."""
    if not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise ChoiceError(f"port {port!r} is not valid: a number from 1 to 65535")
    return port


def check_precision(precision: str) -> str:
    """Return `precision`, or raise ChoiceError unless the application takes it."""
    return parameters(APPLICATION)["Precision"].check(precision, "precision")


def check_model(model: str, base: Path = ROOT) -> str:
    """The source of a model in full: a name of `MODELS`, a prefix without its last `/`, or a folder's or file's path.

    `base`: where a relative path begins. Raises ChoiceError unless it is one of these, and the folder or file is there.
    """
    if model in MODELS or re.match(r"(s3|https?)://[^/]", model):
        place = model.rstrip("/")
    elif "://" in model:
        raise ChoiceError(
            f"model {model!r}: expected a folder, or a prefix that begins with s3://, https:// or http://."
        )
    else:
        found = (base / Path(model).expanduser()).resolve()
        if not found.is_dir() and not (found.is_file() and found.name.endswith(FOREIGN)):
            names = ", ".join(map(repr, MODELS))
            near = difflib.get_close_matches(model, MODELS, n=1)
            hint = f": did you mean {near[0]!r}?" if near else "."
            raise ChoiceError(
                f"model {model!r}: expected {names}, an s3:// or https:// prefix, a folder, or a file that ends with "
                f"{', '.join(FOREIGN)}; no folder {found} here{hint}"
            )
        place = str(found)
    if not parameters(APPLICATION)["ModelName"].takes(place.partition("#")[0].rpartition("/")[2]):
        raise ChoiceError(
            f"model {model!r}: expected a source whose last part is made of letters, digits, '.', '_' and '-': that is "
            "the model's name."
        )
    return place


def check_together(values: Mapping[str, str]) -> None:
    """Raise ChoiceError for values that are valid one by one and not together."""
    model, precision = values.get("MODEL", MODELS[0]), values.get("PRECISION", "")
    if precision == "int8":
        _check_int8(model)
    if problem := together.problem(values):
        raise ChoiceError(problem)


def _check_int8(model: str) -> None:
    """Raise ChoiceError for a model that has no int8, as far as that is known here: of a remote folder it is not."""
    from predict.model_files import INT8_SYMBOL

    place = model.partition("#")[0]
    converted = place.endswith(FOREIGN)
    if "://" in place and not converted:
        return
    if place == "practice":
        folder = ROOT / "models" / "practice"
    elif place in MODELS or converted:
        folder = ROOT / "models" / "fetched" / (Path(place).stem if converted else place)
    else:
        folder = Path(place)
    if not (folder / INT8_SYMBOL).exists():
        raise ChoiceError(
            f"precision 'int8': the model {model!r} has no {INT8_SYMBOL} in {folder}; choose float32, or make the "
            "file (`python -m workshop.models.quantization`)"
        )


VARIABLES: dict[str, Callable[[str], str] | None] = {
    "TARGET": check_target,
    "MODEL": check_model,
    "PRECISION": check_precision,
    "REGION": check_region,
    "PROJECT_ID": check_project_id,
    "PORT": check_port,
    "PYTHON": None,  # the set-up checks it
    "NAME": None,  # the program that makes keys checks it
    "ARGS": None,  # the program that gets them checks them
}


def check(values: Mapping[str, str]) -> dict[str, str]:
    """All choices by their names on make's command line, as they will be used; raises ChoiceError at the first bad one.

    An empty variable (`REGION=`) counts as not given; an empty parameter (`AlarmEmail=`) is the empty text.
    """
    variables = {name: value for name, value in values.items() if name in VARIABLES and value}
    used = {name: rule(variables[name]) for name, rule in VARIABLES.items() if rule and name in variables}
    used |= checked({name: value for name, value in values.items() if name not in VARIABLES})
    check_together(used)
    return used


# --- make's command line --------------------------------------------------------------------------------------------


def taken_by(command: str, makefile: str) -> set[str]:
    """The names that a command of the Makefile makes use of: its recipe has them, or the lists that hold them."""
    recipe = re.search(rf"(?m)^{re.escape(command)}:.*\n((?:\t.*\n)*)", makefile)
    text = recipe[1] if recipe else ""
    for name in ("PARAMETERS", "CHOICES"):
        if f"$({name})" in text and (listed := re.search(rf"(?m)^{name} = (?:.*\\\n)*.*", makefile)):
            text += listed[0]
    taken = {name for name in VARIABLES if re.search(rf"\$\({name}\)", text)} | {"PYTHON"}
    return taken | (set(choosable()) if "$(PARAMETERS)" in text else set())


def check_given(commands: Sequence[str], given: Iterable[str], makefile: str) -> set[str]:
    """The names that the commands take. Raises ChoiceError at a given one that is unknown, or that none of them takes.

    AWS's own variables (`AWS_PROFILE=…`) pass: make hands them on to the AWS SDK.
    """
    known = set(VARIABLES) | set(choosable())
    taken = set().union(*(taken_by(command, makefile) for command in commands))
    for name in given:
        if name in FILLED:
            raise ChoiceError(f"{name} is filled in by the lab; {FILLED[name]}")
        if name not in known and not name.startswith("AWS_"):
            raise ChoiceError(f"there is no choice {name!r}{closest(name, known)}")
        if name in known and name not in taken:
            takes = ", ".join(sorted(taken & set(VARIABLES)))
            instead = "" if name in VARIABLES else "; give it to `make deploy`"
            raise ChoiceError(f"{name} has no effect on `make {' '.join(commands)}`, which takes {takes}{instead}")
    return taken


def table() -> str:
    """The parameters that can be chosen, one in a line: name, default on AWS, expected values, note."""
    notes = {name: f"; {note}" for name, note in together.LOCAL_NOTES.items()}
    rows = [(f"{name}={each.default}", each.expected + notes.get(name, "")) for name, each in choosable().items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:{width}}  {text}" for name, text in rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="workshop.choices", description=__doc__.partition("\n")[0])
    parser.add_argument("--for", dest="commands", default="", help="make's commands")
    parser.add_argument("--given", default="", help="the names on make's command line")
    parser.add_argument("values", nargs="*", metavar="NAME=VALUE", help="the choices")
    asked = parser.parse_args(arguments)
    if not asked.commands:
        print(table())
        return 0
    try:
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        taken = check_given(asked.commands.split(), asked.given.split(), makefile)
        values = dict(value.split("=", 1) for value in asked.values)
        check({name: value for name, value in values.items() if name in taken})
    except ChoiceError as error:
        print(f"make {asked.commands}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
