"""The judge finds nothing in what is committed, and every fault that is planted into it."""

import fnmatch
import json
import random
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import pytest

from workshop import ROOT
from workshop.deployment import judge, stacks
from workshop.deployment.judge import limits, permissions, reference, resolving, statements, upkeep
from workshop.deployment.judge.combinations import seen_together

APP, TOOLCHAIN = resolving.load(ROOT / "template.yml"), resolving.load(ROOT / "toolchain.yml")
REGION_ACCOUNT = "${AWS::Region}:${AWS::AccountId}"


def plant(name, check, message=""):
    """Register a fault: a function that puts it into the parsed templates. `check`, `message`: how it is found."""

    def register(put):
        FAULTS[name] = SimpleNamespace(put=put, check=check, message=message)
        return put

    return register


FAULTS: dict[str, SimpleNamespace] = {}


def statement(toolchain, sid, role="CloudFormationRole"):
    """A statement of a role in toolchain.yml, to be changed in place."""
    policies = toolchain["Resources"][role]["Properties"]["Policies"]
    (found,) = [
        each for policy in policies for each in policy["PolicyDocument"]["Statement"] if each.get("Sid") == sid
    ]  # one of two by a condition has none
    return found


def move(toolchain, action, where, to):
    """Grant an action by another statement than it is, which is where it was before."""
    statement(toolchain, where)["Action"].remove(action)
    statement(toolchain, to)["Action"].append(action)


def machine(app):
    return app["Resources"]["BulkMachine"]["Properties"]


def text(app):
    return machine(app)["DefinitionString"]["Fn::Sub"]


def retext(app, old, new):
    assert old in text(app)
    machine(app)["DefinitionString"]["Fn::Sub"] = text(app).replace(old, new)


def as_object(app, concurrency):
    """The machine's definition as an object, without its null, and with `concurrency` as MaxConcurrency."""
    states = json.loads(text(app).replace("${BulkConcurrency}", "1").replace("${BulkBatch}", "1"))
    del states["States"]["ScoreImages"]["ResultPath"]
    states["States"]["ScoreImages"]["MaxConcurrency"] = concurrency
    del machine(app)["DefinitionString"]
    machine(app)["Definition"] = states
    return states


def change_set(toolchain):
    stages = toolchain["Resources"]["DeliveryPipeline"]["Properties"]["Stages"]
    return stages[-1]["Actions"][0]["Configuration"]


# --- What was found by hand ------------------------------------------------------------------------------------------


@plant("a null in the state machine", "null", "ResultPath")
def _(app, toolchain):
    as_object(app, 1)["States"]["ScoreImages"]["ResultPath"] = None


@plant("a parameter's number within an object", "number", "BulkConcurrency")
def _(app, toolchain):
    as_object(app, {"Ref": "BulkConcurrency"})


@plant("a string where Step Functions wants a number", "machine", "'100' is not of type 'integer'")
def _(app, toolchain):
    as_object(app, {"Ref": "BulkConcurrency"})


@plant("an action that knows * alone, on a topic", "resource", "sns:Unsubscribe")
def _(app, toolchain):
    statement(toolchain, "EndTheSubscriptionOfAnotherAddress")["Action"] = "s3:ListAllMyBuckets"
    statement(toolchain, "ManageTheAlarmTopic")["Action"].append("sns:Unsubscribe")


@plant("an action that knows * alone, on log groups", "resource", "logs:DescribeIndexPolicies")
def _(app, toolchain):
    move(toolchain, "logs:DescribeIndexPolicies", "FindLogGroups", "ManageTheLogGroups")


@plant("alarms of which some stay hidden", "permission", "cloudwatch:DescribeAlarms on *")
def _(app, toolchain):
    move(toolchain, "cloudwatch:DescribeAlarms", "FindAlarms", "ManageAlarmsAndDashboards")


