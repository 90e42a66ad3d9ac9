# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of the wrong patient are moved to the right one, and none is lost."""
import datetime as dt

import pytest

from devtools.process import wait_until
from devtools.proxy import Answer
from devtools.samples import Patient

from . import inside, misfiled
from .hospital import ADMIN, ON_BOTH, study, study_id
from .test_reconciliation import Archive, held, is_call

TIMEOUT = 60


class Misfiled(Archive):
    """A study that was acquired with the worklist item of somebody else."""

    def __init__(self, hospital, orthanc, url=None, series=2):
        self.hospital, self.orthanc = hospital, orthanc
        self.wrong_patient, self.wrong_puid = hospital.add_patient(
            "Muster", "Erika", 'f', dt.date(1964, 8, 12))
        self.patient, self.puid = hospital.add_patient(
            "Ejemplo", "Juan", 'm', dt.date(1971, 2, 3))
        self.wrong_order, accession, uid = hospital.call(
            misfiled.add_order, self.wrong_patient)
        self.order, self.accession, self.uid = hospital.call(
            misfiled.add_order, self.patient)
        self.wrong_numbers = accession, uid
        self.datasets = study(
            Patient('Muster^Erika', self.wrong_puid, '19640812', 'F'),
            series=series, instances=2, AccessionNumber=accession,
            StudyInstanceUID=uid)
        self.source = study_id(orthanc.upload(self.datasets))
        self.wait_stable()
        self.server = hospital.add_server(
            orthanc, url, instances_mode='always', correct_identity=True)
        self.server.done()
        record = self.server.study('link_status', 'request')
        assert record['link_status'] == 'auto_certain'
        assert record['request'] == self.wrong_order
        self.record = record['id']
        self.wrong = hospital.call(misfiled.mark, self.record, user=ADMIN)
        self.series_uids = []

    def move(self, *series_uids):
        self.series_uids = list(series_uids)
        self.start_move().result()

    def start_move(self):
        return self.hospital.agent.start(
            misfiled.move, self.wrong, self.patient, self.order,
            self.series_uids, user=ADMIN)

    def carry_on(self):
        self.hospital.call(misfiled.carry_on)
        return self.report()

    def undo(self):
        self.hospital.agent.start(
            misfiled.undo, self.wrong, user=ADMIN).result()

    def confirm(self):
        self.hospital.call(misfiled.confirm, self.wrong, user=ADMIN)

    def report(self):
        report, = self.hospital.read(
            inside.WRONG_PATIENT, [('id', '=', self.wrong)], 'state',
            'refusal', 'error_kind', 'new_study', 'in_orthanc')
        return report

    def states(self):
        return tuple(
            self.hospital.read(
                misfiled.REQUEST, [('id', '=', id_)], 'state')[0]['state']
            for id_ in [self.wrong_order, self.order])

    def links(self):
        "Return patient, order and PatientID of each present study, by UID"
        return {
            s['study_instance_UID']: (
                s['patient'], s['request'], s['patient_id'])
            for s in self.server.studies(
                'study_instance_UID', 'patient', 'request', 'patient_id',
                'missing_since') if not s['missing_since']}

    def quarantined(self):
        return [
            bool(s['quarantined_at']) for s in self.server.studies(
                'quarantined_at', 'missing_since') if not s['missing_since']]

    def assert_images(self, moved=()):
        """All images are there once, those of the series `moved` corrected.
        """
        files = self.files()
        assert files.keys() == {d.SOPInstanceUID for d in self.datasets}
        for dataset in self.datasets:
            file = files[dataset.SOPInstanceUID]
            found = (
                file.PatientID, file.StudyInstanceUID, file.AccessionNumber)
            if dataset.SeriesInstanceUID in moved:
                assert found == (self.puid, self.uid, self.accession)
                assert file.PatientName == 'Ejemplo^Juan'
                assert file.PatientSex == 'M'
            else:
                assert found == (
                    self.wrong_puid, *reversed(self.wrong_numbers))
                assert file.PatientName == 'Muster^Erika'
            assert file.PixelData == dataset.PixelData
        self.server.done()
        self.server.done('full')
        contents = self.server.contents()
        assert contents['instances'] == sorted(self.orthanc.get('/instances'))
        assert contents['series'] == sorted(self.orthanc.get('/series'))

    def assert_moved(self, confirmed=False):
        self.assert_images({d.SeriesInstanceUID for d in self.datasets})
        assert self.links() == {
            self.uid: (self.patient, self.order, self.puid)}
        assert self.states() == ('requested', 'done')
        assert self.server.study()['id'] == self.record
        assert self.quarantined() == [not confirmed]

    def assert_as_before(self):
        self.assert_images()
        assert self.links() == {
            self.wrong_numbers[1]: (
                self.wrong_patient, self.wrong_order, self.wrong_puid)}
        assert self.states() == ('done', 'requested')
        assert self.quarantined() == [True]


@pytest.fixture
def orthanc(start_orthanc):
    return start_orthanc(configuration={'StableAge': 1})


@ON_BOTH
def test_a_study_is_moved_and_moved_back(hospital, orthanc):
    misfiled_ = Misfiled(hospital, orthanc)
    misfiled_.move()
    report = misfiled_.report()
    assert (report['state'], report['in_orthanc']) == ('moved', True)
    misfiled_.assert_moved()
    misfiled_.wait_stable()
    misfiled_.undo()
    assert misfiled_.report()['state'] == 'marked'
    misfiled_.assert_as_before()
    misfiled_.wait_stable()
    misfiled_.move()
    misfiled_.confirm()
    misfiled_.assert_moved(confirmed=True)


