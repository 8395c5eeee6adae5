"""The metrics of a run."""

from oxaigen_auth_load.metrics import METRICS, format_figure, read_metrics
from tests.unit.oxaigen_auth_load.report.sample import partial_report, sample_report


def test_every_metric_is_read_from_the_report_of_a_run() -> None:
    run = sample_report()["runs"][0]
    metrics = read_metrics(run)
    assert metrics.keys() == METRICS.keys()
    assert (metrics["p99"], metrics["cache_hits"]) == (run["latency_seconds"]["p99"], 4700)
    assert (metrics["errors"], metrics["error_rate"]) == (3, 3 / 5000)


def test_an_unknown_metric_is_none() -> None:
    run = partial_report()["runs"][0] | {"lookups": 0}
    metrics = read_metrics(run)
    assert (metrics["cache_hits"], metrics["error_rate"]) == (None, None)


def test_a_figure_has_its_unit_or_says_that_it_is_unknown() -> None:
    assert format_figure("p50", 0.0123) == "12.3 ms"
    assert format_figure("error_rate", 0.5) == "50%"
    assert format_figure("lookups", 5000) == "5,000"
    assert format_figure("p50", None) == "no answer"
    assert format_figure("cache_hits", None) == "unknown"
