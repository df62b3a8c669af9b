"""Throw-away certificates for the emulator: good ones, and each kind of bad one."""

from __future__ import annotations

import datetime
import os
import ssl
import tempfile
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rcnetd.emulator.scenario import REGIONS

NAMES = tuple(f"{region}.api.rackconnect.rackspace.com" for region in REGIONS)
DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority that lives as long as the emulator."""

    def __init__(
        self, name: str = "rcnetd emulator CA", key: ec.EllipticCurvePrivateKey | None = None
    ) -> None:
        self._key = key or ec.generate_private_key(ec.SECP256R1())  # quick to sign with
        self._name = _name(name)
        self._certificate = self._sign(self._key, self._name, -DAY, 3650 * DAY, None)

    @property
    def pem(self) -> bytes:
        """The authority's certificate, for clients to trust."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def context(
        self,
        names: Sequence[str],
        begins: datetime.timedelta = -DAY,
        ends: datetime.timedelta = 3650 * DAY,
    ) -> ssl.SSLContext:
        """A server's TLS context with a certificate for *names* (host names or addresses).

        It is valid from now + *begins* to now + *ends*.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(key, _name(names[0]), begins, ends, names)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ) + certificate.public_bytes(serialization.Encoding.PEM)
        return context_of(pem + self.pem)

    def _sign(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        begins: datetime.timedelta,
        ends: datetime.timedelta,
        names: Sequence[str] | None,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(names is None, None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )
        if names is None:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self._key, hashes.SHA256())


class Certificates:
    """The contexts that the emulator may show, made when first needed."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.authority = Authority()
        self._names = (*NAMES, "localhost", *dict.fromkeys(addresses))
        self._contexts: dict[str, ssl.SSLContext] = {}

    def context(self, fault: str | None) -> ssl.SSLContext:
        """The context for a good certificate (None), or for a fault's bad one."""
        key = fault or "good"
        if key not in self._contexts:
            self._contexts[key] = self._make(fault)
        return self._contexts[key]

    def use(self, context: ssl.SSLContext) -> None:
        """Take this context for the good one."""
        self._contexts["good"] = context

    def _make(self, fault: str | None) -> ssl.SSLContext:
        if fault == "expired":
            return self.authority.context(self._names, -30 * DAY, -DAY)
        if fault == "not-yet-valid":
            return self.authority.context(self._names, DAY, 30 * DAY)
        if fault == "wrong-name":
            return self.authority.context(["elsewhere.example"])
        if fault == "untrusted":
            return Authority("somebody else").context(self._names)
        return self.authority.context(self._names)


def context_of(pem: bytes) -> ssl.SSLContext:
    """A server's TLS context from a private key and certificates in PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python can load a key from a file only: one that nobody else can read, and that goes at once.
    descriptor, name = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()
    return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
