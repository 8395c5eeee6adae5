"""Storms over the client: users, permissions, rejections and outages, forgotten and closed at will.

tests/proof/storm.py says how a schedule that fails is run again. The proxy is a fake that numbers
its calls, and each user and rejection names the call that it comes from: so each caller can be
asked whether what it got was the right one, and not too old.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import asdict, define, evolve, field, frozen

from oxaigen_auth import client as client_module
from oxaigen_auth._core import breaker as breaker_module
from oxaigen_auth.client import ProxyAuthClient
from oxaigen_auth.errors import (
    OxaigenAuthError,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
)
from oxaigen_auth.models import User
from oxaigen_auth.settings import OxaigenAuthSettings
from oxaigen_auth.verdict import Accepted, Rejected, Unavailable
from tests.proof.storm import (
    SEED,
    Dice,
    Natively,
    check_flights,
    check_nothing_flies,
    checkpoints,
    is_dying,
    running_tasks,
    schedule,
    seeds,
)
from tests.proof.storm import replayable as replayable  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup

pytestmark = pytest.mark.anyio

SHORT, LONG = 2_000, 100_000  # schedules for each backend
LAST = 14  # the first moment at which nothing new happens
TIMEOUT = 30  # checkpoints: how long a call that hangs does so
PATIENCE = 1_000  # checkpoints until everyone must have left
NEVER = 10**6

BASES = ("https://one.example.com", "https://two.example.com")
NO_TOKEN = "no token"

PLAIN = OxaigenAuthSettings()
SETTINGS = (
    PLAIN,
    PLAIN,
    OxaigenAuthSettings(cache_ttl_seconds=0, negative_cache_ttl_seconds=0),
    OxaigenAuthSettings(cache_max_entries=1, max_connections=1),
    OxaigenAuthSettings(refresh_ahead_seconds=30, cache_max_entries=2),
    STALE := OxaigenAuthSettings(stale_if_error_seconds=60, max_connections=2),
    evolve(STALE, refresh_ahead_seconds=25),
)

Question = tuple[str, str, str]  # base URL, token, permission or nothing


@frozen
class Plan:
    """What happens when. A moment is a checkpoint of the task that conducts the storm."""

    calm: bool  # nobody is cancelled, nothing is forgotten, asked for afresh, or closed
    settings: OxaigenAuthSettings
    threshold: float
    where: str
    finale: str
    callers: list[PlannedCaller]
    calls: list[PlannedCall]
    says: dict[str, str]
    events: dict[int, list[Any]]


@frozen
class PlannedCaller:
    question: Question
    fresh: bool
    comes: int
    cancelled: int
    how: str


@frozen
class PlannedCall:
    takes: int  # checkpoints
    crashes: bool
    lingers: int  # checkpoints, after it was cancelled


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
    for moment, *event in scene_events(scene, dice.pick(*tokens, *names[1:])):
        events.setdefault(moment, []).append(event)
    return Plan(
        calm=calm,
        settings=dice.pick(*(SETTINGS[-2:] if scene == "outage" else SETTINGS)),
        threshold=dice.pick(1, 2, 5, inf),
        where=dice.pick("block", "lifespan", "bare"),
        finale=dice.pick("wait", "wait" if calm else "leave"),
        callers=[draw_caller(dice, questions, scene, calm=calm) for _ in range(dice.number(2, 8))],
        calls=[draw_call(dice, troubled=troubled) for _ in range(5)],
        says=answers | {name: dice.pick("yes", "denied") for name in names[1:]},
        events=events,
    )


def scene_events(scene: str, subject: str) -> list[tuple[int, str, str, str, float]]:
    """Return what happens to answers that are kept: they end in an outage, or are taken back."""
    scenes: dict[str, list[tuple[int, str, str, str, float]]] = {
        "outage": [(7, "outage", "", "", 31)],
        "revoked": [(5, "say", subject, "no", 0), (9, "later", "", "", 6)],
    }
    return scenes.get(scene, [])


def draw_caller(dice: Dice, questions: list[Question], scene: str, *, calm: bool) -> PlannedCaller:
    comes = dice.pick(0, 6, 10) if scene else dice.pick(0, 1, dice.number(0, 12))
    question = dice.pick(*questions)
    return PlannedCaller(
        question=dice.pick(*[question] * 19, (question[0], NO_TOKEN, "")),
        fresh=dice.chance(0.2) and not calm,
        comes=comes,
        cancelled=comes + dice.number(0, 6) + NEVER * (dice.chance(0.6) or calm),
        how=dice.pick("scope", "native"),
    )


def draw_call(dice: Dice, *, troubled: bool) -> PlannedCall:
    takes = dice.pick(0, 1, 1, 2, 3, 5) + TIMEOUT * (dice.chance(0.1) and troubled)
    return PlannedCall(takes, dice.chance(0.1) and troubled, dice.pick(0, 0, 1, 3))


def draw_events(dice: Dice, calm: bool, subjects: list[str]) -> dict[int, list[Any]]:  # noqa: FBT001
    events: dict[int, list[Any]] = {}
    harmless = ["later"] * 6
    kinds = [*["forget"] * 6, *["say"] * 6, *["outage"] * 5, "close", "cut", "end", "open", "kill"]
    for _ in range(dice.number(0, 6)):
        what = dice.pick(*harmless, *kinds[len(kinds) * calm :])
        subject = dice.pick(*subjects)
        word = dice.pick("yes", "denied", "no", "forbidden", "down", "down")
        event = (what, subject, word, dice.pick(1, 6, 10, 31, 31, 70))
        events.setdefault(dice.number(0, LAST - 2), []).append(event)
    return events


@define(eq=False)
class Call:
    """A call of the proxy, the `number`th of all; times are the client's."""

    number: int
    question: Question
    says: str
    asked: float
    kill: Callable[[], object]
    ended: float = inf


