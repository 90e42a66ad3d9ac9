# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers get what the rights of GNU Health allow, from a real Orthanc."""
import io
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest

from trytond.modules.health_orthanc.viewing.memory import REMEMBERED

from devtools.process import wait_until
from devtools.samples import Patient, make_dataset, make_study

from . import viewing_inside
from .viewing_site import (
    PATHS, STUDIES, TIMEOUT, Site, open_site, parts, paths)

MIB = 2**20
UID, SERIES, INSTANCE = '0020000D', '0020000E', '00080018'
ROLES = list(viewing_inside.GROUPS)
PHYSICIANS, STAFF = {'doctor'}, {'clerk', 'administrator'}
VISIBLE = {
    'own': PHYSICIANS | STAFF, 'earlier': PHYSICIANS | STAFF,
    'stranger': PHYSICIANS | STAFF, 'unlinked': STAFF, 'unconfirmed': STAFF,
    'dismissed': STAFF, 'elsewhere': set()}


@pytest.fixture(scope='module')
def site(prepared_tryton) -> Iterator[Site]:
    with open_site(prepared_tryton) as site:
        yield site


def test_what_ohif_asks_for(site):
    "A CT with its metadata and frames, and the patient's earlier study"
    browser = site.open('doctor')
    uid, dataset = site.uid('own'), site.files['own'][0]
    headers = {
        'Accept': 'application/dicom+json', 'Accept-Encoding': 'gzip'}
    study, = site.get(browser, 'studies', headers=headers, params={
            'limit': 101, 'offset': 0, 'fuzzymatching': 'false',
            'includefield': '00081030,00080060',
            'StudyInstanceUID': uid}).json()
    assert study[UID]['Value'] == [uid]
    assert study['00081030']['Value'] == ['own']
    # Its address is ours
    assert study['00081190']['Value'] == [f'{site.root}/studies/{uid}']
    patient = study['00100020']['Value'][0]
    found = site.get(browser, 'studies', headers=headers, params={
            'limit': 101, 'offset': 0, '00100020': patient}).json()
    assert {s[UID]['Value'][0] for s in found} == {
        site.uid('own'), site.uid('earlier')}
    series = site.get(
        browser, f'studies/{uid}/series', headers=headers,
        params={'includefield': '0008103E'}).json()
    assert len(series) == 2
    answer = site.get(
        browser, f"studies/{uid}/series/{series[0][SERIES]['Value'][0]}"
        '/metadata', headers=headers)
    assert len(answer.json()) == 2
    assert answer.headers['Content-Encoding'] == 'gzip'
    addresses = re.findall(r'https?://[^"\s]+', answer.text)
    assert all(a.startswith(site.root) for a in addresses)
    answer = site.get(browser, f"{site.file('own')}/frames/1", headers={
            'Accept': 'multipart/related; type=application/octet-stream; '
            'transfer-syntax=*'})
    frame, = parts(answer)
    assert frame == dataset.PixelData
    assert site.archive.url not in answer.text
    assert 'Content-Encoding' not in answer.headers


def test_whole_files_and_pictures(site):
    browser = site.open('doctor')
    file, = parts(site.get(browser, site.file('own'), headers={
            'Accept': 'multipart/related; type="application/dicom"'}))
    assert pydicom.dcmread(
        io.BytesIO(file)).SOPInstanceUID == site.files['own'][0].SOPInstanceUID
    for path, count in [
            (f"studies/{site.uid('own')}", 4),
            (site.file('own').rpartition('/instances')[0], 2)]:
        assert len(parts(site.get(browser, path))) == count
    picture = site.get(
        browser, f"{site.file('own')}/rendered",
        headers={'Accept': 'image/jpeg'})
    assert picture.headers['Content-Type'] == 'image/jpeg'
    assert picture.content.startswith(b'\xff\xd8')
    assert len(site.get(
            browser, f"studies/{site.uid('own')}/instances").json()) == 4


def in_order(found):
    return sorted(json.dumps(f, sort_keys=True) for f in found)


def check_same(site, path, answer):
    "Check that an answer is what Orthanc itself says"
    url = f'{site.archive.url}/dicom-web'
    own = site.archive.session.get(f'{url}/{path}', timeout=TIMEOUT)
    assert answer.status_code == own.status_code, path
    if own.status_code != 200:
        # Some versions have no such thumbnails
        assert 'message' in answer.json(), path
    elif 'json' in own.headers['Content-Type']:
        assert in_order(answer.json()) == in_order(json.loads(
                own.text.replace(url, site.root))), path
    elif 'multipart' in own.headers['Content-Type']:
        assert sorted(parts(answer)) == sorted(parts(own)), path
    else:
        assert answer.content == own.content, path


