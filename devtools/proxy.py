# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reverse proxy in front of a real server, that can also misbehave."""
import http.client
import ssl
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from .certificates import Authority
from .process import LOOPBACK

__all__ = ['Answer', 'Proxy', 'Request']

TIMEOUT = 120
_HOP_BY_HOP = {
    'connection', 'content-length', 'keep-alive', 'transfer-encoding'}


@dataclass(frozen=True)
class Request:
    """What the proxy received; `path` without prefix, with its query."""
    method: str
    path: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What the proxy sends.

    With `cut`, the connection is closed after so many bytes of the body,
    whose whole length was announced.
    """
    status: int = 200
    body: bytes = b''
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    timeout = TIMEOUT
    disable_nagle_algorithm = True
    # Headers and body leave together.
    wbufsize = -1
    proxy: 'Proxy'

    def _handle(self) -> None:
        length = int(self.headers.get('Content-Length') or 0)
        body = self.rfile.read(length)
        prefix = self.proxy.prefix
        if not self.path.startswith(prefix + '/'):
            self._send(Answer(404))
            return
        request = Request(self.command, self.path[len(prefix):], body)
        self._send(self.proxy.answer(request, self.headers))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _handle

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[:answer.cut])
        if answer.cut is not None:
            self.close_connection = True

    def log_message(self, format, *args) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address) -> None:
        """Clients that hang up are part of the tests."""


class Proxy:
    """Forward HTTP requests to `target` and keep a list of them.

    Parameters
    ----------
    target
        The URL of the server behind.
    prefix
        The path under which it is published, like ``/pacs``.
    authority
        Serve HTTPS with a certificate of this authority.
    clients
        Ask clients for a certificate of this authority (with HTTPS).
    before
        Called with each `Request` before it is forwarded, from the
        thread that serves it; the `Answer` it returns, if any, is sent
        instead.

    Attributes
    ----------
    target : str
    requests : list of Request
        Those received under the prefix, in order.
    """

    def __init__(
            self, target: str, *, prefix: str = '',
            authority: Authority | None = None,
            clients: Authority | None = None,
            before: Callable[[Request], Answer | None] | None = None):
        self.target = target
        self.prefix = prefix
        self.before = before
        self.requests: list[Request] = []
        handler = type('Handler', (_Handler,), {'proxy': self})
        self._server = _Server((LOOPBACK, 0), handler)
        self._scheme = 'http'
        if authority:
            self._scheme = 'https'
            self._server.socket = _context(authority, clients).wrap_socket(
                self._server.socket, server_side=True,
                do_handshake_on_connect=False)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> 'Proxy':
        self._thread.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        port = self._server.server_address[1]
        return f'{self._scheme}://{LOOPBACK}:{port}{self.prefix}'

    def answer(self, request: Request, headers) -> Answer:
        self.requests.append(request)
        answer = self.before(request) if self.before else None
        return answer or self._forward(request, headers)

    def _forward(self, request: Request, headers) -> Answer:
        target = urlsplit(self.target)
        connection = http.client.HTTPConnection(
            target.hostname, target.port, timeout=TIMEOUT)
        try:
            connection.request(
                request.method, target.path + request.path,
                request.body or None, _end_to_end(headers))
            response = connection.getresponse()
            return Answer(
                response.status, response.read(),
                _end_to_end(response.headers))
        except OSError:
            return Answer(502)
        finally:
            connection.close()


def _end_to_end(headers) -> dict[str, str]:
    return {
        name: value for name, value in headers.items()
        if name.lower() not in _HOP_BY_HOP}


def _context(
        authority: Authority, clients: Authority | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'server.pem'
        path.write_text(''.join(authority.issue()))
        context.load_cert_chain(path)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.certificate)
    return context
