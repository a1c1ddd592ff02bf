"""What may be chosen: read from the templates as by PyYAML, checked as CloudFormation does, refused by make."""

import os
import subprocess
import sys

import pytest
import yaml

from tests.making import make
from workshop import ROOT, choices, together
from workshop.choices import APPLICATION, TOOLCHAIN, ChoiceError

OTHER = "x86_64" if together.HERE == "arm64" else "arm64"  # a processor that this machine has not
MAKEFILE = (ROOT / "Makefile").read_text()
PIPELINE = {"ConnectionArn": "arn:aws:codeconnections:eu-west-1:123456789012:connection/0a1b", "RepositoryId": "a/b"}


# --- the reader


@pytest.mark.parametrize("template", [TOOLCHAIN, APPLICATION])
def test_parameters_are_read_as_pyyaml_reads_them(template):
    text = (ROOT / template).read_text()
    expected = yaml.load(text, yaml.BaseLoader)["Parameters"]
    assert choices.read_parameters(text) == expected
    assert len(expected) >= 6


FORMS = """\
Description: "Parameters:"
Parameters:  # behind it
  # A comment.
  One:

    Type: Number # behind a value
    Default: -1
    AllowedValues: [ 1, "two # no comment", 'three' ]  # behind a list
  Two:  # behind a name
    Type: String
    Description: >-
      Folded, with a colon: and a # that is none,
      over two lines.
    Default: ''
    AllowedPattern: ^$|^[^@ ]+@[^@ ]+$
Conditions:
  Three: !Equals [!Ref One, 1]
"""


def test_each_form_that_is_read_is_read_as_pyyaml_reads_it():
    assert choices.read_parameters(FORMS) == yaml.load(FORMS, yaml.BaseLoader)["Parameters"]


@pytest.mark.parametrize(
    "line",
    [
        "    Default: &anchor x",
        "    Default: {a: b}",
        "    Default: |",
        "    Default: >",
        '    Default: "a\\n"',
        "    Default: 'it''s'",
        "    Default: a: b",
        "    Default: [a, [b]]",
        "    Default:",
        "   Default: x",
        "      - a",
        "    AllowedValues:\n      - a",
    ],
)
def test_a_form_that_is_not_read_is_an_error_and_no_guess(line):
    with pytest.raises(ValueError, match="not read here"):
        choices.read_parameters(f"Parameters:\n  One:\n    Type: String\n{line}\n")


# --- what is taken


def test_the_templates_use_only_the_types_and_rules_that_are_checked():
    for template in (TOOLCHAIN, APPLICATION):
        for parameter in choices.parameters(template).values():
            assert parameter.rules["Type"] in ("String", "Number")
            assert set(parameter.rules) <= {
                "Type", "Default", "Description", "AllowedValues", "AllowedPattern", "ConstraintDescription",
                "MinValue", "MaxValue", "MinLength", "MaxLength",
            }  # fmt: skip


def test_a_parameter_is_chosen_or_filled_in_by_the_lab_and_belongs_to_one_template():
    toolchain, application = (set(choices.parameters(template)) for template in (TOOLCHAIN, APPLICATION))
    assert toolchain & application == {"ProjectId"}
    assert choices.FILLED.keys() <= toolchain | application
    assert choices.choosable().keys() == (toolchain | application) - choices.FILLED.keys()


def test_each_default_is_one_of_the_values_that_are_taken():
    for name, parameter in choices.choosable().items():
        assert parameter.default is not None and parameter.takes(parameter.default), name


@pytest.mark.parametrize(
    ("name", "taken", "refused"),
    [
        ("MemorySize", ["512", "3008", "10240"], ["511", "10241", "1e3", "768.5", "0512", "+512", " 512", "", "٥١٢"]),
        ("ReservedConcurrency", ["-1", "0", "7"], ["-2", "-01", "-0", "none"]),
        ("LogRetentionDays", ["1", "365"], ["2", "14 "]),
        ("AccessLogs", ["true", "false"], ["yes", "True", ""]),
        ("AlarmEmail", ["", "a@b.c"], ["a", "a@b@c", "a b@c", "@", " "]),
        ("ConnectionArn", ["", PIPELINE["ConnectionArn"]], ["arn:aws:s3:::x", "x" + PIPELINE["ConnectionArn"]]),
        ("RepositoryId", ["", "a/b", "a/b/c"], ["a", "/b", "a/", "a /b"]),
        ("BranchName", ["main", "feature/x"], [""]),
    ],
)  # fmt: skip
def test_values_are_taken_as_the_template_says(name, taken, refused):
    parameter = choices.choosable()[name]
    assert [value for value in taken if not parameter.takes(value)] == []
    assert [value for value in refused if parameter.takes(value)] == []