def check_rights(site, login, names, count):
    browser = site.open(login)
    for name in names:
        allowed = login in VISIBLE[name]
        for path in paths(site, name)[:count]:
            answer = site.get(browser, path)
            if allowed:
                check_same(site, path, answer)
            else:
                assert answer.status_code == 403, path
                assert answer.json().keys() == {'message'}
        answer = site.get(
            browser, 'studies', params={'StudyInstanceUID': site.uid(name)})
        assert answer.status_code == (200 if allowed else 403)
    found = site.get(browser, 'studies').json()
    assert {s[UID]['Value'][0] for s in found} == {
        site.uid(n) for n in STUDIES if login in VISIBLE[n]}


@pytest.mark.parametrize('login', ['nurse', 'doctor', 'clerk'])
def test_rights_are_those_of_the_records(site, login):
    check_rights(site, login, STUDIES, 2)


@pytest.mark.release
@pytest.mark.parametrize('login', ROLES)
def test_rights_of_all_roles_and_routes(site, login):
    check_rights(site, login, STUDIES, len(PATHS))
    browser = site.open(login)
    for name in STUDIES:
        report = make_dataset(
            'SR', StudyInstanceUID=site.uid(name), PatientID='SAME')
        for path in ['studies', f'studies/{site.uid(name)}']:
            status = site.store(browser, report, path).status_code
            # The second time it is there
            assert status == (
                403 if login not in VISIBLE[name]
                else 200 if path == 'studies' else 409), (name, path)


def take_away(site, why, login, name):
    "Take a right away, by a server that the viewer does not use"
    users = site.server.rpc().model.res.user
    user = site.users[login]
    if why in {'unlinked', 'dismissed'}:
        site.call(viewing_inside.link, site.ids[name], None, why)
    elif why == 'logged out':
        site.call(viewing_inside.log_out, site.keys[login])
    elif why != 'nothing':
        users.write([user], {
                'deactivated': {'active': False},
                'without group': {
                    'groups': [('remove', users.read(
                                [user], ['groups'], {})[0]['groups'])]},
                'new password': {'password': 'correct horse battery'},
                }[why], {})


@pytest.mark.release
def test_a_right_that_is_taken_away_ends_in_an_open_viewer(site):
    expected = {
        'unlinked': ('earlier', 403), 'dismissed': ('stranger', 403),
        'without group': ('own', 403), 'deactivated': ('own', 401),
        'logged out': ('own', 401), 'new password': ('own', 401),
        'nothing': ('own', 200)}
    viewers = {}
    for number, (why, (name, _)) in enumerate(expected.items()):
        login = f'doctor{number}'
        site.users[login] = site.call(
            viewing_inside.make_user, login, 'health.group_health_doctor')
        site.keys[login] = site.call(
            viewing_inside.log_in, user=site.users[login])
        viewers[why] = login, site.open(login, name)

    def statuses():
        return {
            why: site.get(browser, f'{site.file(name)}/frames/1').status_code
            for (why, (name, _)), (_, browser) in zip(
                expected.items(), viewers.values())}
    assert set(statuses().values()) == {200}
    try:
        for why, (name, _) in expected.items():
            take_away(site, why, viewers[why][0], name)
        assert wait_until(
            lambda: statuses() == {
                why: status for why, (_, status) in expected.items()},
            REMEMBERED + TIMEOUT, 1)
    finally:
        site.link_studies()


def test_a_study_that_awaits_confirmation(site):
    path = paths(site, 'unconfirmed')[0]
    assert site.get(site.open('doctor'), path).status_code == 403
    site.call(
        viewing_inside.say_known, site.ids['unconfirmed'],
        user=site.users['doctor'])
    assert site.get(site.open('doctor'), path).status_code == 200


def test_logout_ends_it_at_once(site):
    key = site.call(viewing_inside.log_in, user=site.users['doctor'])
    browser = site.open('doctor', key=key)
    path = paths(site, 'own')[0]
    assert site.get(browser, path).status_code == 200
    site.call(viewing_inside.log_out, key)
    answer = site.get(browser, path)
    assert answer.status_code == 401
    assert "Log in" in answer.json()['message']