@plant("the bulk bucket without the model store's reads", "permission", "s3:GetReplicationConfiguration")
def _(app, toolchain):
    statement(toolchain, "ManageTheBulkBucket")["Action"].remove("s3:Get*Configuration")


@plant("an event source of another function", "permission", "lambda:CreateEventSourceMapping on *")
def _(app, toolchain):
    other = {"Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:${ProjectId}-other-*"}
    statement(toolchain, "ConnectTheInboxQueue")["Condition"]["ArnLike"]["lambda:FunctionArn"] = other


@plant("a pipeline that may not write its source", "pipeline", "s3:PutObjectAcl")
def _(app, toolchain):
    statement(toolchain, "ExchangeArtifacts", "PipelineRole")["Action"].remove("s3:PutObjectAcl")


@plant("metrics that are billed and unused", "upkeep", "billed")
def _(app, toolchain):
    app["Resources"]["Api"]["Properties"]["MethodSettings"][0]["MetricsEnabled"] = True


@plant("packages that are forgotten", "upkeep", "forgets packages")
def _(app, toolchain):
    rules = toolchain["Resources"]["ArtifactBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    rules[0]["ExpirationInDays"] = 90


# --- And its kind ----------------------------------------------------------------------------------------------------


@plant("a null in a bucket policy", "null", "PolicyDocument")
def _(app, toolchain):
    app["Resources"]["ModelStoreBucketPolicy"]["Properties"]["PolicyDocument"]["Id"] = None


@plant("a null in the toolchain", "null", "Outputs")
def _(app, toolchain):
    toolchain["Outputs"]["ArtifactBucket"]["Description"] = None


@plant("a number in quotation marks", "machine", "'100' is not of type 'integer'")
def _(app, toolchain):
    retext(app, "${BulkConcurrency}", '"${BulkConcurrency}"')


@plant("a substitution that stays a string", "machine", "is not of type 'integer'")
def _(app, toolchain):
    as_object(app, "${Most}")
    machine(app)["DefinitionSubstitutions"] = {"Most": {"Ref": "BulkConcurrency"}}


@plant("a definition that is no JSON", "machine", "no JSON")
def _(app, toolchain):
    retext(app, '"End": true', '"End": true,')


@plant("a state that leads nowhere", "machine", "'Collect' that is not there")
def _(app, toolchain):
    retext(app, '"Next": "CollectResults"', '"Next": "Collect"')


@plant("a machine without an end", "machine", "expected exactly one of Next, End")
def _(app, toolchain):
    retext(app, '"Next": "CollectResults"', '"InputPath": "$"')


@plant("a field that no Retry has", "machine", "MaxAttempt")
def _(app, toolchain):
    retext(app, '"MaxAttempts": 8', '"MaxAttempt": 8')


@plant("a path that is none", "machine", "neither a path nor an intrinsic function")
def _(app, toolchain):
    retext(app, '"top.$": "$.top"', '"top.$": "top"')


@plant("a label that is too long", "machine", "is too long")
def _(app, toolchain):
    retext(app, '"Label": "ScoreImages"', f'"Label": "{"a" * 41}"')


@plant("an action that does not exist", "action", "s3:ListObjects")
def _(app, toolchain):
    statement(toolchain, "ManageTheModelStore")["Action"].append("s3:ListObjects")


@plant("an action of an object on a bucket", "resource", "s3:GetObject knows")
def _(app, toolchain):
    app["Resources"]["ModelStoreBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"][0]["Resource"] = {
        "Fn::GetAtt": ["ModelStoreBucket", "Arn"]
    }


@plant("an ARN of a bucket with a region", "resource", "arn:aws:s3:eu-central-1")
def _(app, toolchain):
    statement(toolchain, "ReadTheModel", "BulkWorkerRole")["Resource"] = {
        "Fn::Sub": f"arn:${{AWS::Partition}}:s3:{REGION_ACCOUNT}:${{ProjectId}}-models/*"
    }


@plant("an ARN of nothing, beside one that fits", "resource", "loggroup")
def _(app, toolchain):
    statement(toolchain, "ManageTheLogGroups")["Resource"].append(
        {"Fn::Sub": f"arn:${{AWS::Partition}}:logs:{REGION_ACCOUNT}:loggroup:/aws/lambda/${{ProjectId}}-*"}
    )


@plant("a condition that the action does not know", "condition", "iam:PassedTo")
def _(app, toolchain):
    statement(toolchain, "PassTheLambdaRoleToLambdaOnly")["Condition"] = {
        "StringEquals": {"iam:PassedTo": "lambda.amazonaws.com"}
    }


@plant("PassRole without its condition", "pass-role", "PassedToService")
def _(app, toolchain):
    del statement(toolchain, "PassTheBulkWorkerRoleToLambdaOnly")["Condition"]


@plant("PassRole by a wildcard, without its condition", "pass-role", "PassedToService")
def _(app, toolchain):
    statement(toolchain, "Build", "PipelineRole")["Action"].append("iam:Pass*")


@plant("PassRole of every role", "pass-role", "every role")
def _(app, toolchain):
    statement(toolchain, "PassTheLambdaRoleToLambdaOnly")["Resource"] = "*"


@plant("PassRole to another service", "permission", "AWS::StepFunctions::StateMachine takes iam:PassRole")
def _(app, toolchain):
    statement(toolchain, "PassTheBulkStatesRoleToStepFunctionsOnly")["Condition"] = {
        "StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}
    }


@plant("a role's name that the deploying role may not pass", "permission", "iam:PassRole")
def _(app, toolchain):
    toolchain["Resources"]["BulkWorkerRole"]["Properties"]["RoleName"] = {"Fn::Sub": "${ProjectId}-worker"}


@plant("a log group outside of what the role may make", "permission", "logs:CreateLogGroup")
def _(app, toolchain):
    app["Resources"]["PredictLogs"]["Properties"]["LogGroupName"] = {"Fn::Sub": "/lab/${ProjectId}"}


@plant("a denial of what is allowed", "permission", "s3:CreateBucket")
def _(app, toolchain):
    (policy,) = toolchain["Resources"]["CloudFormationRole"]["Properties"]["Policies"]
    denial = {"Sid": "No", "Effect": "Deny", "Action": "s3:Create*", "Resource": "arn:aws:s3:::*"}
    policy["PolicyDocument"]["Statement"].append(denial)


@plant("a property whose permission nobody granted", "permission", "s3:PutBucketCORS")
def _(app, toolchain):
    app["Resources"]["ModelStoreBucket"]["Properties"]["CorsConfiguration"] = {"CorsRules": []}


@plant("a type of which nobody says what it takes", "permission", "AWS::CodeBuild::Fleet")
def _(app, toolchain):
    app["Resources"]["Fleet"] = {"Type": "AWS::CodeBuild::Fleet", "Properties": {}}


@plant("a reason that holds no longer", "reason", "s3:PutBucketPolicy is left out")
def _(app, toolchain):
    statement(toolchain, "ManageTheModelStore")["Action"].append("s3:PutBucketPolicy")


@plant("an output of what a condition leaves out", "reference", "BulkBucket is left out by its condition")
def _(app, toolchain):
    del app["Outputs"]["BulkBucket"]["Condition"]


@plant("a reference to nothing", "reference", "Topic is not in the template")
def _(app, toolchain):
    app["Resources"]["FaultsAlarm"]["Properties"]["AlarmActions"] = [{"Ref": "Topic"}]


@plant("a text that names nothing", "reference", "Bucket is not in the template")
def _(app, toolchain):
    app["Outputs"]["PredictUrl"]["Value"] = {"Fn::Sub": "https://${Bucket.DomainName}/"}


@plant("an import that nobody exports", "reference", "BulkStatesRole")
def _(app, toolchain):
    del toolchain["Outputs"]["BulkStatesRole"]["Export"]


@plant("an export of another name", "reference", "LambdaTrustRole")
def _(app, toolchain):
    toolchain["Outputs"]["LambdaTrustRole"]["Export"]["Name"] = {"Fn::Sub": "${ProjectId}-LambdaTrustRole"}


@plant("too many outputs", "limit", "Outputs")
def _(app, toolchain):
    app["Outputs"] |= {f"Output{number}": {"Value": "x"} for number in range(200)}


@plant("a description that is too long", "limit", "Description")
def _(app, toolchain):
    toolchain["Description"] = "ü" * 600


@plant("a template that the transform makes too large", "limit", "after the transform")
def _(app, toolchain):
    app["Metadata"] = {"Text": "x" * 1_000_000}


@plant("a pipeline that forgets what has no default", "pipeline", "ProjectId")
def _(app, toolchain):
    del change_set(toolchain)["ParameterOverrides"], change_set(toolchain)["TemplateConfiguration"]


@plant("a pipeline that forgets what the notebook may pass", "pipeline", "the pipeline forgets MemorySize")
def _(app, toolchain):
    del change_set(toolchain)["TemplateConfiguration"]


@plant("a pipeline that takes its parameters from another file", "pipeline", "the pipeline forgets MemorySize")
def _(app, toolchain):
    change_set(toolchain)["TemplateConfiguration"] = "Package::template-export.yml"


@plant("a build that keeps the parameters to itself", "pipeline", "does not hand on template-configuration.json")
def _(app, toolchain):
    return ["template-export.yml"]


@plant("a pipeline that passes what the template does not know", "pipeline", "no parameter Memory")
def _(app, toolchain):
    change_set(toolchain)["ParameterOverrides"] = {"Fn::Sub": '{"ProjectId": "${ProjectId}", "Memory": "1"}'}


@plant("parameters of the pipeline that are no JSON", "pipeline", "no JSON")
def _(app, toolchain):
    change_set(toolchain)["ParameterOverrides"] = {"Fn::Sub": "{'ProjectId': '${ProjectId}'}"}


@plant("a snapshot of a Python that has none", "snapshot", "the runtime python3.11")
def _(app, toolchain):
    app["Parameters"]["Runtime"]["Default"] = "python3.11"


@plant("a snapshot of a large disk", "snapshot", "ephemeral storage")
def _(app, toolchain):
    app["Resources"]["Predict"]["Properties"]["EphemeralStorage"] = {"Size": 1024}


@plant("a snapshot of a file system", "snapshot", "EFS")
def _(app, toolchain):
    arn = "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/fsap-0123456789abcdef0"
    files = [{"Arn": arn, "LocalMountPath": "/mnt/models"}]
    app["Resources"]["Predict"]["Properties"]["FileSystemConfigs"] = files


@plant("environments provisioned beside a snapshot", "snapshot", "provisioned concurrency")
def _(app, toolchain):
    app["Resources"]["Predict"]["Properties"]["ProvisionedConcurrencyConfig"] = {"ProvisionedConcurrentExecutions": 1}


@plant("a mapping without the key", "reference", "the mapping has no 'true'")
def _(app, toolchain):
    del app["Mappings"]["Snapshots"]["true"]


@pytest.mark.slow
def test_nothing_is_found_in_what_is_committed():
    assert [str(finding) for finding in judge.judge_files()] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name):
    app, toolchain, fault = deepcopy(APP), deepcopy(TOOLCHAIN), FAULTS[name]
    handed_on = fault.put(app, toolchain)
    found = judge.judge(app, toolchain, handed_on)
    hits = [finding for finding in found if finding.check == fault.check and fault.message in str(finding)]
    assert hits, [str(finding) for finding in found]


