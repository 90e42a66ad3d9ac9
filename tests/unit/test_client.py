# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

import base64
import gzip
import io
import json
import os
import socket
import tempfile
import time
import traceback

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.dicom.file_header import Unusable
from trytond.modules.health_orthanc.core.orthanc.client import (
    MAXIMUM_IMAGE_SIZE, OrthancClient)
from trytond.modules.health_orthanc.core.orthanc.errors import (
    CertificateRejected, ConnectionFailed, ConnectionRefused, Forbidden,
    InstanceRefused, InvalidAddress, InvalidCertificate, NoImage, NotFound,
    NotOrthanc, OrthancError, PlainHttp, Redirected, ServerFault, TimedOut,
    TooOld, Unauthorized, UnexpectedAnswer)
from trytond.modules.health_orthanc.core.orthanc.server_info import (
    ServerInfo, has_known_vulnerabilities)
from trytond.modules.health_orthanc.core.orthanc.upload import (
    StoredInstance, Unreadable)
from trytond.modules.health_orthanc.core.orthanc.url import normalize_url

from devtools.certificates import Authority
from tests.unit.fake_orthanc import (
    PNG, SYSTEM, FakeOrthanc, cut, drip, free_port, hang_up, raw, redirect,
    reply, reply_json, self_signed, server_tls, silence, status)
from tests.unit.upload_samples import dicom

USER, PASSWORD = 'clerk', 'pä€ss:w0rd'
STUDY_ID = 'b5219c49-058248ce-6925dc45-4def94e6-6e851354'


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(OrthancClient, '_pause', 0)


@pytest.fixture
def peer():
    with FakeOrthanc() as peer:
        yield peer


@pytest.fixture
def client(peer):
    with OrthancClient(peer.url, USER, PASSWORD) as client:
        yield client


def impatient(peer, **options):
    return OrthancClient(peer.url, read_timeout=0.3, **options)


@pytest.mark.parametrize('text, url', [
        ('http://orthanc:8042', 'http://orthanc:8042'),
        (' HTTP://Orthanc.Example:8042/ ', 'http://orthanc.example:8042'),
        ('http://orthanc:80/', 'http://orthanc'),
        ('https://orthanc:443', 'https://orthanc'),
        ('https://orthanc:80', 'https://orthanc:80'),
        ('https://clinic/pacs//Orthanc/', 'https://clinic/pacs/Orthanc'),
        ('http://[::1]:8042', 'http://[::1]:8042'),
        ('http://[0:0::1]', 'http://[::1]'),
        ('http://127.0.0.1:8042', 'http://127.0.0.1:8042'),
        ('http://my_orthanc:8042', 'http://my_orthanc:8042'),
        ('http://Köln.example', 'http://xn--kln-sna.example'),
        ('http://orthanc/ä%20b', 'http://orthanc/%C3%A4%20b'),
        ])
def test_url_has_one_form(text, url):
    assert normalize_url(text) == url
    assert normalize_url(url) == url


@pytest.mark.parametrize('text, detail', [
        ('', 'scheme'),
        ('orthanc', 'scheme'),
        ('orthanc:8042', 'scheme'),
        ('ftp://orthanc', 'scheme'),
        ('file:///etc/passwd', 'scheme'),
        ('http://', 'host'),
        ('http:///system', 'host'),
        ('http://[::1', 'host'),
        ('http://[zz]', 'host'),
        ('http://a..b', 'host'),
        ('http://-a', 'host'),
        ('http://' + 'a' * 64, 'host'),
        ('http://a%20b', 'host'),
        ('http://orthanc:0', 'port'),
        ('http://orthanc:70000', 'port'),
        ('http://orthanc:http', 'port'),
        ('http://clerk:secret@orthanc', 'credentials'),
        ('http://clerk@orthanc', 'credentials'),
        ('http://orthanc/?a=1', 'query'),
        ('http://orthanc/app/explorer.html#study', 'query'),
        ('http://orthanc/../x', 'path'),
        ('http://or thanc', 'character'),
        ('http://orthanc/\r\nX: y', 'character'),
        ('http://orthanc\\x', 'character'),
        ])
def test_url_is_refused(text, detail):
    with pytest.raises(InvalidAddress) as info:
        normalize_url(text)
    assert info.value.detail == detail
    assert 'secret' not in str(info.value)


