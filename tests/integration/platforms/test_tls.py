"""TLS as the catalogue has it: who is trusted, what is shown, and what a process does not start without."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization

from shadow.catalogue import CatalogueError, ResolvedCatalogue, parse
from shadow.catalogue.tls_settings import Tls
from shadow.platforms.client import carrying_client
from shadow.platforms.tls import TlsFiles, check, context_of, contexts
from shadow.platforms.transport import origin
from tests.integration.platforms.test_transport import Authority, tls_server

CATALOGUE = """
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, secret_key: k, url: "{legacy}", tls: {tls}}}
  inngest: {{kind: inngest, side: candidate, event_key: k, app: shop}}
sources:
  app: {{kind: inngest, keys: [k]}}
tasks:
  sync: {{event: order/created, sources: [app], legacy: {{platform: trigger}}, candidate: {{platform: inngest}}}}
targets:
  pay: {{url: "{target}", tls: {tls}}}
"""
NOWHERE = "https://legacy.example"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def catalogue(tls: str, legacy: str = NOWHERE, target: str = NOWHERE) -> ResolvedCatalogue:
    return parse(CATALOGUE.format(tls=tls, legacy=legacy, target=target), "c.yaml", {})


def problems(tls: str, legacy: str = NOWHERE, target: str = NOWHERE) -> str:
    with pytest.raises(CatalogueError) as caught:
        catalogue(tls, legacy, target)
    return str(caught.value)


async def test_a_platform_is_verified_against_its_own_authority(authority: Authority) -> None:
    async with tls_server(authority, "localhost") as port:
        url = f"https://localhost:{port}"
        own = contexts(catalogue(f"{{ca: {authority.file}}}", url))
        async with carrying_client(tls_of=own) as http:
            assert (await http.get(url)).content == b"ok"
        async with carrying_client(tls_of=contexts(catalogue("{}", url))) as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(url)


def test_settings_are_found_by_the_name_that_is_connected_to_whatever_its_letters(authority: Authority) -> None:
    own = contexts(catalogue(f"{{ca: {authority.file}}}", "https://Bücher.example"))
    assert list(own) == [("xn--bcher-kva.example", 443)]
    assert origin(httpx.URL("https://Bücher.example")).tls == "xn--bcher-kva.example"


async def test_a_certificate_of_its_own_is_shown(authority: Authority) -> None:
    async with tls_server(authority, "localhost", client=True) as port:
        url = f"https://localhost:{port}"
        mutual = f"{{ca: {authority.file}, certificate: {authority.issue('shadow')}}}"
        async with carrying_client(tls_of=contexts(catalogue(mutual, url))) as http:
            assert (await http.get(url)).content == b"ok"
        async with carrying_client(tls_of=contexts(catalogue(f"{{ca: {authority.file}}}", url))) as http:
            with pytest.raises(httpx.TransportError):
                await http.get(url)


async def test_an_old_version_is_not_spoken(authority: Authority) -> None:
    assert context_of(Tls()).minimum_version is ssl.TLSVersion.TLSv1_2
    async with tls_server(authority, "localhost") as port:
        url = f"https://localhost:{port}"
        newest = contexts(catalogue(f"{{ca: {authority.file}, minimum_version: '1.3'}}", url))
        assert newest["localhost", port].minimum_version is ssl.TLSVersion.TLSv1_3
        async with carrying_client(tls_of=newest) as http:
            assert (await http.get(url)).content == b"ok"


async def test_this_machine_itself_may_go_unverified_and_nobody_else(authority: Authority) -> None:
    async with tls_server(authority, "another.example") as port:
        url = f"https://127.0.0.1:{port}"
        async with carrying_client(tls_of=contexts(catalogue("{insecure: true}", url, url))) as http:
            assert (await http.get(url)).content == b"ok"
    said = problems("{insecure: true}")
    assert "platforms.trigger.tls.insecure" in said
    assert "targets.pay.tls.insecure" in said
    assert "only this machine itself" in said


@pytest.mark.parametrize(
    ("tls", "legacy", "expected"),
    [
        ("{key: key.pem}", NOWHERE, "`certificate` beside it"),
        ("{minimum_version: '1.1'}", NOWHERE, "minimum_version"),
        ("{ca: a.pem}", "http://legacy.example", "a URL that is reached by TLS"),
        ("{ca: a.pem, insecure: true}", "https://localhost", "true beside `ca`"),
    ],
)
def test_settings_that_make_no_sense_are_found_at_their_line(tls: str, legacy: str, expected: str) -> None:
    assert expected in problems(tls, legacy)


def test_platforms_at_one_origin_have_one_kind_of_tls() -> None:
    text = CATALOGUE.format(tls="{ca: a.pem}", legacy="https://api.inngest.com", target=NOWHERE)
    with pytest.raises(CatalogueError, match="the same of both"):
        parse(text, "c.yaml", {})


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
@pytest.mark.parametrize("what", ["ca", "certificate"])
def test_a_process_does_not_start_without_its_files(tmp_path: Path, what: str, content: bytes | None) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TlsFiles, match=f"tls.{what}: {path}"):
        check(catalogue(f"{{{what}: {path}}}"))


def test_an_encrypted_key_asks_nobody_for_a_password(tmp_path: Path, authority: Authority) -> None:
    path = authority.issue("shadow")
    pem = path.read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"hush")
    )
    path.write_bytes(locked + pem[pem.index(b"-----BEGIN CERTIFICATE") :])
    with pytest.raises(TlsFiles, match="don't belong together"):
        check(catalogue(f"{{certificate: {path}}}"))