@define(eq=False)
class Caller:
    plan: PlannedCaller
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    kill: Callable[[], object] = field(default=lambda: None)
    cancelled: bool = False
    too_late: bool = False  # it asked a client that was closed
    at: float = 0.0
    calls: int = 0  # that had begun when it asked
    newest: Counter[Question] = field(factory=Counter)  # see World; as it was when it asked
    forgotten: int = 0  # after how many calls its token was
    outcome: Any = None
    left_over: int = 0

    def cancel(self) -> None:
        self.cancelled = True
        {"scope": self.scope.cancel, "native": self.kill}[self.plan.how]()


@define(eq=False)
class Stage:
    """Stands where the client takes its proxies from; `world` is that of the present schedule."""

    world: World = field(init=False)

    def __call__(self, *args: Any, **_: Any) -> FakeProxy:
        self.world.opened += 1
        return FakeProxy(self.world, args[3])


@define(eq=False)
class FakeProxy:
    world: World
    count: Callable[[], None]

    async def get_me(self, base: str, token: str, **_: float) -> Any:
        return await self.ask((base, token, ""))

    async def test_permission(self, base: str, token: str, name: str, **_: float) -> Any:
        return await self.ask((base, token, name))

    async def ask(self, question: Question) -> Any:
        self.count()
        return await self.world.answer(question)

    async def aclose(self) -> None:
        self.world.closed += 1


