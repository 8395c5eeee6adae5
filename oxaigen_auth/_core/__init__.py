"""The machinery that knows nothing of users or HTTP: keys, cache, single-flight."""
