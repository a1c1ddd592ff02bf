"""The simulation against closed forms: loss and waiting by Erlang, and the exact arithmetic of Lambda's rules."""

from dataclasses import asdict

import numpy as np
import pytest
import simpy

from workshop.scale import cost, simulation
from workshop.scale.run import OK, THROTTLED_BY_API, THROTTLED_BY_LAMBDA
from workshop.scale.simulation import UNLIMITED, Fleet, Function, Quotas


def constant(seconds):
    return lambda _under_way: seconds


def exponential(mean, rng):
    return simulation.Sampler(rng.exponential(mean, 100_000), rng)


def run_open(times, horizon, quotas, warm, cold=None, sample=1.0):
    env = simpy.Environment()
    function = Function(env, warm, cold or warm, quotas)
    return simulation.open_loop(env, function, np.asarray(times, float), horizon, sample)


# --- Against theory ------------------------------------------------------------


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (2, 1.4), (10, 7.0)])
@pytest.mark.slow
def test_waiting_in_a_fleet_is_that_of_m_m_c(servers, load):
    rng = np.random.default_rng(1)
    env = simpy.Environment()
    fleet = Fleet(env, exponential(1.0, rng), servers)
    seconds = simulation.queue_loop(env, fleet, rng.exponential(1 / load, 100_000).cumsum())
    waits = np.array(fleet.waits[5_000:])
    assert len(seconds) == 100_000
    assert seconds[5_000:].mean() == pytest.approx(simulation.mean_wait(servers, load, 1.0) + 1.0, rel=0.08)
    assert (waits > 0).mean() == pytest.approx(simulation.erlang_c(servers, load), rel=0.05)
    assert waits.mean() == pytest.approx(simulation.mean_wait(servers, load, 1.0), rel=0.12)


def test_erlang_formulas_against_worked_values():
    # M/M/1: waiting with probability rho, mean wait rho / (1 - rho) service times.
    assert simulation.erlang_c(1, 0.8) == pytest.approx(0.8)
    assert simulation.mean_wait(1, 0.8, 1.0) == pytest.approx(4.0)
    # B(2, 1) = (1/2) / (1 + 1 + 1/2) = 0.2; C(2, 1) = 1/3.
    assert simulation.erlang_b(2, 1.0) == pytest.approx(0.2)
    assert simulation.erlang_c(2, 1.0) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="grows without end"):
        simulation.erlang_c(2, 2.0)


@pytest.mark.parametrize(("concurrency", "load"), [(1, 0.5), (4, 3.0), (10, 12.0)])
@pytest.mark.slow
def test_throttling_by_concurrency_is_erlangs_loss(concurrency, load):
    rng = np.random.default_rng(2)
    quotas = Quotas(**UNLIMITED, reserved=concurrency, account_concurrency=concurrency)
    horizon = 80_000 / load
    times = simulation.arrivals(lambda at: np.full_like(at, load), horizon, rng)
    run = run_open(times, horizon, quotas, warm=exponential(1.0, rng), sample=1000)
    assert run.throttled_share == pytest.approx(simulation.erlang_b(concurrency, load), rel=0.04)
    assert run.environments.max() <= concurrency


@pytest.mark.slow
def test_littles_law():
    rng = np.random.default_rng(3)
    times = simulation.arrivals(lambda at: np.full_like(at, 40.0), 2000, rng)
    run = run_open(times, 2000, Quotas(**UNLIMITED), warm=exponential(0.25, rng))
    assert run.running[10:].mean() == pytest.approx(40 * 0.25, rel=0.05)
    assert run.busy_seconds / 2000 == pytest.approx(40 * 0.25, rel=0.02)


def test_arrivals_have_the_rate_asked_for():
    rng = np.random.default_rng(4)
    times = simulation.arrivals(lambda at: np.where(at < 50, 100.0, 300.0), 100, rng)
    assert (np.diff(times) >= 0).all() and times[0] >= 0 and times[-1] < 100
    assert (times < 50).sum() == pytest.approx(5_000, abs=4 * 5_000**0.5)
    assert (times >= 50).sum() == pytest.approx(15_000, abs=4 * 15_000**0.5)


# --- Lambda's rules, exactly ------------------------------------------------------------


def test_no_throttle_below_the_limits():
    rng = np.random.default_rng(5)
    times = simulation.arrivals(lambda at: np.full_like(at, 1500.0), 30, rng)
    run = run_open(times, 30, Quotas(), warm=constant(0.1), cold=constant(0.3))
    assert run.answered.all()