@define(eq=False)
class World:
    """One schedule while it runs."""

    plan: Plan
    tasks: TaskGroup
    natively: Natively
    client: ProxyAuthClient = field(init=False)
    now: float = 5000.0
    home: anyio.CancelScope = field(factory=anyio.CancelScope)
    closing: anyio.Event = field(factory=anyio.Event)
    opened: int = 0  # proxies, as those that were closed
    closed: int = 0
    says: dict[str, str] = field(init=False)
    callers: list[Caller] = field(factory=list)
    calls: list[Call] = field(factory=list)
    running: list[Call] = field(factory=list)
    forgotten: Counter[str] = field(factory=Counter)  # tokens, after how many calls
    forgets: int = 0
    newest: Counter[Question] = field(factory=Counter)  # the newest call that somebody heard of
    troubles: int = 0  # whatever may make the proxy unavailable

    def __attrs_post_init__(self) -> None:
        self.says = dict(self.plan.says)
        self.client = ProxyAuthClient(settings=self.plan.settings, clock=lambda: self.now)
        self.client._lookups._breaker.threshold = self.plan.threshold  # noqa: SLF001

    # What the tasks do.

    async def stay_open(self, block: AbstractAsyncContextManager[object]) -> None:
        with self.home:
            async with block:
                await self.closing.wait()

    async def stay_open_again(self) -> None:
        with suppress(RuntimeError):  # the client is closed
            async with self.client.running():
                await self.closing.wait()

    async def answer(self, question: Question) -> Any:
        number = len(self.calls) + 1
        plan = self.plan.calls[number % len(self.plan.calls)]
        says = self.says[question[2] or question[1]]
        kill = self.natively.cancel_of_this_task(lambda: None)
        call = Call(number, question, says, self.now, kill)
        self.calls.append(call)
        self.running.append(call)
        self.troubles += says == "down" or plan.crashes
        try:
            await checkpoints(plan.takes)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await checkpoints(plan.lingers)
            raise
        finally:
            self.running.remove(call)
        verdict = {False: self.verdict(call)}[plan.crashes]  # or raise KeyError
        call.ended = self.now
        return verdict

    def verdict(self, call: Call) -> Any:
        user = User(user_name=call.question[1], id=call.number)
        accepted = {"": Accepted(user)}.get(call.question[2], Accepted(call.says == "yes"))
        refusals = {
            "no": Rejected(f"no {call.number}"),
            "forbidden": Rejected(f"forbidden {call.number}", forbidden=True),
            "down": Unavailable("down"),
        }
        return refusals.get(call.says, accepted)

    async def close_now(self) -> None:
        flights = self.flights
        await self.client.aclose()
        for flight in [*(flights._aloft if flights else ())]:  # noqa: SLF001
            assert is_dying(flight)

    async def call(self, caller: Caller) -> None:
        caller.kill = self.natively.cancel_of_this_task(caller.scope.cancel)
        with caller.scope:
            try:
                caller.outcome = await self.ask(caller)
                self.check_caller(caller)
                await checkpoints(2)  # where a cancellation that was left behind would strike
            except (OxaigenAuthError, RuntimeError) as error:
                caller.outcome = error
                self.check_caller(caller)
            except anyio.get_cancelled_exc_class():  # noqa: ASYNC103 (the task ends with it)
                caller.outcome = "cancelled"
                assert caller.cancelled
        caller.left_over = self.natively.left_over()

    async def ask(self, caller: Caller) -> Any:
        caller.too_late = self.client._closed  # noqa: SLF001
        caller.at = self.now
        caller.calls = len(self.calls)
        caller.newest = self.newest.copy()
        caller.forgotten = self.forgotten[caller.plan.question[1]]
        base, token, name = caller.plan.question
        options: Any = {"proxy_base_url": base, "fresh": caller.plan.fresh}
        if name:
            return await self.client.test_permission(token, name, **options)
        return await self.client.get_me(token, **options)

    # What happens.

    def happen(self, now: int) -> None:
        """Let everything happen that is planned for this moment."""
        for plan in [plan for plan in self.plan.callers if plan.comes == now]:
            self.callers.append(Caller(plan))
            self.tasks.start_soon(self.call, self.callers[-1])
        for caller in [caller for caller in self.callers if caller.plan.cancelled == now]:
            caller.cancel()
        for what, *details in self.plan.events.get(now, ()):
            getattr(self, what)(*details)

    def later(self, _: str, __: str, seconds: float) -> None:
        self.now += seconds

    def say(self, subject: str, word: str, _: float) -> None:
        self.says[subject] = word

    def outage(self, _: str, __: str, seconds: float) -> None:
        self.says = dict.fromkeys(self.says, "down")
        self.now += seconds

    def forget(self, subject: str, *_: object) -> None:
        self.forgets += 1
        self.forgotten[subject] = len(self.calls)
        self.client.forget(subject)

    def close(self, *_: object) -> None:
        """End the client's block."""
        self.troubles += 1
        self.closing.set()

    def cut(self, *_: object) -> None:
        """Cancel the client's block."""
        self.troubles += 1
        self.home.cancel()

    def end(self, *_: object) -> None:
        self.troubles += 1
        self.tasks.start_soon(self.close_now)

    def open(self, *_: object) -> None:
        """Open a second block."""
        self.tasks.start_soon(self.stay_open_again)

    def kill(self, *_: object) -> None:
        """Cancel the tasks that ask the proxy, as nobody should, but on asyncio anybody may."""
        self.troubles += len(self.running)
        for call in self.running:
            call.kill()

    def leave(self) -> None:
        for caller in self.callers:
            caller.cancel()

    def wait(self) -> None:
        """Let everything end by itself."""

    # What must hold.

    @property
    def flights(self) -> Any:
        here = self.client._here.get()  # noqa: SLF001
        return here and here.flights

    @property
    def busy(self) -> bool:
        waiting = [caller for caller in self.callers if caller.outcome is None]
        aloft = self.flights and (self.flights._aloft or self.flights._pilots)  # noqa: SLF001
        return bool(waiting or self.running or aloft)

    def check(self) -> None:
        for flights in [self.flights] * bool(self.flights):
            check_flights(flights)
        asked = [call.question for call in self.running]
        assert not self.plan.calm or len(asked) == len(set(asked))

    def check_caller(self, caller: Caller) -> None:
        """Hold what a caller got against what the proxy said, and when."""
        base, token, name = caller.plan.question
        said = caller.outcome
        if isinstance(said, RuntimeError):
            assert self.client._closed  # noqa: SLF001
            return
        assert not caller.too_late
        if isinstance(said, OxaigenAuthUpstreamError):
            assert self.troubles
        elif token == NO_TOKEN:
            assert isinstance(said, OxaigenAuthUnauthenticatedError)
            assert said.message == "Invalid token"
        elif isinstance(said, OxaigenAuthError):
            self.check_refusal(caller, said)
        elif isinstance(said, User):
            assert said.user_name == token
            call = self.calls[(said.id or 0) - 1]
            assert call.question == (base, token, "")
            self.check_acceptance(caller, [call])
        else:
            words = {True: ["yes"], False: ["denied"]}[said]
            asked = [call for call in self.calls if call.question == (base, token, name)]
            self.check_acceptance(caller, [call for call in asked if call.says in words])

    def check_acceptance(self, caller: Caller, calls: list[Call]) -> None:
        """Hold one of the calls to be new enough for this caller."""
        stale = self.plan.settings.stale_if_error_seconds
        longest = self.plan.settings.cache_ttl_seconds
        longest += stale * bool(self.troubles) * (caller.outcome is not False)
        since = max(self.forgotten[caller.plan.question[1]], caller.calls * caller.plan.fresh)
        young = [call for call in calls if call.number > since and is_young(call, caller, longest)]
        assert young
        self.check_order(caller, young[-1])

    def check_refusal(self, caller: Caller, error: OxaigenAuthError) -> None:
        base, token, name = caller.plan.question
        word, number = error.message.split()
        call = self.calls[int(number) - 1]
        assert call.question[:2] == (base, token)
        assert call.says == word
        kinds = {
            "no": OxaigenAuthUnauthenticatedError,
            "forbidden": OxaigenAuthPermissionDeniedError,
        }
        assert type(error) is kinds[word]
        # Of a permission only the answer itself is fresh, not who the user is.
        fresh = caller.plan.fresh and not name
        assert call.number > max(caller.forgotten, caller.calls * fresh)
        assert is_young(call, caller, self.plan.settings.negative_cache_ttl_seconds)
        self.check_order(caller, call)
        for question in [(base, token, other) for other in ("", "audit", "edit")]:
            self.newest[question] = max(self.newest[question], call.number * bool(call.question[2]))

    def check_order(self, caller: Caller, call: Call) -> None:
        """Hold an answer to be no older than one that somebody had got when the caller asked.

        Two who want fresh answers may overtake each other, and the older one's is not kept.
        """
        overtaking = sum(planned.fresh for planned in self.plan.callers) > 1
        assert overtaking or call.number >= caller.newest[caller.plan.question]
        self.newest[call.question] = max(self.newest[call.question], call.number)

    def check_end(self) -> None:
        for flights in [self.flights] * bool(self.flights):
            check_nothing_flies(flights)
        assert all(caller.cancelled or not caller.left_over for caller in self.callers)
        circuits = self.client._lookups._breaker._circuits.values()  # noqa: SLF001
        assert all(circuit.probe is None for circuit in circuits)
        memory, most = self.client._memory, self.plan.settings.cache_max_entries  # noqa: SLF001
        caches = memory._users, memory._grants, memory._rejections, memory._epochs  # noqa: SLF001
        assert all(len(cache) <= most for cache in caches)
        steady = (
            self.plan.calm and self.plan.settings is PLAIN and not any(self.plan.events.values())
        )
        assert not steady or len(self.calls) == len({call.question for call in self.calls})
        self.check_counts()

    def check_counts(self) -> None:
        stats = self.client.stats()
        assert stats.upstream_calls == len(self.calls)
        begun = stats.misses - stats.joined + stats.refreshed
        assert stats.upstream_calls + stats.refused <= begun
        ended = Counter(call.says for call in self.calls if call.ended < inf)
        assert stats.accepted == ended["yes"] + ended["denied"]
        assert stats.rejected == ended["no"] + ended["forbidden"]
        assert stats.unavailable == ended["down"]
        assert stats.forgotten == self.forgets
        asked = [caller.plan.question for caller in self.callers if not caller.too_late]
        users = [name for _, token, name in asked if token != NO_TOKEN]
        assert len(users) <= stats.hits + stats.misses
        if not self.forgets and not ended["no"] + ended["forbidden"]:  # after which some ask again
            assert stats.hits + stats.misses <= len(users) + sum(map(bool, users))

    def tally(self) -> list[str]:
        """Return what became of the callers, in a word each."""
        return [
            caller.outcome if caller.outcome == "cancelled" else type(caller.outcome).__name__
            for caller in self.callers
        ]


