# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What viewers, or others in their place, must not get or hold up."""
import os
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from random import Random

import pytest
import requests

from devtools.process import wait_until
from devtools.samples import make_dataset

from .viewing_site import TIMEOUT, Site, mixed, open_site

# Requests at a time
AT_ONCE = 6
SERIES, INSTANCE = '0020000E', '00080018'


@pytest.fixture(scope='module')
def site(prepared_tryton) -> Iterator[Site]:
    with open_site(prepared_tryton) as site:
        yield site


def test_a_cookie_in_another_database(site):
    "One whose records have the same numbers"
    tryton = site.server.tryton
    browser = site.open('doctor')
    other = tryton.sqlite_file.with_name('other.sqlite')
    path = f'{site.file("own")}/frames/1'
    assert site.get(browser, path).status_code == 200
    source = sqlite3.connect(tryton.sqlite_file)
    with closing(source), closing(sqlite3.connect(other)) as target:
        source.backup(target)
        target.execute(
            'DELETE FROM gnuhealth_imaging_orthanc_viewer_session')
        target.commit()
    cookie = browser.cookies.get_dict()['health_orthanc_viewer']
    answer = requests.get(
        site.root.replace(f'/{tryton.name}/', '/other/') + f'/{path}',
        headers={'Cookie': f'health_orthanc_viewer={cookie}'},
        timeout=TIMEOUT)
    assert answer.status_code == 401


def test_uids_of_another_study_in_a_path(site):
    "Orthanc itself does not find them there"
    browser = site.open('doctor')
    for path in mixed(site.file('own'), site.file('unlinked')):
        answer = site.get(browser, path)
        assert answer.status_code in {404, 400} or (
            answer.status_code in {200, 204} and not answer.content.strip(
                b'[] \r\n')), path
    uid = site.uid('own')
    for level, tag, value in [
            ('series', SERIES, site.files['unlinked'][0].SeriesInstanceUID),
            ('instances', INSTANCE, site.files['unlinked'][0].SOPInstanceUID),
            ]:
        answer = site.get(
            browser, f'studies/{uid}/{level}', params={tag: value})
        assert not answer.content.strip(b'[] \r\n')


def send_raw(site, cookie, method, path):
    "Send a request as it stands; return status and content"
    connection = HTTPConnection(
        '127.0.0.1', site.server.port, timeout=TIMEOUT)
    with closing(connection):
        connection.putrequest(method, path, skip_host=True)
        for name, value in [
                ('Host', f'127.0.0.1:{site.server.port}'),
                ('Cookie', f'health_orthanc_viewer={cookie}'),
                ('Sec-Fetch-Site', 'same-origin'), ('Content-Length', '0')]:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_paths_that_browsers_would_not_send(site):
    "Byte by byte, as they stand"
    cookie = site.open('doctor').cookies.get_dict()['health_orthanc_viewer']
    path = site.root.partition(site.server.url)[2]
    uid = site.uid('own')
    for end in [
            '/studies/..%2f..%2fsystem', '/studies/%2e%2e/%2e%2e/system',
            '/studies/../../../../../system', '/..;/system', '//system',
            f'/studies/{uid}/..%2f..%2f..%2fsystem', '/studies/%00',
            f'/studies/{uid}%5c{uid}', f'/studies/{uid},{uid}',
            f'/studies/{uid}%2fseries', '/%68ttp://127.0.0.1/x',
            f'/studies/{uid}/series/..', f'/studies/{uid}%0a']:
        status, content = send_raw(site, cookie, 'GET', path + end)
        # %2f is a slash: that path is the one of the series
        expected = {200} if end.endswith('%2fseries') else {
            308, 400, 404, 405}
        assert status in expected, end
        assert b'ApiVersion' not in content


def malformed(site, number):
    "Return method and path of a request that hardly makes sense"
    random = Random(number)
    own, other = site.uid('own'), site.uid('unlinked')
    pieces = [
        'studies', 'series', 'instances', 'frames', 'metadata', 'rendered',
        'bulk', 'thumbnail', own, other, f'{own},{other}', f'{own}%5c{other}',
        site.file('own'), site.file('unlinked'), '..', '.', '%2e%2e', '%2f',
        '', ';', '%00', '%0a', '%', '%zz', '%C3%28', 'http:', '1', '0', '-1',
        '9' * 30, 'a' * 3000, '7fe00010', 'system', 'instances',
        '?StudyInstanceUID=', '?limit=x', '?includefield=all', '#', "'", '*']
    path = '/'.join(random.choices(pieces, k=random.randint(1, 7)))
    method = random.choice(
        ['GET'] * 5 + ['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH'])
    return method, path


def sockets(process):
    "Return how many sockets a process has open"
    found = 0
    for path in Path(f'/proc/{process.pid}/fd').iterdir():
        with suppress(FileNotFoundError):
            found += os.readlink(path).startswith('socket:')
    return found


@pytest.mark.release
def test_a_thousand_malformed_requests(site):
    "None is an error of the server, and none leaves a connection open"
    cookie = site.open('doctor').cookies.get_dict()['health_orthanc_viewer']
    root = site.root.partition(site.server.url)[2]

    def ask(number):
        method, path = malformed(site, number)
        status, content = send_raw(site, cookie, method, f'{root}/{path}')
        assert status < 500, (number, path)
        # The description of a study that is not theirs, and Orthanc's system
        assert b'"unlinked"' not in content, (number, path)
        assert b'ApiVersion' not in content, (number, path)
    ask(0)
    before = sockets(site.server.process)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(ask, range(1000)))
    # Those to Orthanc are kept for the next requests
    assert wait_until(
        lambda: sockets(site.server.process) <= before + AT_ONCE, TIMEOUT)


def begin_to_store(site, browser, size):
    "Return a connection that has sent the beginning of a file"
    cookie = browser.cookies.get_dict()['health_orthanc_viewer']
    path = site.root.partition(site.server.url)[2]
    connection = socket.create_connection(
        ('127.0.0.1', site.server.port), timeout=TIMEOUT)
    connection.sendall((
            f'POST {path}/studies HTTP/1.1\r\n'
            f'Host: 127.0.0.1:{site.server.port}\r\n'
            f'Cookie: health_orthanc_viewer={cookie}\r\n'
            'Sec-Fetch-Site: same-origin\r\n'
            'Content-Type: multipart/related; boundary=x\r\n'
            f'Content-Length: {size}\r\n\r\n--x\r\n').encode())
    connection.sendall(bytes(size // 2))
    return connection


def test_slow_clients_keep_nobody_waiting(site):
    browser = site.open('doctor')
    with ExitStack() as stack:
        slow = [
            stack.enter_context(begin_to_store(site, browser, size))
            for size in [2**10, 2**10, 2**10, 2**22]]
        report = make_dataset(
            'SR', StudyInstanceUID=site.uid('own'), PatientID='SAME')
        assert site.store(browser, report).status_code == 200
        # They are let go
        for connection in slow:
            assert b' 400 ' in connection.recv(2**12).splitlines()[0]
