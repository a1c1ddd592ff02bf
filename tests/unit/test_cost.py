"""The cost functions against cases worked by hand; each case shows its arithmetic."""

import math
from dataclasses import replace

import pytest

from workshop.scale import cost

WORK = cost.Workload(
    requests=1_000_000, billed_ms=100, memory_mb=1024, cold_share=0.0, cold_extra_ms=0, api="rest", log_bytes=0
)


def test_every_price_has_a_positive_amount_a_unit_a_date_and_a_source():
    table = cost.table()
    assert table["region"] == "us-east-1" and table["currency"] == "USD"
    for name, entry in table["prices"].items():
        assert entry["usd"] > 0 and entry["per"] >= 1, name
        assert entry["unit"] and entry["as_of"] and entry["source"].startswith("https://aws.amazon.com/"), name


def test_the_published_prices_are_the_ones_used():
    price = cost.prices()
    assert price["lambda_gb_second_x86_64"] == 0.0000166667
    assert price["lambda_gb_second_arm64"] == 0.0000133334
    assert price["lambda_request"] * 1e6 == pytest.approx(0.20)
    assert price["api_rest"] * 1e6 == pytest.approx(3.50)
    assert price["api_http"] * 1e6 == pytest.approx(1.00)


def test_a_million_predictions_of_100_ms_at_one_gigabyte():
    # 1,000,000 x 0.1 s x 1 GB = 100,000 GB-s; x 0.0000166667 = 1.66667. Requests 0.20, REST API 3.50.
    bill = cost.serverless(WORK)
    assert bill["Lambda compute"] == pytest.approx(1.66667, abs=1e-6)
    assert bill["Lambda requests"] == pytest.approx(0.20)
    assert bill["API Gateway"] == pytest.approx(3.50)
    assert bill["cold starts"] == bill["S3"] == bill["logs"] == 0
    assert cost.total(bill) == pytest.approx(5.36667, abs=1e-6)


def test_http_api_and_arm():
    # 100,000 GB-s x 0.0000133334 = 1.33334; HTTP API 1.00.
    bill = cost.serverless(replace(WORK, api="http", architecture="arm64"))
    assert cost.total(bill) == pytest.approx(1.33334 + 0.20 + 1.00, abs=1e-6)
    assert cost.serverless(replace(WORK, api="none"))["API Gateway"] == 0


def test_cold_starts_are_billed():
    # 1 % of a million = 10,000 x 2.5 s x 1 GB = 25,000 GB-s = 0.4166675; 4 GETs each = 40,000 x 0.0000004 = 0.016.
    bill = cost.serverless(replace(WORK, cold_share=0.01, cold_extra_ms=2500))
    assert bill["cold starts"] == pytest.approx(0.4166675)
    assert bill["S3"] == pytest.approx(0.016)


def test_pictures_from_s3_and_logs():
    # 1,000,000 GETs x 0.0004 / 1,000 = 0.40; 1,000,000 x 600 bytes = 0.6 GB x 0.50 = 0.30.
    bill = cost.serverless(replace(WORK, pictures_from_s3=True, log_bytes=600))
    assert bill["S3"] == pytest.approx(0.40)
    assert bill["logs"] == pytest.approx(0.30)


def test_memory_is_counted_in_gigabytes_of_1024_megabytes():
    # 1,769 MB / 1,024 = 1.727539 GB; x 100,000 s x 0.0000166667 = 2.879238
    assert cost.serverless(replace(WORK, memory_mb=1769))["Lambda compute"] == pytest.approx(2.879238, abs=1e-6)


def test_durations_are_billed_in_whole_milliseconds_rounded_up():
    assert [cost.billed_ms(value) for value in (0.0, 0.2, 1.0, 27.01, 28.0)] == [1, 1, 1, 28, 28]


def test_provisioned_concurrency():
    # 10 x 730 h x 3,600 s x 1 GB = 26,280,000 GB-s x 0.0000041667 = 109.500876
    # 1,000,000 x 0.1 s x 1 GB x 0.0000097222 = 0.97222; no cold starts.
    bill = cost.provisioned(replace(WORK, cold_share=0.5, cold_extra_ms=9999), environments=10)
    assert bill["provisioned"] == pytest.approx(109.500876)
    assert bill["Lambda compute"] == pytest.approx(0.97222)
    assert bill["cold starts"] == 0


