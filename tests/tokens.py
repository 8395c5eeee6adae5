"""The tokens of the tests. All of them hold one mark, by which `tests/secrecy.py` knows them."""

from __future__ import annotations

MARK = "s3cr3t-m4rk"

TOKEN = f"{MARK}-one"
OTHER = f"{MARK}-other"
