"""Who may ask, in the template as the SAM transform leaves it: what is guarded, and that a change reaches the stage."""

import pytest

from tests import contract
from workshop import ROOT, choices
from workshop.deployment.judge import resolving

AUTHS = ("none", "key", "iam")
METHODS = {"get", "post", "put", "patch", "delete", "head", "options"}


def resolved(**chosen: str) -> resolving.Resolved:
    parameters = {"ProjectId": "lab", **chosen}
    template = resolving.load(ROOT / choices.APPLICATION)
    roles = ("LambdaTrustRole", "GoldenCheckRole", "ShiftRole", "BulkWorkerRole", "BulkStatesRole")
    exports = {f"lab-{resolving.World.region}-{name}": "arn:aws:iam::123456789012:role/any" for name in roles}
    world = resolving.World("lab-app", exports=exports)
    return resolving.resolve(resolving.expand(template, parameters), parameters, world)


def deployment(stack: resolving.Resolved) -> str:
    (name,) = [name for name, each in stack.resources.items() if each["Type"] == "AWS::ApiGateway::Deployment"]
    stage = stack.resources["ApiProdStage"]["Properties"]
    assert stage["DeploymentId"] == resolving.physical_name(name, stack.resources[name], stack.world)
    return name


@pytest.mark.parametrize(("auth", "security"), [("none", None), ("key", [{"api_key": []}]), ("iam", [{"sigv4": []}])])
def test_get_and_post_of_predict_alone_are_guarded(auth, security):
    body = resolved(Auth=auth).resources["Api"]["Properties"]["Body"]
    assert body["paths"].keys() == {"/", "/predict", "/{proxy+}"}
    for path, methods in body["paths"].items():
        assert methods.keys() == METHODS
        for method, operation in methods.items():
            guarded = path == "/predict" and method in ("get", "post")
            assert operation.get("security") == (security if guarded else None), (path, method)
            assert operation["x-amazon-apigateway-integration"]["type"] == "aws_proxy"
    assert "security" not in body
    assert body["securityDefinitions"]["api_key"] == {"type": "apiKey", "name": "x-api-key", "in": "header"}
    assert body["securityDefinitions"]["sigv4"]["x-amazon-apigateway-authtype"] == "awsSigv4"


@pytest.mark.slow
def test_another_auth_makes_another_deployment_and_the_same_one_none():
    made = {auth: deployment(resolved(Auth=auth)) for auth in AUTHS}
    assert len(set(made.values())) == 3
    assert {auth: deployment(resolved(Auth=auth)) for auth in AUTHS} == made
    # What says nothing of the API leaves the deployment as it is; its own answers' headers are part of it.
    assert deployment(resolved(Auth="key", MemorySize="3008")) == made["key"]
    assert deployment(resolved(Auth="key", AllowOrigin="https://pages.example")) != made["key"]


@pytest.mark.parametrize("auth", AUTHS)
def test_no_function_gets_a_name_for_that(auth):
    functions = [each for each in resolved(Auth=auth).resources.values() if each["Type"] == "AWS::Lambda::Function"]
    assert functions and not [each for each in functions if "FunctionName" in each["Properties"]]


@pytest.mark.parametrize("auth", AUTHS)
def test_the_gateways_answers_depend_on_auth_and_keep_their_form(auth):
    answers = resolved(Auth=auth).resources["Api"]["Properties"]["Body"]["x-amazon-apigateway-gateway-responses"]
    unsigned, other = answers["MISSING_AUTHENTICATION_TOKEN"], answers["DEFAULT_4XX"]
    assert (unsigned["statusCode"], other["statusCode"]) == (("403", "403") if auth == "iam" else ("405", "400"))
    for kind, answer in answers.items():
        assert '{"error": {"code": "' in answer["responseTemplates"]["application/json"], kind
    assert len(answers) == len({kind for kind, *_ in contract.gateway_answers(
        resolving.load(ROOT / choices.APPLICATION)["Resources"]["Api"]["Properties"])})  # fmt: skip


@pytest.mark.slow
def test_a_usage_plan_is_there_with_keys_alone_and_no_key_is_in_the_template():
    stack = resolved(Auth="key", KeyRate="5", KeyBurst="7", KeyQuota="9")
    plan = stack.resources["KeyPlan"]["Properties"]
    assert (plan["Throttle"], plan["Quota"]) == (
        {"RateLimit": "5", "BurstLimit": "7"}, {"Limit": "9", "Period": "DAY"})  # fmt: skip
    (stage,) = plan["ApiStages"]
    assert stage["Stage"] == "Prod" or "Stage" in stage["Stage"]
    for auth in AUTHS:
        kinds = [each["Type"] for each in resolved(Auth=auth).resources.values()]
        assert ("AWS::ApiGateway::UsagePlan" in kinds) is (auth == "key")
        assert "AWS::ApiGateway::ApiKey" not in kinds


@pytest.mark.slow
def test_a_budget_is_there_on_request_and_writes_to_the_address():
    assert "Budget" not in resolved().resources
    assert "Budget" not in resolved(BudgetEmail="me@example.com", Emulator="true").resources
    budget = resolved(BudgetEmail="me@example.com", MonthlyBudget="25").resources["Budget"]["Properties"]
    assert budget["Budget"]["BudgetLimit"] == {"Amount": "25", "Unit": "USD"}
    for each in budget["NotificationsWithSubscribers"]:
        assert each["Subscribers"] == [{"SubscriptionType": "EMAIL", "Address": "me@example.com"}]


def test_the_templates_own_default_is_a_guarded_endpoint(template):
    assert template["Parameters"]["Auth"]["Default"] == "key"
