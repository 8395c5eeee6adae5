"""Real OpenTelemetry providers, which keep what they get in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from oxaigen_auth.telemetry import TelemetryObserver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Tracer


@define(eq=False)
class Telemetry:
    """The providers, the spans that have ended, and the metrics by their attributes."""

    tracer_provider: TracerProvider = field(factory=TracerProvider)
    reader: InMemoryMetricReader = field(factory=InMemoryMetricReader)
    meter_provider: MeterProvider = field(init=False)
    exporter: InMemorySpanExporter = field(factory=InMemorySpanExporter)
    observer: TelemetryObserver = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meter_provider = MeterProvider([self.reader])
        self.observer = TelemetryObserver(
            tracer_provider=self.tracer_provider, meter_provider=self.meter_provider
        )

    @property
    def tracer(self) -> Tracer:
        """The tracer of an app."""
        return self.tracer_provider.get_tracer("app")

    @property
    def ended(self) -> list[ReadableSpan]:
        """The spans of all libraries that have ended."""
        return list(self.exporter.get_finished_spans())

    @property
    def lookups(self) -> list[ReadableSpan]:
        return [it for it in self.ended if scope(it) == "oxaigen_auth"]

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else [])
            for scope_metrics in resource.scope_metrics
            for metric in scope_metrics.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def values(self, name: str) -> dict[str, float]:
        """Return the values, or the counts of a histogram, by the values of the attributes."""
        return {
            " ".join(str(it) for _, it in sorted(point.attributes.items())): (
                point.count if hasattr(point, "count") else point.value
            )
            for point in self.points(f"oxaigen_auth.{name}")
        }

    def shutdown(self) -> None:
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def trace_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def scope(span: ReadableSpan) -> str:
    """Return the name of the library that made a span."""
    assert span.instrumentation_scope is not None
    return span.instrumentation_scope.name


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.shutdown()