def test_instances_for_the_peak():
    # 730 h = 2,628,000 s. 26,280,000 requests: 10/s mean, 30/s at the peak; 20/s x 0.6 = 12/s each: 2.5, so 3.
    assert cost.instances_needed(26_280_000, 20) == 3
    # Exactly two: 24/s at the peak.
    assert cost.instances_needed(21_024_000, 20) == 2
    assert cost.instances_needed(0, 20) == 1
    assert cost.instances_needed(0, 20, least=2) == 2
    # 3 x 730 x 0.085 = 186.15; the balancer 730 x 0.0225 = 16.425.
    bill = cost.always_on(26_280_000, 20)
    assert bill == {"instances": pytest.approx(186.15), "load balancer": pytest.approx(16.425)}


def test_sagemaker_serverless():
    # 1,000,000 x 0.1 s x 2 GB x 0.00002 = 4.00; 1,000,000 x 100 kB = 100 GB x 0.016 = 1.60.
    bill = cost.sagemaker_serverless(1_000_000, 100, memory_gb=2)
    assert bill == {"SageMaker compute": pytest.approx(4.0), "SageMaker data": pytest.approx(1.6)}
    with pytest.raises(ValueError, match="1 to 6"):
        cost.sagemaker_serverless(1, 1, memory_gb=8)


def test_crossing_of_a_flat_line():
    # 100 a month against 0.00001 each: 10 million.
    assert cost.crossing(0.00001, lambda _requests: 100.0) == pytest.approx(10_000_000)
    assert cost.crossing(1.0, lambda _requests: 0.5) == 1.0


def test_crossing_of_steps_is_the_first_one():
    # Steps of 30 for each started 10 requests, at 5 a request: 30 crosses at 6.
    assert cost.crossing(5.0, lambda n: 30.0 * math.ceil(n / 10)) == pytest.approx(6.0)
    # At 2.9 a request: 10 requests bring 29 < 30, 20 bring 58 < 60, ... 30 n - 29 n: never within a step.
    assert cost.crossing(2.9, lambda n: 30.0 * math.ceil(n / 10), most=1e6) is None
    # At 3.5: 30 / 3.5 = 8.57 requests, within the first step.
    assert cost.crossing(3.5, lambda n: 30.0 * math.ceil(n / 10)) == pytest.approx(30 / 3.5)


def test_crossing_skips_a_step_it_does_not_reach():
    # 100 up to 10 requests, 150 beyond; at 9 each: 10 x 9 = 90 < 100; then 150 / 9 = 16.67.
    assert cost.crossing(9.0, lambda n: 100.0 if n <= 10 else 150.0) == pytest.approx(150 / 9)


def test_bulk_in_batches():
    # 1,000 images by 50: 20 batches x 3 transitions x 0.000025 = 0.0015; 20 requests = 0.000004;
    # 1,000 x 0.1 s x 1 GB x 0.0000166667 = 0.00166667; 1,020 GETs = 0.000408; 20 parts and 1 list = 0.000105.
    bill = cost.bulk(1000, 100, batch=50, memory_mb=1024)
    assert bill["Step Functions"] == pytest.approx(0.0015)
    assert bill["Lambda requests"] == pytest.approx(0.000004)
    assert bill["Lambda compute"] == pytest.approx(0.00166667)
    assert bill["S3"] == pytest.approx(0.000408 + 0.000105)


def test_bulk_express_children():
    # 20 x 0.000001 + 20 x 5 s x 64/1024 GB x 0.00001667 = 0.00002 + 0.0001041875
    bill = cost.bulk(1000, 100, batch=50, memory_mb=1024, express=True)
    assert bill["Step Functions"] == pytest.approx(0.00002 + 0.0001041875)


def test_speed_is_fitted_exactly_where_two_points_decide_it():
    # 10 + 40 / 1 = 50, 10 + 40 / 2 = 30.
    speed = cost.Speed.fit({1: 50.0, 2: 30.0})
    assert speed.fixed_ms == pytest.approx(10) and speed.parallel_ms == pytest.approx(40)
    assert speed.milliseconds(1769) == pytest.approx(50)
    assert speed.milliseconds(3538) == pytest.approx(30)
    # Half a vCPU: everything takes twice as long.
    assert speed.milliseconds(884.5) == pytest.approx(100)


def test_speed_is_never_negative():
    assert cost.Speed.fit({1: 50.0, 2: 20.0}).fixed_ms == 0
    slower_with_more = cost.Speed.fit({1: 50.0, 2: 60.0})
    assert slower_with_more.parallel_ms == 0 and slower_with_more.fixed_ms == pytest.approx(55)
    with pytest.raises(ValueError, match="two numbers"):
        cost.Speed.fit({1: 50.0})


@pytest.mark.parametrize(
    "wrong", [{"requests": -1}, {"cold_share": 1.1}, {"memory_mb": 64}, {"memory_mb": 20480}, {"api": "soap"}]
)
def test_impossible_workloads_are_refused(wrong):
    with pytest.raises(ValueError):
        cost.Workload(**wrong)
