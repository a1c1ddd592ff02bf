"""toolchain.yml: the names the lab counts on, roles scoped to the project, a closed bucket, a pipeline on request."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workshop import ROOT
from workshop.deployment import build, parameters

# What no project's name can bound, and why it is still narrow.
UNBOUNDED = {
    "ExpandTheServerlessTransform": "the transform is AWS's",
    "ReadTheBuiltPackages": "the project's bucket, by reference",
    "PassTheLambdaRoleToLambdaOnly": "one role, by reference",
    "ManageTheApi": "API Gateway draws the ids",
    "LetApiGatewaySendTraces": "API Gateway's own role, and only that service",
    "ConnectTheInboxQueue": "Lambda draws the ids; a condition names the function",
    "TagTheInboxConnection": "Lambda draws the ids",
    "FindLogGroups": "these actions know no resource",
    "FindAlarms": "this action hides composite alarms where it knows a resource",
    "WatchTheAlarms": "this action hides composite alarms where it knows a resource",
    "ReadHowRequestsMove": "CodeDeploy's own configurations",
    "StopAShift": "this action knows no resource",
    "TellCodeDeploy": "this action knows no resource",
    "EndTheSubscriptionOfAnotherAddress": "this action knows no resource",
    "SendTraces": "X-Ray knows no resource",
    "FetchTheSource": "one connection, by parameter",
    "ExchangeArtifacts": "the project's bucket, by reference",
    "FindArtifacts": "the project's bucket, by reference",
    "Build": "one build project, by reference",
    "PassTheCloudFormationRoleToCloudFormationOnly": "one role, by reference",
}


def listed(value):
    return value if isinstance(value, list) else [value]


def roles(template):
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
    }


def statements(template, role=None):
    """(role, statement) of every permissions policy, or of one role's."""
    return [
        (name, statement)
        for name, properties in roles(template).items()
        if role in (None, name)
        for policy in properties.get("Policies", [])
        for each in policy["PolicyDocument"]["Statement"]
        # One of two, by a condition: both are judged.
        for statement in (each["Fn::If"][1:] if "Fn::If" in each else [each])
    ]


def actions(template, role):
    return {action for _, statement in statements(template, role) for action in listed(statement["Action"])}


