import pickle
import ssl
import stat
import tempfile
from pathlib import Path

import pytest
from httpx import AsyncClient, ConnectError, RemoteProtocolError, TransportError

from oxaigen_auth import ProxyAuthClient
from oxaigen_auth_mock import MockConfigurationError, MockSettings, running_mock
from oxaigen_auth_mock.server.tls import temporary_certificate

TLS = MockSettings(tls=True)
ME = "/_oxa_auth/get-me"


@pytest.mark.anyio
async def test_a_mock_is_served_with_tls_under_each_name_of_the_machine() -> None:
    async with running_mock(TLS) as mock:
        context = ssl.create_default_context(cafile=mock.ca_file)
        assert mock.url.startswith("https://127.0.0.1:")
        async with ProxyAuthClient(mock.url, ssl_context=context) as client:
            assert (await client.get_me("mock-dev-token")).user_name == "devuser"
        async with AsyncClient(verify=context) as client:
            url = mock.url.replace("127.0.0.1", "localhost")
            assert (await client.get(f"{url}/health")).status_code == 200


@pytest.mark.anyio
async def test_a_client_that_does_not_trust_the_authority_is_refused() -> None:
    async with running_mock(TLS) as mock, AsyncClient() as client:
        with pytest.raises(ConnectError):
            await client.get(mock.url)
        with pytest.raises(RemoteProtocolError):
            await client.get(mock.url.replace("https", "http"))


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["reset", "close"])
async def test_faults_break_connections_with_tls_too(kind: str) -> None:
    async with running_mock(TLS) as mock:
        mock.fault(kind, endpoint="get-me")
        context = ssl.create_default_context(cafile=mock.ca_file)
        async with AsyncClient(verify=context, base_url=mock.url) as client:
            with pytest.raises(TransportError):
                await client.get(ME)
            assert (await client.get("/health")).status_code == 200
        assert [call.status for call in mock.calls()] == [None]


def test_the_file_is_deleted_and_holds_no_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_certificate("mock") as certificate:
        certificate.create_context()
        (folder,) = tmp_path.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [file.name for file in folder.iterdir()] == ["ca.pem"]
        assert "PRIVATE" not in Path(certificate.ca_file).read_text()
        assert "PRIVATE" not in repr(certificate)
        assert pickle.loads(pickle.dumps(certificate)) == certificate  # noqa: S301 - our own
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_no_certificate_can_contain_is_a_configuration_error() -> None:
    with pytest.raises(MockConfigurationError, match=r"a certificate for the host 'a_b\.c'"):
        temporary_certificate("a_b.c").__enter__()
