# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers to GET are read as RFC 9112 says, and connections are kept."""
import pytest

from trytond.modules.health_orthanc.core.orthanc.errors import UnexpectedAnswer
from trytond.modules.health_orthanc.core.orthanc.transport import tls_context
from trytond.modules.health_orthanc.core.orthanc.wire import Wire

from .fake_orthanc import FakeOrthanc, raw, reply, self_signed, server_tls

HEAD = b'HTTP/1.1 200 OK\r\n'
CHUNKED = HEAD + b'Transfer-Encoding: chunked\r\n\r\n'


@pytest.fixture
def peer():
    with FakeOrthanc() as peer:
        yield peer


@pytest.fixture
def wire(peer):
    wire = Wire(peer.url + '/pacs', None, None, None, (5, 5))
    yield wire
    wire.close()


def fetch(wire):
    answer = wire.get('x?y=1', {'Accept': '*/*'}, 'GET /x')
    try:
        return b''.join(answer.pieces())
    finally:
        answer.close()


@pytest.mark.parametrize('answer, body', [
        (HEAD + b'Content-Length: 3\r\n\r\nabc', b'abc'),
        (HEAD + b'content-length:3\r\n\r\nabc', b'abc'),
        (HEAD + b'Content-Length: 0\r\n\r\n', b''),
        (b'HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx', b'x'),
        (b'HTTP/1.1 100 Continue\r\n\r\n' + HEAD
            + b'Content-Length: 1\r\n\r\nx', b'x'),
        (b'HTTP/1.1 204 No Content\r\n\r\n', b''),
        # Until the connection is closed
        (HEAD + b'\r\nabc', b'abc'),
        (HEAD + b'\r\n', b''),
        (b'HTTP/1.0 200 OK\r\n\r\nabc', b'abc'),
        (CHUNKED + b'3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n',
            b'abc0123456789'),
        (CHUNKED + b'1\r\nx\r\n0\r\nDigest: y\r\n\r\n', b'x'),
        ])
def test_bodies(peer, wire, answer, body):
    peer.script('/pacs/x', raw(answer))
    assert fetch(wire) == body
    sent, = peer.received
    assert sent.query == 'y=1'
    assert sent.headers['Host'] == peer.url.removeprefix('http://')


@pytest.mark.parametrize('answer', [
        b'SSH-2.0-OpenSSH\r\n\r\n', b'HTTP/2 200 OK\r\n\r\n',
        b'HTTP/1.1 099 ?\r\n\r\n', HEAD + b'no field\r\n\r\n',
        HEAD + b'Folded: a\r\n b\r\n\r\n', HEAD + b'A b: c\r\n\r\n',
        HEAD + b'X: ' + b'x' * 2**17, HEAD,
        HEAD + b'Content-Length: -1\r\n\r\n',
        HEAD + b'Content-Length: 1, 1\r\n\r\nx',
        HEAD + b'Content-Length: 4\r\n\r\nabc',
        HEAD + b'Transfer-Encoding: gzip\r\n\r\nabc',
        CHUNKED, CHUNKED + b'x\r\n', CHUNKED + b'-1\r\n',
        CHUNKED + b'3\r\nab', CHUNKED + b'1\r\nabc',
        CHUNKED + b'1\r\nx\r\n', CHUNKED + b'x' * 2**17,
        ])
def test_what_is_not_http_or_cut(peer, wire, answer):
    peer.script('/pacs/x', raw(answer))
    with pytest.raises(UnexpectedAnswer):
        fetch(wire)


@pytest.mark.parametrize('answer, kept', [
        (reply(b'x' * 2**21), True),
        (reply(b'x', headers={'Connection': 'close'}), False),
        (raw(b'HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx'), False),
        # What follows belongs to no request
        (raw(HEAD + b'Content-Length: 1\r\n\r\nxyz'), False),
        ])
def test_which_connections_are_kept(peer, wire, answer, kept):
    peer.script('/pacs/x', answer)
    fetch(wire)
    fetch(wire)
    assert peer.connections == (1 if kept else 2)


def test_a_body_that_is_not_read_is_given_up(peer, wire):
    peer.script('/pacs/x', reply(b'x' * 2**22))
    answer = wire.get('x', {}, 'GET /x')
    next(answer.pieces())
    answer.close()
    assert len(fetch(wire)) == 2**22
    assert peer.connections == 2


@pytest.mark.parametrize('target, headers', [
        ('x y', {}), ('x\r\nA: b', {}), ('\xe4', {}),
        ('x', {'Accept': 'a\r\nB: c'})])
def test_what_would_be_another_request_is_not_sent(
        peer, wire, target, headers):
    with pytest.raises(ValueError):
        wire.get(target, headers, 'GET /x')
    assert not peer.connections


def test_tls():
    certificate, key = self_signed()
    with FakeOrthanc(server_tls(certificate, key)) as peer:
        peer.script('/x', reply(b'x' * 2**21))
        wire = Wire(
            peer.url, tls_context(certificate), 'reader', 'ä', (5, 5))
        for _ in range(2):
            assert len(fetch(wire)) == 2**21
        wire.close()
        assert peer.connections == 1
        assert peer.received[0].headers['Authorization'].startswith('Basic ')
        stranger = Wire(peer.url, tls_context(), None, None, (5, 5))
        with pytest.raises(Exception, match='CERTIFICATE_VERIFY_FAILED'):
            fetch(stranger)
        assert len(peer.received) == 2