@pytest.mark.slow
def test_cfn_lint_finds_nothing():
    command = [Path(sys.executable).with_name("cfn-lint"), ROOT / "toolchain.yml", ROOT / "template.yml"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_names_of_the_original_lab_are_kept(toolchain):
    named = {properties["RoleName"]["Fn::Sub"] for properties in roles(toolchain).values() if "RoleName" in properties}
    assert {"CodeStarWorker-${ProjectId}-CloudFormation", "CodeStarWorker-${ProjectId}-Lambda"} <= named
    export = toolchain["Outputs"]["LambdaTrustRole"]
    assert export["Export"]["Name"] == {"Fn::Sub": "${ProjectId}-${AWS::Region}-LambdaTrustRole"}
    assert export["Value"] == {"Fn::GetAtt": ["LambdaRole", "Arn"]}
    bucket = toolchain["Resources"]["ArtifactBucket"]["Properties"]["BucketName"]
    assert bucket == {"Fn::Sub": "${ProjectId}-${AWS::Region}-${AWS::AccountId}-artifacts"}


def test_project_id_takes_what_the_lab_takes(toolchain):
    rule = toolchain["Parameters"]["ProjectId"]
    for project_id, valid in {
        "predictions": True,
        "a1": True,
        "a": False,
        "1a": False,
        "A-b": False,
        "a_b": False,
        "a" * 15: True,
        "a" * 16: False,
    }.items():
        fits = rule["MinLength"] <= len(project_id) <= rule["MaxLength"]
        assert (fits and re.fullmatch(rule["AllowedPattern"], project_id) is not None) is valid, project_id


@pytest.mark.parametrize(
    ("role", "service"),
    [
        ("CloudFormationRole", "cloudformation"),
        ("LambdaRole", "lambda"),
        ("BuildRole", "codebuild"),
        ("PipelineRole", "codepipeline"),
        ("GoldenCheckRole", "lambda"),
        ("ShiftRole", "codedeploy"),
        ("BulkWorkerRole", "lambda"),
        ("BulkStatesRole", "states"),
        ("InboxWorkerRole", "lambda"),
        ("ApiGatewayLogsRole", "apigateway"),
    ],
)
def test_each_role_is_trusted_by_one_service_alone(toolchain, role, service):
    (trust,) = roles(toolchain)[role]["AssumeRolePolicyDocument"]["Statement"]
    assert (trust["Effect"], trust["Action"]) == ("Allow", "sts:AssumeRole")
    assert trust["Principal"] == {"Service": f"{service}.amazonaws.com"}


def test_both_worker_roles_start_too_narrow_on_purpose(toolchain):
    store = [
        action
        for _, statement in statements(toolchain, "CloudFormationRole")
        if statement["Sid"] != "ManageTheBulkBucket"
        for action in listed(statement["Action"])
    ]
    assert not any(re.fullmatch(action.replace("*", ".*"), "s3:PutBucketPolicy") for action in store)
    assert not any(action.startswith("s3:") for action in actions(toolchain, "LambdaRole"))


def test_no_statement_allows_a_whole_service(toolchain):
    for role, statement in statements(toolchain):
        assert not {"NotAction", "NotResource"} & set(statement), f"{role}: {statement['Sid']}"
        for action in listed(statement["Action"]):
            service, _, operation = action.partition(":")
            assert operation.rstrip("*") and "*" not in service, f"{role}: {statement['Sid']}: {action}"


def test_every_resource_is_the_projects_own(toolchain):
    for role, statement in statements(toolchain):
        for resource in listed(statement["Resource"]):
            named = resource.get("Fn::Sub", "") if isinstance(resource, dict) else ""
            own = "${ProjectId}" in named or "${BuildLogGroup}" in named
            assert own or statement["Sid"] in UNBOUNDED, f"{role}: {statement['Sid']}: {resource}"
            if resource == "*":
                unbounded = re.compile(
                    r"xray:Put|(logs|cloudwatch):Describe|sns:Unsubscribe$|codedeploy:(Stop|PutLife)"
                    r"|lambda:[A-Z][a-z]+EventSourceMapping$"
                )
                assert all(unbounded.match(action) for action in listed(statement["Action"]))


def test_every_reason_for_an_unbounded_resource_is_still_needed(toolchain):
    assert set(UNBOUNDED) <= {statement["Sid"] for _, statement in statements(toolchain)}


def test_a_role_may_be_passed_to_one_service_only(toolchain):
    passing = [statement for _, statement in statements(toolchain) if "iam:PassRole" in listed(statement["Action"])]
    assert len(passing) == 6
    for statement in passing:
        assert statement["Action"] == "iam:PassRole"
        kinds = ("BulkWorker", "BulkStates", "InboxWorker", "GoldenCheck", "Shift")
        for resource in listed(statement["Resource"]):
            by_name = resource.get("Fn::Sub", "").endswith(tuple(f"${{ProjectId}}-{kind}" for kind in kinds))
            assert by_name or resource["Fn::GetAtt"][0] in ("LambdaRole", "CloudFormationRole")
        assert set(statement["Condition"]["StringEquals"]) == {"iam:PassedToService"}


def test_event_sources_are_mapped_to_the_worker_of_the_inbox_only(toolchain):
    (statement,) = [one for _, one in statements(toolchain) if "EventSourceMapping" in str(one["Action"])]
    assert statement["Condition"] == {
        "ArnLike": {
            "lambda:FunctionArn": {
                "Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:"
                "${ProjectId}-app-InboxScore-*"
            }
        }
    }


def test_inline_policies_fit_the_quota(toolchain):
    # IAM counts at most 10,240 characters, without white space, over a role's inline policies; notebook 04 adds one.
    longest = {
        "${AWS::Partition}": "aws-us-gov",
        "${AWS::Region}": "ap-southeast-2",
        "${AWS::AccountId}": "0" * 12,
        "${ProjectId}": "p" * 15,
    }
    for role, properties in roles(toolchain).items():
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        body = json.dumps(documents, separators=(",", ":"))
        for name, value in longest.items():
            body = body.replace(name, value)
        assert len(body) < 9_500, role


def test_artifact_bucket_is_encrypted_versioned_private_and_forgets_no_package(toolchain):
    bucket = toolchain["Resources"]["ArtifactBucket"]["Properties"]
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms")
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert list(bucket["PublicAccessBlockConfiguration"].values()) == [True] * 4
    packages, handed_on = bucket["LifecycleConfiguration"]["Rules"]
    assert packages["Status"] == handed_on["Status"] == "Enabled"
    assert {"NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"} <= set(packages)
    # `sam package` writes below artifacts/; CodePipeline below its own name, which begins with the project's.
    assert "ExpirationInDays" not in packages
    assert (handed_on["Prefix"], handed_on["ExpirationInDays"]) == ({"Fn::Sub": "${ProjectId}-"}, 30)
    assert "--s3-prefix artifacts " in (ROOT / "buildspec.yml").read_text()


def test_artifact_bucket_takes_tls_only(toolchain):
    policy = toolchain["Resources"]["ArtifactBucketPolicy"]["Properties"]
    assert policy["Bucket"] == {"Ref": "ArtifactBucket"}
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(statement["Resource"]) == 2


def test_the_pipeline_and_what_is_the_whole_accounts_are_made_on_request_only(toolchain):
    assert toolchain["Parameters"]["WithPipeline"]["Default"] == "false"
    assert toolchain["Parameters"]["ApiLogsRole"]["Default"] == "false"
    always = {name for name, resource in toolchain["Resources"].items() if "Condition" not in resource}
    assert always == {
        "CloudFormationRole",
        "LambdaRole",
        "GoldenCheckRole",
        "ShiftRole",
        "BulkWorkerRole",
        "BulkStatesRole",
        "InboxWorkerRole",
        "ArtifactBucket",
        "ArtifactBucketPolicy",
    }
    needed = json.dumps(toolchain["Rules"])
    assert "ConnectionArn" in needed
    assert "RepositoryId" in needed


def test_without_a_connection_the_source_is_a_repository_of_the_projects_own(toolchain):
    ours = {name for name, each in toolchain["Resources"].items() if each.get("Condition") == "CodeCommitPipeline"}
    assert ours == {"SourceRepository", "PushRule", "PushRole"}
    (source,) = toolchain["Resources"]["DeliveryPipeline"]["Properties"]["Stages"][0]["Actions"]
    _, connected, own = source["Configuration"]["Fn::If"]
    assert own["RepositoryName"] == {"Fn::GetAtt": ["SourceRepository", "Name"]}
    assert own["BranchName"] == connected["BranchName"] == {"Ref": "BranchName"}
    pattern = toolchain["Resources"]["PushRule"]["Properties"]["EventPattern"]
    assert pattern["detail"]["referenceName"] == [{"Ref": "BranchName"}]


def test_the_pipeline_builds_what_it_deploys_in_the_cloudformation_role(toolchain):
    stages = {
        stage["Name"]: stage["Actions"] for stage in toolchain["Resources"]["DeliveryPipeline"]["Properties"]["Stages"]
    }
    assert list(stages) == ["Source", "Build", "Deploy"]
    change_set, execution = (action["Configuration"] for action in stages["Deploy"])
    built = stages["Build"][0]["OutputArtifacts"][0]["Name"]
    assert change_set["TemplatePath"] == f"{built}::template-export.yml"
    assert change_set["RoleArn"] == {"Fn::GetAtt": ["CloudFormationRole", "Arn"]}
    assert [part["ActionMode"] for part in (change_set, execution)] == ["CHANGE_SET_REPLACE", "CHANGE_SET_EXECUTE"]
    assert change_set["StackName"] == execution["StackName"] == {"Fn::Sub": "${ProjectId}-app"}
    assert json.loads(change_set["ParameterOverrides"]["Fn::Sub"]) == {"ProjectId": "${ProjectId}"}
    # Every other parameter comes from the file that the build writes of the deployed stack.
    handed_on = build.read_buildspec()["artifacts"]["files"]
    assert change_set["TemplateConfiguration"] == f"{built}::{parameters.CONFIGURATION.name}"
    assert {"template-export.yml", parameters.CONFIGURATION.name} == set(handed_on)


def test_the_accounts_role_for_api_logs_outlives_the_stack(toolchain):
    for name in ("ApiGatewayLogsRole", "ApiGatewayAccount"):
        resource = toolchain["Resources"][name]
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain", name
    # Its policy is AWS's own: nothing that notebook 04 teaches hides in it.
    (policy,) = toolchain["Resources"]["ApiGatewayLogsRole"]["Properties"]["ManagedPolicyArns"]
    assert policy["Fn::Sub"].endswith(":aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs")


def test_the_build_gets_what_buildspec_asks_for(toolchain):
    environment = toolchain["Resources"]["BuildProject"]["Properties"]["Environment"]
    given = {variable["Name"] for variable in environment["EnvironmentVariables"]} | {"AWS_REGION"}  # CodeBuild's own
    asked = set(re.findall(r"\$\{?([A-Z_]+)", (ROOT / "buildspec.yml").read_text()))
    assert asked <= given


def test_notebook_04_gives_a_reason_for_each_statement_of_its_two_roles(toolchain):
    notebook = json.loads((ROOT / "notebooks" / "04_edit_iam.ipynb").read_text(encoding="utf-8"))
    (table,) = ["".join(cell["source"]) for cell in notebook["cells"] if cell["id"] == "statements-read"]
    named = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    roles = [toolchain["Resources"][role]["Properties"] for role in ("CloudFormationRole", "LambdaRole")]
    documents = [policy["PolicyDocument"] for role in roles for policy in role["Policies"]]
    statements = [statement for document in documents for statement in document["Statement"]]
    assert named == {statement["Sid"] for statement in statements}
    wide = sum(each["Resource"] == "*" for each in statements)
    assert f"{['No', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven'][wide]} statements have `*`" in table
