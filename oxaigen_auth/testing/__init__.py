"""Helpers for the tests of an app that uses this package; `docs/testing.md` shows each of them."""

from __future__ import annotations

from oxaigen_auth.testing.callers import SignIn, as_anonymous, as_unavailable, as_user
from oxaigen_auth.testing.fake_proxy import FakeProxy, ProxyCall
from oxaigen_auth.testing.process import reset

__all__ = ["FakeProxy", "ProxyCall", "SignIn", "as_anonymous", "as_unavailable", "as_user", "reset"]
