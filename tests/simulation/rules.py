"""The expected outcome of a request, from the documentation alone: shares no code with the SDK.

Implements the rules of README.md, RFC 9110 and RFC 6265 for tokens, cookies, hosts and origins.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from socket import AF_INET6, inet_pton
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

COOKIE = "OxaigenPlatformAuthAccessToken"
SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
OFFERED = b"base64url.bearer.authorization.oxaigen."
BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PORTS = {"http": "80", "https": "443"}
LABEL = set("abcdefghijklmnopqrstuvwxyz0123456789-_")

HostPort = tuple[str, str]  # a host's name and port; "" is the standard port


@frozen(kw_only=True)
class Variant:
    """Settings, and their effect on the rules."""

    environ: dict[str, str]
    fixed: str | None = None
    scheme: str = "https"
    lists: bool = False
    allows: Callable[[str, str], bool] = lambda _name, _port: True
    guard: bool = True
    trusts: Callable[[str, str, str], bool] = lambda _scheme, _name, _port: False
    limit: int = 0
    middleware: bool = True


@frozen
class Caller:
    """The expected caller. `kind` is one of those in `Rules.identify`."""

    kind: str
    detail: str | None = None
    token: str = ""
    base: str = ""


@define(eq=False)
class Rules:
    """The rules for one session of requests, with cached verdicts. `reply_to` is the proxy."""

    variant: Variant
    reply_to: Callable[[str], tuple[str, str | None]]
    calls: list[tuple[str, str, str]] = field(factory=list)
    known: dict[tuple[str, str], Caller] = field(factory=dict)
    grants: set[tuple[str, str]] = field(factory=set)
    bad: dict[object, set[str]] = field(factory=dict)

    def identify(self, scope: dict[str, Any]) -> Caller:  # noqa: PLR0911 (a list of rules)
        """Return the caller of a request.

        The kinds: anonymous, refused, rate_limited, cross_site, forbidden, bad_host, down, user.
        """
        values = header_values(scope["headers"])
        header, cookies = values.get(b"authorization", []), values.get(b"cookie", [])
        if len(header) > 1:
            return Caller("refused", "More than one Authorization header")
        tokens = bearer(header[0]) if header else set()
        if scope["type"] == "websocket":
            offered = offered_tokens(values.get(b"sec-websocket-protocol", []))
            fault = fault_of(offered, tokens)
            if fault:
                return Caller("refused", fault)
            tokens |= {token for token in offered if token}
        if not tokens:
            tokens = access_cookies(cookies)
            if len(tokens) > 1:
                return Caller("refused", "More than one access cookie")
            if tokens and self.is_cross_site(scope.get("method"), values):
                return Caller("cross_site", "Cross-site request refused")
        if not tokens:
            return Caller("anonymous")
        base = self.variant.fixed or self.base(values)
        if base is None:
            return Caller("bad_host", "Invalid host header")
        return self.ask(scope, tokens.pop(), base)

    def ask(self, scope: dict[str, Any], token: str, base: str) -> Caller:
        known = self.known.get((token, base))
        if known is not None and known.kind == "user":
            return known
        has_address = scope["client"] is not None and scope["client"][0] != ""
        rejected = self.bad.setdefault(network(scope["client"]), set()) if has_address else set()
        if 0 < self.variant.limit < len(rejected):
            return Caller("rate_limited", "Too many rejected tokens")
        if known is not None:
            rejected.update({token} if known.kind == "refused" else ())
            return known
        if not is_visible(token):
            rejected.add(token)
            return Caller("refused", "Invalid token")
        self.calls.append(("get-me", base, token))
        caller = Caller(*self.reply_to(token), token, base)
        if caller.kind == "refused":
            rejected.add(token)
        if caller.kind != "down":
            self.known[token, base] = caller
        return caller

    def base(self, values: dict[bytes, list[bytes]]) -> str | None:
        host = requested_host(values, self.variant.scheme, self.variant)
        if host is None or not self.variant.allows(*host):
            return None
        name, port = host
        return f"{self.variant.scheme}://{name}" + (f":{port}" if port else "")

    def is_cross_site(self, method: str | None, values: dict[bytes, list[bytes]]) -> bool:
        if not self.variant.guard or method in SAFE:
            return False
        origins = values.get(b"origin")
        if origins is None:
            return b"cross-site" in values.get(b"sec-fetch-site", [])
        scheme, _, rest = b" ".join(origins).decode("latin-1").partition("://")
        origin = parse_host(rest.encode("latin-1"), scheme) if scheme in PORTS else None
        if origin is None:
            return True
        same = origin == requested_host(values, scheme, self.variant)
        return not same and not self.variant.trusts(scheme, *origin)


def header_values(headers: list[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """Return each header's values. A line break, which HTTP does not allow, begins another."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).extend(value.split(b"\n"))
    return values