def test_numbers_and_truth_values_become_what_cloudformation_takes():
    chosen = {"MemorySize": 3008, "AccessLogs": True, "WithPipeline": "true", **PIPELINE}
    assert choices.of(APPLICATION, chosen) == {"MemorySize": "3008", "AccessLogs": "true"}
    assert choices.of(TOOLCHAIN, chosen) == {"WithPipeline": "true", **PIPELINE}


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"AlarmEmial": "a@b.c"}, "no parameter 'AlarmEmial': did you mean AlarmEmail?"),
        ({"Foo": "x"}, "no parameter 'Foo'; there are: AccessLogs, .*WithPipeline$"),
        ({"MemorySize": 64}, "MemorySize='64' is not valid: expected a whole number from 512 to 10240"),
        ({"AlarmEmail": "me"}, "expected an e-mail address, or nothing"),
        ({"ModelName": "x"}, "ModelName is filled in by the lab; .*give MODEL"),
        ({"ProjectId": "x"}, "ProjectId is filled in by the lab; .*give PROJECT_ID"),
        ({"Precision": "int8"}, "Precision is filled in by the lab; .*give PRECISION"),
        ({"Emulator": "true"}, "Emulator is filled in by the lab; .*give TARGET"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_words_whichever_template_is_asked(chosen, said):
    for template in (TOOLCHAIN, APPLICATION):
        with pytest.raises(ChoiceError, match=said):
            choices.of(template, chosen)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"TARGET": "asw"}, "'local' .*or 'aws'"),
        ({"MODEL": "practise"}, "did you mean 'practice'"),
        ({"MODEL": "./nowhere"}, "no folder"),
        ({"MODEL": "ftp://host/m"}, "begins with s3://"),
        ({"MODEL": "s3://bucket/a b"}, "last part is made of letters"),
        ({"PRECISION": "int4"}, "one of float32, int8"),
        ({"MODEL": "docs", "PRECISION": "int8"}, "no model-int8-symbol.json"),
        ({"MODEL": "efficientnet-lite0", "PRECISION": "int8"}, "no model-int8-symbol.json.*choose float32"),
        ({"MODEL": "https://host/mine.onnx#sha256=0", "PRECISION": "int8"}, "no model-int8-symbol.json"),
        ({"REGION": "mars"}, "us-east-1"),
        ({"PROJECT_ID": "Lab"}, "2 to 15 characters"),
        ({"PORT": "0"}, "1 to 65535"),
        ({"PORT": "65536"}, "1 to 65535"),
        ({"PORT": "http"}, "1 to 65535"),
        ({"WithPipeline": "true", **PIPELINE}, "needs TARGET=aws"),
        ({"Architecture": OTHER}, f"Architecture={OTHER} needs TARGET=aws"),
        ({"TARGET": "aws", "Architecture": "arm64", "Runtime": "python3.11"}, "arm64 needs Python 3.12 or later"),
        ({"TARGET": "aws", "Architecture": "arm64", "PRECISION": "int8"}, "arm64 needs float32"),
        ({"TARGET": "aws", "SnapStart": "true", "Runtime": "python3.11"}, "needs Python 3.12 or later"),
    ],
)
def test_a_bad_choice_of_the_labs_own_is_refused(values, said):
    with pytest.raises(ChoiceError, match=said):
        choices.check(values)


def test_choices_are_given_as_they_will_be_used():
    given = {"TARGET": "aws", "MODEL": "models/practice/", "PRECISION": "int8", "AlarmEmail": "", "AccessLogs": "true"}
    assert choices.check(given | {"REGION": ""}) == given | {"MODEL": str(ROOT / "models" / "practice")}
    for source in (*choices.MODELS, "s3://bucket/prefix", "https://host/prefix"):
        assert choices.check({"MODEL": source}) == {"MODEL": source}


