"""Content credentials: with a certificate, every stored or posted encoding is signed."""

from __future__ import annotations

import datetime
import io
import json

import pytest
from django.core.exceptions import ImproperlyConfigured
from PIL import Image

from gpu_worker import content_credentials
from gpu_worker.image_encoding import encode_png, smaller_encodings

MADE_BY_A_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def _certificate() -> tuple[str, str]:
    """Return a test certificate chain and its key, as PEM."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.datetime.now(datetime.UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "sparkle")}
    names = {
        name: x509.Name(
            [
                x509.NameAttribute(x509.NameOID.COMMON_NAME, name),
                x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Test"),
            ]
        )
        for name in keys
    }
    chain = ""
    for name in ("sparkle", "root"):
        above = name == "root"
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        ) | {"encipher_only": False, "decipher_only": False}
        built = (
            x509.CertificateBuilder()
            .subject_name(names[name])
            .issuer_name(names["root"])
            .public_key(keys[name].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=above, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not above, key_cert_sign=above, crl_sign=above, **usage), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[name].public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["root"].public_key()), critical=False
            )
        )
        if not above:
            built = built.add_extension(
                x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True
            )
        chain += built.sign(keys["root"], hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    key = keys["sparkle"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return chain, key.decode()


def test_every_encoding_has_a_valid_statement_that_a_model_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    c2pa = pytest.importorskip("c2pa", reason="c2pa-python (requirements/safety.txt) is not installed")
    chain, key = _certificate()
    monkeypatch.setenv("SPARKLE_C2PA_CHAIN", chain)
    monkeypatch.setenv("SPARKLE_C2PA_KEY", key)
    signer = content_credentials.signer_from_environment()
    assert signer is not None
    plain = encode_png(Image.effect_noise((300, 300), 90).convert("RGB"), "Seed: 1")
    grid = signer.sign(plain, "image/png")
    assert len(grid) < len(plain) + 40_000
    assert "Seed: 1" in Image.open(io.BytesIO(grid)).info["parameters"]
    forms = [form for encoded in smaller_encodings([grid], signer=signer) for form in encoded or ()]
    assert {form.suffix for form in forms} == {"png", "webp", "jpg"}
    for form in forms:
        Image.open(io.BytesIO(form.content)).load()
        manifest_store = json.loads(c2pa.Reader(form.content_type, io.BytesIO(form.content)).json())
        # Trust depends on the viewer's list; that the file is unchanged does not.
        assert manifest_store["validation_state"] in ("Valid", "Trusted")
        assert MADE_BY_A_MODEL in json.dumps(manifest_store["manifests"][manifest_store["active_manifest"]])


def test_a_missing_or_wrong_setting_stops_the_start_and_does_not_reveal_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SPARKLE_C2PA_CHAIN", raising=False)
    monkeypatch.delenv("SPARKLE_C2PA_KEY", raising=False)
    assert content_credentials.signer_from_environment() is None
    monkeypatch.setenv("SPARKLE_C2PA_KEY", "planted-secret")
    with pytest.raises(ImproperlyConfigured, match="set both or none"):
        content_credentials.signer_from_environment()
    monkeypatch.setenv("SPARKLE_C2PA_CHAIN", "no certificate")
    with pytest.raises(ImproperlyConfigured) as stopped:
        content_credentials.signer_from_environment()
    assert "planted-secret" not in str(stopped.value)
