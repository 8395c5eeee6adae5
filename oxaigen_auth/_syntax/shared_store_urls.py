"""The URL of the shared store: a file of SQLite, or a server that speaks the protocol of Redis."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Any, TypeAlias
from urllib.parse import unquote

from attrs import field, frozen

# The patterns are compiled when they are first used, which is seldom.
_PATH = r"(?:/(?!\.\.?(?:/|\Z))[^/?#]+)+"  # absolute, in its shortest form
_ESCAPED = r"(?:[^:/?#@%]|%[0-9A-Fa-f]{2})"
_LOGIN = rf"(?:(?P<username>{_ESCAPED}*):(?P<password>{_ESCAPED}+)@)?"
_DATABASE = r"(?P<database>[0-9]{1,5})?"

_SQLITE = rf"sqlite:///(?P<path>{_PATH})"
_AUTO = r"auto:(?P<name>[A-Za-z0-9_][A-Za-z0-9._-]{0,63})"
_UNIX = rf"unix://{_LOGIN}(?P<path>{_PATH})(?:\?db={_DATABASE})?"
_HOST = r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
_TCP = rf"{_LOGIN}{_HOST}(?:/{_DATABASE})?"
_REDIS = rf"redis://{_TCP}"
_REDISS = rf"rediss://{_TCP}(?:\?ssl_ca_certs=(?!.*&)(?P<ca_file>{_PATH}))?"

_ANY = "sqlite:////path.db, auto:NAME, redis://HOST, rediss://HOST or unix:///path.sock"
_LOGIN_SYNTAX = (
    "; with a password, USER:PASSWORD@ or :PASSWORD@ comes before the {}, "
    "with all characters but letters and digits percent-encoded"
)
_EXPECTED = {
    "sqlite": "an absolute path, which has four slashes, without '..', '?' or '#', "
    "such as sqlite:////run/my_app/auth.db",
    "auto": "auto: and a name of letters, digits, '.', '_' and '-', such as auto:my_app",
    "redis": "redis://HOST:PORT/DATABASE, without a query" + _LOGIN_SYNTAX.format("host"),
    "rediss": "rediss://HOST:PORT/DATABASE, with no query but ?ssl_ca_certs=/path.pem"
    + _LOGIN_SYNTAX.format("host"),
    "unix": "unix:///path.sock, with no query but ?db=DATABASE" + _LOGIN_SYNTAX.format("path"),
}


@frozen
class SqliteUrl:
    """The absolute path of a database, on this host."""

    path: str

    def __str__(self) -> str:
        return f"sqlite:///{self.path}"


@frozen
class AutoUrl:
    """The name of a private folder with a database, on this host."""

    name: str

    def __str__(self) -> str:
        return f"auto:{self.name}"


@frozen(kw_only=True)
class RedisUrl:
    """A server: its host and port, or the path of its socket.

    `ca_file` has the certificates of the authorities to trust; None for those of the system.
    """

    host: str = ""
    port: int = 6379
    path: str = ""
    is_tls: bool = False
    ca_file: str | None = None
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return the URL without user and password."""
        if self.path:
            return f"unix://{self.path}?db={self.database}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.is_tls else 'redis'}://{host}:{self.port}/{self.database}"


SharedStoreUrl: TypeAlias = SqliteUrl | AutoUrl | RedisUrl


def parse_shared_store_url(text: str) -> SharedStoreUrl:
    """Read the URL of a shared store.

    Raises:
        ValueError: it is invalid. The message says what is expected, and does not show the URL.
    """
    with suppress(ValueError):  # its message would show what may be a password
        if text.isprintable():
            return _parse(text)
    raise ValueError(_EXPECTED.get(text.partition(":")[0], _ANY))


def is_shared_store_url(value: Any) -> bool:
    return type(value) is str and not expected_shared_store_url(value)


def expected_shared_store_url(value: Any) -> str:
    """Return what is expected instead of an invalid URL; empty for a valid one."""
    try:
        parse_shared_store_url(str(value))
    except ValueError as error:
        return str(error)
    return ""


def is_shared_by_hosts(value: Any) -> bool:
    """Return whether a URL is that of a server, which several hosts may use."""
    return is_shared_store_url(value) and isinstance(parse_shared_store_url(value), RedisUrl)


def shown_shared_store_url(value: Any) -> str:
    """Return a representation of a URL, also of an invalid one, without user and password."""
    if is_shared_store_url(value):
        return str(parse_shared_store_url(value))
    text = repr(value)
    is_local = text.startswith(("'sqlite:", "'auto:")) or ":" not in text
    return text[:200] if is_local and "@" not in text else "***"


def _parse(text: str) -> SharedStoreUrl:
    if match := re.fullmatch(_SQLITE, text):
        return SqliteUrl(match["path"])
    if match := re.fullmatch(_AUTO, text):
        return AutoUrl(match["name"])
    if match := re.fullmatch(_REDISS, text):
        return _server(match.groupdict(), is_tls=True)
    if match := re.fullmatch(_REDIS, text) or re.fullmatch(_UNIX, text):
        return _server(match.groupdict(), is_tls=False)
    raise ValueError(text)


def _server(parts: dict[str, str | None], *, is_tls: bool) -> RedisUrl:
    return RedisUrl(
        host=_host(parts.get("host") or ""),
        port=_port(parts.get("port") or "6379"),
        path=parts.get("path") or "",
        is_tls=is_tls,
        ca_file=parts.get("ca_file"),
        database=int(parts["database"] or 0),
        username=_unquoted(parts["username"]),
        password=_unquoted(parts["password"]),
    )


def _host(text: str) -> str:
    return str(IPv6Address(text[1:-1])) if text.startswith("[") else text


def _port(text: str) -> int:
    if not 0 < int(text) < 2**16:
        raise ValueError(text)
    return int(text)


def _unquoted(text: str | None) -> str | None:
    return unquote(text, errors="strict") if text else None