def everything_on():
    """The toolchain, and the application with all that its conditions can add, both resolved."""
    tool = resolving.resolve(TOOLCHAIN, {"ProjectId": "predictions"}, resolving.World("predictions-toolchain"))
    chosen = {"ProjectId": "predictions", "AccessLogs": "true", "AlarmEmail": "a@example.com"}
    chosen |= {"BulkScoring": "true", "OnUpload": "true"}
    world = resolving.World("predictions-app", exports=tool.exports)
    return tool, resolving.resolve(resolving.expand(APP, chosen), chosen, world)


TOOL, STACK = everything_on()


@pytest.mark.parametrize("kind", sorted({resource["Type"] for resource in STACK.resources.values()}))
def test_each_action_that_a_type_takes_is_missed_when_it_is_not_granted(kind):
    role, artifacts = TOOL.resources["CloudFormationRole"], TOOL.arn("ArtifactBucket")
    own = {name: resource for name, resource in STACK.resources.items() if resource["Type"] == kind}
    stack = replace(STACK, resources=dict(list(own.items())[:2]))
    needed = {need.action for need in permissions.needs(stack, artifacts)}
    assert needed
    for action in needed - {action for _, action in permissions.LEFT_OUT}:
        without = deepcopy(role)
        for each in permissions.statements_of(without):
            patterns = statements.listed(each["Action"])
            each["Action"] = [every for every in patterns if not fnmatch.fnmatchcase(action.lower(), every.lower())]
        found = permissions.judge(stack, without, artifacts, "template.yml")
        assert any(f"{kind} takes {action} on" in finding.message for finding in found), action


