"""Templates as plain dictionaries, and a project of these tests' own on the tests' emulator."""

from collections.abc import Iterator

import pytest
from cfnlint.decode import cfn_yaml

from workshop import ROOT
from workshop.deployment import stacks
from workshop.lab import Lab, connect, patience


@pytest.fixture(scope="session")
def toolchain() -> dict:
    """toolchain.yml, with short forms such as `!Sub` written out."""
    return cfn_yaml.load(str(ROOT / "toolchain.yml"))


@pytest.fixture(scope="session")
def template() -> dict:
    """template.yml, likewise."""
    return cfn_yaml.load(str(ROOT / "template.yml"))


@pytest.fixture(scope="session")
def lab(emulator_url: str) -> Iterator[Lab]:
    """A project of its own with the toolchain stack as notebook 00 deploys it, and nothing else."""
    lab = connect("local", "us-east-1", "templates-test")
    cloudformation = lab.client("cloudformation")
    stacks.deploy(
        cloudformation,
        lab.toolchain_stack,
        ROOT / "toolchain.yml",
        {"ProjectId": lab.project_id},
        capabilities=("CAPABILITY_NAMED_IAM",),
    )
    yield lab
    cloudformation.delete_stack(StackName=lab.toolchain_stack)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=lab.toolchain_stack, WaiterConfig=patience(cloudformation)
    )
