"""What the account lets the function reserve; the limit that holds, and what was there before put back."""

from types import SimpleNamespace

import pytest

from workshop.scale import quotas


class Functions:
    """As much of Lambda as reservations use."""

    def __init__(self, total: int, reserved: int | None = None):
        self.total, self.reserved, self.history = total, reserved, []

    def get_account_settings(self):
        return {"AccountLimit": {"ConcurrentExecutions": self.total, "UnreservedConcurrentExecutions": self.total}}

    def get_function_concurrency(self, FunctionName):
        return {} if self.reserved is None else {"ReservedConcurrentExecutions": self.reserved}

    def put_function_concurrency(self, FunctionName, ReservedConcurrentExecutions):
        self.reserved = ReservedConcurrentExecutions
        self.history.append(self.reserved)

    def delete_function_concurrency(self, FunctionName):
        self.reserved = None
        self.history.append(None)


def lab(functions):
    return SimpleNamespace(client=lambda _service: functions)


@pytest.mark.parametrize(("before", "history"), [(None, [2, None]), (7, [2, 7])])
def test_a_reservation_is_taken_back(before, history):
    functions = Functions(1000, before)
    with pytest.raises(ConnectionError), quotas.limited(lab(functions), "predict", 2) as limit:
        assert (limit, functions.reserved) == (2, 2)
        raise ConnectionError
    assert functions.history == history


@pytest.mark.parametrize("total", [10, 100, 101])
def test_a_small_account_reserves_nothing_and_its_own_limit_holds(total):
    functions = Functions(total)
    with quotas.limited(lab(functions), "predict", 2) as limit:
        assert limit == total
    assert functions.history == []


def test_the_last_hundred_stay_free():
    assert quotas.Account(1000, 1000).can_reserve(900)
    assert not quotas.Account(1000, 1000).can_reserve(901)
    assert not quotas.Account(1000, 101).can_reserve(2)