@given(st.one_of(
        st.text(),
        st.text().map('http://'.__add__),
        st.from_regex(
            r'https?://[a-zA-Z0-9.:@%\[\]ä-]*(/[^ ]*)?', fullmatch=True)))
def test_url_of_any_text_is_stable_or_refused(text):
    try:
        url = normalize_url(text)
    except InvalidAddress:
        return
    assert normalize_url(url) == url
    assert url.isascii()
    assert '@' not in url.split('/')[2]


def test_probe(peer, client):
    peer.script('/system', reply_json(SYSTEM))
    peer.script('/plugins', reply_json(['explorer.js', 'ohif']))
    assert client.probe() == ServerInfo(
        version='1.10.1', api_version=16, dicom_aet='ORTHANC',
        name='Archive', plugins=('explorer.js', 'ohif'), database_version=6,
        database_plugin='', storage_plugin='')


@pytest.mark.parametrize('answer, unprotected', [
        (reply_json([]), True), (reply_json(['a']), True),
        (status(401), False), (status(403), False),
        (reply_json({}), False), (reply(b'Log in'), False)])
def test_probe_tries_without_credentials(peer, client, answer, unprotected):
    peer.script('/system', reply_json(SYSTEM))
    peer.script('/plugins', reply_json([]))
    peer.script('/studies', answer)
    assert client.probe().unprotected is unprotected
    assert [
        'Authorization' in request.headers for request in peer.received
        if request.path.startswith('/studies')] == [False]
    assert all(
        'Authorization' in request.headers for request in peer.received
        if not request.path.startswith('/studies'))


def test_credentials_are_sent_in_utf_8(peer, client):
    peer.script('/system', reply_json(SYSTEM))
    client.system()
    scheme, value = peer.received[0].headers['Authorization'].split()
    assert scheme == 'Basic'
    assert base64.b64decode(value).decode() == f'{USER}:{PASSWORD}'


def test_no_credentials_from_the_environment(peer, tmp_path, monkeypatch):
    netrc = tmp_path / 'netrc'
    netrc.write_text('machine 127.0.0.1 login somebody password secret')
    monkeypatch.setenv('NETRC', str(netrc))
    monkeypatch.setenv('HTTP_PROXY', f'http://127.0.0.1:{free_port()}')
    peer.script('/system', reply_json(SYSTEM))
    with OrthancClient(peer.url) as client:
        assert client.system() == SYSTEM
    assert 'Authorization' not in peer.received[0].headers


def test_path_prefix_is_kept(peer):
    peer.script('/pacs/orthanc/system', reply_json(SYSTEM))
    with OrthancClient(peer.url + '/pacs/orthanc/') as client:
        assert client.system() == SYSTEM


@pytest.mark.parametrize('code, error, kind', [
        (400, ServerFault, 'server_fault'),
        (401, Unauthorized, 'unauthorized'),
        (403, Forbidden, 'forbidden'),
        (404, NotFound, 'not_found'),
        (405, ServerFault, 'server_fault'),
        (500, ServerFault, 'server_fault'),
        ])
def test_status_is_told_at_once(peer, client, code, error, kind):
    peer.script('/statistics', status(code))
    with pytest.raises(error) as info:
        client.statistics()
    assert info.value.kind == kind
    assert info.value.status == code
    assert str(code) in str(info.value)
    assert client.requests == len(peer.received) == 1


@pytest.mark.parametrize('code', [502, 503, 504])
def test_busy_server_is_asked_again(peer, client, code):
    peer.script('/system', status(code), status(code), reply_json(SYSTEM))
    assert client.system() == SYSTEM
    assert client.requests == len(peer.received) == 3


def test_busy_server_is_not_asked_for_ever(peer, client):
    peer.script('/system', status(503))
    with pytest.raises(ServerFault) as info:
        client.system()
    assert info.value.status == 503
    assert len(peer.received) == 3


def test_no_retries(peer):
    peer.script('/system', status(503))
    with OrthancClient(peer.url, retries=0) as client:
        with pytest.raises(ServerFault):
            client.system()
    assert len(peer.received) == 1


def test_lost_connection_is_made_again(peer, client):
    peer.script('/system', hang_up, reply_json(SYSTEM))
    assert client.system() == SYSTEM
    assert peer.connections == 2


