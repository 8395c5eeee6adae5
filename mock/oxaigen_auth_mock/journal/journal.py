"""What a mock was asked: one record a call, the last `REMEMBERED_CALLS` of them. No token in it."""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from anyio import current_time
from attrs import asdict, define, field, fields

from oxaigen_auth_mock.journal.clock import Changes, Clock
from oxaigen_auth_mock.journal.counts import CallCounts, fingerprint

REMEMBERED_CALLS: Final = 1_000


@define(eq=False, kw_only=True)
class Call:
    """One call to an endpoint of the proxy.

    `at` is Unix time by the mock's clock, `seconds` how long it took; `status` and `seconds` are
    None while it runs, and `status` stays None if it was never answered. `token` is a fingerprint.
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
    seconds: float | None = None
    version: int = field(repr=False)
    began: float = field(repr=False)

    def answered(self, status: int) -> None:
        self.status = status
        self.verdict = verdict_of(self.endpoint, status)

    def report(self) -> dict[str, object]:
        hidden = (fields(Call).version, fields(Call).began)
        return asdict(self, filter=lambda attribute, _: attribute not in hidden)


@define(eq=False)
class Journal:
    """Writes down calls when they begin and when they end, and counts them."""

    _clock: Clock
    _changes: Changes
    counts: CallCounts = field(factory=CallCounts)
    _calls: deque[Call] = field(factory=lambda: deque[Call](maxlen=REMEMBERED_CALLS))
    _written: int = 0

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    @contextmanager
    def recorded(
        self, endpoint: str, *, token: str | None, persona: str | None, user_agent: str
    ) -> Generator[Call]:
        """Write down and count a call, as running until the block is left."""
        self._written += 1
        call = Call(
            number=self._written,
            at=self._clock.now(),
            endpoint=endpoint,
            token=fingerprint(token),
            persona=persona,
            user_agent=user_agent,
            version=self._changes.touch(),
            began=current_time(),
        )
        self._calls.append(call)
        tallies = self.counts.begin(endpoint, token=call.token, persona=persona)
        try:
            yield call
        finally:
            for tally in tallies:
                tally.end()
            call.seconds = current_time() - call.began
            if call.status is None:
                call.verdict = "no answer"
            call.version = self._changes.touch()

    @property
    def oldest(self) -> int:
        """The number of the oldest call that is still remembered, else of the next one."""
        return self._calls[0].number if self._calls else self._written + 1

    def since(self, version: int) -> list[Call]:
        """Find the calls that began or ended after this change."""
        return [call for call in self._calls if call.version > version]

    def clear(self) -> None:
        """Forget all calls; those that still run end unseen."""
        self._calls.clear()
        self.counts.reset()
        self._changes.touch()


def verdict_of(endpoint: str, status: int) -> str:
    """Say in a word or two what an answer means.

    >>> verdict_of("test-app-permission", 403)
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
