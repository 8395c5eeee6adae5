"""A set that keeps the items that were added last."""

from __future__ import annotations

from oxaigen_auth._core.recent_set import RecentSet


def test_the_oldest_item_is_discarded() -> None:
    recent = RecentSet[str](2)
    for item in ("a", "b", "a", "c"):
        recent.add(item)
    assert [item in recent for item in ("a", "b", "c")] == [True, False, True]