def test_a_file_that_is_too_large_for_a_request_is_found():
    commented, long = "# x\n" * 51_200 + "Text: x\n", "Text: " + "x" * 51_200
    assert not list(limits.judge_text(commented, "template.yml")), "comments are not sent"
    (finding,) = limits.judge_text(long, "template.yml")
    assert finding.check == "limit" and "51211 bytes" in finding.message


def test_a_template_that_is_sent_as_json_is_the_same_template():
    text = (ROOT / "template.yml").read_text()
    sent = stacks.request_body(text + "\n#" + "x" * 51_200)
    assert len(sent.encode()) <= 51_200 < len(text.encode()) + 51_200
    assert json.loads(sent) == resolving.parse(text)
    assert stacks.request_body("Text: x") == "Text: x"


def test_too_many_resources_are_found():
    resources = {f"Logs{number}": {"Type": "AWS::Logs::LogGroup"} for number in range(500)}
    assert not list(limits.judge_template({"Resources": resources}, "template.yml"))
    (finding,) = limits.judge_template({"Resources": resources | {"More": {}}}, "template.yml")
    assert (finding.check, finding.place) == ("limit", "template.yml/Resources")


def test_a_partition_by_hand_is_found():
    texts = {"a.py": 'ok = f"arn:{partition}:s3:::b"\nbucket = "arn:aws:s3:::b"', "b.yml": "^arn:aws[a-z-]*:iam"}
    assert [finding.place for finding in upkeep.partitions(texts)] == ["a.py:2"]


