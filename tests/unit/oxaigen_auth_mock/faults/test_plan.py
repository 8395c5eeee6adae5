from collections.abc import Iterable
from functools import partial
from statistics import median
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from oxaigen_auth_mock.faults import plan as faults
from oxaigen_auth_mock.faults.plan import (
    Drip,
    Endpoint,
    Fault,
    FaultPlan,
    GzipBomb,
    Hang,
    Latency,
    Redirect,
    Reset,
    SetCookie,
    Status,
    Trigger,
)

FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)
SHAPES: tuple[type[Trigger], ...] = get_args(get_args(Fault)[0])
SMALLEST = [{"kind": "latency", "seconds": 1}] + [
    {"kind": shape.model_fields["kind"].default} for shape in SHAPES if shape is not Latency
]


def plan_of(*placed: Fault) -> FaultPlan:
    plan = FaultPlan()
    for fault in placed:
        plan.place(fault)
    return plan


def struck_calls(plan: FaultPlan, calls: int, persona: str | None = None) -> list[int]:
    """Count the calls from 1, and give the numbers of those that something befell."""
    return [n for n in range(1, calls + 1) if plan.strike("get-me", persona)]


def mistakes(value: object) -> list[tuple[tuple[int | str, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        FAULT.validate_python(value)
    return [(error["loc"], error["msg"]) for error in caught.value.errors()]


@given(every=st.integers(1, 20), calls=st.integers(0, 100))
def test_each_nth_call_is_struck_and_no_other(every: int, calls: int) -> None:
    assert struck_calls(plan_of(Reset(every=every)), calls) == list(range(every, calls + 1, every))


@given(every=st.integers(1, 5), times=st.integers(1, 10), calls=st.integers(0, 60))
def test_no_more_calls_are_struck_than_the_fault_has_times(
    every: int, times: int, calls: int
) -> None:
    plan = plan_of(Reset(every=every, times=times))
    struck = struck_calls(plan, calls)
    assert struck == list(range(every, calls + 1, every))[:times]
    (report,) = plan.report()
    assert (report["seen"], report["struck"]) == (calls, len(struck))
    assert report["spent"] == (len(struck) == times)


@given(seed=st.integers(0, 2**31 - 1), probability=st.floats(0, 1))
def test_the_same_seed_strikes_the_same_calls(seed: int, probability: float) -> None:
    fault = Reset(seed=seed, probability=probability)
    assert struck_calls(plan_of(fault), 50) == struck_calls(plan_of(fault), 50)


def test_a_probability_strikes_about_so_many_calls() -> None:
    assert 250 < len(struck_calls(plan_of(Reset(probability=0.3, seed=1)), 1000)) < 350
    assert struck_calls(plan_of(Reset(probability=0.0)), 100) == []
    assert len(struck_calls(plan_of(Reset(probability=1.0)), 100)) == 100


def test_another_seed_strikes_other_calls() -> None:
    one, other = (plan_of(Reset(probability=0.5, seed=seed)) for seed in (1, 2))
    assert struck_calls(one, 50) != struck_calls(other, 50)


@given(st.integers(1, 5))
def test_another_fault_shifts_no_chances(every: int) -> None:
    alone = plan_of(Status(probability=0.5, seed=3))
    behind = plan_of(Reset(every=every), Status(probability=0.5, seed=3))
    struck = struck_calls(alone, 40)
    seconds = [n for n in range(1, 41) if Status in map(type, behind.strike("get-me", None))]
    assert seconds == [n for n in struck if n % every]


def test_only_calls_of_the_endpoint_and_the_persona_count() -> None:
    plan = plan_of(Reset(endpoint="get-me", persona="guest", every=2))
    for endpoint, persona in (("get-me", None), ("get-me", "admin"), ("login", "guest")):
        assert plan.strike(endpoint, persona) == ()
    assert [bool(plan.strike("get-me", "guest")) for _ in range(4)] == [False, True, False, True]
    assert plan.report()[0]["seen"] == 4


def test_a_fault_that_names_neither_strikes_everybody_everywhere() -> None:
    plan = plan_of(Reset())
    for endpoint in get_args(Endpoint):
        assert plan.strike(endpoint, None) == plan.strike(endpoint, "guest") == (Reset(),)


def test_one_fault_answers_a_call_and_it_is_the_first_placed() -> None:
    plan = plan_of(Status(every=2), Drip(), Hang())
    assert plan.strike("get-me", None) == (Drip(),)
    assert plan.strike("get-me", None) == (Status(every=2),)
    assert [report["struck"] for report in plan.report()] == [1, 1, 0]


def test_a_fault_that_came_second_keeps_its_times() -> None:
    plan = plan_of(Status(times=1), Reset(times=1))
    assert [plan.strike("get-me", None) for _ in range(3)] == [
        (Status(times=1),),
        (Reset(times=1),),
        (),
    ]


def test_latencies_and_cookies_come_on_top_in_the_order_of_placing() -> None:
    wait, cookie = Latency(seconds=1), SetCookie()
    plan = plan_of(cookie, wait, Reset(), Hang(), wait, cookie)
    assert plan.strike("get-me", None) == (cookie, wait, Reset(), wait, cookie)


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
        (fault,) = plan.strike("get-me", None)
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


def test_a_drawn_latency_keeps_its_trigger_and_is_valid_itself() -> None:
    fault = Latency(endpoint="get-me", when="after", distribution="uniform", low=1, high=1)
    (drawn,) = plan_of(fault).strike("get-me", None)
    assert drawn == Latency(endpoint="get-me", when="after", seconds=1)
    assert FAULT.validate_python(drawn.model_dump()) == drawn


def test_ids_count_from_one_and_are_given_once() -> None:
    plan = FaultPlan()
    assert [plan.place(Reset()), plan.place(Hang())] == [1, 2]
    assert plan.remove(1)
    assert not plan.remove(1)
    assert plan.place(Drip()) == 3
    assert [report["id"] for report in plan.report()] == [2, 3]
    plan.clear()
    assert plan.report() == []
    assert plan.strike("get-me", None) == ()
    assert plan.place(Drip()) == 4


def test_replacing_starts_every_count_anew() -> None:
    plan = plan_of(Reset(times=1))
    plan.strike("get-me", None)
    plan.replace([Reset(times=1), Hang()])
    assert [(report["id"], report["seen"]) for report in plan.report()] == [(2, 0), (3, 0)]
    assert plan.strike("get-me", None) == (Reset(times=1),)


def test_the_report_can_be_placed_again() -> None:
    placed = [FAULT.validate_python(fault) for fault in SMALLEST]
    assert [FAULT.validate_python(each["fault"]) for each in plan_of(*placed).report()] == placed


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Reset(), "every call: connection reset"),
        (Status(status=429, retry_after=0), "every call: 429, Retry-After 0"),
        (
            Hang(endpoint="login", persona="guest", probability=0.5, times=2),
            "every login by guest at 50 % at most 2 times: never answers",
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
def test_a_fault_says_in_a_line_what_it_does(fault: Fault, says: str) -> None:
    assert fault.describe() == says
    assert plan_of(fault).report()[0]["says"] == says


@pytest.mark.parametrize("fault", SMALLEST, ids=lambda fault: fault["kind"])
def test_every_kind_can_be_named_alone_and_says_something(fault: dict[str, Any]) -> None:
    read = FAULT.validate_python(fault)
    assert read.describe().startswith("every call: ")
    assert read == FAULT.validate_json(read.model_dump_json())


@pytest.mark.parametrize("fault", SMALLEST, ids=lambda fault: fault["kind"])
def test_no_kind_takes_a_key_that_it_does_not_know(fault: dict[str, Any]) -> None:
    path = (fault["kind"], "colour")
    assert mistakes({**fault, "colour": 1}) == [(path, "Extra inputs are not permitted")]


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
def test_a_value_that_may_not_be_is_a_mistake_at_its_path(
    value: dict[str, Any], path: tuple[str, ...]
) -> None:
    assert [found for found, _ in mistakes(value)] == [path]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "a fixed latency takes seconds alone"),
        ({"seconds": 1, "low": 0}, "a fixed latency takes seconds alone"),
        ({"distribution": "uniform", "low": 1}, "a uniform latency takes low and high alone"),
        (
            {"distribution": "log-normal", "median": 1, "sigma": 1, "seconds": 1},
            "a log-normal latency takes median and sigma alone",
        ),
        (
            {"distribution": "uniform", "low": 2, "high": 1},
            "low may not be greater than high",
        ),
    ],
)
def test_a_latency_takes_what_belongs_to_its_distribution(
    value: dict[str, Any], reason: str
) -> None:
    ((path, message),) = mistakes({"kind": "latency", **value})
    assert (path, message) == (("latency",), f"Value error, {reason}")


