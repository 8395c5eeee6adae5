# What can be done here: `just --list`. CI calls the same recipes.

set positional-arguments

side_by_side := "-n 4 --dist worksteal"  # the tests wait more than they compute

_default:
    @just --list

# Install everything that development needs into .venv
setup:
    uv sync

# Format the code and mend what can be mended
fmt:
    uv run ruff check --fix --quiet
    uv run ruff format

# Check the code with ruff, flake8-async and the import contracts
lint:
    uv run ruff check
    uv run ruff format --check
    uv run lint-imports --no-cache
    find oxaigen_auth load mock tests benchmarks docs -name '*.py' | xargs -P 2 -n 40 uv run flake8-async --anyio --disable=ASYNC106,ASYNC114,ASYNC124,ASYNC127,ASYNC9

# Check the types, twice
types:
    uv run mypy
    uv run pyright

# Run all tests side by side, and require each branch of the packages and tests to have run; or some: `just test -k singleflight`
test *args:
    {{ if args == "" { "uv run coverage erase" } else { "true" } }}
    {{ if args == "" { "uv run coverage run -m pytest -q " + side_by_side } else { 'uv run pytest "$@"' } }}
    {{ if args == "" { "uv run coverage combine -q && uv run coverage report" } else { "true" } }}

# Run the simulations and fuzzers in their long form, an hour or so; the tests run the short one
test-long *args:
    uv run pytest -q --long tests/simulation "$@"
    uv run just test-leaks soak

# Run the SDK's tests, and after each look for its tokens in all that it left in the process
test-leaks:
    uv run pytest -q --leaks tests --ignore=tests/browser --ignore=tests/unit/oxaigen_auth_mock --ignore=tests/unit/oxaigen_auth_load

# See it work: a mock proxy, a real app, real sockets (`--backend asyncio` or `trio`)
demo *args:
    uv run python docs/examples/demo.py "$@"

# Serve the mock proxy: `just mock --port 9000`
mock *args:
    uv run oxaigen-auth-mock "$@"

# Load-test the SDK, or an app that it protects: `just load burst --callers 10000 --compare naive`
load *args:
    uv run oxaigen-auth-load "$@"

# Serve the example of a front end, which signs in at a mock that runs (`just mock --pick`)
front-end *args:
    cd docs/examples/frontend && OXAIGEN_AUTH_DEV_MODE=1 uv run hypercorn --bind 127.0.0.1:8000 "$@" app:app

# Hold the mock to its OpenAPI document for minutes; the tests do so for seconds
openapi:
    SCHEMATHESIS_EXAMPLES=500 uv run pytest -q tests/unit/oxaigen_auth_mock/test_openapi.py

# Measure; each figure is a ratio taken in one run
bench *args:
    uv run python -m benchmarks "$@"

# Mixed traffic against a mock with random faults, on both backends: `just soak --minutes 1`
soak *args:
    uv run python -W error -m benchmarks.soak "$@"

# See whether the tests notice faults in modules of the SDK: `just mutate _core.cache` (minutes)
mutate *args:
    uv run --group mutation python -m benchmarks.mutate "$@"

# Build the wheel and run the tests against it: in a clean environment, without httpx2, away from the source
wheel:
    uv run bash .ci/test-wheel

# Run the tests with the lowest versions that pyproject.toml allows, with httpx2 and with httpx
lowest:
    uv run bash .ci/test-lowest

# Everything that CI checks
ci: lint types test wheel lowest demo (mutate "_core.fingerprint") (soak "--minutes" "1")
