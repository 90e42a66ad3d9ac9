# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page that the demo ends with, served on loopback."""
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from genshi.template import MarkupTemplate

from .demo_tour import EXAMINE_LAST, NEXT_IMAGES, WALKS, Step, pieces
from .demo_tour_words import MORE, Words
from .process import LOOPBACK

__all__ = ['TourServer']

TEMPLATE = Path(__file__).with_name('demo_tour.html')
BUTTONS = {'next': NEXT_IMAGES, 'last': EXAMINE_LAST}
# Of what a button of the page sends
MAX_LENGTH = 1000


class TourServer:
    """Serves the page until it is closed.

    Parameters
    ----------
    values
        Returns what the page says just now, by the names of the template.
    press
        Does what a button of the page asks for, of `BUTTONS`, and returns
        what to say of it.
    port
        Where it is served if nobody else has it; else a free one.
    words
        In the language of the page.
    """

    def __init__(
            self, values: Callable[[], Mapping[str, object]],
            press: Callable[[str], str], port: int, words: Words):
        self._template = MarkupTemplate(TEMPLATE.read_text(), str(TEMPLATE))
        self._values = values
        self.press = press
        self._words = words
        self.said = ''
        try:
            self._server = self._listen(port)
        except OSError:
            self._server = self._listen(0)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name='tour', daemon=True)
        self._thread.start()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(
            (LOOPBACK, port), type('Handler', (_Handler,), {'tour': self}))
        server.daemon_threads = True
        return server

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f'http://{LOOPBACK}:{self.port}/'

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def render(self) -> bytes:
        """Return the page, with what is said of the last button once."""
        said, self.said = self.said, ''
        stream = self._template.generate(
            walks=list(enumerate(WALKS, 1)), buttons=BUTTONS.items(),
            acts=self._acts, said=said, _=self._words.text,
            parts=self._parts, more=MORE,
            language=self._words.language.replace('_', '-'),
            **self._values())
        return stream.render('html', doctype='html5', encoding='utf-8')

    def _acts(self, step: Step) -> str:
        """Return for a program what a step says in words."""
        disc = str(self._values()['disc'])
        return json.dumps([
                [part.format(disc=disc) for part in self._words.act(act)]
                for act in step.acts])

    def _parts(self, text: str) -> Iterator[tuple[bool, str]]:
        """Return the pieces of a text, translated; see `pieces`."""
        return pieces(
            self._words.text(text), disc=str(self._values()['disc']))


class _Handler(BaseHTTPRequestHandler):
    """Answers for the page and its buttons."""
    tour: TourServer

    def do_GET(self) -> None:
        if not self._is_asked_here():
            return
        if self.path != '/':
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = self.tour.render()
        self.send_response(HTTPStatus.OK)
        self.send_header('Content-Type', 'text/html; charset=utf-8')
        self.send_header('Content-Length', str(len(body)))
        self.send_header('Cache-Control', 'no-store')
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        if not self._is_asked_here():
            return
        try:
            length = int(self.headers.get('Content-Length') or 0)
            form = parse_qs(self.rfile.read(
                    max(0, min(length, MAX_LENGTH))).decode())
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        name, = form.get('do', [''])[:1]
        if self.path != '/' or name not in BUTTONS:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.tour.said = self.tour.press(name)
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header('Location', '/')
        self.send_header('Content-Length', '0')
        self.end_headers()

    def _is_asked_here(self) -> bool:
        """Refuse what pages of others let the browser ask."""
        own = f'{LOOPBACK}:{self.tour.port}'
        origin = self.headers.get('Origin')
        if self.headers.get('Host') == own and (
                origin in {None, f'http://{own}'}):
            return True
        self.send_error(HTTPStatus.FORBIDDEN)
        return False

    def log_message(self, *arguments: object) -> None:
        """The terminal is for the demo."""
