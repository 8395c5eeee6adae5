"""Builds the requests to the proxy with all headers: the HTTP library adds none."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import lru_cache

from oxaigen_auth._upstream.http_library import httpx
from oxaigen_auth._validation.question import Question, Secret
from oxaigen_auth._version import __version__

_HEADERS = (
    (b"Accept", b"application/json"),
    (b"Accept-Encoding", b"identity"),
    (b"User-Agent", f"oxaigen-auth/{__version__}".encode()),
)


def build_request(question: Question, secret: Secret) -> httpx.Request:
    """Return the request that asks a question (`GET …/get-me`, `POST …/test-app-permission/…`).

    It has no `Authorization` if the token is empty.
    """
    method, url, headers = _without_token(question.base_url, question.permission)
    authorization = [(b"Authorization", b"Bearer " + secret.encode())] if secret else []
    return httpx.Request(method, url, headers=[*headers, *authorization], stream=_NO_BODY)


@lru_cache(maxsize=256)
def _without_token(
    base_url: str, permission: str
) -> tuple[str, httpx.URL, list[tuple[bytes, bytes]]]:
    """Return the method, the URL and the headers that are the same for every token."""
    method = "POST" if permission else "GET"
    path = f"test-app-permission/{permission}" if permission else "get-me"
    url = httpx.URL(f"{base_url}/_oxa_auth/{path}")
    length = [(b"Content-Length", b"0")] if permission else []  # RFC 9110 §8.6
    return method, url, [(b"Host", url.netloc), *_HEADERS, *length]


class _NoBody(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncGenerator[bytes]:
        return
        yield


_NO_BODY = _NoBody()