def is_young(call: Call, caller: Caller, longest: float) -> bool:
    """Whether an answer was under way when the caller asked, or kept no longer than it may be."""
    return call.ended >= caller.at or caller.at - call.asked < longest


async def run(plan: Plan, natively: Natively, stage: Stage) -> World:
    async with anyio.create_task_group() as tasks:
        stage.world = world = World(plan, tasks, natively)
        blocks: dict[str, Callable[[], Any]]
        blocks = {"block": lambda: world.client, "lifespan": world.client.running}
        for block in [blocks[where] for where in [plan.where] if where in blocks]:
            tasks.start_soon(world.stay_open, block())
            await checkpoint()
        for now in range(LAST):
            world.happen(now)
            await checkpoint()
            world.check()
        getattr(world, plan.finale)()
        moments = 0
        while world.busy:
            await checkpoint()
            world.check()
            moments += 1
            assert moments < PATIENCE, "somebody waits for ever"
        world.check_end()
        world.closing.set()
    assert world.client._closed or plan.where != "block"  # noqa: SLF001
    await world.client.aclose()
    assert world.opened == world.closed
    return world


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage()
    monkeypatch.setattr(client_module, "Proxy", stage)
    monkeypatch.setattr(breaker_module, "uniform", lambda _, high: high)
    monkeypatch.setattr(logging.getLogger("oxaigen_auth"), "disabled", True)
    return stage


async def test_no_storm_gives_anyone_a_wrong_answer_or_leaves_anything_behind(
    anyio_backend_name: str,
    stage: Stage,
    long: bool,  # noqa: FBT001
) -> None:
    natively, before = Natively(anyio_backend_name), running_tasks()
    tally: Counter[str] = Counter()
    for seed in seeds(LONG if long else SHORT):
        plan = draw(seed)
        with schedule(seed, plan):
            world = await run(plan, natively, stage)
            assert running_tasks() == before
        tally.update(world.tally())
        tally.update(asdict(world.client.stats()))
    print(tally)  # noqa: T201 (shown with -s)
    assert SEED or not {name for name, count in tally.items() if not count} - {"throttled"}


async def test_the_same_seed_is_the_same_run(anyio_backend_name: str, stage: Stage) -> None:
    natively = Natively(anyio_backend_name)
    for seed in range(50):
        plan = draw(seed)
        with schedule(seed, plan):
            first = await run(plan, natively, stage)
        with schedule(seed, plan):
            second = await run(plan, natively, stage)
        assert first.tally() == second.tally()
        assert first.client.stats() == second.client.stats()
