# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of an Orthanc as it can give them."""
import json

import pytest

from trytond.modules.health_orthanc.core.orthanc.client import OrthancClient
from trytond.modules.health_orthanc.core.orthanc.errors import ServerFault

from .fake_orthanc import SYSTEM, FakeOrthanc, reply_json, status

FINDS = {**SYSTEM, 'Capabilities': {'HasExtendedFind': True}}


@pytest.fixture
def peer():
    with FakeOrthanc() as peer:
        yield peer


@pytest.fixture
def client(peer):
    with OrthancClient(peer.url, retries=0) as client:
        yield client


def asked(peer):
    return [(r.method, r.path) for r in peer.received]


@pytest.mark.parametrize('system', [
        SYSTEM, {**SYSTEM, 'Capabilities': None},
        {**SYSTEM, 'Capabilities': {'HasExtendedFind': False}},
        {**SYSTEM, 'Capabilities': {'HasExtendedFind': 'yes'}}])
def test_an_orthanc_that_cannot_find_is_listed(peer, client, system):
    found = [{'ID': 'a', 'Type': 'Study'}]
    peer.script('/system', reply_json(system))
    peer.script('/studies', reply_json(found), reply_json([]))
    assert client.list_studies(4, 2) == found
    assert client.list_studies(5, 2) == []
    assert asked(peer) == [
        ('GET', '/system'), ('GET', '/studies'), ('GET', '/studies')]
    assert peer.received[1].query == 'expand&since=4&limit=2'


@pytest.mark.parametrize('method, level', [
        ('list_studies', 'Study'), ('list_series', 'Series')])
def test_a_page_is_found(peer, client, method, level):
    peer.script('/system', reply_json(FINDS))
    peer.script('/tools/find', reply_json([{
                    'ID': 'a', 'Type': level, 'Metadata': {
                        'LastUpdate': '20261122T002249',
                        'ExpectedNumberOfInstances': '3'}}]))
    resource, = getattr(client, method)(4, 2)
    assert resource['LastUpdate'] == '20261122T002249'
    assert resource['ExpectedNumberOfInstances'] == 3
    asked = json.loads(peer.received[1].body)
    assert (asked['Level'], asked['Since'], asked['Limit']) == (level, 4, 2)
    assert {'Children', 'Labels', 'Metadata', 'Parent'} < set(
        asked['ResponseContent'])


@pytest.mark.parametrize('metadata', [
        None, [], {}, {'ExpectedNumberOfInstances': 'many'},
        {'ExpectedNumberOfInstances': []}])
def test_metadata_may_be_missing(peer, client, metadata):
    peer.script('/system', reply_json(FINDS))
    found = {'ID': 'a', 'Type': 'Series', 'Metadata': metadata}
    peer.script('/tools/find', reply_json([found]))
    assert client.list_series(0, 1) == [found]


def test_instances_of_a_series_are_found(peer, client):
    found = [{'ID': 'i', 'Type': 'Instance'}]
    peer.script('/tools/find', reply_json(found))
    assert client.find_instances('a-b') == found
    asked = json.loads(peer.received[0].body)
    assert (asked['Level'], asked['ParentSeries']) == ('Instance', 'a-b')


def test_an_error_is_not_taken_for_an_old_server(peer, client):
    peer.script('/system', status(500), reply_json(FINDS))
    with pytest.raises(ServerFault):
        client.list_studies(0, 1)
    peer.script('/tools/find', reply_json([]))
    assert client.list_studies(0, 1) == []
