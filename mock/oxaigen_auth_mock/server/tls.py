"""Makes a certificate for a mock that is served with TLS; its private keys stay in memory."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from tempfile import TemporaryDirectory
from typing import Final

from attrs import field, frozen

from oxaigen_auth_mock.config.settings import MockConfigurationError

NAMES: Final = ("localhost", "127.0.0.1", "::1")
LIFETIME: Final = timedelta(days=365)  # Safari accepts at most 825 days
PREFIX: Final = "oxaigen-auth-mock-"


@frozen
class Certificate:
    """A certificate of this machine.

    Attributes:
        ca_file: path of the certificate of its authority, which clients have to trust.
    """

    ca_file: str
    _key_and_chain: bytes = field(repr=False)

    def create_context(self) -> SSLContext:
        """Return a context for servers. The key is in a private file only until it is loaded."""
        context = SSLContext(PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        with TemporaryDirectory(prefix=PREFIX) as folder:
            path = Path(folder) / "server.pem"
            path.write_bytes(self._key_and_chain)
            context.load_cert_chain(path)
        return context


@contextmanager
def temporary_certificate(host: str) -> Generator[Certificate]:
    """Make a certificate for `localhost`, both loopback addresses and a host, valid for a year.

    A new authority signs it. The file of the authority is deleted at the end of the block.

    Raises:
        MockConfigurationError: no certificate can contain the host.
        ModuleNotFoundError: the extra `tls` is not installed.
    """
    import trustme  # noqa: PLC0415 - needs an extra

    authority = trustme.CA(organization_name="oxaigen-auth-mock")
    try:
        leaf = authority.issue_cert(
            *dict.fromkeys((*NAMES, host)), not_after=datetime.now(UTC) + LIFETIME
        )
    except ValueError as error:
        problem = f"--tls cannot make a certificate for the host {host!r}: {error}"
        raise MockConfigurationError((problem,)) from error
    with TemporaryDirectory(prefix=PREFIX) as folder:
        ca_file = Path(folder) / "ca.pem"
        authority.cert_pem.write_to_path(ca_file)
        yield Certificate(str(ca_file), leaf.private_key_and_cert_chain_pem.bytes())
