import json
import re
from collections.abc import Callable
from importlib.resources import files
from typing import get_args

import pytest
from httpx import AsyncClient

from oxaigen_auth_mock.faults.base import Endpoint
from oxaigen_auth_mock.faults.latency import PARAMETERS
from oxaigen_auth_mock.personas.model import Persona, State
from oxaigen_auth_mock.web.pages import render, static_files

pytestmark = pytest.mark.anyio

Mock = Callable[..., AsyncClient]

PAGE = render("control.html", endpoints=get_args(Endpoint))
STATIC = static_files()
ASSETS = sorted(STATIC)
SCRIPTS = [name for name in ASSETS if name.endswith(".js")]
FILES = {"control.html": PAGE, **STATIC}
TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def listed(script: str, name: str) -> list[str]:
    """Return a constant list of a script: its strings, or the first of each pair."""
    found = re.search(rf"const {name} = (\[.*?\]);", STATIC[script], re.DOTALL)
    assert found is not None
    values = json.loads(re.sub(r",(\s*])", r"\1", found[1]))
    return [value if isinstance(value, str) else value[0] for value in values]


async def test_the_page_is_html_that_may_load_nothing_from_elsewhere(mock: Mock) -> None:
    response = await mock().get("/_mock/")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Security-Policy"] == POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Oxaigen-Mock"] == "1"
    assert response.text == PAGE


@pytest.mark.parametrize("path", ["/", "/_mock"])
async def test_other_paths_lead_to_the_page(mock: Mock, path: str) -> None:
    response = await mock().get(path)
    assert response.status_code == 307
    assert response.headers["Location"] == "/_mock/"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ASSETS)
async def test_a_file_of_the_page_has_its_content_type(mock: Mock, name: str) -> None:
    response = await mock().get(f"/_mock/assets/{name}")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == TYPES[name.rpartition(".")[2]]
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Security-Policy"] == POLICY
    assert response.text == STATIC[name]


@pytest.mark.parametrize(
    "name", ["none.js", "control.html", "..%2Fpages.py", "%2Fetc%2Fpasswd", "../pages.py", ""]
)
async def test_other_files_are_not_served(mock: Mock, name: str) -> None:
    response = await mock().get(f"/_mock/assets/{name}")
    assert response.status_code == 404


async def test_the_page_is_no_part_of_the_api(mock: Mock) -> None:
    document = (await mock().get("/_mock/api/openapi.json")).json()
    assert [path for path in document["paths"] if not path.startswith(("/_mock/api", "/_oxa"))] == [
        "/health"
    ]


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host(name: str) -> None:
    text = FILES[name].replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"""(?:https?:|wss?:|["'(]\s*)//[^\s"'/]""", text) == []


@pytest.mark.parametrize("name", FILES)
def test_every_file_that_is_loaded_is_there(name: str) -> None:
    loaded = re.findall(r"""(?:href|src)="assets/([^"]+)"|from "\./([^"]+)\"""", FILES[name])
    assert {page or module for page, module in loaded} <= set(ASSETS)


@pytest.mark.parametrize("name", FILES)
def test_nothing_in_a_page_becomes_markup_or_code(name: str) -> None:
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    inline = r"""\sstyle="|\son\w+="|javascript:|<script>|<style"""
    assert re.findall(f"{markup}|{inline}", FILES[name]) == []


def test_no_template_marks_a_value_as_safe() -> None:
    for file in (files("oxaigen_auth_mock.web") / "templates").iterdir():
        assert re.findall(r"\|\s*safe|autoescape|Markup", file.read_text(encoding="utf-8")) == []


def test_the_page_knows_the_states_that_a_persona_can_have() -> None:
    assert listed("persona-form.js", "STATES") == list(get_args(State))


def test_the_form_of_a_persona_has_each_of_its_fields() -> None:
    form = STATIC["persona-form.js"]
    built = re.findall(r'field\(\s*\{ name: "(\w+)"|nullable\(persona, \{ key: "(\w+)"', form)
    names = [*map("".join, built), *listed("persona-form.js", "PROFILE")]
    assert sorted(names) == sorted(Persona.model_fields)


def test_the_page_lists_the_endpoints_that_a_fault_can_be_for() -> None:
    assert re.findall(r"<option>([^<]+)</option>", PAGE) == list(get_args(Endpoint))


async def test_the_api_document_lists_the_fields_of_each_latency(mock: Mock) -> None:
    document = (await mock().get("/_mock/api/openapi.json")).json()
    fields = document["components"]["schemas"]["Latency"]["properties"]
    for distribution, names in PARAMETERS.items():
        for name in names:
            assert fields[name]["x-only-if"] == {"distribution": distribution}


async def test_the_fault_form_finds_every_kind_in_the_api_document(mock: Mock) -> None:
    document = (await mock().get("/_mock/api/openapi.json")).json()
    body = document["paths"]["/_mock/api/faults"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    for kind, reference in schema["discriminator"]["mapping"].items():
        named = document["components"]["schemas"][reference.rpartition("/")[2]]
        assert named["properties"]["kind"]["const"] == kind
        assert named["description"]


def test_every_control_that_a_script_looks_for_is_on_the_page() -> None:
    ids = set(re.findall(r'\sid="([^"]+)"', PAGE))
    wanted = {
        name
        for script in SCRIPTS
        for name in re.findall(r'(?:byId|cloneTemplate)\("([^"]+)"\)', STATIC[script])
    }
    assert wanted
    assert wanted <= ids


def test_every_part_that_a_script_looks_for_is_on_the_page() -> None:
    parts = set(re.findall(r'\sdata-part="([^"]+)"', PAGE))
    wanted = {
        name for script in SCRIPTS for name in re.findall(r'part\(\w+, "([^"]+)"\)', STATIC[script])
    }
    assert wanted
    assert wanted <= parts
