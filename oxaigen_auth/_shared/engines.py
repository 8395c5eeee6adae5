"""Makes the engine that the settings name, and the keys of what it stores."""

from __future__ import annotations

from oxaigen_auth._shared.keys import Keyring
from oxaigen_auth._shared.locations import load_secret, locate_database
from oxaigen_auth._shared.store import SharedStore
from oxaigen_auth._syntax.shared_store_urls import RedisUrl, parse_shared_store_url
from oxaigen_auth.errors import OxaigenAuthConfigurationError
from oxaigen_auth.settings import OxaigenAuthSettings

_MARGIN = 60.0  # seconds that a generation outlives the entries of its token


def new_engine(settings: OxaigenAuthSettings) -> tuple[SharedStore, Keyring]:
    """Return an engine that has not connected yet.

    Raises:
        OxaigenAuthConfigurationError: its place is not private, or an extra is missing.
        SharedStoreError: the system cannot make its files.
    """
    url = parse_shared_store_url(str(settings.shared_store))
    secrets = [secret.encode() for secret in settings.shared_secret]
    if isinstance(url, RedisUrl):
        keyring = Keyring(secrets)
        return _redis(url, settings, keyring), keyring
    from oxaigen_auth._shared.sqlite import SqliteStore  # noqa: PLC0415 (imports sqlite3)

    path = locate_database(url)
    if secrets:
        return SqliteStore(path), Keyring(secrets)
    secret = load_secret(path)
    return SqliteStore(path, secret), Keyring([secret])


def _redis(url: RedisUrl, settings: OxaigenAuthSettings, keyring: Keyring) -> SharedStore:
    try:
        from oxaigen_auth._shared.redis import RedisStore  # noqa: PLC0415 (imports coredis)
    except ImportError as error:
        raise OxaigenAuthConfigurationError(
            'OXAIGEN_AUTH_SHARED_STORE needs an extra: pip install "oxaigen-auth[redis]"'
        ) from error
    longest = settings.cache_ttl_seconds + settings.stale_if_error_seconds
    memory = max(longest, settings.negative_cache_ttl_seconds) + settings.proxy_timeout_seconds
    return RedisStore(url, keyring, memory_seconds=memory + _MARGIN)