def test_every_mistake_of_a_fault_is_found_at_once() -> None:
    wrong = {"kind": "status", "status": 1, "every": 0, "persona": 3}
    assert {path for path, _ in mistakes(wrong)} == {
        ("status", "status"),
        ("status", "every"),
        ("status", "persona"),
    }


def test_a_kind_must_be_named_and_known() -> None:
    assert "'kind'" in mistakes({"seconds": 1})[0][1]
    assert "'truncated-json'" in mistakes({"kind": "earthquake"})[0][1]


def test_a_placed_fault_cannot_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        partial(setattr, GzipBomb())("size", 1)


def test_fastapi_takes_a_fault_as_a_body_and_documents_every_kind() -> None:
    app = FastAPI()

    @app.post("/faults")
    async def _place(fault: Fault) -> None: ...

    body = app.openapi()["paths"]["/faults"]["post"]["requestBody"]["content"]["application/json"]
    mapping = body["schema"]["discriminator"]["mapping"]
    assert set(mapping) == {fault["kind"] for fault in SMALLEST}
    for kind, reference in mapping.items():
        shape = app.openapi()["components"]["schemas"][reference.rpartition("/")[2]]
        assert shape["required"][0] == "kind"
        assert shape["properties"]["kind"]["const"] == kind


def test_the_module_names_every_kind() -> None:
    assert {shape.__name__ for shape in SHAPES} < set(faults.__all__)
