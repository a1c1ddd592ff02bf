"""Which tests share a worker, and in which order the groups are handed out."""

import pytest

from tests import parallel
from workshop import ROOT


@pytest.mark.parametrize("start", [*parallel.TOGETHER, *parallel.QUICKEST_FIRST, *parallel.LONGEST_FIRST])
def test_each_place_is_there(start):
    assert (ROOT / start).exists()


def test_tests_of_a_file_stay_together_and_so_do_those_that_share_a_stack():
    one, other = "tests/unit/test_cost.py::test_a", "tests/unit/test_cost.py::test_b[x::y]"
    assert parallel.group(one) == parallel.group(other) != parallel.group("tests/unit/test_load.py::test_a")
    deployed = ("tests/e2e/test_bulk.py::test_a", "tests/browser/test_report.py::test_b[dark]")
    assert {parallel.group(name) for name in deployed} == {"deployed"}
    assert {parallel.group(f"notebooks/0{number}_a.ipynb::Cell 1") for number in range(8)} == {"JupyterLab"}


def test_the_longest_come_first_on_several_cores_and_last_on_one():
    quick, long = "tests/unit/test_cost.py::test_a", "notebooks/08_predict_at_scale.ipynb::Cell 4"
    assert parallel.rank(long, parallel.LONGEST_FIRST) < parallel.rank(quick, parallel.LONGEST_FIRST)
    assert parallel.rank(quick, parallel.QUICKEST_FIRST) < parallel.rank(long, parallel.QUICKEST_FIRST)
    assert parallel.rank("elsewhere/test_a.py::test_b", parallel.LONGEST_FIRST) == len(parallel.LONGEST_FIRST)
