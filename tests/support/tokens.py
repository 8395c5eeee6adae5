"""The tokens of the tests. Each contains the mark that `token_leaks.py` searches for."""

from __future__ import annotations

MARK = "s3cr3t-m4rk"

TOKEN = f"{MARK}-one"
OTHER = f"{MARK}-other"