def test_lost_connections(peer, client):
    peer.script('/system', hang_up)
    with pytest.raises(ConnectionFailed):
        client.system()
    assert len(peer.received) == 3


def test_no_answer(peer):
    peer.script('/system', silence)
    with impatient(peer) as client, pytest.raises(TimedOut):
        client.system()
    assert len(peer.received) == 3


def test_late_answer_after_silence(peer):
    peer.script('/system', silence, reply_json(SYSTEM))
    with impatient(peer) as client:
        assert client.system() == SYSTEM


def test_attempts_share_the_time(peer):
    peer.script('/system', silence)
    with OrthancClient(
            peer.url, connect_timeout=0.01, read_timeout=0.3,
            retries=1000) as client, pytest.raises(TimedOut):
        client.system()
    assert len(peer.received) < 10


HEAD = b'HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n'
BODY = json.dumps(SYSTEM).encode().ljust(400)


@pytest.mark.parametrize('answer', [
        pytest.param(drip(HEAD + BODY, 0.02), id="from the status line on"),
        pytest.param(drip(
                b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
                + b''.join(b'1\r\n%c\r\n' % c for c in BODY)
                + b'0\r\n\r\n', 0.02), id="in chunks"),
        ])
def test_slow_answer_is_ended(peer, answer):
    peer.script('/system', answer)
    with impatient(peer, retries=0) as client, pytest.raises(TimedOut):
        client.system()


def test_slow_answer_in_time(peer, client):
    peer.script('/system', drip(HEAD + BODY, 0.0005))
    assert client.system() == SYSTEM


def test_cut_answer(peer, client):
    peer.script('/system', cut)
    with pytest.raises(UnexpectedAnswer) as info:
        client.probe()
    assert info.value.detail == 'cut'
    assert len(peer.received) == 3


def test_an_archive_comes_piece_by_piece(peer, client):
    peer.script('/studies/abc/archive', reply(b'PK' + bytes(200000)))
    pieces = list(client.archive('study', 'abc'))
    assert len(pieces) > 1
    assert b''.join(pieces) == b'PK' + bytes(200000)


@pytest.mark.parametrize('code, error', [
        (401, Unauthorized), (404, NotFound), (500, ServerFault)])
def test_an_archive_that_is_refused(peer, client, code, error):
    peer.script('/series/abc/archive', status(code))
    with pytest.raises(error):
        client.archive('series', 'abc')
    assert len(peer.received) == 1


def test_an_archive_that_is_cut(peer, client):
    peer.script('/studies/abc/archive', cut)
    with pytest.raises(UnexpectedAnswer):
        list(client.archive('study', 'abc'))


def test_a_header_is_read_from_the_beginning_of_a_file(peer, client):
    content = dicom() + bytes(2**22)
    peer.script('/instances/abc/file', reply(content))
    assert client.instance_header('abc').patient_name == 'Betz^Ana María'
    assert len(peer.received) == 1
    peer.script('/instances/abc/file', reply(dicom()))
    assert client.instance_header('abc').patient_id == 'GNU777ORG'


@pytest.mark.parametrize('answer, error', [
        (status(404), NotFound), (status(500), ServerFault),
        (reply(b''), Unusable), (reply(bytes(2**22)), Unusable),
        (cut, UnexpectedAnswer)])
def test_a_header_that_cannot_be_read(peer, client, answer, error):
    peer.script('/instances/abc/file', answer)
    with pytest.raises(error):
        client.instance_header('abc')


def test_cut_answer_is_asked_for_again(peer, client):
    peer.script('/system', cut, reply_json(SYSTEM))
    assert client.system() == SYSTEM


@pytest.mark.parametrize('answer, detail', [
        (reply(b'<html>welcome</html>'), 'not JSON'),
        (reply(b''), 'not JSON'),
        (reply(b'{"Version": "\xff"}'), 'not JSON'),
        (reply(b'[' * 100_000), 'not JSON'),
        (reply(b'7' * 10_000), 'not JSON'),
        (reply(b'[]'), 'shape'),
        (reply(b'null'), 'shape'),
        (reply(b'{}', headers={'Content-Encoding': 'gzip'}), 'encoding'),
        (raw(b'220 mail.example ESMTP\r\n'), 'not HTTP'),
        ])
