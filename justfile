# `just --list` lists the recipes. CI calls them too.

set positional-arguments

side_by_side := "-n 4 --dist worksteal"  # more than there are cores, as tests often wait

_default:
    @just --list

# Install the packages for development into .venv
setup:
    uv sync

# Format the code, and apply the fixes of ruff
fmt:
    uv run ruff check --fix --quiet
    uv run ruff format

# Check the code with ruff, flake8-async and the import contracts
lint:
    uv run ruff check
    uv run ruff format --check
    uv run lint-imports --no-cache
    find oxaigen_auth load mock benchmarks docs -name '*.py' | xargs -P 2 -n 40 uv run flake8-async --anyio --disable=ASYNC106,ASYNC114,ASYNC124,ASYNC127,ASYNC9

# Check the types with mypy, pyright and ty, and that every public name has a declared type
types:
    uv run mypy
    uv run pyright
    uv run ty check
    for package in oxaigen_auth oxaigen-stubs oxaigen_auth_mock; do uv run pyright --ignoreexternal --verifytypes $package || exit 1; done

# Run all tests in parallel and require full branch coverage, or run some: `just test -k singleflight`
test *args:
    {{ if args == "" { "uv run coverage erase" } else { "true" } }}
    {{ if args == "" { "uv run coverage run -m pytest -q " + side_by_side } else { 'uv run pytest "$@"' } }}
    {{ if args == "" { "uv run coverage combine -q && uv run coverage report" } else { "true" } }}

# Run the long form of the simulations, fuzzers and fleets, which takes about an hour
test-long *args:
    uv run pytest -q --long tests/simulation tests/integration/test_fleet.py tests/integration/test_fleet_engines.py "$@"
    uv run just test-leaks soak

# Run the SDK's tests, and search the process for their tokens after each one
test-leaks:
    uv run pytest -q --leaks tests --ignore=tests/browser --ignore=tests/unit/oxaigen_auth_mock --ignore=tests/unit/oxaigen_auth_load

# Run the demo: a mock proxy and an app, over real sockets (`--backend asyncio` or `trio`)
demo *args:
    uv run python docs/examples/demo.py "$@"

# Run the demo of a fleet: four workers that share a store (`--engine sqlite` or `redis`)
demo-fleet *args:
    uv run python -m docs.examples.demo_fleet "$@"

# Serve the mock proxy: `just mock --port 9000`
mock *args:
    uv run oxaigen-auth-mock "$@"

# Load-test the SDK, or an app that it protects: `just load burst --callers 10000 --compare naive`
load *args:
    uv run oxaigen-auth-load "$@"

# Serve the example front end, which signs in at a running mock (`just mock --pick`)
front-end *args:
    cd docs/examples/frontend && OXAIGEN_AUTH_DEV_MODE=1 uv run hypercorn --bind 127.0.0.1:8000 "$@" app:app

# Check the mock against its OpenAPI document with many more examples than the tests use
openapi:
    SCHEMATHESIS_EXAMPLES=500 uv run pytest -q tests/unit/oxaigen_auth_mock/test_openapi.py

# Run the benchmarks; each figure is a ratio to a reference in the same run
bench *args:
    uv run python -m benchmarks "$@"

# Run mixed traffic against a mock with random faults, on both backends: `just soak --minutes 1`
soak *args:
    uv run python -W error -m benchmarks.soak "$@"

# Check that the tests notice faults in modules of the SDK: `just mutate _core.cache` (minutes)
mutate *args:
    uv run --group mutation python -m benchmarks.mutate "$@"

# Build the wheel, and run the tests against it in a clean environment without httpx2
wheel:
    uv run bash .ci/test-wheel

# Run the tests with the lowest versions that pyproject.toml allows, with httpx2 and with httpx
lowest:
    uv run bash .ci/test-lowest

# Run all checks of CI
ci: lint types test wheel lowest demo demo-fleet (mutate "_core.fingerprint") (soak "--minutes" "1")
