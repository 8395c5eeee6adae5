"""An engine for workers on many hosts: a Redis or Valkey server, of which one is the primary."""

from oxaigen_auth._shared.redis.store import RedisStore

__all__ = ["RedisStore"]
