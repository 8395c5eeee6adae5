"""Tasks in threads, as in Celery or Django: the threads share one blocking client.

Each line of `jobs.txt` is a task, with a token and the name of a document:

    oxaigen-auth-mock --personas personas.toml
    OXAIGEN_AUTH_DEV_MODE=1 python threads.py jobs.txt
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from oxaigen_auth import (
    BlockingProxyAuthClient,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
)

THREADS = 10
ATTEMPTS = 5


def export(client: BlockingProxyAuthClient, token: str, document: str) -> str:
    """The task. An outage of the proxy is an error, which does not say that the token is bad."""
    try:
        user = client.get_me(token)
        if not client.test_permission(token, "export"):
            return f"{document}: refused to {user.user_name}"
    except (OxaigenAuthUnauthenticatedError, OxaigenAuthPermissionDeniedError) as error:
        return f"{document}: {error.message}"
    return f"{document}: exported for {user.user_name}"


def export_with_retries(client: BlockingProxyAuthClient, token: str, document: str) -> str:
    """Do what `@app.task(autoretry_for=(OxaigenAuthUpstreamError,))` of Celery does."""
    for attempt in range(1, ATTEMPTS):
        try:
            return export(client, token, document)
        except OxaigenAuthUpstreamError as error:
            time.sleep(error.retry_after or attempt)
    return export(client, token, document)


def main(path: Path) -> None:
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    with BlockingProxyAuthClient() as client, ThreadPoolExecutor(THREADS) as pool:
        tasks = [pool.submit(export_with_retries, client, *line) for line in lines]
        for task in tasks:
            print(task.result())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
