"""Benchmarks: the cost of the SDK, as ratios to the same work without it. See README.md."""
