# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A full run skips what is listed as it was, and still finds every change.

What it has recorded is compared with what a first run records, which compares
everything.
"""
import datetime as dt
from collections.abc import Callable

import pytest
from pydicom.uid import generate_uid

from trytond.modules.health_orthanc.synchronization.study_digests import (
    PATIENT_FIELDS, SERIES_FIELDS, STUDY_FIELDS)

from devtools.process import wait_until
from devtools.proxy import Answer, Proxy
from devtools.samples import Patient, make_bulk

from . import inside
from .hospital import ADMIN, ALL, ON_BOTH, study, study_id
from .listings import BULK, altering, asked_for
from .test_synchronization_resets import keep_copy, restore

TIMEOUT = 30
LONG_AGO = dt.datetime(2020, 1, 1)
RELATIONS = {'server', 'orthanc_patient', 'study', 'uuid', 'orthanc_UID'}


@pytest.fixture
def proxy(orthanc):
    with Proxy(orthanc.url) as proxy:
        yield proxy


def now() -> str:
    """Return the time as Orthanc notes it."""
    return dt.datetime.now(dt.timezone.utc).strftime('%Y%m%dT%H%M%S')


class Site:
    """Two studies of a server that were compared completely.

    The first one has two series, with three instances and with one.
    """

    def __init__(self, hospital, orthanc, proxy):
        self.hospital, self.orthanc, self.proxy = hospital, orthanc, proxy
        self.datasets = study(
            Patient(id='FIRST'), series=2, instances=3,
            SeriesDescription="As sent")[:4]
        self.answers = orthanc.upload(self.datasets)
        self.id = study_id(self.answers)
        self.others = study(Patient(id='OTHER'))
        orthanc.upload(self.others)
        self.server = hospital.add_server(orthanc, proxy.url)
        self._first = hospital.add_server(orthanc)
        self.full()
        # What was stored while it arrived is compared once more
        self.full()
        # Orthanc notes the times of what changes in seconds
        assert wait_until(lambda: now() > self._last_update(), TIMEOUT)

    def _last_update(self) -> str:
        return max(
            self.orthanc.get(f'/studies/{id_}')['LastUpdate']
            for id_ in self.orthanc.get('/studies'))

    def full(self, **limits: int) -> dict:
        self.proxy.requests.clear()
        return self.server.done('full', **limits)

    @property
    def levels(self) -> set[str]:
        """What was listed."""
        return {
            asked.level for asked in map(asked_for, self.proxy.requests)
            if asked}

    @property
    def fetched(self) -> list:
        return [r for r in self.proxy.requests if r.path.startswith(BULK)]

    def ids(self, model: str) -> list[int]:
        """Return the records of the first study."""
        field = {
            inside.STUDY: 'orthanc_UID', inside.SERIES: 'study.orthanc_UID',
            inside.PATIENT: 'studies.orthanc_UID'}[model]
        return [r['id'] for r in self.hospital.read(model, [
                    (field, '=', self.id),
                    ('server', '=', self.server.id)])]

    def assert_complete(self) -> None:
        """Compare with records of which everything was compared."""
        self._first.write(compared_at=None)
        self._first.done('full')
        assert recorded(self.server) == recorded(self._first)


def recorded(server) -> dict[str, dict[str, dict]]:
    """Return the values of all records that are not missing, by Orthanc id."""
    found = {}
    for model, names, path in [
            (inside.PATIENT, PATIENT_FIELDS, 'server'),
            (inside.STUDY, STUDY_FIELDS, 'server'),
            (inside.SERIES, SERIES_FIELDS, 'study.server')]:
        key = 'uuid' if model == inside.PATIENT else 'orthanc_UID'
        found[model] = {
            record[key]: {
                name: record[name] for name in names - RELATIONS}
            for record in server.hospital.read(
                model, [(path, '=', server.id), ('missing_since', '=', None)],
                *names)}
    assert all(found.values())
    return found


@pytest.fixture
def site(hospital, orthanc, proxy) -> Site:
    return Site(hospital, orthanc, proxy)


def upload(site: Site, *datasets) -> None:
    site.orthanc.upload(datasets)


def renewed(dataset):
    "Return an instance as another one of its series"
    uid = generate_uid()
    dataset.SOPInstanceUID = uid
    dataset.file_meta.MediaStorageSOPInstanceUID = uid
    return dataset


# Each leaves something to be found


def delete_an_instance(site):
    site.orthanc.delete('instances', site.answers[0]['ID'])


def is_hidden(site, change: Callable) -> bool:
    """Change a study, and return whether it is listed as before.

    From 1.12 on, Orthanc changes the time of a study, in seconds, also when
    something is deleted.
    """
    before = site.orthanc.get(f'/studies/{site.id}')
    change(site)
    return site.orthanc.get(f'/studies/{site.id}') == before


def delete_a_series(site):
    site.orthanc.delete('series', site.answers[0]['ParentSeries'])


def delete_a_study(site):
    site.orthanc.delete('studies', site.id)


def replace_an_instance(site):
    delete_an_instance(site)
    upload(site, renewed(site.datasets[0]))


def send_a_series_with_other_tags(site):
    delete_a_series(site)
    for dataset in site.datasets[:3]:
        dataset.SeriesDescription = "Sent again"
    upload(site, *site.datasets[:3])


def send_a_study_with_other_tags(site):
    delete_a_study(site)
    for dataset in site.datasets:
        dataset.StudyDescription = "Sent again"
        dataset.PatientSex = 'O'
    upload(site, *site.datasets)


def add_an_instance(site):
    upload(site, renewed(site.datasets[3]))


def add_an_instance_to_the_other_study(site):
    upload(site, renewed(site.others[0]))


def add_a_study(site):
    upload(site, *study(Patient(id='NEW')))


def move_an_instance_to_another_study(site):
    "As many instances and series as before"
    delete_an_instance(site)
    add_an_instance_to_the_other_study(site)


def change_a_record_of_the_study(site):
    site.hospital.call(inside.write, inside.STUDY, site.ids(inside.STUDY), {
            'patient_birth_date': None, 'study_description': "By hand"})


def change_a_record_of_the_series(site):
    site.hospital.call(
        inside.write, inside.SERIES, site.ids(inside.SERIES),
        {'modality': 'XX', 'series_number': '7'})


def change_a_record_of_the_patient(site):
    site.hospital.call(
        inside.write, inside.PATIENT, site.ids(inside.PATIENT),
        {'display_name': "By hand"})


def mark_the_study(site):
    site.hospital.call(
        inside.mark_missing, inside.STUDY, site.ids(inside.STUDY))


def mark_one_series(site):
    site.hospital.call(
        inside.mark_missing, inside.SERIES, site.ids(inside.SERIES)[:1])


def mark_the_patient(site):
    site.hospital.call(
        inside.mark_missing, inside.PATIENT, site.ids(inside.PATIENT))


def delete_the_records(site):
    site.hospital.call(
        inside.delete, inside.STUDY, site.ids(inside.STUDY))


def delete_a_record_of_the_series(site):
    site.hospital.call(
        inside.delete, inside.SERIES, site.ids(inside.SERIES)[:1])


CHANGES = [
    delete_an_instance, delete_a_study, replace_an_instance,
    send_a_series_with_other_tags, change_a_record_of_the_study,
    mark_one_series, delete_the_records]
# Each is found as one of those is
OTHER_CHANGES = [
    delete_a_series, send_a_study_with_other_tags, add_an_instance,
    add_a_study, move_an_instance_to_another_study,
    change_a_record_of_the_series, change_a_record_of_the_patient,
    mark_the_study, mark_the_patient, delete_a_record_of_the_series]


@pytest.mark.parametrize('change', [
        *(pytest.param(change, id=change.__name__) for change in CHANGES),
        *(pytest.param(
                change, id=change.__name__, marks=pytest.mark.release)
            for change in OTHER_CHANGES)])
def test_a_change_is_found(site, change: Callable[[Site], None]):
    change(site)
    site.full()
    site.assert_complete()
    # And nothing is left to be found
    site.full()
    site.full()
    assert site.levels == {'Study'} and not site.fetched
    site.assert_complete()


def test_a_study_that_comes_back_is_found(site):
    delete_a_study(site)
    site.full()
    record, = site.ids(inside.STUDY)
    upload(site, *site.datasets)
    site.full()
    assert site.ids(inside.STUDY) == [record]
    site.assert_complete()


@pytest.mark.parametrize('kind', [
        'full', pytest.param('incremental', marks=pytest.mark.release)])
def test_a_restored_archive_is_compared(site, tmp_path, kind):
    keep_copy(site.orthanc, tmp_path / 'copy')
    delete_an_instance(site)
    add_a_study(site)
    site.full()
    restore(site.orthanc, tmp_path / 'copy')
    site.proxy.requests.clear()
    site.server.done(kind)
    assert site.levels == {'Study', 'Series'}
    site.assert_complete()


# What is listed


def test_nothing_new_lists_only_the_studies(site):
    run = site.full()
    assert site.levels == {'Study'}
    assert not site.fetched
    assert not [
        name for name, value in run.items()
        if name.endswith(('_created', '_updated', '_missing')) and value]


def test_only_the_series_of_changed_studies_are_fetched(site):
    add_an_instance(site)
    run = site.full()
    assert site.levels == {'Study'}
    assert run['studies_updated'] == 1 and run['series_updated'] == 1
    asked = b''.join(r.body for r in site.fetched).decode()
    assert site.answers[3]['ParentSeries'] in asked
    record, = site.ids(inside.STUDY)
    others = [
        s['orthanc_UID'] for s in site.server.series('study')
        if s['study'] != record]
    assert others and not any(id_ in asked for id_ in others)


def test_all_series_are_listed_if_an_instance_is_gone(site):
    hidden = is_hidden(site, delete_an_instance)
    run = site.full()
    assert ('Series' in site.levels) == hidden
    assert run['series_updated'] == 1
    assert run['processed'] == 2 + len(site.server.series()) * hidden


def test_everything_is_compared_once_a_week(site):
    site.server.write(compared_at=LONG_AGO)
    site.full()
    assert site.levels == {'Study', 'Series'}
    # The patients
    assert len(site.fetched) == 1
    assert site.server.values('compared_at')['compared_at'] > LONG_AGO
    site.full()
    assert site.levels == {'Study'}


def test_everything_is_compared_if_somebody_asks_for_it(site):
    site.proxy.requests.clear()
    site.hospital.call(
        inside.press, site.server.id, 'reconcile', user=ADMIN)
    assert site.levels == {'Study', 'Series'}


def test_that_series_are_listed_does_not_put_it_off(site):
    values = site.server.values('compared_at')
    hidden = is_hidden(site, delete_an_instance)
    site.full()
    assert ('Series' in site.levels) == hidden
    assert site.server.values('compared_at') == values


def test_instances_that_are_always_recorded_are_looked_for(
        hospital, orthanc, proxy):
    orthanc.upload(study(instances=2))
    server = hospital.add_server(orthanc, proxy.url, **ALL)
    server.done('full')
    instance, _ = server.instances()
    hospital.call(inside.delete, inside.INSTANCE, [instance['id']])
    server.done('full')
    server.assert_equal()


@ON_BOTH
def test_statements_and_requests_follow_the_pages(hospital, orthanc, proxy):
    found = []
    for pages in [2, 6]:
        orthanc.reset()
        hospital.call(inside.empty)
        orthanc.upload_bulk(make_bulk(5 * pages, 2, 1))
        server = hospital.add_server(orthanc, proxy.url)
        limits = {'LISTING_LIMIT': 5, 'PART_PAGES': 20}
        server.done('full', **limits)
        proxy.requests.clear()
        run = server.done('full', **limits)
        found.append((
                len([r for r in proxy.requests if asked_for(r)]),
                run['requests'], run['statements']))
    (few, requests, statements), (many, more_requests, more) = found
    assert more_requests - requests == many - few == 4
    assert more - statements <= 10 * (many - few)


# Arrivals during a run, which could make up for what was deleted


@pytest.mark.parametrize('at', [
        'listing', 'numbers', pytest.param('both', marks=pytest.mark.release)])
def test_an_arrival_does_not_hide_a_deletion(site, at):
    hidden = is_hidden(site, delete_an_instance)
    waiting = {
        'listing': ['/changes'], 'numbers': ['/statistics'],
        'both': ['/changes', '/statistics']}[at]
    has_listed = False

    def before(request):
        nonlocal has_listed
        # After the studies were listed, and before it is answered
        if has_listed and waiting and request.path.startswith(waiting[0]):
            waiting.pop(0)
            add_an_instance_to_the_other_study(site)
        has_listed |= bool(asked_for(request))

    site.proxy.before = before
    site.full()
    assert not waiting
    assert ('Series' in site.levels) == hidden
    site.proxy.before = None
    site.assert_complete()


def test_arrivals_alone_do_not_list_the_series(site):
    has_listed = False

    def before(request):
        nonlocal has_listed
        if has_listed and request.path.startswith('/statistics'):
            site.proxy.before = None
            add_an_instance(site)
            add_a_study(site)
        has_listed |= bool(asked_for(request))

    site.proxy.before = before
    site.full()
    assert site.levels == {'Study'}
    site.assert_complete()


# Runs that are killed, and what could not be stored


def test_a_changed_study_is_compared_again_after_a_failure(site):
    # As many instances as before: only the digest tells that it has changed
    send_a_series_with_other_tags(site)
    site.proxy.before = lambda request: (
        Answer(500) if request.path.startswith(BULK)
        and site.answers[0]['ParentSeries'].encode() in request.body
        else None)
    assert site.server.run('full')['state'] == 'failed'
    site.proxy.before = None
    # Not where it was, but from the beginning
    site.server.write(reconciliation_position=None)
    site.full()
    site.assert_complete()


@pytest.mark.parametrize('kind', [
        'incremental', pytest.param('full', marks=pytest.mark.release)])
def test_a_series_that_cannot_be_stored_is_tried_again(site, kind):
    answer, = site.orthanc.upload(study(
            Patient(id='FIRST'),
            StudyInstanceUID=site.datasets[0].StudyInstanceUID))
    bad = answer['ParentSeries']

    def hurt(resource):
        if resource['ID'] == bad:
            del resource['ParentStudy']
        return resource

    site.proxy.before = altering(site.orthanc, hurt)
    for kind in [kind, 'full']:
        assert site.server.run(kind)['failures_count']
    site.proxy.before = None
    site.full()
    site.assert_complete()
    failure, = site.server.failures('resolved')
    assert failure['resolved']


def test_a_person_is_not_disturbed(site):
    "Of a record that is only recognized, no time of writing changes"
    record, = site.ids(inside.STUDY)
    site.hospital.write(inside.STUDY, [record], notes="Seen")
    assert site.hospital.call(inside.wrote, inside.STUDY, record) == ADMIN
    site.server.write(compared_at=LONG_AGO)
    site.full()
    site.full()
    assert site.hospital.call(inside.wrote, inside.STUDY, record) == ADMIN
    assert site.levels == {'Study'} and not site.fetched
