"""What the notebooks 00, 04 and 05 do step by step, in one go: for tests and benchmarks with a stack of their own."""

import json

from workshop import ROOT
from workshop.deployment import build, iam, parameters, stacks, versions
from workshop.lab import Lab
from workshop.models import ModelFiles


def deploy(lab: Lab, files: ModelFiles, **chosen: str) -> None:
    """Deploy both stacks on the local target, grant the function its store, and upload a model.

    `chosen` are parameters of template.yml. Raises ChoiceError, StackError or BuildError.
    """
    cloudformation = lab.client("cloudformation")
    stacks.deploy(cloudformation, lab.toolchain_stack, ROOT / "toolchain.yml", parameters.toolchain(lab, {}),
                  capabilities=("CAPABILITY_NAMED_IAM",))  # fmt: skip
    named = parameters.application(lab, files.name, "float32", chosen, files.digest)
    environment = lab.environment() | {"ARTIFACT_BUCKET": lab.artifact_bucket, "AWS_REGION": lab.region}
    for phase in build.PHASES:
        build.run_phase(phase, environment | parameters.for_the_build(named))
    stacks.deploy(cloudformation, lab.app_stack, ROOT / "template-export.yml", named,
                  lab.role_arn(lab.cloudformation_role), ("CAPABILITY_AUTO_EXPAND",))  # fmt: skip
    grant(lab)
    versions.upload(lab, files)


def grant(lab: Lab) -> None:
    """Let the function's role read its model store, and no more: what notebook 04 leaves it with."""
    bucket = f"arn:{lab.partition}:s3:::{lab.model_bucket}"
    document = iam.policy(
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{bucket}/*"},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket},
    )
    lab.client("iam").put_role_policy(
        RoleName=lab.lambda_role, PolicyName=iam.GRANTS["Lambda"], PolicyDocument=json.dumps(document)
    )
