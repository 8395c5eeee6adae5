import ssl

from coredis.connection import TCPLocation, UnixDomainSocketLocation

from oxaigen_auth._shared.redis.address import RedisAddress
from tests.support.redis_stores import redis_url


def test_a_server_is_found_by_host_and_port_or_by_a_socket() -> None:
    assert RedisAddress(redis_url("redis://[::1]:7/12")).location == TCPLocation("::1", 7)
    socket = RedisAddress(redis_url("unix:///run/r.sock?db=3")).location
    assert socket == UnixDomainSocketLocation("/run/r.sock")


def test_tls_verifies_the_certificate() -> None:
    context = RedisAddress(redis_url("rediss://db")).ssl_context
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    own = ssl.create_default_context()
    assert RedisAddress(redis_url("rediss://db"), own).ssl_context is own
    assert RedisAddress(redis_url("redis://db"), own).ssl_context is None


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(RedisAddress(redis_url("redis://me:hunter2@db")))