def test_unusable_answer(peer, client, answer, detail):
    peer.script('/system', answer)
    with pytest.raises(UnexpectedAnswer) as info:
        client.system()
    assert info.value.detail == detail
    assert info.value.kind == 'unexpected_answer'
    assert len(peer.received) == 1
    with pytest.raises(NotOrthanc):
        client.probe()


def test_json_is_utf_8_whatever_the_header_says(peer, client):
    peer.script('/system', reply(
            '{"Name": "Zoë"}'.encode(),
            headers={'Content-Type': 'text/plain; charset=iso-8859-1'}))
    assert client.system() == {'Name': 'Zoë'}


def test_compressed_answer(peer, client):
    peer.script('/system', reply(
            gzip.compress(b'{"Name": "small"}'),
            headers={'Content-Encoding': 'gzip'}))
    assert client.system() == {'Name': 'small'}


@pytest.mark.parametrize('answer', [
        reply(b'"' + b'x' * 200_000 + b'"'),
        reply(
            gzip.compress(b'"' + b'x' * 200_000 + b'"'),
            headers={'Content-Encoding': 'gzip'}),
        ])
def test_huge_answer(peer, client, answer):
    client.maximum_size = 100_000
    peer.script('/system', answer)
    with pytest.raises(UnexpectedAnswer) as info:
        client.system()
    assert info.value.detail == 'too large'
    assert len(peer.received) == 1


@pytest.mark.parametrize('system', [
        {}, {'Version': '1.10.1'}, {'Version': 2, 'DicomAet': 'ORTHANC'},
        {'status': 'ok', 'version': '9'}])
def test_json_of_something_else(peer, client, system):
    peer.script('/system', reply_json(system))
    with pytest.raises(NotOrthanc):
        client.probe()


def test_server_without_system(peer, client):
    with pytest.raises(NotOrthanc):
        client.probe()


@pytest.mark.parametrize('code', [400, 405, 410])
def test_server_with_another_use_of_system(peer, client, code):
    peer.script('/system', status(code))
    with pytest.raises(NotOrthanc):
        client.probe()


@pytest.mark.parametrize('version', ['1.9.7', '0.8.6', '1.9'])
def test_too_old(peer, client, version):
    peer.script('/system', reply_json({**SYSTEM, 'Version': version}))
    with pytest.raises(TooOld) as info:
        client.probe()
    assert info.value.detail == version
    assert version in str(info.value)


@pytest.mark.parametrize('version', [
        '1.10.0', '1.10', '1.12.7', '2.0.0', 'mainline', 'mainline-1a2b'])
def test_recent_enough(peer, client, version):
    peer.script('/system', reply_json({**SYSTEM, 'Version': version}))
    peer.script('/plugins', reply_json([]))
    assert client.probe().version == version


@pytest.mark.parametrize('version, known', [
        ('1.10.1', True), ('1.12.7', True), ('1.12.10', True), ('1.12', True),
        ('1.12.11', False), ('1.13.0', False), ('2.0.0', False),
        ('mainline', False)])
def test_known_vulnerabilities(version, known):
    assert has_known_vulnerabilities(version) is known


def test_redirection_is_not_followed(peer, client):
    peer.script('/elsewhere', reply_json(SYSTEM))
    peer.script('/system', redirect(
            f'http://clerk:secret@{peer.url.removeprefix("http://")}'
            '/elsewhere?token=secret'))
    with pytest.raises(Redirected) as info:
        client.system()
    assert len(peer.received) == 1
    assert info.value.status == 302
    assert info.value.location == peer.url + '/elsewhere'
    assert 'secret' not in str(info.value)


def test_refused():
    url = f'http://127.0.0.1:{free_port()}'
    with OrthancClient(url) as client, pytest.raises(ConnectionRefused):
        client.system()
    assert client.requests == 3


def test_unknown_host(monkeypatch):
    def getaddrinfo(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name not known")
    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)
    with OrthancClient('http://nowhere.invalid') as client:
        with pytest.raises(ConnectionFailed) as info:
            client.system()
    assert info.value.kind == 'unreachable'


def test_connection_is_kept(peer, client):
    peer.script('/system', reply_json(SYSTEM))
    for _ in range(5):
        client.system()
    assert peer.connections == 1
    assert client.requests == 5


def test_close_ends_the_connection(peer):
    peer.script('/system', reply_json(SYSTEM))
    with OrthancClient(peer.url) as client:
        client.system()
        client.close()
        client.system()
    assert peer.connections == 2


