"""The journal of the most recent `MAX_CALLS` calls, without tokens, and the feed of changes.

The steps of a scenario are entries among the calls.
"""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

from anyio import Event, current_time
from attrs import asdict, define, field, fields

from oxaigen_auth_mock.journal.clock import Clock
from oxaigen_auth_mock.journal.counts import NO_TOKEN, CallCounts, fingerprint

MAX_CALLS: Final = 1_000
CALL_KEY: Final = "oxaigen_auth_mock.call"  # the scope key of the call that is being recorded
SCENARIO: Final = "scenario"  # instead of an endpoint


@define(eq=False)
class ChangeFeed:
    """Count changes and wake the tasks that wait for the next one.

    Belongs to one event loop at a time: tasks must wait on the loop that makes the changes.
    """

    version: int = 0
    _next: Event | None = None

    def bump(self) -> int:
        """Announce a change and return its number."""
        self.version += 1
        if self._next is not None:
            self._next.set()
            self._next = None
        return self.version

    async def wait_past(self, version: int) -> None:
        """Wait until there is a change later than this one."""
        while self.version <= version:
            if self._next is None:
                self._next = Event()
            await self._next.wait()


@define(eq=False, kw_only=True)
class Call:
    """One call to an endpoint of the proxy, or a step of a scenario.

    The endpoint of a step is `scenario`. Its `verdict` is `began`, `ended` or `skipped`, and its
    `fault` describes it.

    Attributes:
        number: counts from 1.
        at: when it began, in Unix time by the mock's clock.
        endpoint: such as `get-me`.
        token: fingerprint of its token, `none` without a token.
        persona: name of the token's owner.
        user_agent: at most 200 characters.
        status: of the response; None while the call runs or if it was never answered.
        verdict: the outcome in a word or two, such as `accepted`.
        fault: a summary of the faults that hit it.
        warning: what is wrong with the cookies of the sign-in that it belongs to.
        seconds: how long it took; None while it runs.
    """

    number: int
    at: float
    endpoint: str
    token: str
    persona: str | None
    user_agent: str
    status: int | None = None
    verdict: str = "running"
    fault: str | None = None
    warning: str | None = None
    seconds: float | None = None
    version: int = field(repr=False)
    started_at: float = field(repr=False)

    def set_status(self, status: int) -> None:
        self.status = status
        self.verdict = verdict_for(self.endpoint, status)

    def report(self) -> dict[str, object]:
        """Return the call as JSON."""
        hidden = (fields(Call).version, fields(Call).started_at)
        return asdict(self, filter=lambda attribute, _: attribute not in hidden)


@define(eq=False)
class Journal:
    """Record calls when they begin and when they end, and count them."""

    _clock: Clock
    _changes: ChangeFeed
    counts: CallCounts = field(factory=CallCounts)
    _calls: deque[Call] = field(factory=lambda: deque[Call](maxlen=MAX_CALLS))
    _last_number: int = 0

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    @contextmanager
    def record(
        self, endpoint: str, *, token: str | None, persona: str | None, user_agent: str
    ) -> Generator[Call]:
        """Record and count a call that runs until the block ends."""
        call = self._add(
            self._clock.now(),
            endpoint,
            token=fingerprint(token),
            persona=persona,
            user_agent=user_agent,
            started_at=current_time(),
        )
        tallies = self.counts.begin(endpoint, token=call.token, persona=persona)
        try:
            yield call
        finally:
            for tally in tallies:
                tally.end()
            call.seconds = current_time() - call.started_at
            if call.status is None:
                call.verdict = "no answer"
            call.version = self._changes.bump()

    def note(self, at: float, verdict: str, description: str) -> None:
        """Record a step of a scenario; it is not counted."""
        step = self._add(at, SCENARIO, token=NO_TOKEN, persona=None, user_agent="", started_at=at)
        step.verdict, step.fault = verdict, description

    def _add(self, at: float, endpoint: str, **fields: Any) -> Call:
        self._last_number += 1
        version = self._changes.bump()
        call = Call(number=self._last_number, at=at, endpoint=endpoint, version=version, **fields)
        self._calls.append(call)
        return call

    @property
    def oldest(self) -> int:
        """Number of the oldest call that is remembered; of the next call if there is none."""
        return self._calls[0].number if self._calls else self._last_number + 1

    def since(self, version: int) -> list[Call]:
        """Return the calls that began or ended after this change."""
        return [call for call in self._calls if call.version > version]

    def clear(self) -> None:
        """Forget all calls; those that still run are not recorded when they end."""
        self._calls.clear()
        self.counts.reset()
        self._changes.bump()


def verdict_for(endpoint: str, status: int) -> str:
    """Return what a status of an endpoint means.

    >>> verdict_for("test-app-permission", 403)
    'denied'
    """
    permission = endpoint == "test-app-permission"
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return "granted" if permission else "accepted"
    if status < HTTPStatus.BAD_REQUEST:
        return "redirected"
    if status == HTTPStatus.UNAUTHORIZED:
        return "rejected"
    if status == HTTPStatus.FORBIDDEN:
        return "denied" if permission else "not allowed"
    return "refused" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"
