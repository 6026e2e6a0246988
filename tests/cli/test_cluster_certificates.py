"""Files of mutual TLS that can't work are refused before anything starts."""

from datetime import UTC, datetime, timedelta

import pytest
import trustme
import typer

from livepeer_async.cli.cluster_certificates import read_tls

AUTHORITY = trustme.CA()


@pytest.fixture
def write(tmp_path):
    """Write files; return a function from the names to the paths of an authority's files."""

    def write(name="good", authority=AUTHORITY, **options):
        ca, cert, key = (tmp_path / f"{name}.{end}" for end in ("ca", "pem", "key"))
        certificate = authority.issue_cert("videos.example", **options)
        authority.cert_pem.write_to_path(str(ca))
        certificate.cert_chain_pems[0].write_to_path(str(cert))
        certificate.private_key_pem.write_to_path(str(key))
        return str(ca), str(cert), str(key)

    return write


def refused(*files):
    with pytest.raises(typer.BadParameter) as caught:
        read_tls(*files)
    return caught.value.message


def test_no_files_are_no_tls():
    assert read_tls(None, None, None) is None


def test_matching_files_are_accepted(write):
    assert read_tls(*write()) == write()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_tls_needs_three_files(write, missing):
    files = list(write())
    files[missing] = None
    assert "needs all of" in refused(*files)


def test_missing_file_is_named(write, tmp_path):
    ca, cert, _ = write()
    path = str(tmp_path / "missing.key")
    assert refused(ca, cert, path) == f"{path} can't be read: No such file or directory"


def test_file_without_a_certificate_is_named(write):
    _, cert, key = write()
    assert refused(key, cert, key) == f"{key} isn't a certificate in PEM format"


def test_key_of_another_certificate_is_named(write):
    (ca, cert, _), (_, _, key) = write(), write("other")
    assert f"{key} isn't the private key of the certificate {cert}" in refused(ca, cert, key)


def test_certificate_of_another_authority_is_refused(write):
    (ca, *_), (_, cert, key) = write(), write("other", trustme.CA())
    message = refused(ca, cert, key)
    assert f"processes with {ca} don't accept {cert}: " in message
    assert "issuer" in message


def test_expired_certificate_is_refused(write):
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert "certificate has expired" in refused(*write(not_after=yesterday))
