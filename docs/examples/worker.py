"""A worker that takes jobs from a queue, and checks at the proxy who ordered them.

Each line of `jobs.txt` is a job, with a token and the name of a document:

    oxaigen-auth-mock --personas personas.toml
    OXAIGEN_AUTH_DEV_MODE=1 python worker.py jobs.txt
"""

import sys

import anyio
from anyio.abc import ObjectReceiveStream
from attrs import field, frozen

from oxaigen_auth import (
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
)

WORKERS = 10
QUEUE_SIZE = 100


@frozen
class Job:
    token: str = field(repr=False)
    document: str


async def run(job: Job, client: ProxyAuthClient) -> str:
    """Return the result of a job. During an outage, nothing is known about a token: wait."""
    while True:
        try:
            user = await client.get_me(job.token)
            if not await client.test_permission(job.token, "export"):
                return f"{job.document}: refused to {user.user_name}"
        except OxaigenAuthUpstreamError as error:
            await anyio.sleep(error.retry_after or 1)
        except (OxaigenAuthUnauthenticatedError, OxaigenAuthPermissionDeniedError) as error:
            return f"{job.document}: {error.message}"
        else:
            return f"{job.document}: exported for {user.user_name}"


async def work(jobs: ObjectReceiveStream[Job], client: ProxyAuthClient) -> None:
    async with jobs:
        async for job in jobs:
            print(await run(job, client), flush=True)


async def main(path: str) -> None:
    send, receive = anyio.create_memory_object_stream[Job](QUEUE_SIZE)
    # The client is open for as long as its workers run, which share its cache and its lookups.
    async with ProxyAuthClient() as client, anyio.create_task_group() as group:
        async with receive:
            for _ in range(WORKERS):
                group.start_soon(work, receive.clone(), client)
        async with send, await anyio.open_file(path, encoding="utf-8") as lines:
            async for line in lines:
                await send.send(Job(*line.split()))


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], backend="trio")
