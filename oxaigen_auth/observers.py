"""The events of a client, and the values that come with them, for observers of an app."""

from __future__ import annotations

from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import Question
from oxaigen_auth._validation.verdict import Accepted, Rejected, Stale, Unavailable, Verdict
from oxaigen_auth.errors import Reason

__all__ = [
    "Accepted",
    "Observer",
    "Question",
    "Reason",
    "Rejected",
    "Stale",
    "Unavailable",
    "Verdict",
]
