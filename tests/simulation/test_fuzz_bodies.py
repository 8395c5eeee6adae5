"""Bodies with changed JSON or bytes, also compressed: each verdict follows from the JSON.

tests/simulation/profiles.py computes the expected users, with another parser.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from fastapi.encoders import jsonable_encoder
from pydantic import TypeAdapter
from pydantic_core import from_json
from starlette.responses import JSONResponse

from oxaigen_auth import User

# Without a transport, tens of thousands of bodies are read in a second.
from oxaigen_auth._upstream.profile import parse_user
from oxaigen_auth._upstream.response import (
    MAX_BODY,
    Answer,
    AnswerError,
    decompress,
    read_permission,
    read_user,
)
from oxaigen_auth._validation.verdict import Accepted, Rejected, Unavailable
from tests.simulation.fuzz import MARK, SEED, SPECIAL_BYTES, dice_of, mutated, seeds, tried
from tests.simulation.profiles import UnusableError, draw_body, readings, text_of

if TYPE_CHECKING:
    from oxaigen_auth._validation.verdict import Verdict
    from tests.simulation.scheduler import Dice

SHORT, LONG = 15_000, 600_000

WRITTEN: TypeAdapter[User] = TypeAdapter(User)
STATUSES = (*[200] * 12, 401, 401, 403, 403, 204, 302, 404, 500, 503)
DETAILS = [
    *(
        b'{"detail": "Token expired"}',
        b'{"detail": "' + MARK.encode() + b'"}',
        b'{"detail": "<b>"}',
    ),
    *(
        b'{"detail": "see https://evil.example"}',
        b'{"detail": "' + b"x" * 195 + b'"}',
        b"true",
        b"",
    ),
    *(
        b'{"detail": null}',
        b'{"detail": ["x"]}',
        b'[{"detail": "x"}]',
        b'"detail"',
        b'{"detail": "a\\nb"}',
    ),
]
CONTENT_TYPES = [
    *("application/json; charset=utf-16", "text/html", "a; charset=utf-7", "a; charset=idna"),
]
DATES = [
    *(b"7", b"-1", b"Wed, 21 Oct 2015 07:28:00 GMT", b"Wed, 21 Oct 2315 07:28:00 +0100"),
    *(b"Wednesday, 21-Oct-15 07:28:00 GMT", b"Wed Oct 21 07:28:00 2015", b"2015-10-21T07:28:00Z"),
]


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal: True is not 1, and order counts."""
    return json.dumps(one) == json.dumps(other)


def survives(user: User) -> bool:
    """Return whether a user survives serialization as JSON."""
    written = json.loads(WRITTEN.dump_json(user))
    # FastAPI itself drops fields whose names begin as SQLAlchemy's do, unless configured otherwise.
    by_fastapi = json.loads(bytes(JSONResponse(jsonable_encoder(user, sqlalchemy_safe=False)).body))
    extra = by_fastapi.pop("extra")
    again = parse_user(json.dumps(by_fastapi | extra).encode())
    return again == user and same(written, by_fastapi | {"extra": extra})


def draw_answer(dice: Dice) -> Answer:
    retry_after = mutated(dice, dice.pick(*DATES), [*DATES, *SPECIAL_BYTES])
    body = draw_body(dice)
    if dice.chance(0.15):
        detail = dice.pick(*DETAILS)
        body = mutated(dice, detail, DETAILS) if dice.chance(0.7) else detail
    headers = {"retry-after": retry_after.decode("latin-1")}
    if dice.chance(0.1):
        headers["content-type"] = dice.pick(*CONTENT_TYPES)
    return Answer(dice.pick(*STATUSES), headers, body)


def check_user(answer: Answer, verdict: Verdict[User]) -> None:
    if answer.status in {401, 403}:
        assert isinstance(verdict, Rejected)
        assert verdict.forbidden == (answer.status == 403)
        check_detail(answer.body, verdict.detail)
    elif answer.status == 200:
        check_profile(answer.body, verdict)
    else:
        assert isinstance(verdict, Unavailable)
        assert verdict.retry_after is None or 0 <= verdict.retry_after <= 86400


def check_profile(body: bytes, verdict: Verdict[User]) -> None:
    documents = readings(body)
    if isinstance(verdict, Accepted):
        written = json.loads(WRITTEN.dump_json(verdict.value))
        assert any(document and same(document, written) for document in documents)
        assert written["is_authenticated"] is True
        assert survives(verdict.value)
    elif isinstance(verdict, Rejected):
        assert verdict == Rejected("Not authenticated", reason="not_authenticated")
        assert any(document and not document["is_authenticated"] for document in documents)
    else:
        assert None in documents


def check_detail(body: bytes, detail: str) -> None:
    """Check that the detail is one of ours, or a harmless one of the proxy."""
    if detail not in {"Invalid token", "Not allowed for this application"}:
        assert from_json(text_of(body))["detail"] == detail
        assert len(detail) <= 200
        assert not any(it in detail for it in (MARK, "<", "://", "\n"))


def is_true(body: bytes) -> bool:
    try:
        return text_of(body).strip(" \t\r\n") == "true"
    except UnusableError:
        return False


def check_permission(answer: Answer, verdict: Verdict[bool]) -> None:
    if answer.status == 401:
        assert isinstance(verdict, Rejected)
    elif answer.status == 403:
        assert verdict == Accepted(value=False)
    else:
        granted = answer.status == 200 and is_true(answer.body)
        assert (verdict == Accepted(value=True)) if granted else isinstance(verdict, Unavailable)


def test_the_verdict_of_a_body_follows_from_its_json(long: bool) -> None:  # noqa: FBT001
    tally = Counter[Any]()
    for seed in seeds(LONG if long else SHORT):
        answer = draw_answer(dice_of(seed))
        with tried(seed, answer):
            verdict = read_user(answer, MARK)
            check_user(answer, verdict)
            check_permission(answer, read_permission(answer, MARK))
        tally[answer.status, type(verdict).__name__] += 1
    print(tally.total(), dict(tally.most_common()))  # noqa: T201 (shown with -s)
    assert SEED or {(200, "Accepted"), (200, "Rejected"), (200, "Unavailable")} <= tally.keys()


def test_a_compressed_body_is_read_whole_or_not_at_all(long: bool) -> None:  # noqa: FBT001
    tally = Counter[Any]()
    for seed in seeds((LONG if long else SHORT) // 6):
        dice = dice_of(seed)
        plain = draw_body(dice) * dice.pick(*[1] * 30, 2000)
        compress: Any = dice.pick(gzip.compress, zlib.compress)
        body = compress(plain)
        if dice.chance(0.7):
            body = mutated(dice, body, [body])
        with tried(seed, body):
            try:
                read = decompress(body, dice.pick("gzip", "x-gzip", "deflate"))
                assert len(read) <= MAX_BODY
                assert read == zlib.decompressobj(47).decompress(body)
                tally["read", read == plain] += 1
            except AnswerError:
                assert body != compress(plain) or len(plain) > MAX_BODY
                tally["refused", len(plain) > MAX_BODY] += 1
    print(tally.total(), dict(tally.most_common()))  # noqa: T201 (shown with -s)
    assert SEED or len(tally) > 2
