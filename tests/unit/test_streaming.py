# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of DICOMweb come piece by piece, from the right address."""
import gzip
import itertools
import json

import pytest

from trytond.modules.health_orthanc.core.orthanc import transport, wire
from trytond.modules.health_orthanc.core.orthanc.client import OrthancClient
from trytond.modules.health_orthanc.core.orthanc.errors import (
    ConnectionFailed, NotFound, OrthancError, ServerFault, TimedOut,
    UnexpectedAnswer)

from .fake_orthanc import (
    FakeOrthanc, cut, hang_up, reply, reply_json, silence, status)

FRAME = 'studies/1.2/series/1.3/instances/1.4/frames/1'
PATH = f'/dicom-web/{FRAME}'


@pytest.fixture
def peer():
    with FakeOrthanc() as peer:
        yield peer


@pytest.fixture
def client(peer):
    with OrthancClient(peer.url, 'reader', 'letmein') as client:
        yield client


def read(answer):
    with answer:
        return b''.join(answer.pieces())


def test_what_is_sent_and_received(peer, client):
    peer.script(PATH, reply(b'pixels', 206, {
                'Content-Type': 'multipart/related', 'X-Other': '1'}))
    answer = client.dicom_web('GET', FRAME, query='a=%2C', headers={
            'Accept': 'x/y', 'Accept-Encoding': 'identity',
            'Forwarded': 'host=h/db;proto=https'})
    assert answer.status == 206
    assert answer.headers['content-type'] == 'multipart/related'
    assert read(answer) == b'pixels'
    sent, = peer.received
    assert (sent.path, sent.query) == (PATH, 'a=%2C')
    assert sent.headers['Accept'] == 'x/y'
    assert sent.headers['Accept-Encoding'] == 'identity'
    assert sent.headers['Forwarded'] == 'host=h/db;proto=https'
    assert sent.headers['Authorization'].startswith('Basic ')


def test_a_large_answer_in_pieces(peer, client):
    content = bytes(range(256)) * 2**14
    peer.script(PATH, reply(content))
    pieces = list(client.dicom_web('GET', FRAME).pieces())
    assert max(map(len, pieces)) <= 2**20
    assert b''.join(pieces) == content


def test_what_is_compressed_stays_so(peer, client):
    packed = gzip.compress(b'{}')
    peer.script(PATH, reply(packed, headers={'Content-Encoding': 'gzip'}))
    assert read(client.dicom_web('GET', FRAME)) == packed


def test_connections_are_kept(peer, client):
    peer.script(PATH, reply(b'x'))
    for _ in range(5):
        read(client.dicom_web('GET', FRAME))
    assert peer.connections == 1


def test_a_kept_connection_that_was_closed(peer, client):
    peer.script(PATH, hang_up, reply(b'x'))
    assert read(client.dicom_web('GET', FRAME)) == b'x'
    peer.script('/dicom-web/studies', hang_up, reply(b'x'))
    with pytest.raises(ConnectionFailed):
        client.dicom_web('POST', 'studies', body=b'dicom')
    # Nobody knows whether it was stored
    assert peer.methods().count('POST') == 1


@pytest.mark.parametrize('code, error', [
        (400, ServerFault), (404, NotFound), (406, ServerFault),
        (500, ServerFault), (302, OrthancError)])
def test_errors(peer, client, code, error):
    peer.script(PATH, status(code))
    with pytest.raises(error) as raised:
        client.dicom_web('GET', FRAME)
    assert raised.value.status == code
    assert '1.2' not in str(raised.value)


def test_an_answer_that_is_cut(peer, client):
    peer.script(PATH, cut)
    with pytest.raises(OrthancError):
        read(client.dicom_web('GET', FRAME))


def test_a_server_that_says_nothing(peer):
    peer.script(PATH, silence)
    with OrthancClient(
            peer.url, connect_timeout=1, read_timeout=0.2) as client:
        with pytest.raises(TimedOut):
            client.dicom_web('GET', FRAME)


@pytest.mark.parametrize('path', [
        '../system', 'studies/../../system', '', '/system', 'studies/%2e'])
def test_another_path_is_never_sent(peer, client, path):
    with pytest.raises(NotFound):
        client.dicom_web('GET', path)
    assert not peer.received


class Clock:
    """A clock on which a second passes whenever it is read."""

    def __init__(self):
        self.monotonic = itertools.count().__next__


@pytest.mark.parametrize('stream', [
        lambda client: b''.join(client.dicom_web('GET', FRAME).pieces()),
        lambda client: b''.join(client.archive('study', 'abc'))])
def test_the_timeout_is_of_each_piece(peer, monkeypatch, stream):
    "Somebody far away reads slowly"
    content = bytes(2**22)
    peer.script(PATH, reply(content))
    peer.script('/studies/abc/archive', reply(content))
    with OrthancClient(peer.url, read_timeout=10) as client:
        monkeypatch.setattr(transport, 'time', Clock())
        monkeypatch.setattr(wire, 'time', Clock())
        assert stream(client) == content


def test_a_search(peer, client):
    study = {'0020000D': {'vr': 'UI', 'Value': ['1.2']}}
    peer.script(
        '/dicom-web/studies', reply_json([study]), status(204),
        reply_json({}), reply(b'<html>'))

    def search():
        return client.search_dicom_web(
            'studies', 'limit=1', {'Forwarded': 'host=h;proto=http'})
    assert search() == [study]
    sent = peer.received[0]
    assert sent.headers['Accept'] == 'application/dicom+json'
    assert sent.headers['Forwarded'] == 'host=h;proto=http'
    assert search() == []
    for _ in range(2):
        with pytest.raises(UnexpectedAnswer):
            search()


def test_a_lookup(peer, client):
    peer.script('/tools/lookup', reply_json([
                {'Type': 'Series', 'ID': 'abc', 'Path': '/series/abc'}]))
    assert client.lookup('1.3') == [('Series', 'abc')]
    assert peer.received[0].body == b'1.3'


def test_the_state_of_a_series(peer, client):
    "It is another one after any change, and unknown while there may be one"
    series = {
        'IsStable': True, 'Instances': ['c', 'd'],
        'LastUpdate': '20260101T000000'}
    peer.script('/tools/lookup', reply_json([{'Type': 'Series', 'ID': 'ab'}]))

    def state(**values):
        peer.script('/series/ab', reply_json({**series, **values}))
        return client.series_state('1.3')
    first = state()
    assert first
    assert state(Instances=['d', 'c']) == first
    assert len({
            first, state(Instances=['c']), state(Instances=['c', 'e']),
            state(LastUpdate='20260101T000001'), state(LastUpdate=None)}) == 5
    assert state(IsStable=False) is None
    assert state(Instances=None) is None
    peer.script('/series/ab', status(404))
    assert client.series_state('1.3') is None
    for found in [
            [], [{'Type': 'Study', 'ID': 'ab'}],
            [{'Type': 'Series', 'ID': id_} for id_ in ['ab', 'cd']]]:
        peer.script('/tools/lookup', reply_json(found))
        assert state() is None


def test_what_is_stored(peer, client):
    peer.script('/dicom-web/studies/1.2', reply(json.dumps({}).encode()))
    body = bytes(2**20)
    with client.dicom_web(
            'POST', 'studies/1.2', body=body,
            headers={'Content-Type': 'multipart/related'}) as answer:
        assert answer.read(100) == b'{}'
    assert peer.received[0].body == body
    assert peer.received[0].headers['Content-Type'] == 'multipart/related'