@pytest.mark.parametrize('answer, error', [
        (status(503), ServerFault), (hang_up, ConnectionFailed),
        (silence, TimedOut), (cut, UnexpectedAnswer)])
def test_deletion_is_never_repeated(peer, answer, error):
    path = f'/studies/{STUDY_ID}'
    peer.script(path, answer)
    with impatient(peer) as client, pytest.raises(error):
        client.delete('study', STUDY_ID)
    assert peer.methods() == ['DELETE']


@pytest.mark.parametrize('level, path', [
        ('patient', 'patients'), ('study', 'studies'), ('series', 'series'),
        ('instance', 'instances')])
def test_delete(peer, client, level, path):
    peer.script(f'/{path}/{STUDY_ID}', reply_json({'RemainingAncestor': None}))
    client.delete(level, STUDY_ID)
    assert [(r.method, r.path) for r in peer.received] == [
        ('DELETE', f'/{path}/{STUDY_ID}')]


def test_deletion_takes_a_fresh_connection(peer, client):
    peer.script('/system', reply_json(SYSTEM))
    peer.script(f'/studies/{STUDY_ID}', reply_json({}))
    client.system()
    client.delete('study', STUDY_ID)
    assert peer.connections == 2


def test_bulk_content(peer, client):
    found = [{'ID': 'a', 'Type': 'Study'}]
    peer.script('/tools/bulk-content', reply_json(found))
    assert client.bulk_content(iter(['a', 'b'])) == found
    assert json.loads(peer.received[0].body) == {
        'Resources': ['a', 'b'], 'Metadata': False}


def test_bulk_content_of_nothing(peer, client):
    assert client.bulk_content([]) == []
    assert not peer.received


def test_bulk_content_only_reads_and_is_repeated(peer, client):
    peer.script('/tools/bulk-content', status(503), hang_up, reply_json([]))
    assert client.bulk_content(['a']) == []
    assert peer.methods() == ['POST'] * 3


@pytest.mark.parametrize('method, args, path, query', [
        ('list_studies', (200, 100), '/studies',
            'expand&since=200&limit=100'),
        ('list_series', (0, 1), '/series', 'expand&since=0&limit=1'),
        ('study_instances', (STUDY_ID,), f'/studies/{STUDY_ID}/instances',
            ''),
        ('series_instances', (STUDY_ID,), f'/series/{STUDY_ID}/instances',
            ''),
        ])
def test_lists(peer, client, method, args, path, query):
    peer.script('/system', reply_json(SYSTEM))
    peer.script(path, reply_json([{'ID': 'a'}]))
    assert getattr(client, method)(*args) == [{'ID': 'a'}]
    assert (path, query) == [(r.path, r.query) for r in peer.received][-1]


@pytest.mark.parametrize('answer', [{}, ['a'], [None], None])
def test_list_of_something_else(peer, client, answer):
    peer.script('/system', reply_json(SYSTEM))
    peer.script('/studies', reply_json(answer))
    with pytest.raises(UnexpectedAnswer):
        client.list_studies(0, 10)


CHANGE = {
    'ChangeType': 'NewStudy', 'Date': '20261122T002237', 'ID': STUDY_ID,
    'Path': f'/studies/{STUDY_ID}', 'ResourceType': 'Study', 'Seq': 3}


@pytest.mark.parametrize('method, args, query', [
        ('changes', (2, 50), 'since=2&limit=50'),
        ('last_change', (), 'last'),
        ])
def test_changes(peer, client, method, args, query):
    peer.script('/changes', reply_json(
            {'Changes': [CHANGE], 'Done': False, 'Last': 3}))
    page = getattr(client, method)(*args)
    assert (page.done, page.last) == (False, 3)
    change, = page.changes
    assert (change.seq, change.change_type, change.level) == (
        3, 'NewStudy', 'study')
    assert change.orthanc_id == STUDY_ID
    assert peer.received[0].query == query


def test_end_of_changes(peer, client):
    peer.script('/changes', reply_json(
            {'Changes': [], 'Done': True, 'Last': 25}))
    page = client.changes(2**62, 1)
    assert (page.changes, page.done, page.last) == ((), True, 25)


@pytest.mark.parametrize('answer', [
        {}, {'Changes': [], 'Done': True}, {'Changes': None, 'Last': 3},
        {'Changes': [{**CHANGE, 'ID': None}], 'Last': 3},
        {'Changes': [], 'Last': '3'}])
