from collections.abc import Iterable
from functools import partial
from statistics import median
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from oxaigen_auth_mock.faults.base import BaseFault, Endpoint
from oxaigen_auth_mock.faults.kinds import (
    Drip,
    Fault,
    GzipBomb,
    Hang,
    Redirect,
    Reset,
    SetCookie,
    Status,
)
from oxaigen_auth_mock.faults.latency import Latency
from oxaigen_auth_mock.faults.plan import FaultPlan

FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)
KINDS: tuple[type[BaseFault], ...] = get_args(get_args(Fault)[0])
SMALLEST = [{"kind": "latency", "seconds": 1}] + [
    {"kind": kind.model_fields["kind"].default} for kind in KINDS if kind is not Latency
]


def plan_of(*placed: Fault) -> FaultPlan:
    plan = FaultPlan()
    for fault in placed:
        plan.add(fault)
    return plan


def hit_calls(plan: FaultPlan, calls: int, persona: str | None = None) -> list[int]:
    """Return the numbers of the calls that were hit, counted from 1."""
    return [n for n in range(1, calls + 1) if plan.apply("get-me", persona)]


def errors(value: object) -> list[tuple[tuple[int | str, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        FAULT.validate_python(value)
    return [(error["loc"], error["msg"]) for error in caught.value.errors()]


@given(every=st.integers(1, 20), calls=st.integers(0, 100))
def test_each_nth_call_is_hit_and_no_other(every: int, calls: int) -> None:
    assert hit_calls(plan_of(Reset(every=every)), calls) == list(range(every, calls + 1, every))


@given(every=st.integers(1, 5), times=st.integers(1, 10), calls=st.integers(0, 60))
def test_no_more_calls_are_hit_than_the_fault_has_times(every: int, times: int, calls: int) -> None:
    plan = plan_of(Reset(every=every, times=times))
    hits = hit_calls(plan, calls)
    assert hits == list(range(every, calls + 1, every))[:times]
    (report,) = plan.report()
    assert (report["matched"], report["hits"]) == (calls, len(hits))
    assert report["exhausted"] == (len(hits) == times)


@given(seed=st.integers(0, 2**31 - 1), probability=st.floats(0, 1))
def test_the_same_seed_hits_the_same_calls(seed: int, probability: float) -> None:
    fault = Reset(seed=seed, probability=probability)
    assert hit_calls(plan_of(fault), 50) == hit_calls(plan_of(fault), 50)


def test_a_probability_hits_about_so_many_calls() -> None:
    assert 250 < len(hit_calls(plan_of(Reset(probability=0.3, seed=1)), 1000)) < 350
    assert hit_calls(plan_of(Reset(probability=0.0)), 100) == []
    assert len(hit_calls(plan_of(Reset(probability=1.0)), 100)) == 100


def test_another_seed_hits_other_calls() -> None:
    one, other = (plan_of(Reset(probability=0.5, seed=seed)) for seed in (1, 2))
    assert hit_calls(one, 50) != hit_calls(other, 50)


@given(st.integers(1, 5))
def test_another_fault_does_not_change_which_calls_are_hit(every: int) -> None:
    alone = plan_of(Status(probability=0.5, seed=3))
    behind = plan_of(Reset(every=every), Status(probability=0.5, seed=3))
    hits = hit_calls(alone, 40)
    seconds = [n for n in range(1, 41) if Status in map(type, behind.apply("get-me", None))]
    assert seconds == [n for n in hits if n % every]


def test_only_calls_of_the_endpoint_and_the_persona_count() -> None:
    plan = plan_of(Reset(endpoint="get-me", persona="guest", every=2))
    for endpoint, persona in (("get-me", None), ("get-me", "admin"), ("login", "guest")):
        assert plan.apply(endpoint, persona) == ()
    assert [bool(plan.apply("get-me", "guest")) for _ in range(4)] == [False, True, False, True]
    assert plan.report()[0]["matched"] == 4


def test_a_fault_without_endpoint_and_persona_hits_every_call() -> None:
    plan = plan_of(Reset())
    for endpoint in get_args(Endpoint):
        assert plan.apply(endpoint, None) == plan.apply(endpoint, "guest") == (Reset(),)


def test_only_the_first_added_fault_answers_a_call() -> None:
    plan = plan_of(Status(every=2), Drip(), Hang())
    assert plan.apply("get-me", None) == (Drip(),)
    assert plan.apply("get-me", None) == (Status(every=2),)
    assert [report["hits"] for report in plan.report()] == [1, 1, 0]


def test_a_fault_that_was_not_applied_keeps_its_times() -> None:
    plan = plan_of(Status(times=1), Reset(times=1))
    assert [plan.apply("get-me", None) for _ in range(3)] == [
        (Status(times=1),),
        (Reset(times=1),),
        (),
    ]


def test_latencies_and_cookies_are_added_in_their_order() -> None:
    wait, cookie = Latency(seconds=1), SetCookie()
    plan = plan_of(cookie, wait, Reset(), Hang(), wait, cookie)
    assert plan.apply("get-me", None) == (cookie, wait, Reset(), wait, cookie)


@given(
    low=st.floats(0, 3600),
    high=st.floats(0, 3600),
    seed=st.integers(0, 2**31 - 1),
)
def test_a_uniform_latency_is_drawn_anew_and_stays_between_its_bounds(
    low: float, high: float, seed: int
) -> None:
    low, high = sorted((low, high))
    plan = plan_of(Latency(distribution="uniform", low=low, high=high, seed=seed))
    assert all(low <= wait <= high for wait in waits(plan, 10))


def waits(plan: FaultPlan, calls: int) -> Iterable[float]:
    for _ in range(calls):
        (fault,) = plan.apply("get-me", None)
        assert isinstance(fault, Latency)
        assert fault.distribution == "fixed"
        assert fault.seconds is not None
        yield fault.seconds


def test_drawn_latencies_differ_and_the_seed_draws_them_again() -> None:
    fault = Latency(distribution="uniform", low=1, high=2, seed=5)
    drawn = list(waits(plan_of(fault), 20))
    assert len(set(drawn)) == 20
    assert drawn == list(waits(plan_of(fault), 20))


def test_a_log_normal_latency_lies_about_its_median_and_never_beyond_an_hour() -> None:
    fault = Latency(distribution="log-normal", median=0.2, sigma=0.5)
    assert median(waits(plan_of(fault), 1000)) == pytest.approx(0.2, rel=0.1)
    wild = Latency(distribution="log-normal", median=3600, sigma=5)
    assert max(waits(plan_of(wild), 100)) == 3600
    steady = Latency(distribution="log-normal", median=3, sigma=0)
    assert set(waits(plan_of(steady), 3)) == {3}


def test_a_drawn_latency_keeps_its_other_fields_and_is_valid_itself() -> None:
    fault = Latency(endpoint="get-me", when="after", distribution="uniform", low=1, high=1)
    (drawn,) = plan_of(fault).apply("get-me", None)
    assert drawn == Latency(endpoint="get-me", when="after", seconds=1)
    assert FAULT.validate_python(drawn.model_dump()) == drawn


def test_ids_count_from_one_and_are_given_once() -> None:
    plan = FaultPlan()
    assert [plan.add(Reset()), plan.add(Hang())] == [1, 2]
    assert plan.remove(1)
    assert not plan.remove(1)
    assert plan.add(Drip()) == 3
    assert [report["id"] for report in plan.report()] == [2, 3]
    plan.replace(())
    assert plan.report() == []
    assert plan.apply("get-me", None) == ()
    assert plan.add(Drip()) == 4


def test_replacing_starts_every_count_anew() -> None:
    plan = plan_of(Reset(times=1))
    plan.apply("get-me", None)
    plan.replace([Reset(times=1), Hang()])
    assert [(report["id"], report["matched"]) for report in plan.report()] == [(2, 0), (3, 0)]
    assert plan.apply("get-me", None) == (Reset(times=1),)


def test_the_report_can_be_loaded_again() -> None:
    placed = [FAULT.validate_python(fault) for fault in SMALLEST]
    assert [FAULT.validate_python(each["fault"]) for each in plan_of(*placed).report()] == placed


@pytest.mark.parametrize(
    ("fault", "description"),
    [
        (Reset(), "every call: connection reset"),
        (Status(status=429, retry_after=0), "every call: 429, Retry-After 0"),
        (
            Hang(endpoint="login", persona="guest", probability=0.5, times=2),
            "every login by guest with probability 50 % at most 2 times: no response",
        ),
        (
            Status(every=2, when="after"),
            "every 2nd call: 503, after the side effect",
        ),
        (Latency(seconds=0.25, every=11), "every 11th call: fixed latency, 0.25 s"),
        (
            Latency(distribution="uniform", low=1, high=2, every=103),
            "every 103rd call: uniform latency, 1 to 2 s",
        ),
        (
            Latency(distribution="log-normal", median=0.2, sigma=0.5, times=1),
            "every call at most once: log-normal latency, around 0.2 s, sigma 0.5",
        ),
        (Drip(chunk=10, seconds=0.5, every=21), "every 21st call: 10 bytes every 0.5 s"),
        (Redirect(every=112), "every 112th call: 302 to https://example.invalid/sign-in"),
    ],
)
def test_a_fault_is_described_in_a_line(fault: Fault, description: str) -> None:
    assert fault.describe() == description
    assert plan_of(fault).report()[0]["description"] == description


@pytest.mark.parametrize("fault", SMALLEST, ids=lambda fault: fault["kind"])
def test_every_kind_can_be_named_alone_and_has_a_description(fault: dict[str, Any]) -> None:
    read = FAULT.validate_python(fault)
    assert read.describe().startswith("every call: ")
    assert read == FAULT.validate_json(read.model_dump_json())


@pytest.mark.parametrize("fault", SMALLEST, ids=lambda fault: fault["kind"])
def test_unknown_keys_of_a_fault_are_refused(fault: dict[str, Any]) -> None:
    path = (fault["kind"], "colour")
    assert errors({**fault, "colour": 1}) == [(path, "Extra inputs are not permitted")]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"kind": "reset", "endpoint": "health"}, ("reset", "endpoint")),
        ({"kind": "reset", "persona": ""}, ("reset", "persona")),
        ({"kind": "reset", "persona": "a\nb"}, ("reset", "persona")),
        ({"kind": "reset", "persona": "\ud800"}, ("reset", "persona")),
        ({"kind": "reset", "every": 0}, ("reset", "every")),
        ({"kind": "reset", "every": "2"}, ("reset", "every")),
        ({"kind": "reset", "every": True}, ("reset", "every")),
        ({"kind": "reset", "probability": 1.1}, ("reset", "probability")),
        ({"kind": "reset", "probability": float("nan")}, ("reset", "probability")),
        ({"kind": "reset", "seed": -1}, ("reset", "seed")),
        ({"kind": "reset", "times": 0}, ("reset", "times")),
        ({"kind": "reset", "when": "during"}, ("reset", "when")),
        ({"kind": "drip", "when": "after"}, ("drip", "when")),
        ({"kind": "drip", "chunk": 0}, ("drip", "chunk")),
        ({"kind": "drip", "seconds": 3601}, ("drip", "seconds")),
        ({"kind": "status", "status": 200}, ("status", "status")),
        ({"kind": "status", "status": 600}, ("status", "status")),
        ({"kind": "status", "retry_after": -1}, ("status", "retry_after")),
        ({"kind": "status", "detail": "\ud800"}, ("status", "detail")),
        ({"kind": "redirect", "status": 200}, ("redirect", "status")),
        ({"kind": "redirect", "location": "/a\r\nSet-Cookie: b=c"}, ("redirect", "location")),
        ({"kind": "redirect", "location": "/a\n"}, ("redirect", "location")),
        ({"kind": "wrong-shape", "shape": "round"}, ("wrong-shape", "shape")),
        ({"kind": "oversized", "size": 2**26 + 1}, ("oversized", "size")),
        ({"kind": "gzip-bomb", "size": 2**30 + 1}, ("gzip-bomb", "size")),
        ({"kind": "set-cookie", "name": "a=b"}, ("set-cookie", "name")),
        ({"kind": "set-cookie", "name": ""}, ("set-cookie", "name")),
        ({"kind": "set-cookie", "value": "b; Path=/"}, ("set-cookie", "value")),
        ({"kind": "set-cookie", "value": "b\n"}, ("set-cookie", "value")),
        ({"kind": "latency", "seconds": float("inf")}, ("latency", "seconds")),
        ({"kind": "latency", "seconds": -1}, ("latency", "seconds")),
        ({"kind": "latency", "distribution": "normal"}, ("latency", "distribution")),
    ],
)
def test_an_invalid_value_is_an_error_at_its_path(
    value: dict[str, Any], path: tuple[str, ...]
) -> None:
    assert [found for found, _ in errors(value)] == [path]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "a fixed latency has exactly seconds"),
        ({"seconds": 1, "low": 0}, "a fixed latency has exactly seconds"),
        ({"distribution": "uniform", "low": 1}, "a uniform latency has exactly low and high"),
        (
            {"distribution": "log-normal", "median": 1, "sigma": 1, "seconds": 1},
            "a log-normal latency has exactly median and sigma",
        ),
        (
            {"distribution": "uniform", "low": 2, "high": 1},
            "low must not be greater than high",
        ),
    ],
)
def test_a_latency_accepts_only_the_fields_of_its_distribution(
    value: dict[str, Any], reason: str
) -> None:
    ((path, message),) = errors({"kind": "latency", **value})
    assert (path, message) == (("latency",), f"Value error, {reason}")


def test_every_error_of_a_fault_is_found_at_once() -> None:
    wrong = {"kind": "status", "status": 1, "every": 0, "persona": 3}
    assert {path for path, _ in errors(wrong)} == {
        ("status", "status"),
        ("status", "every"),
        ("status", "persona"),
    }


def test_a_kind_must_be_named_and_known() -> None:
    assert "'kind'" in errors({"seconds": 1})[0][1]
    assert "'truncated-json'" in errors({"kind": "earthquake"})[0][1]


def test_a_fault_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        partial(setattr, GzipBomb())("size", 1)


def test_fastapi_accepts_a_fault_as_a_body_and_documents_every_kind() -> None:
    app = FastAPI()

    @app.post("/faults")
    async def _add(fault: Fault) -> None: ...

    body = app.openapi()["paths"]["/faults"]["post"]["requestBody"]["content"]["application/json"]
    mapping = body["schema"]["discriminator"]["mapping"]
    assert set(mapping) == {fault["kind"] for fault in SMALLEST}
    for kind, reference in mapping.items():
        shape = app.openapi()["components"]["schemas"][reference.rpartition("/")[2]]
        assert shape["required"][0] == "kind"
        assert shape["properties"]["kind"]["const"] == kind
