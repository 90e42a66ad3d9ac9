# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A large archive is compared range by range of the dates of its studies."""
import datetime as dt
import io
import json

import pytest
from pydicom import Dataset

from devtools.proxy import Answer, Proxy

from .hospital import ALL, ON_BOTH, study, study_id
from .listings import BULK, FIND

SMALL = {'LISTING_LIMIT': 2, 'PART_PAGES': 2, 'IDS_LIMIT': 5}
ABSENT = None
DATES = [
    *(f'2020{month:02}17' for month in range(1, 11)), '20200317', '20200317',
    '19000101', ABSENT, ABSENT, '', '2020', '2020.05.05', '20201340',
    '99991231', 'TODAY']


def dated(value: str | None, **options) -> Dataset:
    """Return a study with a StudyDate that may be none."""
    found, = study(**options)
    if value is ABSENT:
        del found.StudyDate
    elif value.isdigit() and len(value) == 8 and value[4:6] < '13':
        found.StudyDate = value
    else:
        found['StudyDate']._value = value
    return found


def upload(orthanc, value: str | None, **options) -> str:
    file = io.BytesIO()
    dated(value, **options).save_as(file, enforce_file_format=True)
    return study_id(orthanc.upload([file.getvalue()]))


def ranges(proxy: Proxy) -> list[str]:
    """Return the ranges of dates that were asked for, once each."""
    found = [
        json.loads(r.body)['Query'].get('StudyDate') for r in proxy.requests
        if r.path == FIND]
    return list(dict.fromkeys(filter(None, found)))


def asked_by_id(proxy: Proxy) -> set[str]:
    return {
        id_ for r in proxy.requests if r.path.startswith(BULK)
        for id_ in json.loads(r.body)['Resources']}


@pytest.fixture
def proxy(orthanc):
    with Proxy(orthanc.url) as proxy:
        yield proxy


@ON_BOTH
def test_ranges_are_all_of_the_archive(hospital, orthanc, proxy):
    ids = [upload(orthanc, value) for value in DATES]
    server = hospital.add_server(orthanc, proxy.url, **ALL)
    server.done('full', **SMALL)
    assert not ranges(proxy)
    server.assert_equal()
    proxy.requests.clear()
    run = server.done('full', **SMALL)
    assert len(ranges(proxy)) >= 3
    assert not run['studies_updated'] and not run['studies_missing']
    # All were found: nothing else was listed
    assert not [r for r in proxy.requests if r.path.startswith('/studies?')]
    server.assert_equal()
    # In ranges, at their edges and in none
    for id_ in [*ids[:4], ids[12], ids[13], ids[15], ids[18], ids[19]]:
        orthanc.delete('studies', id_)
    # Of these, Orthanc lists the last two in no range
    new = [upload(orthanc, value) for value in [
        '20100101', '20300101', '2020', '', ABSENT, ABSENT]]
    run = server.done('full', **SMALL)
    assert run['studies_missing'] == 9
    assert run['studies_created'] == len(new)
    server.assert_equal()


def test_a_study_whose_date_has_changed_is_not_missing(
        hospital, orthanc, proxy):
    for number in range(12):
        upload(orthanc, f'202001{number + 1:02}')
    uids = {'StudyInstanceUID': '1.2.3.4', 'SOPInstanceUID': '1.2.3.5'}
    server = hospital.add_server(orthanc, proxy.url, **ALL)
    moved = None
    for value in ['20200101', '20200112', ABSENT, '20200105', '']:
        found = dated(value)
        for keyword, uid in uids.items():
            setattr(found, keyword, uid)
        file = io.BytesIO()
        found.save_as(file, enforce_file_format=True)
        if moved:
            orthanc.delete('studies', moved)
        id_ = study_id(orthanc.upload([file.getvalue()]))
        # Orthanc computes it from the PatientID and the UID
        assert moved in {None, id_}
        moved = id_
        run = server.done('full', **SMALL)
        assert not run['studies_missing']
        server.assert_equal()
        day, = {
            s['date'] for s in server.studies('date')
            if s['orthanc_UID'] == id_}
        assert (day and day.strftime('%Y%m%d')) == (value or None)
    assert ranges(proxy)


@ON_BOTH
def test_it_goes_on_with_the_range_where_it_was(hospital, orthanc, proxy):
    ids = [upload(orthanc, f'2020{n % 12 + 1:02}01') for n in range(24)]
    server = hospital.add_server(orthanc, proxy.url, **ALL)
    server.done('full', **SMALL)
    proxy.requests.clear()
    server.done('full', **SMALL)
    every = ranges(proxy)
    assert len(every) >= 5
    orthanc.delete('studies', ids[0])
    orthanc.delete('studies', ids[11])

    def fail(request):
        if request.path == FIND and every[3] in request.body.decode():
            return Answer(500)

    proxy.before = fail
    proxy.requests.clear()
    run = server.run('full', **SMALL)
    assert run['state'] == 'failed'
    # What was compared is known already
    assert run['studies_missing'] == 1
    assert ranges(proxy) == every[:4]
    proxy.before = None
    proxy.requests.clear()
    run = server.done('full', **SMALL)
    assert ranges(proxy) == every[3:]
    assert run['studies_missing'] == 1
    server.assert_equal()


@pytest.mark.parametrize('size', [2, 50], ids=['ranges', 'whole'])
@pytest.mark.parametrize('hospital', ['postgresql'], indirect=True)
def test_only_what_is_gone_is_asked_for(hospital, orthanc, proxy, size):
    first = dt.date(2020, 1, 1)
    for number in range(40):
        upload(orthanc, (first + dt.timedelta(number)).strftime('%Y%m%d'))
    server = hospital.add_server(orthanc, proxy.url, **ALL)
    small = {**SMALL, 'LISTING_LIMIT': size}
    server.done('full', **small)
    for count in [1, 3]:
        gone = orthanc.get('/studies')[:count]
        for id_ in gone:
            orthanc.delete('studies', id_)
        proxy.requests.clear()
        run = server.done('full', **small)
        assert bool(ranges(proxy)) == (size == 2)
        studies = {s['orthanc_UID'] for s in server.studies()}
        assert asked_by_id(proxy) & studies == set(gone)
        assert run['studies_missing'] == count
    server.assert_equal()