@ON_BOTH
def test_series_are_moved_and_moved_back(hospital, orthanc):
    misfiled_ = Misfiled(hospital, orthanc)
    moved = misfiled_.datasets[0].SeriesInstanceUID
    misfiled_.move(moved)
    report = misfiled_.report()
    assert report['state'] == 'moved'
    misfiled_.assert_images({moved})
    links = {
        misfiled_.wrong_numbers[1]: (
            misfiled_.wrong_patient, misfiled_.wrong_order,
            misfiled_.wrong_puid),
        misfiled_.uid: (misfiled_.patient, misfiled_.order, misfiled_.puid)}
    assert misfiled_.links() == links
    # The rest are images of the wrong order after all
    assert misfiled_.states() == ('done', 'done')
    assert misfiled_.quarantined() == [True, True]
    misfiled_.wait_stable()
    misfiled_.undo()
    assert misfiled_.report()['state'] == 'marked'
    misfiled_.assert_as_before()
    misfiled_.wait_stable()
    misfiled_.move(moved)
    misfiled_.confirm()
    misfiled_.assert_images({moved})
    assert misfiled_.links() == links
    assert misfiled_.quarantined() == [False, False]


@pytest.mark.parametrize('method, part, partial', [
        ('POST', 'bulk-modify', True),
        ('POST', 'bulk-delete', False),
        *(pytest.param(*call, partial, marks=pytest.mark.release)
            for partial in [False, True] for call in [
                ('GET', 'instances-tags'), ('POST', 'bulk-modify'),
                ('GET', '/jobs/'), ('GET', '/raw'),
                ('POST', 'bulk-delete')]),
        ])
def test_a_move_that_is_killed_is_carried_on(
        hospital, orthanc, method, part, partial):
    with held(orthanc, is_call(method, part)) as (proxy, come, release):
        misfiled_ = Misfiled(hospital, orthanc, proxy.url)
        if partial:
            misfiled_.series_uids = [misfiled_.datasets[0].SeriesInstanceUID]
        call = misfiled_.start_move()
        assert come.wait(TIMEOUT)
        call.kill()
        release(Answer(503))
        # Nobody sees them in the meantime
        assert all(misfiled_.quarantined())
        assert wait_until(
            lambda: misfiled_.carry_on()['state'] == 'moved', TIMEOUT, 0.2)
        if partial:
            misfiled_.assert_images(misfiled_.series_uids)
            assert misfiled_.states() == ('done', 'done')
        else:
            misfiled_.assert_moved()


@pytest.mark.parametrize('method, part', [
        ('POST', 'bulk-delete'),
        pytest.param('POST', 'bulk-modify', marks=pytest.mark.release),
        ])
def test_an_undoing_that_is_killed_is_carried_on(
        hospital, orthanc, method, part):
    calls = []

    def second(request):
        if is_call(method, part)(request):
            calls.append(request)
        return len(calls) > 1 and is_call(method, part)(request)

    with held(orthanc, second) as (proxy, come, release):
        misfiled_ = Misfiled(hospital, orthanc, proxy.url)
        misfiled_.move()
        misfiled_.wait_stable()
        call = hospital.agent.start(
            misfiled.undo, misfiled_.wrong, user=ADMIN)
        assert come.wait(TIMEOUT)
        call.kill()
        release(Answer(503))
        assert all(misfiled_.quarantined())
        assert wait_until(
            lambda: misfiled_.carry_on()['state'] == 'marked', TIMEOUT, 0.2)
        misfiled_.assert_as_before()


def test_what_orthanc_cannot_do_leaves_all_as_it_was(hospital, orthanc):
    misfiled_ = Misfiled(hospital, orthanc)
    late = study(
        Patient('Muster^Erika', misfiled_.wrong_puid, '19640812', 'F'),
        StudyInstanceUID=misfiled_.wrong_numbers[1],
        AccessionNumber=misfiled_.wrong_numbers[0])
    orthanc.upload(late)
    misfiled_.move()
    report = misfiled_.report()
    assert report['state'] == 'marked'
    assert report['refusal'] == 'unstable'
    misfiled_.datasets += late
    misfiled_.assert_as_before()


def test_images_that_name_the_right_patient_already(hospital, orthanc):
    "Only the link was wrong: Orthanc has nothing to do"
    misfiled_ = Misfiled(hospital, orthanc)
    misfiled_.move()
    misfiled_.confirm()
    hospital.write(
        inside.STUDY, [misfiled_.record], patient=misfiled_.wrong_patient)
    misfiled_.wrong = hospital.call(
        misfiled.mark, misfiled_.record, user=ADMIN)
    misfiled_.wait_stable()
    misfiled_.move()
    report = misfiled_.report()
    assert (report['state'], report['in_orthanc']) == ('moved', False)
    assert misfiled_.states() == ('requested', 'done')


def test_the_wrong_order_is_acquired_at_last(hospital, orthanc):
    "With its own numbers, and the move can no longer be undone"
    misfiled_ = Misfiled(hospital, orthanc)
    misfiled_.move()
    accession, uid = misfiled_.wrong_numbers
    orthanc.upload(study(
            Patient('Muster^Erika', misfiled_.wrong_puid, '19640812', 'F'),
            AccessionNumber=accession, StudyInstanceUID=uid))
    misfiled_.wait_stable()
    misfiled_.server.done('full')
    assert misfiled_.links() == {
        uid: (
            misfiled_.wrong_patient, misfiled_.wrong_order,
            misfiled_.wrong_puid),
        misfiled_.uid: (misfiled_.patient, misfiled_.order, misfiled_.puid)}
    assert misfiled_.states() == ('done', 'done')
    misfiled_.undo()
    report = misfiled_.report()
    assert report['state'] == 'moved'
    assert report['refusal'] == 'collision'
