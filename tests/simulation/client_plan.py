"""Draws the plan of a schedule for the client from a seed."""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any

from attrs import evolve, frozen

from oxaigen_auth.settings import OxaigenAuthSettings
from tests.simulation.scheduler import Dice

LAST = 14  # the first step without new events
HANG = 30  # checkpoints that a hanging call takes
NEVER = 10**6

BASES = ("https://one.example.com", "https://two.example.com")
NO_TOKEN = "no token"

PLAIN = OxaigenAuthSettings()
SETTINGS = (
    PLAIN,
    PLAIN,
    OxaigenAuthSettings(cache_ttl_seconds=0, negative_cache_ttl_seconds=0),
    OxaigenAuthSettings(negative_cache_ttl_seconds=0),
    OxaigenAuthSettings(cache_max_entries=1, max_connections=1),
    OxaigenAuthSettings(refresh_ahead_seconds=30, cache_max_entries=2),
    STALE := OxaigenAuthSettings(stale_if_error_seconds=60, max_connections=2),
    evolve(STALE, refresh_ahead_seconds=25, negative_cache_ttl_seconds=0),
)

Question = tuple[str, str, str]  # base URL, token, permission or nothing


@frozen
class Plan:
    """The events of a schedule, by step: a checkpoint of the task that runs the schedule."""

    calm: bool  # no caller is cancelled, no token forgotten, no answer fresh, nothing closed
    settings: OxaigenAuthSettings
    threshold: float
    where: str
    finale: str
    callers: list[PlannedCaller]
    calls: list[PlannedCall]
    replies: dict[str, str]
    events: dict[int, list[Any]]


@frozen
class PlannedCaller:
    question: Question
    fresh: bool
    arrives: int
    cancelled: int
    how: str


@frozen
class PlannedCall:
    takes: int  # checkpoints
    crashes: bool
    lingers: int  # checkpoints after its cancellation


def draw(seed: int) -> Plan:
    dice = Dice(Random(seed))
    calm = dice.chance(0.25)
    scene = dice.pick("", *["", "outage", "revoked"] * (not calm))
    tokens = ("ada", "bob", "eve")[: 1 if scene else dice.number(1, 3)]
    bases = BASES[: 1 if scene else dice.pick(1, 1, 2)]
    names = ("", "audit", "edit")[: dice.number(1, 3)]
    questions = [(base, token, name) for base in bases for token in tokens for name in names]
    troubled = not calm and dice.chance(0.5)
    answers = {token: dice.pick("yes", "yes", "yes", "no", "forbidden") for token in tokens}
    events = draw_events(dice, calm, [*tokens, *names[1:]])
    for step, *event in scene_events(scene, dice.pick(*tokens, *names[1:])):
        events.setdefault(step, []).append(event)
    return Plan(
        calm=calm,
        settings=dice.pick(*(SETTINGS[-2:] if scene == "outage" else SETTINGS)),
        threshold=dice.pick(1, 2, 5, inf),
        where=dice.pick("block", "lifespan", "bare"),
        finale=dice.pick("wait", "wait" if calm else "leave"),
        callers=[draw_caller(dice, questions, scene, calm=calm) for _ in range(dice.number(2, 8))],
        calls=[draw_call(dice, troubled=troubled) for _ in range(5)],
        replies=answers | {name: dice.pick("yes", "denied") for name in names[1:]},
        events=events,
    )


def scene_events(scene: str, subject: str) -> list[tuple[int, str, str, str, float]]:
    """Return events for cached answers: an outage follows, or the token is revoked."""
    scenes: dict[str, list[tuple[int, str, str, str, float]]] = {
        "outage": [(7, "outage", "", "", 31)],
        "revoked": [(5, "set_reply", subject, "no", 0), (9, "later", "", "", 6)],
    }
    return scenes.get(scene, [])


def draw_caller(dice: Dice, questions: list[Question], scene: str, *, calm: bool) -> PlannedCaller:
    arrives = dice.pick(0, 6, 10) if scene else dice.pick(0, 1, dice.number(0, 12))
    question = dice.pick(*questions)
    return PlannedCaller(
        question=dice.pick(*[question] * 19, (question[0], NO_TOKEN, "")),
        fresh=dice.chance(0.2) and not calm,
        arrives=arrives,
        cancelled=arrives + dice.number(0, 6) + NEVER * (dice.chance(0.6) or calm),
        how=dice.pick("scope", "native"),
    )


def draw_call(dice: Dice, *, troubled: bool) -> PlannedCall:
    takes = dice.pick(0, 1, 1, 2, 3, 5) + HANG * (dice.chance(0.1) and troubled)
    return PlannedCall(takes, dice.chance(0.1) and troubled, dice.pick(0, 0, 1, 3))


def draw_events(dice: Dice, calm: bool, subjects: list[str]) -> dict[int, list[Any]]:  # noqa: FBT001
    events: dict[int, list[Any]] = {}
    harmless = ["later"] * 6 + ["forget_unknown"] * 3
    kinds = [
        *["forget"] * 6,
        *["set_reply"] * 6,
        *["outage"] * 5,
        "close",
        "cut",
        "end",
        "open",
        "kill",
    ]
    for _ in range(dice.number(0, 6)):
        what = dice.pick(*harmless, *kinds[len(kinds) * calm :])
        subject = dice.pick(*subjects)
        reply = dice.pick("yes", "denied", "no", "forbidden", "down", "down")
        event = (what, subject, reply, dice.pick(1, 6, 10, 31, 31, 70))
        events.setdefault(dice.number(0, LAST - 2), []).append(event)
    return events
