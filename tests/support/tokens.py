"""The tokens of the tests. All of them hold one mark, by which `token_leaks.py` knows them."""

from __future__ import annotations

MARK = "s3cr3t-m4rk"

TOKEN = f"{MARK}-one"
OTHER = f"{MARK}-other"