def shapes(template, chosen):
    """Every form that a resource or an output takes with one of these choices of parameters."""
    seen = set()
    for each in chosen:
        resolved = resolving.resolve(template, each, resolving.World(exports=TOOL.exports))
        for section in (resolved.resources, resolved.outputs):
            seen |= {f"{name} {resolving.text_of(part)}" for name, part in section.items()}
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("name", ["template.yml", "toolchain.yml"])
def test_no_combination_of_parameters_makes_a_part_that_is_not_judged(name):
    template = resolving.load(ROOT / name)
    template = resolving.expand(template, next(judge.cases(template)))
    cases = list(judge.cases(template))[:-2]  # the extremes have other numbers
    values = {key: sorted({each[key] for each in cases}) for key in cases[0]}
    chance = random.Random(name)
    others = [{key: chance.choice(some) for key, some in values.items()} for _ in range(200)]
    assert len({tuple(each.items()) for each in others}) > len(cases)
    assert not shapes(template, others) - shapes(template, cases)


def test_parts_that_see_the_same_parameters_are_judged_in_their_combinations():
    template = {
        "Parameters": {name: {"Type": "String", "Default": "off"} for name in "ABC"},
        "Conditions": {name: {"Fn::Equals": [{"Ref": name[-1]}, "on"]} for name in ("IsA", "IsB", "IsC")}
        | {"Both": {"Fn::And": [{"Condition": "IsA"}, {"Condition": "IsB"}]}},
        "Resources": {
            "One": {"Type": "AWS::SNS::Topic", "Condition": "Both"},
            "Two": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Fn::If": ["IsC", "on", "off"]}}},
        },
        "Outputs": {"Name": {"Value": {"Fn::Sub": ["${Two.Arn}-${x}", {"x": {"Ref": "A"}}]}}},
    }
    assert [set(each) for each in seen_together(template, "ABC")] == [{"A", "B"}, {"A", "C"}]
    assert [set(each) for each in seen_together(template, "B")] == [{"B"}]
    for name in "ABC":
        template["Parameters"][name]["AllowedValues"] = ["off", "on"]
    assert len(list(judge.cases(template))[:-2]) == 4 + 4 - 2, "of C off, two were there already"