def bearer(value: bytes) -> set[str]:
    """Return the token of an `Authorization` header (RFC 6750 §2.1), if it is of that scheme."""
    scheme, _, token = value.decode("latin-1").strip(" \t").partition(" ")
    return {token.strip(" \t")} - {""} if scheme.lower() == "bearer" else set()


def offered_tokens(values: list[bytes]) -> list[str | None]:
    """Return the tokens among the sub-protocols (RFC 6455 §11.3.4); None if not base64url."""
    names = [name.strip(b" \t") for name in b",".join(values).split(b",")]
    found = [name[len(OFFERED) :] for name in names if name.lower().startswith(OFFERED)]
    return [unencoded(text) for text in found]


def fault_of(offered: list[str | None], tokens: set[str]) -> str | None:
    if len(offered) > 1:
        return "More than one token among the sub-protocols"
    if None in offered:
        return "Invalid token"
    others = {*offered, *tokens} - {""}
    return "More than one token" if len(others) > 1 else None


def unencoded(text: bytes) -> str | None:
    """Decode base64url bit by bit (RFC 4648 §4, §5)."""
    bits = "".join(f"{BASE64URL.find(bytes([byte])):06b}" for byte in text)
    if "-" in bits or len(text) % 4 == 1:
        return None
    whole = len(bits) // 8 * 8
    return "".join(chr(int(bits[at : at + 8], 2)) for at in range(0, whole, 8))


def access_cookies(values: list[bytes]) -> set[str]:
    """Return the different tokens in the cookies. Spaces are those that Starlette strips."""
    pairs = [pair.partition("=") for pair in b";".join(values).decode("latin-1").split(";")]
    return {unquoted(value.strip()) for name, _, value in pairs if name.strip() == COOKIE} - {""}


def unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return re.sub(r"\\([0-3][0-7][0-7]|.)", lambda m: character(m[1]), value[1:-1])


def character(escaped: str) -> str:
    return chr(int(escaped, 8)) if len(escaped) == 3 else escaped


def is_visible(token: str) -> bool:
    return len(token) <= 8192 and all("!" <= character <= "~" for character in token)


def requested_host(
    values: dict[bytes, list[bytes]], scheme: str, variant: Variant
) -> HostPort | None:
    """Return the host that a request was sent to: `X-Forwarded-Host`, else `Host`.

    With several forwarded ones, the first counts, and must be listed.
    """
    forwarded = values.get(b"x-forwarded-host")
    if forwarded is None:
        hosts = values.get(b"host", [b""])
        return parse_host(hosts[0], scheme) if len(hosts) == 1 else None
    first, *others = b",".join(forwarded).split(b",")
    if not others:
        return parse_host(first, scheme)
    host = parse_host(first.strip(b" \t"), variant.scheme)
    is_listed = variant.lists and host is not None and variant.allows(*host)
    return parse_host(first.strip(b" \t"), scheme) if is_listed else None


def parse_host(text: bytes, scheme: str) -> HostPort | None:
    """Read `host[:port]` (RFC 3986 §3.2.2), in normal form."""
    if not text.isascii() or len(text) > 260:
        return None
    name, bracket, rest = text.decode().lower().rpartition("]")
    if not bracket:
        name, colon, port = rest.partition(":")
        rest = colon + port
        name = name.removesuffix(".")
        valid = all(is_label(label) for label in name.split(".")) and is_ipv4_if_numeric(name)
    else:
        name, rest = f"{name}]", rest.removeprefix(".")
        valid = name.startswith("[") and is_ipv6(name[1:-1])
    colon, port = rest[:1], rest[1:]
    if colon:
        valid = valid and colon == ":" and port.isdigit() and 0 < int(port[:9]) < 65536
        valid = valid and len(port) <= 5
        port = port.lstrip("0")
    return (name, "" if port == PORTS[scheme] else port) if valid else None


def is_label(text: str) -> bool:
    return 0 < len(text) <= 63 and set(text) <= LABEL and "-" not in {text[0], text[-1]}


def is_ipv4_if_numeric(name: str) -> bool:
    """Return whether a name is an IPv4 address, if it ends in a number."""
    parts = name.split(".")
    numbers = [
        part for part in parts if part.isdigit() and part == str(int(part)) and len(part) < 4
    ]
    is_ipv4 = len(parts) == len(numbers) == 4 and all(int(part) < 256 for part in numbers)
    return is_ipv4 or not parts[-1].isdigit()


def is_ipv6(text: str) -> bool:
    try:
        return bool(inet_pton(AF_INET6, text))
    except (OSError, ValueError):
        return False


def network(client: tuple[str, int] | None) -> object:
    """Return an IPv4 address, or the /64 network of an IPv6 address."""
    address = client[0].removeprefix("::ffff:") if client else ""
    try:
        return ip_network((address, 64 if ":" in address else 32), strict=False)
    except ValueError:
        return address
