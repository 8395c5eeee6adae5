"""An app whose metrics Prometheus reads from /metrics. docs/telemetry.md describes it.

Install, then run it beside `oxaigen-auth-mock`, in this folder:

    pip install "oxaigen-auth[otel]" opentelemetry-exporter-prometheus
    OXAIGEN_AUTH_DEV_MODE=1 hypercorn --bind 127.0.0.1:8000 app:app
"""

from typing import Annotated

from fastapi import Depends, FastAPI, Response
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from oxaigen_auth import OxaigenAuthMiddleware, User, get_current_user, require_permission
from oxaigen_auth.telemetry import instrument

# Before the first request: it concerns the clients that are made afterwards.
instrument(meter_provider=MeterProvider([PrometheusMetricReader()]))

app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware, exclude=["/metrics"])


@app.get("/v1/me")
async def me(user: Annotated[User, Depends(get_current_user)]) -> User:
    return user


@app.get("/v1/audit")
async def audit(user: Annotated[User, Depends(require_permission("audit"))]) -> User:
    return user


@app.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