def test_a_measurement(site):
    "It names its author, is in Orthanc, and in the record of the study"
    report = make_dataset(
        'SR', StudyInstanceUID=site.uid('own'), PatientID='SAME')
    browser = site.open('doctor')
    answer = site.store(browser, report)
    assert answer.status_code == 200, answer.text
    assert answer.json()['00081199']['Value']
    assert site.archive.url not in answer.text
    found = site.get(browser, (
            f"studies/{site.uid('own')}/series/{report.SeriesInstanceUID}"
            f'/instances/{report.SOPInstanceUID}'))
    stored = pydicom.dcmread(io.BytesIO(parts(found)[0]))
    assert stored.AuthorObserverSequence[0].PersonName == 'User doctor'
    site.call(viewing_inside.process_uploads, site.main.id)
    assert 'SR' in {
        s['modality'] for s in site.main.series('modality')}
    # A second one goes into the same series, but none replaces the first
    second = make_dataset(
        'SR', StudyInstanceUID=site.uid('own'), PatientID='SAME',
        SeriesInstanceUID=report.SeriesInstanceUID)
    assert site.store(browser, second).status_code == 200
    assert site.store(browser, report).status_code == 409
    mixed_up = make_dataset(
        'SR', StudyInstanceUID=site.uid('own'), PatientID='SAME',
        SeriesInstanceUID=site.files['own'][0].SeriesInstanceUID)
    assert site.store(browser, mixed_up).status_code == 409


def test_a_measurement_that_is_not_stored(site):
    before = len(site.archive.get('/instances'))
    for login, name, tags, code in [
            ('doctor', 'unlinked', {}, 403), ('nurse', 'own', {}, 403),
            ('doctor', 'own', {'PatientID': 'OTHER'}, 409),
            ('doctor', 'elsewhere', {}, 403)]:
        report = make_dataset('SR', **{
                'StudyInstanceUID': site.uid(name), 'PatientID': 'SAME',
                **tags})
        assert site.store(
            site.open(login), report).status_code == code
    assert len(site.archive.get('/instances')) == before


def test_who_saw_it(site):
    browser = site.open('administrator', 'dismissed')
    nurse = site.open('nurse')
    path = f"{site.file('dismissed')}/frames/1"
    for _ in range(2):
        assert site.get(browser, path).status_code == 200
        assert site.get(nurse, path).status_code == 403
    entries = site.call(viewing_inside.viewed)
    uid = site.uid('dismissed')
    assert (site.users['administrator'], 'success', uid) in entries
    assert (site.users['nurse'], 'refused', uid) in entries


def peak(server):
    "Return the most memory that a server has taken, in bytes"
    status = Path(f'/proc/{server.process.pid}/status').read_text()
    return int(re.search(r'VmHWM:\s*(\d+) kB', status)[1]) * 1024


def test_memory_does_not_grow_with_the_images(site):
    large, = make_study(
        'CT', Patient(id='LARGE'), series=1, instances=1, rows=16)
    large.Rows, large.Columns = 4096, 4096
    large.PixelData = os.urandom(32 * MIB)
    site.archive.upload([large])
    site.files['large'] = [large]
    try:
        site.import_studies()
        browsers = [site.open('clerk', 'large') for _ in range(3)]
        path = f"{site.file('large')}/frames/1"
        before = peak(site.server)
        with ThreadPoolExecutor() as pool:
            sizes = list(pool.map(
                    lambda browser: len(site.get(browser, path).content),
                    browsers))
        assert min(sizes) > 32 * MIB
        assert peak(site.server) - before < 30 * MIB
    finally:
        del site.files['large']


def test_orthanc_is_down(site):
    browser = site.open('doctor')
    path = paths(site, 'own')[0]
    site.archive.kill()
    try:
        answer = site.get(browser, path)
        search = site.get(browser, 'studies')
    finally:
        site.archive.start()
    for answer in [answer, search]:
        assert answer.status_code == 502
        assert "Orthanc" in answer.json()['message']
    assert site.get(browser, path).status_code == 200


def test_no_log_tells_a_secret(site):
    browser = site.open('doctor')
    cookie = browser.cookies.get_dict()['health_orthanc_viewer']
    site.get(browser, 'studies', params={'PatientID': 'VERYSECRET'})
    log = site.server.process.log.read_text(errors='replace')
    assert '/dicom-web/studies' in log
    for secret in [cookie, 'VERYSECRET', 'Phantom']:
        assert secret not in log
