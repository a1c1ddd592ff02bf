"""The cost of SnapStart against cases worked by hand; each case shows its arithmetic."""

import pytest

from workshop.scale import cost, snapstart
from workshop.scale.snapstart import ColdStart


def test_a_month_of_one_cached_version():
    # 730 h x 3,600 s x 1,769 / 1,024 GB = 4,540,043 GB-s x 0.0000015046 = 6.830780
    assert snapstart.cached() == pytest.approx(6.830780, abs=1e-4)
    assert snapstart.cached(versions=5) == pytest.approx(5 * snapstart.cached())
    # 1 GB for one hour counts as 3 h = 10,800 GB-s x 0.0000015046 = 0.016250
    assert snapstart.cached(1024, hours=1) == pytest.approx(0.01624968)


def test_a_cold_start_on_demand_and_from_a_snapshot():
    start = ColdStart(billed_ms=2000, hooks_ms=100, memory_mb=1024)
    # 2 s x 1 GB x 0.0000166667 = 0.0000333334, and 4 GETs x 0.0000004 = 0.0000016
    assert start.on_demand == pytest.approx(0.0000349334)
    # 1 GB x 0.0001397998, and 0.1 s x 1 GB x 0.0000166667 = 0.00000166667
    assert start.restored == pytest.approx(0.00014146647)
    # 1 GB x 2,628,000 s x 0.0000015046 = 3.9540888; 1,000 restores = 0.14146647
    bill = snapstart.monthly(start, 1000)
    assert bill == {"snapshots": pytest.approx(3.9540888), "restores": pytest.approx(0.14146647)}


def test_a_restore_costs_as_much_as_eight_seconds_of_compute_at_any_memory():
    # 0.0001397998 / 0.0000166667 = 8.38797 s
    assert snapstart.seconds_of_a_restore() == pytest.approx(8.38797, abs=1e-5)
    for memory in (512, 1769, 10240):
        assert snapstart.pays_from(ColdStart(8_000, memory_mb=memory)) is None
        assert snapstart.pays_from(ColdStart(9_000, memory_mb=memory)) is not None


def test_the_first_number_of_cold_starts_that_pays():
    # 10 s x 1 GB: 0.000166667 + 0.0000016 on demand, 0.0001397998 restored: 0.0000284672 saved each;
    # 3.9540888 / 0.0000284672 = 138,900.0 cold starts
    start = ColdStart(10_000, hooks_ms=0, memory_mb=1024)
    first = snapstart.pays_from(start)
    assert first == pytest.approx(138_900, abs=2)
    for count, pays in ((first - 1, False), (first, True)):
        assert (cost.total(snapstart.monthly(start, count)) <= count * start.on_demand) is pays
    assert snapstart.pays_from(start, versions=2) == pytest.approx(2 * first, abs=2)
