"""Cache, single-flight, circuit breaker and the like, without users and HTTP."""