def test_the_ramp_is_a_thousand_at_once_and_a_hundred_a_second():
    # Each execution lasts longer than the run, so every answer is an environment: min(limit, 1000 + 100 t).
    quotas = Quotas(account_concurrency=3000, api_rate=1e12, api_burst=1e12)
    times = np.arange(0, 30, 1 / 1000)  # a thousand a second, evenly: the first second takes the first thousand
    run = run_open(times, 30, quotas, warm=constant(1000.0))
    for second in (5, 10, 15, 19):
        assert abs(run.environments[run.at == second][0] - (1000 + 100 * second)) <= 1
    assert run.environments[-1] == 3000
    assert (run.outcome != THROTTLED_BY_API).all()


def test_a_burst_meets_exactly_the_first_step():
    # 1,500 requests in the same instant: 1,000 environments, 500 refused by Lambda.
    run = run_open(np.full(1500, 1.0), 3, Quotas(account_concurrency=10_000), warm=constant(1.0))
    assert run.answered.sum() == 1000
    assert (run.outcome == THROTTLED_BY_LAMBDA).sum() == 500
    assert run.cold.sum() == 1000


def test_unused_steps_do_not_add_up():
    # After 100 s without a request the step is still 1,000.
    run = run_open(np.full(5000, 100.0), 102, Quotas(account_concurrency=10_000), warm=constant(1.0))
    assert run.answered.sum() == 1000


def test_the_accounts_concurrency_is_never_exceeded():
    times = np.sort(np.random.default_rng(6).random(20_000) * 10)
    run = run_open(times, 10, Quotas(account_concurrency=50), warm=constant(0.1), sample=0.05)
    assert run.running.max() <= 50
    assert (run.outcome == THROTTLED_BY_LAMBDA).any()


def test_reserved_concurrency_is_a_limit_too():
    run = run_open(np.zeros(10), 1, Quotas(reserved=2), warm=constant(0.5))
    assert run.answered.sum() == 2


def test_api_gateways_bucket_is_burst_then_rate():
    # In one instant: the burst of 5,000. Over 3 s at 20,000/s: 5,000 + 3 x 10,000.
    quotas = Quotas(**UNLIMITED | {"api_rate": 10_000, "api_burst": 5_000}, account_concurrency=10**9)
    assert run_open(np.zeros(8000), 1, quotas, warm=constant(0.001)).answered.sum() == 5000
    times = np.arange(60_000) / 20_000
    run = run_open(times, 3, quotas, warm=constant(0.001))
    assert run.answered.sum() == pytest.approx(35_000, abs=2)
    assert (run.outcome == THROTTLED_BY_API).sum() == 60_000 - run.answered.sum()


def test_short_executions_are_bound_by_ten_requests_a_second_for_each_unit():
    # A limit of 20: at most 200 a second, though 20 environments of 1 ms could do 20,000; the first second brings a
    # full bucket on top.
    quotas = Quotas(account_concurrency=20, api_rate=1e12, api_burst=1e12)
    run = run_open(np.arange(10_000) / 1000, 10, quotas, warm=constant(0.001))
    assert run.answered.sum() == pytest.approx(200 + 10 * 200, abs=25)


def test_a_warm_environment_is_used_again():
    run = run_open([0.0, 1.0, 2.0], 3, Quotas(), warm=constant(0.05), cold=constant(0.7))
    assert run.cold.tolist() == [True, False, False]
    assert run.seconds.tolist() == [0.7, 0.05, 0.05]


def test_an_idle_environment_is_given_up():
    quotas = Quotas(idle_seconds=60)
    run = run_open([0.0, 59.0, 120.0], 130, quotas, warm=constant(0.5), cold=constant(0.5))
    assert run.cold.tolist() == [True, False, True]
    assert run.environments.max() == 1


def test_provisioned_environments_are_warm_and_stay():
    quotas = Quotas(provisioned=3, idle_seconds=1)
    run = run_open([0.0, 0.0, 0.0, 0.0, 50.0], 60, quotas, warm=constant(0.1), cold=constant(0.9))
    assert run.cold.tolist() == [False, False, False, True, False]
    assert run.environments[-1] == 3


def test_the_api_and_the_network_occupy_no_environment():
    env = simpy.Environment()
    function = Function(env, constant(0.1), constant(0.1), Quotas(reserved=1), overhead=constant(5.0))
    run = simulation.open_loop(env, function, np.array([0.0, 0.11]), 1.0)
    assert run.answered.all()
    assert run.seconds == pytest.approx([5.1, 5.1])


