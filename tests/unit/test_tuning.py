"""The memory sweep: sizes in turn, medians over all turns, the function's own setting put back whatever happens."""

from types import SimpleNamespace

import numpy as np
import pytest

from workshop.scale import tuning


class Functions:
    """As much of Lambda as the sweep uses; `history`: the memory settings in order."""

    class exceptions:
        class InvalidParameterValueException(Exception):
            pass

    def __init__(self, most=10_240):
        self.memory, self.history, self.most = 1769, [], most
        self.alias, self.versions, self.answering = "1", ["1"], []  # `answering`: the memory of what `live` named

    def get_function_configuration(self, FunctionName, Qualifier="$LATEST"):
        return {"MemorySize": self.memory, "Description": "" if Qualifier == "1" else "made by hand: MemorySize"}

    def delete_function(self, FunctionName, Qualifier):
        assert Qualifier not in ("1", self.alias), "one that was deployed, or that answers"

    def update_function_configuration(self, FunctionName, MemorySize):
        if MemorySize > self.most:
            raise self.exceptions.InvalidParameterValueException("'MemorySize' value failed to satisfy constraint")
        self.memory = MemorySize
        self.history.append(MemorySize)

    meta = SimpleNamespace(endpoint_url="http://127.0.0.1:4566")

    def get_waiter(self, _name):
        return SimpleNamespace(wait=lambda **_names: None)

    def get_alias(self, FunctionName, Name):
        return {"FunctionVersion": self.alias}

    def publish_version(self, FunctionName, Description):
        self.versions.append(str(len(self.versions) + 1))
        return {"Version": self.versions[-1]}

    def update_alias(self, FunctionName, Name, FunctionVersion, RoutingConfig):
        self.alias = FunctionVersion
        self.answering.append(self.memory)


@pytest.fixture
def functions():
    return Functions()


@pytest.fixture
def lab(functions):
    return SimpleNamespace(
        app_stack="app", outputs=lambda _stack: {"PredictFunction": "predict"}, client=lambda _service: functions
    )


def test_sizes_take_turns_and_the_setting_is_put_back(lab, functions, monkeypatch):
    counts = []

    def run(_url, _pictures, count):
        counts.append(count)
        return SimpleNamespace(execution_seconds=np.array([100 / functions.memory, 200 / functions.memory]))

    monkeypatch.setattr(tuning.load, "run", run)
    told = []
    result = tuning.by_memory(lab, "url", [b""], [1000, 2000], rounds=2, repeats=7, progress=told.append)
    assert functions.history == functions.answering == [1000, 2000, 1000, 2000, 1769]
    assert counts == [3, 7] * 4 and told == [1] * 4
    assert result == {1000: pytest.approx(150.0), 2000: pytest.approx(75.0)}


def test_the_setting_is_put_back_after_a_failure(lab, functions, monkeypatch):
    def run(_url, _pictures, count):
        raise ConnectionError

    monkeypatch.setattr(tuning.load, "run", run)
    with pytest.raises(ConnectionError):
        tuning.by_memory(lab, "url", [b""], [3538])
    assert functions.memory == 1769


def test_a_size_that_the_account_is_not_allowed_is_left_out(lab, functions, monkeypatch):
    functions.most = 3008
    monkeypatch.setattr(
        tuning.load, "run", lambda _url, _pictures, count: SimpleNamespace(execution_seconds=np.array([0.1]))
    )
    assert tuning.by_memory(lab, "url", [b""], [1769, 3538, 5307], rounds=2).keys() == {1769}
    assert functions.history == [1769, 1769, 1769]