def test_changes_of_something_else(peer, client, answer):
    peer.script('/changes', reply_json(answer))
    with pytest.raises(UnexpectedAnswer):
        client.changes(0, 10)


@pytest.mark.parametrize('call', [
        lambda client: client.changes(0, 0),
        lambda client: client.list_studies(0, 0),
        lambda client: client.rendered(STUDY_ID, -1),
        lambda client: client.rendered(STUDY_ID, width=0),
        lambda client: client.rendered(
            STUDY_ID, height=MAXIMUM_IMAGE_SIZE + 1),
        ])
def test_arguments_that_harm_are_not_sent(peer, client, call):
    with pytest.raises(ValueError):
        call(client)
    assert not peer.received


def test_rendered(peer, client):
    path = f'/instances/{STUDY_ID}/frames/2/rendered'
    peer.script(path, reply(PNG))
    assert client.rendered(STUDY_ID, 2, width=64) == PNG
    assert (peer.received[0].path, peer.received[0].query) == (
        path, 'width=64')
    assert peer.received[0].headers['Accept'] == 'image/png'


def test_rendered_without_pixels(peer, client):
    peer.script(f'/instances/{STUDY_ID}/frames/0/rendered', status(415))
    with pytest.raises(NoImage) as info:
        client.rendered(STUDY_ID)
    assert info.value.kind == 'no_image'


def test_rendered_as_something_else(peer, client):
    peer.script(f'/instances/{STUDY_ID}/frames/0/rendered', reply(b'<html>'))
    with pytest.raises(UnexpectedAnswer):
        client.rendered(STUDY_ID)


def test_frames(peer, client):
    peer.script(f'/instances/{STUDY_ID}/frames', reply_json([0, 1, 2]))
    assert client.frames(STUDY_ID) == 3


@pytest.mark.parametrize('orthanc_id', [
        '', '.', '..', '../system', '%2e%2e', 'a/b', 'a?b', 'a b', 'é'])
def test_identifiers_cannot_lead_elsewhere(peer, client, orthanc_id):
    with pytest.raises(NotFound):
        client.delete('study', orthanc_id)
    with pytest.raises(NotFound):
        client.study(orthanc_id)
    assert not peer.received


@pytest.mark.parametrize('answer', [
        status(401), status(403), status(404), status(500), redirect('/?x=1'),
        hang_up, cut, silence, reply(b'Jane Doe'), raw(b'Jane Doe\r\n')])
def test_errors_hold_no_secret(peer, answer):
    peer.script('/system', reply_json(SYSTEM))
    peer.script('/studies', answer)
    token = base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
    with impatient(
            peer, user=USER, password=PASSWORD, retries=0) as client:
        with pytest.raises(OrthancError) as info:
            client.list_studies(0, 4321)
    told = ''.join(traceback.format_exception_only(info.value))
    assert 'studies' in told
    for secret in [PASSWORD, token, USER, '4321', 'Jane']:
        assert secret not in told
    everything = ''.join(traceback.format_exception(info.value))
    assert PASSWORD not in everything
    assert token not in everything


@pytest.fixture(scope='module')
def authority():
    return Authority()


def tls_peer(certificate, key, client_authority=None):
    peer = FakeOrthanc(server_tls(certificate, key, client_authority))
    peer.script('/system', reply_json(SYSTEM))
    return peer


def test_self_signed_certificate():
    certificate, key = self_signed()
    with tls_peer(certificate, key) as peer:
        with OrthancClient(peer.url, USER, PASSWORD) as client:
            with pytest.raises(CertificateRejected) as info:
                client.system()
        assert 'self-signed' in str(info.value)
        assert not peer.received
        assert client.requests == 1
        with OrthancClient(
                peer.url, ca_certificates=certificate) as client:
            assert client.system() == SYSTEM


def test_only_our_context_says_whom_to_trust(tmp_path, monkeypatch):
    certificate, key = self_signed()
    bundle = tmp_path / 'bundle.pem'
    bundle.write_text(certificate)
    monkeypatch.setattr(
        'requests.adapters.DEFAULT_CA_BUNDLE_PATH', str(bundle))
    monkeypatch.setenv('REQUESTS_CA_BUNDLE', str(bundle))
    with tls_peer(certificate, key) as peer:
        with OrthancClient(peer.url) as client:
            with pytest.raises(CertificateRejected):
                client.system()


