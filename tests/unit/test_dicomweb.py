# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of DICOMweb is passed on, and in which form."""
import re
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.dicomweb.headers import (
    forwarded, request_headers, response_headers)
from trytond.modules.health_orthanc.core.dicomweb.query import (
    QueryError, parse_query, parse_study_search)
from trytond.modules.health_orthanc.core.dicomweb.resource_path import (
    PIXELS, Resource, parse_path)
from trytond.modules.health_orthanc.core.orthanc.streaming import is_web_path

STUDY, SERIES = 'studies/1.2', 'studies/1.2/series/1.3'
INSTANCE = f'{SERIES}/instances/1.4'
ALLOWED = {
    'studies': 'search_studies',
    f'{STUDY}/series': 'search_series',
    f'{STUDY}/instances': 'search_instances',
    f'{SERIES}/instances': 'search_instances',
    STUDY: 'retrieve', SERIES: 'retrieve', INSTANCE: 'retrieve',
    f'{STUDY}/metadata': 'metadata', f'{SERIES}/metadata': 'metadata',
    f'{INSTANCE}/metadata': 'metadata',
    f'{INSTANCE}/frames/1': 'frames', f'{INSTANCE}/frames/1,2,30': 'frames',
    f'{INSTANCE}/rendered': 'rendered',
    f'{INSTANCE}/frames/2/rendered': 'rendered',
    f'{STUDY}/thumbnail': 'thumbnail', f'{SERIES}/thumbnail': 'thumbnail',
    f'{INSTANCE}/thumbnail': 'thumbnail',
    f'{INSTANCE}/frames/2/thumbnail': 'thumbnail',
    f'{INSTANCE}/bulk/00420011': 'bulk',
    f'{INSTANCE}/bulk/0008114a/1/00420011': 'bulk',
    }
REFUSED = [
    '', '/', '.', '..', 'system', 'series', 'instances', 'studies/',
    '/studies', 'studies//1.2', 'studies/1.2/', 'Studies/1.2',
    'studies/../../system', 'studies/..', 'studies/1.2/..',
    'studies/%2e%2e/%2e%2e/system', 'studies/1.2%2f..', 'studies/1.2;x',
    'studies/1.2?x', 'studies/1.2#x', 'studies/1.2\\1.3', 'studies/1.2,1.3',
    'studies/1.2\n', 'studies/1.2\0', 'studies/1.2 ', 'studies/1..2',
    'studies/.1', 'studies/1.', 'studies/١.٢', 'studies/１.２',
    f"studies/{'1' * 65}", f"studies/{'1.' * 2000}1",
    'studies/http://example.org/1.2', 'http://example.org/studies',
    f'{STUDY}/series/1.3/1.4', f'{STUDY}/rendered', f'{SERIES}/rendered',
    f'{SERIES}/frames/1', f'{INSTANCE}/frames', f'{INSTANCE}/frames/0',
    f'{INSTANCE}/frames/-1', f'{INSTANCE}/frames/1,', f'{INSTANCE}/frames/01',
    f'{INSTANCE}/frames/1,2/rendered', f'{INSTANCE}/frames/1/../2',
    f'{INSTANCE}/bulk', f'{INSTANCE}/bulk/', f'{INSTANCE}/bulk/../x',
    f'{INSTANCE}/bulk/00420011/1', f'{INSTANCE}/bulk/0042001g',
    f'{INSTANCE}/bulk/00420011/../00420011', f'{INSTANCE}/file',
    f'{INSTANCE}/attachments', 'studies/1.2/delete', 'servers', 'info',
    ]