def test_quotas_are_the_published_ones():
    published = {name: entry["value"] for name, entry in cost.table()["quotas"].items()}
    quotas = asdict(Quotas())
    shared = published.keys() & quotas.keys()
    assert {name: quotas[name] for name in shared} == {name: published[name] for name in shared}
    assert len(shared) == 6


# --- One machine for all ------------------------------------------------------------


def test_a_crowd_draws_what_was_measured_at_that_number():
    crowd = simulation.MeasuredDurations({1: [1.0, 1.2], 4: [4.0]}, np.random.default_rng(0))
    assert {crowd(1) for _ in range(50)} == {1.0, 1.2}
    assert {crowd(4) for _ in range(50)} == {4.0}
    assert crowd(9) == 4.0


def test_a_crowd_between_two_numbers_is_between_their_quantiles():
    # Even values from 1 to 2 at two requests, from 3 to 6 at four: at three from 2 to 4, the 95th percentile 3.9.
    measured = {2: np.linspace(1, 2, 500), 4: np.linspace(3, 6, 700)}
    crowd = simulation.MeasuredDurations(measured, np.random.default_rng(0))
    assert np.percentile(crowd.values(3), [0, 50, 95, 100]) == pytest.approx([2.0, 3.0, 3.9, 4.0])
    drawn = [crowd(3) for _ in range(20_000)]
    assert np.mean(drawn) == pytest.approx(3.0, abs=0.02)


def test_on_two_shared_cores_four_clients_get_what_two_get():
    # 0.1 s for one or two at once, 0.2 s for four: 20 answers a second with two clients and with four.
    crowd = simulation.MeasuredDurations({1: [0.1], 2: [0.1], 4: [0.2]}, np.random.default_rng(0))
    for clients, seconds in ((2, 0.1), (4, 0.2)):
        env = simpy.Environment()
        function = Function(env, crowd, crowd, Quotas(**UNLIMITED, provisioned=clients))
        run = simulation.closed_loop(env, function, clients, 400, np.random.default_rng(1))
        assert run.throughput == pytest.approx(20, rel=0.03)
        assert run.percentile(50) == pytest.approx(seconds)
        assert run.done_by(0.5) == pytest.approx(10, rel=0.03)


# --- Closed loop ------------------------------------------------------------


@pytest.mark.parametrize("clients", [1, 4])
def test_clients_that_wait_for_their_answer(clients):
    # c clients, 0.1 s each: 10 c answers a second, after the cold starts of 0.1 s.
    env = simpy.Environment()
    function = Function(env, constant(0.1), constant(0.1))
    run = simulation.closed_loop(env, function, clients, 200, np.random.default_rng(7))
    assert run.answered.sum() == 200
    assert run.throughput == pytest.approx(10 * clients)
    assert function.environments == clients


def test_refused_clients_come_back_and_every_request_is_answered():
    env = simpy.Environment()
    function = Function(env, constant(0.05), constant(0.05), Quotas(reserved=2))
    run = simulation.closed_loop(env, function, 8, 100, np.random.default_rng(8))
    assert run.answered.sum() == 100
    assert (run.outcome == THROTTLED_BY_LAMBDA).sum() > 0
    assert run.throughput <= 2 / 0.05 + 1e-6


def test_over_time_adds_up():
    rng = np.random.default_rng(9)
    times = simulation.arrivals(lambda at: np.full_like(at, 500.0), 20, rng)
    run = run_open(times, 20, Quotas(account_concurrency=10), warm=constant(0.05))
    seconds = run.over_time(1.0)
    assert len(seconds["at"]) == 20
    assert seconds["asked"].sum() == len(times)
    refused = seconds["throttled_api"] + seconds["throttled_lambda"]
    assert (seconds["answered"] + refused == seconds["asked"]).all()
    assert np.nanmax(seconds["p99"]) == pytest.approx(0.05)


def test_the_same_seed_gives_the_same_run():
    def once():
        rng = np.random.default_rng(10)
        times = simulation.arrivals(lambda at: np.full_like(at, 200.0), 10, rng)
        return run_open(times, 10, Quotas(), warm=exponential(0.05, rng))

    first, second = once(), once()
    assert (first.seconds == second.seconds).all() and (first.outcome == second.outcome).all()
    assert set(np.unique(first.outcome)) == {OK}
