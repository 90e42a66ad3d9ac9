# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of a server that means no good."""
import gzip
import io
import json
import subprocess
import sys
import zlib

import pytest

from trytond.modules.health_orthanc.core.orthanc.client import OrthancClient
from trytond.modules.health_orthanc.core.orthanc.errors import (
    InstanceRefused, UnexpectedAnswer)

from .fake_orthanc import FakeOrthanc, reply

MEMORY = 192 << 20  # beyond what the process has before it asks
# 100 MB, of which some 100 kB are sent
BOMB = gzip.compress(b'[' + b'[],' * 33_000_000 + b'[]]', compresslevel=9)
MANY = b'[' + b'[],' * 6_000_000 + b'[]]'

ASK = '''
import io, resource, sys
from trytond.modules.health_orthanc.core.orthanc.client import OrthancClient
from trytond.modules.health_orthanc.core.orthanc.errors import OrthancError
with open('/proc/self/statm') as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + %d,) * 2)
with OrthancClient(sys.argv[1], retries=0) as client:
    for name, arguments in %r:
        try:
            getattr(client, name)(*arguments)
        except OrthancError as error:
            print(name, error.kind, error.detail, flush=True)
'''
CALLS = [
    ('system', ()), ('plugins', ()), ('statistics', ()), ('changes', (0, 100)),
    ('last_change', ()), ('list_studies', (0, 10)), ('list_series', (0, 10)),
    ('bulk_content', (['a', 'b'],)), ('study', ('a',)), ('patient', ('a',)),
    ('frames', ('a',)), ('rendered', ('a', 0, 128, 128)),
    ('find_studies', ('1.2',)), ('job', ('a',)),
    ('delete_instances', (['a'],)), ('delete', ('study', 'a'))]


class Hostile(FakeOrthanc):
    "It answers all requests alike"
    default = None

    def answer_to(self, request):
        return self.default


@pytest.fixture(scope='module')
def peer():
    with Hostile() as peer:
        yield peer


@pytest.mark.parametrize('body, headers', [
        (BOMB, {'Content-Encoding': 'gzip'}),
        (zlib.compress(gzip.decompress(BOMB)),
            {'Content-Encoding': 'deflate'}),
        (MANY, {})], ids=['gzip', 'deflate', 'plain'])
def test_no_answer_takes_much_memory(peer, body, headers):
    assert len(body) < 32 << 20
    peer.default = reply(body, headers=headers)
    done = subprocess.run(
        [sys.executable, '-c', ASK % (MEMORY, CALLS), peer.url],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [n for n, _ in CALLS]
    assert {line.partition(' unexpected_answer ')[2] for line in lines} == {
        'too large'}


def test_a_long_refusal_is_a_refusal(peer):
    peer.default = reply(
        gzip.compress(b'"' + b'x' * 10_000_000 + b'"'), 400,
        headers={'Content-Encoding': 'gzip'})
    with OrthancClient(peer.url, retries=0) as client:
        with pytest.raises(InstanceRefused):
            client.store_instance(io.BytesIO(b'a'), 1)


def test_an_unknown_encoding_is_an_error(peer):
    peer.default = reply(b'{}', headers={'Content-Encoding': 'br'})
    with OrthancClient(peer.url, retries=0) as client:
        with pytest.raises(UnexpectedAnswer) as raised:
            client.system()
    assert raised.value.detail == 'encoding'


def test_large_answers_that_are_right_are_read(peer):
    series = {'ID': 'a', 'Instances': ['0' * 44] * 100_000}
    body = gzip.compress(json.dumps([series]).encode())
    peer.default = reply(body, headers={'Content-Encoding': 'gzip'})
    with OrthancClient(peer.url, retries=0) as client:
        assert client.bulk_content(['a']) == [series]
