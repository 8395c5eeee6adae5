"""What the proxy answers: verdicts, profiles of all kinds, failures."""

from __future__ import annotations

import json
from typing import Any

from tests.migration.case import PROFILE, Case, differs, profile, refusal
from tests.support.raw_server import answer

INVALID = 'Bearer error="invalid_token"'
UNAVAILABLE = {"detail": "Auth service unavailable"}
DENIED = 'Bearer error="insufficient_scope", scope="audit"'
NOBODY: dict[str, Any] = {
    "status": 401,
    "body": {"detail": "Not authenticated"},
    "challenge": INVALID,
}
ADMITTED: dict[str, Any] = {"status": 200, "body": {"user": "ada"}}

EXPIRED = refusal(401, "Token expired")
ELSEWHERE = refusal(403, "Not allowed for this app")
FAILED = "`get-me` or the permission check: 400"
REJECTED = "token rejected (401)"


def unavailable(name: str, user: bytes | None, row: str = FAILED, **options: Any) -> Case:
    """Return a case that the published package answers with 502 and a detail of its own."""
    path = options.pop("path", "/me")
    ours = {"body": UNAVAILABLE} | options.pop("ours", {})
    return Case(name, path, user=user, difference=differs(row, **ours), **options)


def too_lax(name: str, row: str, user: bytes, **more: Any) -> Case:
    """Return a case that the published package answers with 200."""
    return Case(name, user=user, difference=differs(row, status=502, body=UNAVAILABLE, **more))


