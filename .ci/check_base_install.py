"""Checks an environment that contains only the wheel, its dependencies and uvicorn.

Starts the mock, and an app under uvicorn that uses it, and calls the app. Importing `oxaigen_auth`
must load none of the mock's libraries, and a command that lacks its extra must name it.
"""

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

BIN = Path(sys.executable).parent
MOCK, APP = "http://127.0.0.1:18765", "http://127.0.0.1:18000"
APP_SOURCE = """
from typing import Annotated
from fastapi import Depends, FastAPI
from oxaigen_auth import OxaigenAuthMiddleware, User, get_current_user

app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware)

@app.get("/me")
async def me(user: Annotated[User, Depends(get_current_user)]) -> User:
    return user
"""
MOCKS_LIBRARIES = "{'hypercorn', 'itsdangerous', 'jinja2', 'pydantic_settings', 'watchfiles'}"
LOADED = f"import sys, oxaigen_auth; print(sorted({MOCKS_LIBRARIES} & set(sys.modules)))"


def status(url: str, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(url, headers=headers), timeout=10) as response:  # noqa: S310
            return int(response.status)
    except HTTPError as error:
        return error.code


def wait_until_up(url: str) -> None:
    end = monotonic() + 60
    while monotonic() < end:
        try:
            status(url)
        except (URLError, ConnectionError):
            sleep(0.1)
        else:
            return
    raise SystemExit(f"{url} does not answer")


def output(*command: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.returncode, done.stdout + done.stderr


def main() -> None:
    assert output(sys.executable, "-c", LOADED) == (0, "[]\n")
    for command, extra in (
        ([str(BIN / "oxaigen-auth"), "doctor"], "cli"),
        ([str(BIN / "oxaigen-auth-load"), "burst"], "load"),
        ([str(BIN / "oxaigen-auth-mock"), "--reload"], "reload"),
    ):
        code, printed = output(*command)
        assert code == 2, printed
        assert f'pip install "oxaigen-auth[{extra}]"' in printed, printed
        assert len(printed.splitlines()) == 1, printed
    Path("base_app.py").write_text(APP_SOURCE)
    env = os.environ | {"OXAIGEN_AUTH_PROXY_URL_OVERRIDE": MOCK}
    mock = subprocess.Popen([BIN / "oxaigen-auth-mock", "--port", "18765"])  # noqa: S603
    server = [sys.executable, "-m", "uvicorn", "base_app:app", "--port", "18000"]
    app = subprocess.Popen(server, env=env)  # noqa: S603
    try:
        wait_until_up(f"{MOCK}/health")
        wait_until_up(f"{APP}/me")
        answers = [status(f"{APP}/me", token) for token in ("mock-dev-token", "invalid", "")]
        assert answers == [200, 401, 401], answers
    finally:
        for process in (app, mock):
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
