"""Which values the stacks' parameters get: from the notebooks, and from the pipeline.

    python -m workshop.deployment.parameters         writes template-configuration.json (buildspec.yml)

The deployed stack is the one place that holds the application's parameters. The notebooks name what is chosen and keep
the rest; the pipeline chooses nothing and keeps all. CodePipeline sets what its action does not name to the default
(https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/1789), so the build writes the values of
the deployed stack into the file that the action reads. What the artifact is built for stands there, too.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import boto3

from workshop import ROOT, choices, together
from workshop.deployment import stacks
from workshop.lab import Lab

CONFIGURATION = ROOT / "template-configuration.json"
# The parameters that the artifact depends on, and the variables of the build's environment that have them; a build that
# is of the same sources and of these alone need not be made again.
BUILT_FOR = {"Runtime": "RUNTIME", "Architecture": "ARCHITECTURE"}
BUILT_FOR_FILE = Path(".build", "built-for.json")  # beside the configuration
# Of functions on the emulator, which runs them by its own Python.
OF_THIS_MACHINE = {"Runtime": together.THIS, "Architecture": together.HERE}


def toolchain(lab: Lab, chosen: Mapping[str, object]) -> dict[str, str]:
    """The parameters of toolchain.yml to name: the project, and those that were chosen. Raises ChoiceError."""
    return {"ProjectId": lab.project_id, **choices.of(choices.TOOLCHAIN, chosen)}


def application(
    lab: Lab, model_name: str, precision: str, chosen: Mapping[str, object], digest: str = ""
) -> dict[str, str]:
    """The parameters of template.yml to name: what the lab fills in, and those that were chosen. Raises ChoiceError.

    `digest`: that of the model's files, where the store has them below it (`ModelFiles.prefix`); "" for
    `models/<model_name>` itself.

    On the local target the emulator's own Python runs the functions, on this machine's processor, and pictures may come
    from its address, too.
    """
    named = {
        "ProjectId": lab.project_id,
        "ModelName": model_name,
        "ModelDigest": digest,
        "Precision": choices.check_precision(precision),
        "Emulator": str(lab.target == "local").lower(),
        **choices.of(choices.APPLICATION, chosen),
    }
    deployed = stacks.parameters(lab.client("cloudformation"), lab.app_stack)
    if lab.target == "local":
        for name in together.LOCAL_DEFAULTS.keys() - deployed.keys():
            named.setdefault(name, together.LOCAL_DEFAULTS[name])
    if lab.endpoint_url:
        named |= OF_THIS_MACHINE
        hosts = named.get("AllowedPrivateHosts", deployed.get("AllowedPrivateHosts", "")).split(",")
        own = urlsplit(lab.endpoint_url).netloc
        named["AllowedPrivateHosts"] = ",".join([own, *(host for host in hosts if host not in ("", own))])
    if problem := together.problem_of_stack(deployed | named):
        raise choices.ChoiceError(problem)
    return named | {"Settings": settings(deployed | named)}


def settings(values: Mapping[str, str]) -> str:
    """Twelve digits that stand for the values of all parameters that Predict depends on; the rest is the defaults'.

    A changed parameter is no new code, so that nothing else would publish a version of it.
    """
    template = stacks.parsed((ROOT / choices.APPLICATION).read_text(encoding="utf-8"))
    words = set(_words(template["Resources"]["Predict"]["Properties"]))
    for name in words & template["Conditions"].keys():
        words |= set(_words(template["Conditions"][name]))
    declared = choices.parameters(choices.APPLICATION)
    used = {name: values.get(name, declared[name].default) for name in sorted(words & declared.keys() - {"Settings"})}
    return hashlib.sha256(json.dumps(used).encode()).hexdigest()[:12]


def _words(value: object) -> Iterator[str]:
    """Every name in the texts of a parsed template's part."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _words(each)
    else:
        yield from re.findall(r"\w+", str(value))


def for_the_build(named: Mapping[str, str]) -> dict[str, str]:
    """Those of the named parameters that the artifact depends on, as variables of the build's environment."""
    return {variable: named[name] for name, variable in BUILT_FOR.items() if name in named}


def built_for(lab: Lab, chosen: Mapping[str, object]) -> dict[str, str]:
    """The values that the artifact of a deployment depends on, as the notebook will have them. Raises ChoiceError."""
    values = stacks.parameters(lab.client("cloudformation"), lab.app_stack) | choices.of(choices.APPLICATION, chosen)
    if lab.endpoint_url:
        values |= OF_THIS_MACHINE
    declared = choices.parameters(choices.APPLICATION)
    return {name: values.get(name, declared[name].default or "") for name in BUILT_FOR}


def write_built_for(values: Mapping[str, str], folder: Path = ROOT) -> None:
    """Write the values of `BUILT_FOR` for the build, unless they stand there."""
    file, text = folder / BUILT_FOR_FILE, json.dumps({name: values[name] for name in BUILT_FOR}) + "\n"
    file.parent.mkdir(exist_ok=True)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:  # a build may be reading it
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)


def configuration(cloudformation, project_id: str) -> dict[str, dict[str, str]]:
    """The pipeline's template configuration: each parameter of template.yml as the deployed application has it.

    A parameter that the stack does not have yet, and each where there is no stack, gets the template's default. Before
    both comes what the build's environment names.
    """
    deployed = stacks.parameters(cloudformation, f"{project_id}-app") | {"ProjectId": project_id}
    deployed |= {name: os.environ[variable] for name, variable in BUILT_FOR.items() if variable in os.environ}
    declared = choices.parameters(choices.APPLICATION)
    return {"Parameters": {name: deployed.get(name, rule.default or "") for name, rule in declared.items()}}


def write_configuration(file: Path = CONFIGURATION) -> None:
    """Write the configuration of the project that the build's environment names (PROJECT_ID, AWS_REGION)."""
    cloudformation = boto3.client("cloudformation", region_name=os.environ["AWS_REGION"])
    content = configuration(cloudformation, os.environ["PROJECT_ID"])
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    write_built_for(content["Parameters"], file.parent)
    print(f"{file.name}: {len(content['Parameters'])} parameters")


if __name__ == "__main__":
    write_configuration()