def test_answer_until_the_connection_closes(peer):
    answer = raw(
        b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n'
        + json.dumps(SYSTEM).encode())
    certificate, key = self_signed()
    with tls_peer(certificate, key) as tls:
        for server in [peer, tls]:
            server.script('/system', answer)
            with OrthancClient(
                    server.url, ca_certificates=certificate) as client:
                assert client.system() == client.system() == SYSTEM
            assert server.connections == 2


def test_certificate_of_another_host():
    certificate, key = self_signed('127.0.0.2')
    with tls_peer(certificate, key) as peer:
        with OrthancClient(
                peer.url, ca_certificates=certificate) as client:
            with pytest.raises(CertificateRejected):
                client.system()


@pytest.mark.parametrize('own', [False, True])
def test_issued_certificate(authority, own):
    certificate, key = authority.issue()
    trusted = certificate if own else authority.certificate
    with tls_peer(certificate, key) as peer:
        with OrthancClient(
                peer.url,
                ca_certificates=f"Für uns\n{trusted}\n") as client:
            assert client.system() == SYSTEM
            assert client.system() == SYSTEM
        assert peer.connections == 1


def test_client_certificate(authority, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    certificate, key = authority.issue()
    other, other_key = authority.issue('GNU Health')
    options = {'ca_certificates': authority.certificate}
    with tls_peer(certificate, key, authority.certificate) as peer:
        with OrthancClient(peer.url, **options) as client:
            # TLS 1.3 refuses after the handshake: the alert may come too late
            with pytest.raises((CertificateRejected, ConnectionFailed)):
                client.system()
            assert not peer.received
        with OrthancClient(
                peer.url, client_certificate=other, client_key=other_key,
                **options) as client:
            assert client.system() == SYSTEM
    assert not os.listdir(tmp_path)


def test_plain_server_asked_for_tls(peer):
    with OrthancClient(peer.url.replace('http:', 'https:')) as client:
        with pytest.raises(PlainHttp) as info:
            client.system()
    assert not info.value.transient


def encrypted_key():
    key = serialization.load_pem_private_key(self_signed()[1].encode(), None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b'secret')).decode()


