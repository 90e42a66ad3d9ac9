# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer on a real socket that answers as its script says."""

import datetime as dt
import ipaddress
import json
import os
import socket
import ssl
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SYSTEM = {
    'ApiVersion': 16, 'DatabaseBackendPlugin': None, 'DatabaseVersion': 6,
    'DicomAet': 'ORTHANC', 'Name': 'Archive', 'StorageAreaPlugin': None,
    'Version': '1.10.1'}
PNG = b'\x89PNG\r\n\x1a\n'


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class FakeOrthanc:
    """A scripted HTTP server on loopback

    Attributes
    ----------
    received : list of Received
        The requests, in order.
    connections : int
        How many were opened.
    """

    def __init__(self, tls: ssl.SSLContext | None = None):
        self.received: list[Received] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._scripts: dict[str, list[Answer]] = defaultdict(list)
        self._server = _Server(self, tls)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[0.01], daemon=True)

    @property
    def url(self) -> str:
        scheme = 'https' if self._server.tls else 'http'
        return f'{scheme}://127.0.0.1:{self._server.server_port}'

    def __enter__(self) -> 'FakeOrthanc':
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def script(self, path: str, *answers: 'Answer') -> None:
        "Answer with each in turn, then with the last one again and again."
        self._scripts[path] = list(answers)

    def answer_to(self, request: Received) -> 'Answer':
        return self.next_answer(request.path)

    def next_answer(self, path: str) -> 'Answer':
        script = self._scripts[path]
        if not script:
            return status(404)
        return script.pop(0) if len(script) > 1 else script[0]

    def methods(self) -> list[str]:
        return [request.method for request in self.received]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, peer: FakeOrthanc, tls: ssl.SSLContext | None):
        self.peer = peer
        self.tls = tls
        super().__init__(('127.0.0.1', 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        "What the client does to its connections is the test's business."


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def setup(self) -> None:
        self.peer = self.server.peer
        self.peer.connections += 1
        if self.server.tls:
            self.request = self.server.tls.wrap_socket(
                self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        super().finish()
        # The wrapping socket is not the one that the server closes.
        self.request.close()

    def answer(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get('Content-Length', 0))
        request = Received(
            self.command, parts.path, parts.query,
            dict(self.headers.items()), self.rfile.read(length))
        self.peer.received.append(request)
        self.peer.answer_to(request)(self)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        pass


Answer = Callable[[_Handler], None]


def reply(
        body: bytes, code: int = 200,
        headers: dict[str, str] | None = None) -> Answer:
    def answer(handler: _Handler) -> None:
        handler.send_response(code)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header('Content-Length', str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
    return answer


def reply_json(value: Any) -> Answer:
    return reply(
        json.dumps(value).encode(),
        headers={'Content-Type': 'application/json; charset=utf-8'})


def status(code: int) -> Answer:
    return reply(b'', code)


def redirect(location: str) -> Answer:
    return reply(b'', 302, {'Location': location})


def silence(handler: _Handler) -> None:
    "Say nothing until the end of the test."
    handler.peer.stopping.wait()
    handler.close_connection = True


def hang_up(handler: _Handler) -> None:
    handler.close_connection = True


def cut(handler: _Handler) -> None:
    "Promise more than is sent."
    handler.wfile.write(
        b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"Version"')
    handler.close_connection = True


def raw(data: bytes) -> Answer:
    def answer(handler: _Handler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True
    return answer


def drip(data: bytes, interval: float) -> Answer:
    "Send byte by byte."
    def answer(handler: _Handler) -> None:
        handler.close_connection = True
        for number in data:
            handler.wfile.write(bytes([number]))
            if handler.peer.stopping.wait(interval):
                return
    return answer


def free_port() -> int:
    "Return a port at which nobody listens."
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def self_signed(address: str = '127.0.0.1') -> tuple[str, str]:
    "Return certificate and key in PEM."
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, 'orthanc')])
    now = dt.datetime.now(dt.timezone.utc)
    alternative = x509.IPAddress(ipaddress.ip_address(address))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), False)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                key.public_key()), False)
        .sign(key, hashes.SHA256()))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption())
    return (
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        private.decode())


def server_tls(
        certificate: str, key: str,
        client_authority: str | None = None) -> ssl.SSLContext:
    "Return a server's context that may ask for a client certificate."
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'server.pem')
        with open(path, 'w', encoding='ascii') as file:
            file.write(certificate + key)
        context.load_cert_chain(path)
    if client_authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_authority)
    return context