@pytest.mark.parametrize('path, kind', ALLOWED.items())
def test_what_is_passed_on(path, kind):
    resource = parse_path('GET', path)
    assert resource.kind == kind
    assert resource.path == path
    assert is_web_path(path)
    for method in ['HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'get', '']:
        assert parse_path(method, path) is None


@pytest.mark.parametrize('path', REFUSED)
def test_nothing_else(path):
    for method in ['GET', 'POST', 'DELETE']:
        assert parse_path(method, path) is None


def test_what_can_be_stored():
    assert parse_path('POST', 'studies') == Resource('store')
    assert parse_path('POST', STUDY) == Resource('store', '1.2')
    for path in ALLOWED.keys() - {'studies', STUDY}:
        assert parse_path('POST', path) is None


def test_which_show_images():
    assert {kind for kind in ALLOWED.values() if kind in PIXELS} == PIXELS
    assert 'metadata' not in PIXELS


PIECES = st.sampled_from([
    'studies', 'series', 'instances', 'frames', 'bulk', 'metadata',
    'rendered', '1.2', '1.3', '00420011', '1', '..', '.', '', '%2e%2e',
    '%2f', ';', '//', '\\', '?', '#', 'http:', '\r\n', '\0', 'é', ',',
    'a' * 70, '9' * 70])


@given(
    st.lists(PIECES, max_size=12), st.sampled_from(['/', '', '//', '%2F']),
    st.text(max_size=5))
@settings(max_examples=1000)
@example(['studies', '1.2', 'series', '1.3'], '/', '')
def test_a_path_is_passed_on_as_it_is_understood_or_not_at_all(
        pieces, separator, end):
    path = separator.join(pieces) + end
    resource = parse_path('GET', path)
    if resource:
        assert resource.path == path
        assert re.fullmatch('[0-9A-Za-z.,/]+', path)
        assert '..' not in path and '//' not in path
        assert is_web_path(path)


@pytest.mark.parametrize('path', [
        '', '/', '..', '../x', 'studies/..', 'studies//1', '/studies',
        'studies/%2e', 'studies?x', 'a b', 'studies/', 'studies/1\n'])
def test_the_client_sends_nothing_else(path):
    assert not is_web_path(path)


def test_the_searches_of_ohif():
    search = parse_study_search(parse_qsl(
            'limit=101&offset=0&fuzzymatching=false&'
            'includefield=00081030%2C00080060&StudyInstanceUID=1.2',
            keep_blank_values=True))
    assert search.uids == ('1.2',)
    assert (search.limit, search.offset) == (101, 0)
    assert search.fields == ('00081030', '00080060')
    assert not search.filters
    search = parse_study_search([
            ('00100020', 'ID 1'), ('0020000d', '1.2,1.3'),
            ('ModalitiesInStudy', 'CT'), ('StudyDate', '20260101-')])
    assert search.filters == {
        'PatientID': 'ID 1', 'ModalitiesInStudy': 'CT',
        'StudyDate': '20260101-'}
    assert search.uids == ('1.2', '1.3')
    assert parse_study_search([('StudyInstanceUID', r'1.2\1.3')]).uids == (
        '1.2', '1.3')


@pytest.mark.parametrize('name, value', [
        ('StudyInstanceUID', '1.2,*'), ('StudyInstanceUID', '1.2,'),
        ('StudyInstanceUID', '*'), ('StudyInstanceUID', ','),
        ('StudyInstanceUID', '1.2/../1.3'), ('limit', '-1'),
        ('limit', '1001'), ('limit', 'x'), ('limit', ''), ('offset', '1e9'),
        ('limit', '١'), ('fuzzymatching', 'true'), ('includefield', 'a b'),
        ('includefield', '../x'), ('StudyDate', 'x'), ('StudyDate', '2026'),
        ('StudyDate', '20260101-20260102-20260103'),
        ('ModalitiesInStudy', 'ct'), ('ModalitiesInStudy', 'CT,MR'),
        ('PatientID', 'a\\b'), ('PatientID', 'a\n'), ('PatientID', 'x' * 65),
        ('PatientBirthDate', '19640812'), ('SeriesInstanceUID', '1.2'),
        ('accept', 'x'), ('', ''), ('studyinstanceuid', '1.2')])
def test_a_search_that_is_refused(name, value):
    with pytest.raises(QueryError):
        parse_study_search([(name, value)])


def test_a_parameter_is_given_once():
    for names in [
            ('StudyInstanceUID', '0020000D'), ('PatientID', 'PatientID'),
            ('limit', 'limit')]:
        with pytest.raises(QueryError):
            parse_study_search([(name, '1') for name in names])
    with pytest.raises(QueryError):
        parse_study_search(
            [('StudyInstanceUID', ','.join(['1.2'] * 201))])


@pytest.mark.parametrize('path, query, passed', [
        (f'{STUDY}/series', '', ''),
        (f'{STUDY}/series', 'includefield=0008103E,Modality',
            'includefield=0008103E&includefield=Modality'),
        (f'{STUDY}/series', '0020000E=1.3&limit=5',
            'SeriesInstanceUID=1.3&limit=5'),
        (f'{SERIES}/instances', 'InstanceNumber=1&SOPInstanceUID=1.4',
            'InstanceNumber=1&SOPInstanceUID=1.4'),
        (f'{INSTANCE}/rendered', 'viewport=128,128&quality=90',
            'viewport=128%2C128&quality=90'),
        (f'{INSTANCE}/rendered', 'window=40,400,linear',
            'window=40%2C400%2Clinear'),
        (f'{INSTANCE}/metadata', '', '')])
def test_a_query_that_is_passed_on(path, query, passed):
    resource = parse_path('GET', path)
    assert parse_query(resource, parse_qsl(query)) == passed


@pytest.mark.parametrize('path, query', [
        (f'{STUDY}/series', 'StudyInstanceUID=1.9'),
        (f'{STUDY}/series', '0020000D=1.9'),
        (f'{STUDY}/series', 'SeriesInstanceUID=1.3,1.4'),
        (f'{STUDY}/series', 'SeriesInstanceUID=*'),
        (f'{STUDY}/series', 'PatientID=X'),
        (f'{SERIES}/instances', 'SOPInstanceUID=../1'),
        (f'{INSTANCE}/rendered', 'viewport=100000,100000'),
        (f'{INSTANCE}/rendered', 'viewport=0,1'),
        (f'{INSTANCE}/rendered', 'viewport=1'),
        (f'{INSTANCE}/rendered', 'viewport=1,1,x,x,x,x'),
        (f'{INSTANCE}/rendered', 'window=a,b,linear'),
        (f'{INSTANCE}/rendered', 'window=1,1,other'),
        (f'{INSTANCE}/rendered', 'quality=101'),
        (f'{INSTANCE}/rendered', 'iccprofile=yes'),
        (f'{INSTANCE}/frames/1', 'x=1'), (f'{INSTANCE}/metadata', 'x=1'),
        (INSTANCE, 'accept=text/html')])
def test_a_query_that_is_refused(path, query):
    with pytest.raises(QueryError):
        parse_query(parse_path('GET', path), parse_qsl(query))


@given(st.lists(st.tuples(
            st.sampled_from([
                    'StudyInstanceUID', 'PatientID', 'limit', 'includefield',
                    'StudyDate', 'viewport', 'SeriesInstanceUID', 'x']),
            st.text(max_size=20)), max_size=3))
@settings(max_examples=500)
def test_any_query_is_understood_or_refused(pairs):
    for parse in [
            parse_study_search,
            lambda pairs: parse_query(
                Resource('search_series', '1.2'), pairs),
            lambda pairs: parse_query(
                Resource('rendered', '1.2', '1.3', '1.4'), pairs)]:
        try:
            parse(pairs)
        except QueryError:
            pass


def test_pixels_are_not_compressed():
    passed = request_headers('frames', {
            'Accept': 'multipart/related; type=application/octet-stream',
            'Accept-Encoding': 'gzip, br', 'Range': 'bytes=0-99',
            'Cookie': 'secret', 'Authorization': 'Session x',
            'Host': 'h', 'Connection': 'close', 'X-Forwarded-For': '1'})
    assert passed == {
        'Accept': 'multipart/related; type=application/octet-stream',
        'Accept-Encoding': 'identity', 'Range': 'bytes=0-99'}
    assert request_headers('metadata', {
            'Accept-Encoding': 'gzip, br', 'Range': 'bytes=0-9'}) == {
        'Accept': 'application/dicom+json', 'Accept-Encoding': 'gzip'}
    for accept in ['a\r\nb', 'é', 'x' * 1001]:
        assert request_headers('bulk', {'Accept': accept})['Accept'] == '*/*'
    assert 'Range' not in request_headers('frames', {'Range': 'lines=1-2'})


def test_headers_of_answers():
    assert response_headers({
            'Content-Type': 'image/jpeg', 'Content-Length': '9',
            'Content-Range': 'bytes 0-8/10', 'Server': 'Orthanc',
            'Set-Cookie': 'x', 'Connection': 'close', 'Location': 'http://x',
            'Access-Control-Allow-Origin': '*', 'Content-Encoding': 'gzip',
            'WWW-Authenticate': 'Basic'}) == {
        'Content-Type': 'image/jpeg', 'Content-Length': '9',
        'Content-Range': 'bytes 0-8/10', 'Content-Encoding': 'gzip'}


@pytest.mark.parametrize('type_', [
        'text/html', 'image/svg+xml', 'application/xhtml+xml', '', 'text/xml',
        'application/dicom+xml', 'application/javascript', 'image/jpeg\n'])
def test_a_type_that_a_browser_could_run(type_):
    assert response_headers({'Content-Type': type_})['Content-Type'] == (
        'application/octet-stream')


def test_own_addresses():
    assert forwarded('h.example:8443', '/db/orthanc/dicomweb/1', True) == (
        'host=h.example:8443/db/orthanc/dicomweb/1;proto=https')
    assert forwarded('[::1]:80', '/x', False) == 'host=[::1]:80/x;proto=http'
    for host in ['', 'a b', 'a;proto=x', 'a"', 'a/b', 'a,b', 'a\r\nb']:
        assert forwarded(host, '/x', False) is None
