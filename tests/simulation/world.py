"""One schedule of a client while it runs: its callers, and a fake proxy that numbers its calls.

Each user and each rejection contains the number of its call, so that a test can check whether the
outcome of every caller is right, and not too old. The fake proxy is a subclass, because its answers
depend on the call, and on the current state of the world.

Reads private attributes of the single-flight and the circuit breaker: which lookups are active, and
the number of failures that open a circuit, which is not a setting.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, field

from oxaigen_auth.errors import OxaigenAuthError
from tests.simulation.scheduler import NativeCancellation, checkpoints, is_dying
from tests.support.fake_proxy import DENIED, DOWN, GRANTED, FakeProxy, profile, refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup

    from oxaigen_auth import ProxyAuthClient
    from oxaigen_auth._core.flight import Flight
    from oxaigen_auth._core.singleflight import SingleFlight
    from tests.simulation.client_plan import Plan, PlannedCaller, Question
    from tests.support.fake_proxy import Call as Request


@define(eq=False)
class Call:
    """A call of the proxy, the `number`th of all; times are the client's."""

    number: int
    question: Question
    reply: str
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
class SimulatedProxy(FakeProxy):
    world: World = field(kw_only=True)

    async def respond(self, call: Request) -> bytes:
        permission = call.endpoint.removeprefix("get-me").removeprefix("test-app-permission/")
        return await self.world.answer((call.base_url, call.token, permission))


@define(eq=False)
class World:
    """One schedule while it runs."""

    plan: Plan
    tasks: TaskGroup
    natively: NativeCancellation
    check_caller: Callable[[World, Caller], None]
    proxy: SimulatedProxy = field(init=False)
    client: ProxyAuthClient = field(init=False)
    now: float = 5000.0
    home: anyio.CancelScope = field(factory=anyio.CancelScope)
    closing: anyio.Event = field(factory=anyio.Event)
    replies: dict[str, str] = field(init=False)
    callers: list[Caller] = field(factory=list)
    calls: list[Call] = field(factory=list)
    running: list[Call] = field(factory=list)
    forgotten: Counter[str] = field(factory=Counter)  # tokens, after how many calls
    forgets: int = 0
    newest: Counter[Question] = field(factory=Counter)  # the newest call that a caller got
    troubles: int = 0  # events that may make the proxy unavailable

    def __attrs_post_init__(self) -> None:
        self.replies = dict(self.plan.replies)
        self.proxy = SimulatedProxy(world=self)
        self.client = self.proxy.client(settings=self.plan.settings, clock=lambda: self.now)
        self.client.validator._lookups._breaker.threshold = self.plan.threshold  # noqa: SLF001

    # The tasks.

    async def stay_open(self, block: AbstractAsyncContextManager[object]) -> None:
        with self.home:
            async with block:
                await self.closing.wait()

    async def stay_open_again(self) -> None:
        with suppress(RuntimeError):  # the client is closed
            async with self.client.validator.loops.running():
                await self.closing.wait()

    async def answer(self, question: Question) -> bytes:
        number = len(self.calls) + 1
        plan = self.plan.calls[number % len(self.plan.calls)]
        reply = self.replies[question[2] or question[1]]
        if question[2] and reply == "forbidden":
            reply = "denied"  # 403, which is the same answer
        kill = self.natively.cancel_of_this_task(lambda: None)
        call = Call(number, question, reply, self.now, kill)
        self.calls.append(call)
        self.running.append(call)
        self.troubles += reply == "down" or plan.crashes
        try:
            await checkpoints(plan.takes)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await checkpoints(plan.lingers)
            raise
        finally:
            self.running.remove(call)
        response = {False: self.response(call)}[plan.crashes]  # or raise KeyError
        call.ended = self.now
        return response

    def response(self, call: Call) -> bytes:
        _, token, permission = call.question
        granted = GRANTED if call.reply == "yes" else DENIED
        accepted = granted if permission else profile(user_name=token, id=call.number)
        refusals = {
            "no": refusal(401, f"no {call.number}"),
            "forbidden": refusal(403, f"forbidden {call.number}"),
            "down": DOWN,
        }
        return refusals.get(call.reply, accepted)

    async def close_now(self) -> None:
        active = self.active
        await self.client.aclose()
        assert all(map(is_dying, active))

    async def call(self, caller: Caller) -> None:
        caller.kill = self.natively.cancel_of_this_task(caller.scope.cancel)
        with caller.scope:
            try:
                caller.outcome = await self.ask(caller)
                self.check_caller(self, caller)
                await checkpoints(2)  # a cancellation that was left over would be raised here
            except (OxaigenAuthError, RuntimeError) as error:
                caller.outcome = error
                self.check_caller(self, caller)
            except anyio.get_cancelled_exc_class():  # noqa: ASYNC103 (the task ends with it)
                caller.outcome = "cancelled"
                assert caller.cancelled
        caller.left_over = self.natively.left_over()

    async def ask(self, caller: Caller) -> Any:
        caller.too_late = self.client.validator.loops.closed
        caller.at = self.now
        caller.calls = len(self.calls)
        caller.newest = self.newest.copy()
        caller.forgotten = self.forgotten[caller.plan.question[1]]
        base, token, name = caller.plan.question
        options: Any = {"proxy_base_url": base, "fresh": caller.plan.fresh}
        if name:
            return await self.client.test_permission(token, name, **options)
        return await self.client.get_me(token, **options)

    # The events.

    def happen(self, now: int) -> None:
        """Run the events that are planned for this step."""
        for plan in [plan for plan in self.plan.callers if plan.arrives == now]:
            self.callers.append(Caller(plan))
            self.tasks.start_soon(self.call, self.callers[-1])
        for caller in [caller for caller in self.callers if caller.plan.cancelled == now]:
            caller.cancel()
        for what, *details in self.plan.events.get(now, ()):
            getattr(self, what)(*details)

    def later(self, _: str, __: str, seconds: float) -> None:
        self.now += seconds

    def set_reply(self, subject: str, reply: str, _: float) -> None:
        self.replies[subject] = reply

    def outage(self, _: str, __: str, seconds: float) -> None:
        self.replies = dict.fromkeys(self.replies, "down")
        self.now += seconds

    def forget(self, subject: str, *_: object) -> None:
        self.forgets += 1
        self.forgotten[subject] = len(self.calls)
        self.client.forget(subject)

    def forget_unknown(self, *_: object) -> None:
        """Forget unknown tokens, more of them than some caches have entries."""
        self.forgets += 3
        for number in range(3):
            self.client.forget(f"unknown {number}")

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
        """Cancel the tasks that ask the proxy: on asyncio any code may do so."""
        self.troubles += len(self.running)
        for call in self.running:
            call.kill()

    def leave(self) -> None:
        for caller in self.callers:
            caller.cancel()

    def wait(self) -> None:
        """Let everything end by itself."""

    @property
    def flights(self) -> SingleFlight[Any] | None:
        state = self.client.validator.loops.current()
        return None if state is None else state.flights

    @property
    def active(self) -> set[Flight[Any]]:
        return set() if self.flights is None else self.flights._active  # noqa: SLF001

    @property
    def busy(self) -> bool:
        waiting = [caller for caller in self.callers if caller.outcome is None]
        return bool(waiting or self.running or self.active)

    def tally(self) -> list[str]:
        """Return the outcome of each caller, in one word."""
        return [
            caller.outcome if caller.outcome == "cancelled" else type(caller.outcome).__name__
            for caller in self.callers
        ]