REJECTIONS = [
    Case("a rejection", user=EXPIRED, difference=differs(REJECTED, challenge=INVALID)),
    Case(
        "a rejection, permission",
        "/audit",
        user=EXPIRED,
        difference=differs(REJECTED, challenge=INVALID),
    ),
    Case("a rejection, optional user", "/maybe", user=EXPIRED),
    Case(
        "a rejection, the state",
        "/behind/state",
        user=EXPIRED,
        difference=differs(
            "`request.state.auth_error` is set only",
            body={"user": None, "auth_error": "Token expired"},
        ),
    ),
    Case(
        "a cached rejection",
        user=EXPIRED,
        times=2,
        difference=differs(
            "the same again, from the cache", body={"detail": "Token expired"}, challenge=INVALID
        ),
    ),
    *(
        Case(
            f"a rejection with {name}",
            user=user,
            difference=differs(REJECTED, body={"detail": "Invalid token"}, challenge=INVALID),
        )
        for name, user in {
            "a long detail": refusal(401, "x" * 500),
            "a URL": refusal(401, "see http://internal:8080/x"),
            "HTML": answer(401, b"<b>no</b>"),
        }.items()
    ),
    Case(
        "a user of another app",
        user=ELSEWHERE,
        difference=differs("not for this app (403", status=403, challenge=None),
    ),
    Case("a user of another app, optional user", "/maybe", user=ELSEWHERE),
    Case(
        "a user of another app, the state",
        "/behind/state",
        user=ELSEWHERE,
        difference=differs(
            "`request.state.auth_error` is set only",
            body={"user": None, "auth_error": "Not allowed for this app"},
        ),
    ),
    *(
        Case(
            f"nobody signed in: {path}",
            path,
            user=profile(is_authenticated=False),
            difference=differs('`"is_authenticated": false`', **ours),
        )
        for path, ours in {
            "/me": NOBODY,
            "/audit": NOBODY | {"calls": ("GET /_oxa_auth/get-me",)},
            "/maybe": {"body": {"user": None}},
            "/behind/state": {"body": {"user": None, "auth_error": "Not authenticated"}},
        }.items()
    ),
]
PERMISSIONS = [
    Case("a cached permission", "/audit", times=2),
    Case(
        "a missing permission",
        "/audit",
        permission=refusal(403, "no"),
        difference=differs("permission missing", challenge=DENIED),
    ),
    Case(
        "a cached denial",
        "/audit",
        permission=refusal(403, "no"),
        times=2,
        difference=differs("permission missing", challenge=DENIED),
    ),
    Case(
        "a permission check rejects the token",
        "/audit",
        permission=refusal(401, "no"),
        difference=differs(
            "permission check answers 401", status=401, body={"detail": "no"}, challenge=INVALID
        ),
    ),
    *(
        Case(
            f"a permission check answers {body!r}",
            "/audit",
            permission=answer(200, body),
            difference=differs(
                "permission check answers 200 with `false`", status=502, body=UNAVAILABLE
            ),
        )
        for body in (b"false", b"", b"<p>", b'{"granted": true}', b'"true"')
    ),
    *(
        Case(
            f"a permission check answers {status}",
            "/audit",
            permission=answer(status),
            difference=differs(FAILED, body=UNAVAILABLE),
        )
        for status in (204, 302, 404, 500)
    ),
]
FAILURES = [
    *(unavailable(f"status {it}", answer(it)) for it in (201, 204, 302, 400, 404, 429, 500, 503)),
    unavailable("a retry-after", answer(503, retry_after="7"), ours={"retry_after": "7"}),
    unavailable("an outage, optional user", answer(503), path="/maybe"),
    unavailable(
        "an outage, the state",
        answer(503),
        "its text contains the URL and the exception",
        path="/behind/state",
        ours={"body": {"user": None, "auth_error": UNAVAILABLE["detail"]}},
    ),
    unavailable("a redirect", answer(302, location="/_oxa_auth/get-me")),
    unavailable(
        "a closed connection",
        None,
        "a kept-alive connection that closes just as it is used",
        ours={"calls": ("GET /_oxa_auth/get-me",) * 2},
    ),
    unavailable("a late answer", profile(), delay=3.0),
    unavailable("invalid JSON", answer(200, b"{nope")),
    unavailable("HTML", answer(200, b"<html>")),
    unavailable("a list", answer(200, b"[]")),
    *(unavailable(f"id {it!r}", profile(id=it)) for it in ("x", 7.5, [7])),
    unavailable("a number as a name", profile(user_name=5)),
    unavailable("a string as roles", profile(workspace_roles="x")),
    unavailable("a number as a workspace's id", profile(user_workspace={"id": 5, "name": "W"})),
]
PROFILES = [
    Case("a user twice", times=2),
    Case("only the flag", user=answer(200, b'{"is_authenticated": true}')),
    Case("only a name", user=answer(200, b'{"user_name": "ada"}')),
    Case("digits as an id", user=profile(id="7")),
    Case(
        "an answer with a cookie", user=answer(200, json.dumps(PROFILE).encode(), set_cookie="a=b")
    ),
    *(
        too_lax(f"an object {body!r}", "a profile without a value", answer(200, body))
        for body in (b"{}", b'{"status": "ok"}', b'{"detail": "x"}')
    ),
    *(
        too_lax(
            f"is_authenticated {it!r}",
            '`"is_authenticated"`: `"false"`',
            profile(is_authenticated=it),
        )
        for it in ("false", "true", 0, 1)
    ),
    *(
        too_lax(f"id {it!r}", "other fields of a wrong type", profile(id=it))
        for it in (7.0, True, "-7", " 7 ")
    ),
    too_lax("yes as a flag", "other fields of a wrong type", profile(enabled="yes")),
    *(
        too_lax(name, "a profile with `NaN`", user)
        for name, user in {
            "a NaN": answer(200, b'{"user_name": "ada", "score": NaN}'),
            "a deep value": answer(
                200, b'{"user_name": "ada", "x": ' + b"[" * 50 + b"]" * 50 + b"}"
            ),
            "a large profile": profile(blob="x" * 300_000),
        }.items()
    ),
    Case(
        "a lone surrogate",
        user=answer(200, b'{"user_name": "\\ud800"}'),
        difference=differs("a profile with a lone surrogate", status=502, body=UNAVAILABLE),
    ),
    *(
        Case(name, user=user, difference=differs(row, **ADMITTED))
        for name, row, user in (
            ("null as the flag", "a profile with null", profile(is_authenticated=None)),
            ("null as roles", "a profile with null", profile(workspace_roles=None)),
            ("a role without fields", "a role, a permission", profile(workspace_roles=[{}])),
            ("a workspace without fields", "a role, a permission", profile(user_workspace={})),
            ("text as extra", "a profile's field `extra` that", profile(extra="text")),
            (
                "a profile in Latin-1",
                "a profile in Latin-1",
                answer(
                    200,
                    json.dumps(PROFILE | {"last_name": "Zo\xeb"}, ensure_ascii=False).encode(
                        "latin-1"
                    ),
                    content_type="application/json; charset=iso-8859-1",
                ),
            ),
        )
    ),
]
