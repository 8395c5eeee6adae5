"""User code that imports the documented short name; only type checkers read it."""

from __future__ import annotations

from typing import assert_type

from fastapi import Request

import oxaigen
import oxaigen_auth
from oxaigen import ProxyAuthClient, User, require_permission

assert_type(User(user_name="ada"), oxaigen_auth.User)
assert_type(oxaigen.OxaigenAuthSettings(), oxaigen_auth.OxaigenAuthSettings)
assert_type(ProxyAuthClient(), oxaigen_auth.ProxyAuthClient)
assert_type(require_permission("audit").name, str)


async def by_hand(request: Request) -> None:
    assert_type(await oxaigen.get_current_user(request), oxaigen_auth.User)
