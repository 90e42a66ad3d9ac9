# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates for servers on loopback."""
import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ['Authority']

_DAY = dt.timedelta(days=1)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()).decode()


def _certificate_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority, content_commitment=False,
        key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=authority, crl_sign=authority,
        encipher_only=False, decipher_only=False)


class Authority:
    """A certificate authority that nobody trusts yet.

    Attributes
    ----------
    certificate
        Its own certificate, PEM.
    """

    def __init__(self, name: str = "Test authority"):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(name)
        self._certificate = self._sign(
            self._subject, self._key.public_key(), [
                (x509.BasicConstraints(ca=True, path_length=0), True),
                (_key_usage(authority=True), True),
                ])
        self.certificate = _certificate_pem(self._certificate)

    def _sign(self, subject, public_key, extensions) -> x509.Certificate:
        now = dt.datetime.now(dt.timezone.utc)
        issuer_key = self._key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + 30 * _DAY))
        extensions = extensions + [
            (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key),
                False),
            ]
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, name: str = 'localhost') -> tuple[str, str]:
        """Return certificate and key, PEM, for `name` on loopback.

        It serves a server as well as a client.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        addresses = ['127.0.0.1', '::1']
        certificate = self._sign(_name(name), key.public_key(), [
                (x509.BasicConstraints(ca=False, path_length=None), True),
                (_key_usage(authority=False), True),
                (x509.ExtendedKeyUsage([
                            ExtendedKeyUsageOID.SERVER_AUTH,
                            ExtendedKeyUsageOID.CLIENT_AUTH]), False),
                (x509.SubjectAlternativeName(
                        [x509.DNSName('localhost')]
                        + [x509.IPAddress(ipaddress.ip_address(a))
                            for a in addresses]), False),
                ])
        return _certificate_pem(certificate), _key_pem(key)