@pytest.mark.parametrize('options, detail', [
        ({'ca_certificates': "nothing"}, 'authorities'),
        ({'ca_certificates': "nöthing"}, 'authorities'),
        ({'ca_certificates':
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
            'authorities'),
        ({'client_certificate': "nothing"}, 'client'),
        ({'client_certificate': self_signed()[0]}, 'client'),
        ({'client_key': self_signed()[1]}, 'client'),
        ({'client_certificate': self_signed()[0],
            'client_key': self_signed()[1]}, 'client'),
        ({'client_certificate': self_signed()[0],
            'client_key': encrypted_key()}, 'client'),
        ])
def test_pem_that_cannot_be_loaded(tmp_path, monkeypatch, options, detail):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    with pytest.raises(InvalidCertificate) as info:
        OrthancClient('https://orthanc', **options)
    assert info.value.detail == detail
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize('pem', [None, '', ' \n'])
def test_empty_pem_is_none(pem):
    OrthancClient('https://orthanc', ca_certificates=pem).close()


def stored(status='Success'):
    return reply_json({
            'ID': 'abc-1', 'ParentPatient': 'abc-4', 'ParentSeries': 'abc-3',
            'ParentStudy': 'abc-2', 'Path': '/instances/abc-1',
            'Status': status})


class Stream(io.RawIOBase):
    """Something that is read once"""

    def __init__(self, size, whole=None):
        self.left = size
        self.largest = 0

    def readable(self):
        return True

    def read(self, size=-1):
        self.largest = max(self.largest, size)
        size = min(size, self.left)
        self.left -= size
        return bytes(size)


@pytest.mark.parametrize('status, is_new', [
        ('Success', True), ('AlreadyStored', False)])
def test_instance_is_stored(peer, client, status, is_new):
    peer.script('/instances', stored(status))
    assert client.store_instance(io.BytesIO(b'skipDICM'), 8) == (
        StoredInstance('abc-1', 'abc-2', is_new))
    request, = peer.received
    assert (request.method, request.body) == ('POST', b'skipDICM')
    assert request.headers['Content-Length'] == '8'
    assert 'Transfer-Encoding' not in request.headers


def test_only_a_part_of_a_file_is_sent(peer, client):
    peer.script('/instances', stored())
    file = io.BytesIO(b'0123456789')
    file.seek(3)
    client.store_instance(file, 4)
    assert peer.received[0].body == b'3456'


def test_instance_is_sent_as_it_is_read(peer, client):
    peer.script('/instances', stored())
    stream = Stream(2**22)
    client.store_instance(stream, 2**22)
    assert len(peer.received[0].body) == 2**22
    assert stream.largest <= 2**18


def test_instance_that_can_be_sought_is_sent_again(peer, client):
    peer.script('/instances', hang_up, status(503), stored('AlreadyStored'))
    file = io.BytesIO(b'xDICM')
    file.seek(1)
    assert not client.store_instance(file, 4).is_new
    assert [r.body for r in peer.received] == [b'DICM'] * 3


def test_stream_is_sent_once(peer, client):
    peer.script('/instances', status(503), stored())
    with pytest.raises(ServerFault):
        client.store_instance(Stream(10), 10)
    assert len(peer.received) == 1


def test_stream_is_sent_over_a_fresh_connection(peer, client):
    peer.script('/system', reply_json(SYSTEM))
    peer.script('/instances', stored())
    client.system()
    client.store_instance(Stream(10), 10)
    assert peer.connections == 2


@pytest.mark.parametrize('answer, detail', [
        (reply(json.dumps({
                        'Message': 'Bad file format', 'OrthancStatus': 15,
                        'Details': '/home/x/DOE^JOHN'}).encode(), 400),
            'Bad file format'),
        (reply(json.dumps({'Message': '<b>DOE</b>'}).encode(), 400), ''),
        (reply(b'["x"]', 400), ''),
        (reply(b'Bad request', 400), ''),
        (reply_json({'Status': 'FilteredOut'}), 'filtered'),
        (reply(json.dumps({
                        'Message': 'Inexistent tag', 'OrthancStatus': 17,
                        }).encode(), 404), 'Inexistent tag'),
        (status(404), ''), (status(409), ''), (status(415), ''),
        (status(422), ''),
        ])
def test_refused_instance(peer, client, answer, detail):
    peer.script('/instances', answer)
    with pytest.raises(InstanceRefused) as raised:
        client.store_instance(io.BytesIO(b'DICM'), 4)
    assert raised.value.detail == detail
    assert 'DOE' not in str(raised.value)
    assert len(peer.received) == 1


@pytest.mark.parametrize('answer', [
        reply(b'[]'), reply(b'{}'), reply_json({'Status': 'Success'}),
        reply_json({'Status': 'Odd', 'ID': 'a', 'ParentStudy': 'b'}),
        reply_json({'Status': 'Success', 'ID': '../a', 'ParentStudy': 'b'}),
        reply_json({'Status': ['x'], 'ID': 'a', 'ParentStudy': 'b'}),
        ])
def test_odd_answer_to_an_instance(peer, client, answer):
    peer.script('/instances', answer)
    with pytest.raises(UnexpectedAnswer):
        client.store_instance(io.BytesIO(b'DICM'), 4)


@pytest.mark.parametrize('code, error', [
        (401, Unauthorized), (403, Forbidden), (413, ServerFault),
        (429, ServerFault), (500, ServerFault)])
def test_instance_is_not_taken(peer, client, code, error):
    peer.script('/instances', status(code))
    with pytest.raises(error):
        client.store_instance(io.BytesIO(b'DICM'), 4)


def test_what_ends_early_is_not_sent_whole(peer, client):
    peer.script('/instances', stored())
    with pytest.raises(Unreadable):
        client.store_instance(Stream(2**17), 2**18)
    deadline = time.monotonic() + 30
    while not peer.received and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(peer.received[0].body) < 2**18


def test_what_cannot_be_read_is_no_fault_of_the_server(peer, client):
    class Broken(Stream):
        def read(self, size=-1):
            raise OSError("the disk is gone")

    with pytest.raises(Unreadable):
        client.store_instance(Broken(10), 10)


def test_archive_that_does_not_answer(peer):
    peer.script('/instances', silence)
    with impatient(peer, retries=0) as client, pytest.raises(TimedOut):
        client.store_instance(io.BytesIO(b'DICM'), 4)
