from __future__ import annotations

import pickle

import pytest

from oxaigen_auth_load.events.samples import Sample, Samples, p99


def samples_of(*each: Sample) -> Samples:
    samples = Samples()
    for sample in each:
        samples.add(sample)
    return samples


ONE = Sample(0.5, 0.51, 0.6, 3, "accepted", "worker 1")
OTHER = Sample(0.7, 0.7, 0.9, 4, "status_502", "")


def test_lookups_are_kept_as_they_were_also_in_another_process() -> None:
    samples = pickle.loads(pickle.dumps(samples_of(ONE, OTHER)))  # noqa: S301 (our own)
    assert list(samples) == [ONE, OTHER]


def test_lookups_of_another_process_are_moved_to_the_clock_of_the_first() -> None:
    samples = samples_of(ONE)
    samples.merge(samples_of(OTHER), 0.25)
    assert list(samples) == [ONE, OTHER._replace(intended=0.95, sent=0.95, ended=1.15)]


def test_a_quantile_of_latencies_counts_from_the_intended_start() -> None:
    assert p99([ONE]) == pytest.approx(0.1, rel=0.01)
    assert p99([]) is None
