"""How the stack is watched and what it answers by itself: gateway answers, alarms, dashboard, access logs."""

import json

from errors import GATEWAY_STATUS, STATUS


def test_gateway_answers_are_of_the_contract(template):
    answers = template["Resources"]["Api"]["Properties"]["GatewayResponses"]
    seen = set()
    for kind, answer in answers.items():
        text = answer["ResponseTemplates"]["application/json"]
        (body,) = json.loads(text.replace("$context.error.messageString", '"…"')).values()
        assert body.keys() == {"code", "message"}, kind
        assert answer["StatusCode"] == (STATUS | GATEWAY_STATUS)[body["code"]], kind
        assert ("Retry-After" in str(answer.get("ResponseParameters"))) is (body["code"] in GATEWAY_STATUS), kind
        seen.add(body["code"])
    # The first two have a status of their own; the defaults take in every type that is not named.
    assert {"THROTTLED", "REQUEST_TOO_LARGE", "INTEGRATION_TIMEOUT", "DEFAULT_4XX", "DEFAULT_5XX"} <= answers.keys()
    assert seen >= GATEWAY_STATUS.keys()
    assert not STATUS.keys() & GATEWAY_STATUS.keys()