def test_a_number_is_put_in_as_a_string():
    parameters = {"Most": {"Type": "Number", "Default": 7}}
    template = {"Parameters": parameters, "Outputs": {"Most": {"Value": {"Ref": "Most"}}}}
    assert resolving.resolve(template, {}, resolving.World()).outputs == {"Most": "7"}


@pytest.mark.parametrize(("pattern", "other", "expected"), [
    ("a*c", "abc", True), ("a*", "*b", True), ("a?c", "abc", True), ("a?c", "ac", False), ("arn:*:b", "arn:a:c", False),
    ("*", "", True), ("a*b*c", "a*c", True),
])  # fmt: skip
def test_patterns_overlap(pattern, other, expected):
    assert reference.overlap(pattern, other) is reference.overlap(other, pattern) is expected


@pytest.mark.slow
def test_what_the_caller_must_be_allowed_is_known_for_every_call_and_resource():
    needs = judge.caller_needs(
        "my-lab", resolving.World(region="us-east-1"), {"WithPipeline": "true", "ApiLogsRole": "true"}
    )
    asked = {need.action for need in needs}
    assert {"cloudformation:ExecuteChangeSet", "iam:CreateRole", "iam:PutRolePolicy", "iam:SimulatePrincipalPolicy",
            "s3:CreateBucket", "s3:PutObject", "lambda:PutFunctionConcurrency", "states:StartExecution",
            "logs:FilterLogEvents", "apigateway:GET", "codepipeline:CreatePipeline", "codebuild:CreateProject",
            "s3:DeleteObjectVersion", "cloudformation:UpdateStack"} <= asked  # fmt: skip
    assert not asked - {action for action in asked if reference.row(action)}
    for need in needs:
        assert need.resource == "*" or need.resource.startswith("arn:aws:")
        assert need.resource == "*" or statements.can_match(need.action, need.resource), need
        assert bool(need.passed_to) is (need.action == "iam:PassRole"), need
    fewer = {need.action for need in judge.caller_needs("my-lab")}
    assert "codepipeline:CreatePipeline" not in fewer


def test_what_the_deploying_role_must_be_allowed_is_what_it_is_granted():
    granted = permissions.statements_of(TOOL.resources["CloudFormationRole"])
    chosen = {"BulkScoring": "true", "OnUpload": "true", "AlarmEmail": "a@example.com"}
    lacking = {need.action for need in judge.role_needs(parameters=chosen)
               if not permissions.is_granted(need, granted)}  # fmt: skip
    assert lacking == {"s3:PutBucketPolicy"}
