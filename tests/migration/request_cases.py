"""What a request brings: the token, its cookie, its host, another site's page, variables."""

from __future__ import annotations

from tests.migration.case import BEARER, Case, differs, refusal

COOKIE = "Cookie: OxaigenPlatformAuthAccessToken="
EVIL = ("Origin: https://evil.example", "Sec-Fetch-Site: cross-site")
INVALID = 'Bearer error="invalid_token"'


CREDENTIALS = [
    Case("a token"),
    Case("a token, optional user", "/maybe"),
    Case("a token, permission", "/audit"),
    Case("a token behind the middleware", "/behind/me"),
    Case("a token behind the middleware, permission", "/behind/audit"),
    Case("the state of a request", "/behind/state"),
    Case("no token", headers=()),
    Case("no token, optional user", "/maybe", headers=()),
    Case("no token, permission", "/audit", headers=()),
    Case("no token, the state", "/behind/state", headers=()),
    Case("bearer in lower case", headers=("Authorization: bearer {token}",)),
    Case("another scheme", headers=("Authorization: Basic eA==",)),
    Case("an empty bearer", headers=("Authorization: Bearer ",)),
    Case(
        "more than one space",
        headers=("Authorization: Bearer   {token}",),
        difference=differs(
            "`Bearer` and more than one space", status=200, body={"user": "ada"}, challenge=None
        ),
    ),
    Case(
        "two headers",
        headers=BEARER * 2,
        difference=differs(
            "two `Authorization` headers",
            status=401,
            body={"detail": "More than one Authorization header"},
            challenge=INVALID,
            calls=(),
        ),
    ),
    *(
        Case(
            f"a token with {text!r}",
            headers=(f"Authorization: Bearer {{token}}{text}",),
            difference=differs("`Bearer one two`", challenge=INVALID, calls=()),
        )
        for text in (", other", " other")
    ),
    Case(
        "a long token",
        headers=("Authorization: Bearer {token}" + "x" * 8200,),
        difference=differs("a token over 8 KiB", challenge=INVALID, calls=()),
    ),
    Case(
        "a token outside ASCII",
        headers=("Authorization: Bearer {token}\xe9",),
        difference=differs(
            "a token with characters outside ASCII | 500",
            status=401,
            body={"detail": "Invalid token"},
            challenge=INVALID,
        ),
    ),
    Case(
        "a token outside ASCII, the state",
        "/behind/state",
        headers=("Authorization: Bearer {token}\xe9",),
        difference=differs(
            "a token with characters outside ASCII, or a host",
            status=200,
            body={"user": None, "auth_error": "Invalid token"},
        ),
    ),
    Case("a cookie", headers=(COOKIE + "{token}",)),
    Case("a quoted cookie", headers=(COOKIE + '"{token}"',)),
    Case("an empty cookie", headers=(COOKIE,)),
    Case(
        "two cookies",
        headers=(COOKIE + "bad; OxaigenPlatformAuthAccessToken={token}",),
        difference=differs(
            "two different access cookies",
            status=401,
            body={"detail": "More than one access cookie"},
            challenge=INVALID,
            calls=(),
        ),
    ),
    Case("a header and another cookie", headers=(COOKIE + "bad", *BEARER)),
    Case(
        "a rejected header and a valid cookie",
        headers=(COOKIE + "{token}", "Authorization: Bearer bad-{token}"),
        difference=differs("token rejected (401)", challenge=INVALID),
    ),
    Case("extraction", "/token"),
    Case("extraction without a token", "/token", headers=()),
]
CROSS_SITE = [
    Case(
        "a cookie from a page of the app",
        method="POST",
        headers=(COOKIE + "{token}", "Origin: https://app.example.com"),
    ),
    Case("a header from another site", method="POST", headers=(*BEARER, *EVIL)),
    Case("a cookie with GET from another site", headers=(COOKIE + "{token}", *EVIL)),
    Case(
        "a cookie from another site",
        method="POST",
        headers=(COOKIE + "{token}", *EVIL),
        difference=differs(
            "the cookie's token with POST",
            status=403,
            body={"detail": "Cross-site request refused"},
            calls=(),
        ),
    ),
    Case(
        "a cookie from another site, optional user",
        "/maybe",
        method="POST",
        headers=(COOKIE + "{token}", *EVIL),
        difference=differs("the cookie's token with POST", body={"user": None}, calls=()),
    ),
]
WEBSOCKETS = [
    Case(
        "a WebSocket",
        "/ws",
        difference=differs(
            "WebSocket routes", status=101, body={"user": "ada"}, calls=("GET /_oxa_auth/get-me",)
        ),
    ),
    Case(
        "a WebSocket without a token",
        "/ws",
        headers=(),
        difference=differs("a WebSocket route", status=401),
    ),
]

ASKED = ("GET /_oxa_auth/get-me",)
HOST = "{proxy-host}"
REFUSED = {"status": 400, "body": {"detail": "Invalid host header"}}
HOSTS = [
    Case("a host", host=HOST),
    Case("a forwarded host", headers=(*BEARER, f"X-Forwarded-Host: {HOST}")),
    Case("no token and a host with a user", host="user@{proxy-host}", headers=()),
    *(
        Case(
            f"a host like {host}",
            host=host,
            difference=differs("a host with user, path, query", **REFUSED, calls=()),
        )
        for host in ("{proxy-host}/x", "{proxy-host}?x", "{proxy-host}#x")
    ),
    # The published package sends the user instead of the token.
    Case(
        "a host with a user",
        host="user@{proxy-host}",
        difference=differs("a host with user, path, query", **REFUSED, challenge=None),
    ),
    Case(
        "a host with a user, optional user",
        "/maybe",
        host="user@{proxy-host}",
        difference=differs("a host with user, path, query", **REFUSED),
    ),
    Case(
        "a host with a user, the state",
        "/behind/state",
        host="user@{proxy-host}",
        difference=differs(
            "a host with user, path, query",
            body={"user": None, "auth_error": "Invalid host header"},
        ),
    ),
    Case(
        "an invalid port",
        host="127.0.0.1:99999",
        difference=differs("no host, an invalid port", **REFUSED),
    ),
    Case(
        "a list of forwarded hosts",
        headers=(*BEARER, f"X-Forwarded-Host: {HOST}, inner.example"),
        difference=differs("`X-Forwarded-Host` with several values", **REFUSED),
    ),
    Case(
        "two headers with forwarded hosts",
        headers=(*BEARER, f"X-Forwarded-Host: {HOST}", "X-Forwarded-Host: inner.example"),
        difference=differs("`X-Forwarded-Host` with several values", **REFUSED, calls=()),
    ),
    Case(
        "an empty forwarded host",
        host=HOST,
        headers=(*BEARER, "X-Forwarded-Host: "),
        difference=differs("an empty `X-Forwarded-Host`", **REFUSED, calls=()),
    ),
]
VARIABLES = [
    Case("the name of the cookie", headers=("Cookie: my_token={token}",)),
    Case("the default name of the cookie", headers=(COOKIE + "{token}",)),
    Case("dev mode without a cache", times=2),
    Case(
        "a rejection without a cache",
        user=refusal(401, "Token expired"),
        times=2,
        difference=differs("token rejected (401)", challenge=INVALID),
    ),
    Case("a permission without a cache", "/audit", times=2),
]
BLANK_OVERRIDE = [
    Case(
        "a blank override",
        difference=differs(
            "a blank `PROXY_URL_OVERRIDE`", status=200, body={"user": "ada"}, calls=ASKED
        ),
    )
]