# --- make


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("deploy AlarmEmial=x", "there is no choice 'AlarmEmial': did you mean AlarmEmail?"),
        ("deploy PROT=4567", "there is no choice 'PROT': did you mean PORT?"),
        ("deploy target=aws", "did you mean TARGET?"),
        ("deploy foo-bar=1", "there is no choice 'foo-bar'; there are: ARGS, AccessLogs"),
        ("deploy AlarmEmail=x", "expected an e-mail address"),
        ("deploy PRECISION=int4", "one of float32, int8"),
        ("deploy MODEL=practise", "did you mean 'practice'"),
        ("deploy TARGET=asw", "'aws' (your account)"),
        ("deploy REGION=mars", "us-east-1"),
        ("deploy PROJECT_ID=Lab", "2 to 15 characters"),
        ("deploy PORT=http", "1 to 65535"),
        ("deploy ModelName=practice", "give MODEL"),
        ("scale MemorySize=3008", "PORT, PROJECT_ID, PYTHON, REGION, TARGET; give it to `make deploy`"),
        ("scale PRECISION=int8", "PRECISION has no effect on `make scale`, which takes PORT, "),
        ("test TARGET=aws", "TARGET has no effect on `make test`, which takes ARGS, PYTHON"),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_make_refuses_a_choice_before_it_installs_or_starts_anything(line, said):
    done = make(*line.split())
    assert done.returncode and done.stdout == ""
    first, last = done.stderr.splitlines()
    assert first.startswith(f"make {line.split()[0]}: ") and said in first
    assert "choices" in last


@pytest.mark.slow
def test_make_refuses_a_value_that_stands_in_the_environment_where_it_has_an_effect():
    assert "'aws' (your account)" in make("deploy", TARGET="asw").stderr
    assert make("test", TARGET="asw").returncode == 0


def test_a_refusal_takes_little_of_the_processors_time():
    before = os.times().children_user + os.times().children_system
    assert make("deploy", "PRECISION=int4").returncode
    assert os.times().children_user + os.times().children_system - before < 1


@pytest.mark.slow
def test_make_hands_every_value_on_as_it_was_typed():
    values = {"AlarmEmail": "o'neil;ls&\"@b.c", "BranchName": "a  b\\c#d", "ThrottlingRate": "7"}
    done = make("deploy", "TARGET=aws", "REGION=eu-west-1", "AWS_PROFILE=work",
                *(f"{name}={value}" for name, value in values.items()))  # fmt: skip
    assert done.returncode == 0, done.stderr
    program, *arguments = done.stdout.splitlines()
    assert program == "workshop.headless.runner"
    assert arguments[:6] == ["--target", "aws", "--port", "4566", "--region", "eu-west-1"]
    assert dict(each.split("=", 1) for each in arguments[6:]) == values


def test_every_command_takes_the_variables_that_its_recipe_has():
    assert choices.taken_by("deploy", MAKEFILE) == set(choices.choosable()) | set(choices.VARIABLES) - {"ARGS", "NAME"}
    assert choices.taken_by("scale", MAKEFILE) == {"TARGET", "REGION", "PROJECT_ID", "PORT", "PYTHON"}
    assert choices.taken_by("endpoint", MAKEFILE) == choices.taken_by("scale", MAKEFILE)
    assert choices.taken_by("key", MAKEFILE) == choices.taken_by("scale", MAKEFILE) | {"NAME"}
    assert choices.taken_by("emulator", MAKEFILE) == {"PORT", "PYTHON"}
    assert choices.taken_by("test", MAKEFILE) == {"ARGS", "PYTHON"}
    assert f"VARIABLES = {' '.join(choices.VARIABLES)}\n" in MAKEFILE


def test_help_lists_what_can_be_chosen_with_the_templates_defaults():
    listed = make("help").stdout
    for name, parameter in choices.choosable().items():
        assert f"  {name}={parameter.default} " in listed, name
    assert not [name for name in choices.FILLED if f" {name}=" in listed]
    (auth,) = [line for line in listed.splitlines() if line.startswith("  Auth=")]
    assert auth.split("  ")[-1] == "one of none, key, iam; on the emulator the default is none"


def test_the_check_needs_the_standard_library_alone():
    code = (
        "import sys; sys.path[:0] = ['notebooks', 'lambda_src']\n"
        "from workshop import choices; choices.main(['--for', 'deploy', 'PRECISION=int8', 'MODEL=practice'])\n"
        "print([name for name in ('boto3', 'botocore', 'numpy', 'yaml') if name in sys.modules])"
    )
    command = [sys.executable, "-I", "-S", "-c", code]  # -S: without site-packages
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
