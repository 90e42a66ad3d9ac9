# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies find their patients, and never a wrong one."""
import datetime as dt

import pytest
from pydicom.uid import generate_uid

from devtools.samples import Patient

from . import inside
from .hospital import study, study_id

FIELDS = ['patient', 'link_status', 'decided_by', 'orthanc_patient']
BORN = dt.date(1964, 8, 12)


def upload(orthanc, puid, name="Muster^Erika", birth_date='19640812',
        sex='F', **options):
    return study_id(orthanc.upload(
            study(Patient(name, puid, birth_date, sex), **options)))


@pytest.mark.parametrize('tags, status', [
        ({}, 'auto_certain'),
        ({'birth_date': None, 'sex': None}, 'auto_unsure'),
        ({'sex': 'M'}, 'unlinked'),
        # What is compared in which way is a matter of tests/unit
        *(pytest.param(*values, marks=pytest.mark.release) for values in [
                ({'name': "MUSTER^ERIKA"}, 'auto_certain'),
                ({'birth_date': None}, 'auto_certain'),
                ({'birth_date': ''}, 'auto_certain'),
                ({'sex': 'O'}, 'auto_certain'),
                ({'sex': None}, 'auto_certain'),
                ({'name': None}, 'auto_unsure'),
                ({'name': "Muster^E"}, 'auto_unsure'),
                ({'name': "Beispiel^Erika"}, 'auto_unsure'),
                ({'birth_date': '19640813'}, 'auto_unsure'),
                ({'birth_date': '19910304'}, 'unlinked'),
                ({'birth_date': None, 'sex': 'M'}, 'unlinked'),
                ]),
        ])
def test_patient_is_found_by_puid(hospital, orthanc, tags, status):
    patient, puid = hospital.add_patient(birth_date=BORN)
    upload(orthanc, puid, **tags)
    server = hospital.add_server(orthanc)
    server.done()
    record = server.study(*FIELDS)
    assert record['link_status'] == status
    assert record['patient'] == (None if status == 'unlinked' else patient)
    assert record['decided_by'] is None
    before = record
    server.done('full')
    assert server.study(*FIELDS) == before


def test_history_tells_of_a_link_by_puid(hospital, orthanc):
    patient, puid = hospital.add_patient(birth_date=BORN)
    found = upload(orthanc, puid)
    server = hospital.add_server(orthanc)
    server.done()
    server.done('full')
    study, = server.studies('orthanc_UID', 'patient')
    assert study['orthanc_UID'] == found
    line, = hospital.read(
        inside.DECISION, [('study', '=', study['id'])],
        'user', 'status_to', 'patient_from', 'patient_to', 'score')
    del line['id']
    assert line == {
        'user': None, 'status_to': 'auto_certain', 'patient_from': None,
        'patient_to': patient, 'score': 100}


def test_a_run_matches_all_that_is_new(hospital, orthanc):
    _, puid = hospital.add_patient(birth_date=BORN)
    for _ in range(5):
        upload(orthanc, puid)
    server = hospital.add_server(orthanc)
    server.done(DUE_LIMIT=2)
    assert [s['link_status'] for s in server.studies('link_status')] == [
        'auto_certain'] * 5


def test_puid_of_somebody_else_links_nothing(hospital, orthanc):
    "The name and birth date of one patient, the PUID of another one"
    hospital.add_patient("Muster", "Erika", 'f', BORN)
    _, other = hospital.add_patient(
        "Ejemplo", "Juan", 'm', dt.date(1980, 1, 1))
    upload(orthanc, other)
    server = hospital.add_server(orthanc)
    server.done()
    assert server.study(*FIELDS)['patient'] is None


def test_case_and_spaces_of_a_puid_are_another_one(hospital, orthanc):
    _, puid = hospital.add_patient(birth_date=BORN)
    upload(orthanc, puid.lower())
    upload(orthanc, puid[:-1])
    server = hospital.add_server(orthanc)
    server.done()
    assert not any(s['patient'] for s in server.studies('patient'))


@pytest.mark.parametrize('kind', ['incremental', 'full'])
def test_patient_is_registered_later(hospital, orthanc, kind):
    upload(orthanc, f'LATER-{kind}')
    server = hospital.add_server(orthanc)
    server.done()
    assert server.study(*FIELDS)['link_status'] != 'auto_certain'
    patient, _ = hospital.add_patient(birth_date=BORN, puid=f'LATER-{kind}')
    server.done(kind)
    record = server.study(*FIELDS)
    assert record['patient'] == patient
    assert record['link_status'] == 'auto_certain'
    known, = hospital.read(
        inside.PATIENT, [('id', '=', record['orthanc_patient'])], 'patient')
    assert known['patient'] == patient


@pytest.mark.parametrize('kind', ['incremental', 'full'])
def test_decision_on_a_study_is_kept(hospital, orthanc, kind):
    patient, puid = hospital.add_patient(birth_date=BORN)
    other, _ = hospital.add_patient("Other", "Person")
    first, second = upload(orthanc, puid), upload(orthanc, puid)
    server = hospital.add_server(orthanc)
    server.done()
    ids = {s['orthanc_UID']: s['id'] for s in server.studies()}
    hospital.write(inside.STUDY, [ids[first]], patient=other)
    hospital.write(inside.STUDY, [ids[second]], patient=None)
    upload(orthanc, puid)
    server.done(kind)
    found = {
        s['orthanc_UID']: s for s in server.studies(*FIELDS)}
    assert found[first]['patient'] == other
    assert found[first]['link_status'] == 'manual'
    assert found[second]['patient'] is None
    assert found[second]['link_status'] == 'unlinked'
    third, = found.keys() - {first, second}
    assert found[third]['patient'] == patient


@pytest.mark.parametrize('kind', ['incremental', 'full'])
def test_decision_survives_changed_tags(hospital, orthanc, kind):
    _, puid = hospital.add_patient(birth_date=BORN)
    other, _ = hospital.add_patient("Other", "Person")
    datasets = study(Patient("Muster^Erika", puid, '19640812', 'F'))
    first = study_id(orthanc.upload(datasets))
    server = hospital.add_server(orthanc)
    server.done()
    hospital.write(inside.STUDY, [server.study()['id']], patient=other)
    orthanc.delete('studies', first)
    for dataset in datasets:
        dataset.PatientBirthDate = '19990909'
    orthanc.upload(datasets)
    server.done(kind)
    record = server.study(*FIELDS, 'patient_birth_date')
    assert record['patient_birth_date'] == dt.date(1999, 9, 9)
    assert record['patient'] == other and record['link_status'] == 'manual'


@pytest.mark.parametrize('kind', ['incremental', 'full'])
def test_decision_on_an_orthanc_patient(hospital, orthanc, kind):
    patient, _ = hospital.add_patient(birth_date=BORN)
    upload(orthanc, 'FOREIGN-1')
    server = hospital.add_server(orthanc)
    server.done()
    known = server.study(*FIELDS)['orthanc_patient']
    hospital.write(inside.PATIENT, [known], patient=patient)
    assert server.study(*FIELDS)['link_status'] == 'manual'
    upload(orthanc, 'FOREIGN-1')
    server.done(kind)
    assert {s['patient'] for s in server.studies('patient')} == {patient}
    statuses = {s['link_status'] for s in server.studies('link_status')}
    assert statuses == {'manual', 'auto_unsure'}
    hospital.write(inside.PATIENT, [known], patient=None)
    server.done(kind)
    upload(orthanc, 'FOREIGN-1')
    server.done(kind)
    record, = hospital.read(
        inside.PATIENT, [('id', '=', known)], 'patient', 'decided_by')
    assert record['patient'] is None and record['decided_by'] is not None
    newest = server.studies('patient', 'link_status')[-1]
    assert newest['patient'] is None and newest['link_status'] == 'unlinked'


def test_cleared_orthanc_patient_is_not_linked_by_its_puid(hospital, orthanc):
    _, puid = hospital.add_patient(birth_date=BORN)
    upload(orthanc, puid)
    server = hospital.add_server(orthanc)
    server.done()
    known = server.study(*FIELDS)['orthanc_patient']
    hospital.write(inside.PATIENT, [known], patient=None)
    upload(orthanc, puid)
    server.done()
    server.done('full')
    assert not any(s['patient'] for s in server.studies('patient'))


def test_contradiction_is_a_veto_for_a_decided_orthanc_patient(
        hospital, orthanc):
    "Another person's images under the same PatientID are not linked"
    patient, _ = hospital.add_patient(birth_date=BORN)
    upload(orthanc, 'FOREIGN-2')
    server = hospital.add_server(orthanc)
    server.done()
    known = server.study(*FIELDS)['orthanc_patient']
    hospital.write(inside.PATIENT, [known], patient=patient)
    mixed = upload(
        orthanc, 'FOREIGN-2', name="Irrtum^Otto", birth_date='19990909',
        sex='M')
    server.done()
    found = {s['orthanc_UID']: s for s in server.studies(*FIELDS)}
    assert found[mixed]['patient'] is None
    assert found[mixed]['link_status'] == 'unlinked'


def test_contradiction_is_a_veto_for_studies_that_are_there(
        hospital, orthanc):
    "Whoever chooses the Orthanc patient has not seen each of its studies"
    patient, _ = hospital.add_patient(birth_date=BORN)
    shown = upload(orthanc, 'FOREIGN-3')
    mixed = upload(
        orthanc, 'FOREIGN-3', name="Irrtum^Otto", birth_date='19990909',
        sex='M')
    server = hospital.add_server(orthanc)
    server.done()
    known = server.studies(*FIELDS)[0]['orthanc_patient']
    hospital.write(inside.PATIENT, [known], patient=patient)
    found = {
        s['orthanc_UID']: s for s in server.studies(*FIELDS, 'decided_by')}
    assert found[shown]['patient'] == patient
    assert found[shown]['link_status'] == 'manual'
    assert found[mixed]['patient'] is None
    assert found[mixed]['decided_by'] is None


def test_correction_of_an_orthanc_patient_is_carried(hospital, orthanc):
    mistaken, patient, by_hand = (
        hospital.add_patient(birth_date=BORN)[0] for _ in range(3))
    studies = [upload(orthanc, 'FOREIGN-4') for _ in range(2)]
    server = hospital.add_server(orthanc)
    server.done()
    ids = {s['orthanc_UID']: s['id'] for s in server.studies()}
    known = server.studies(*FIELDS)[0]['orthanc_patient']
    hospital.write(inside.PATIENT, [known], patient=mistaken)
    hospital.write(inside.STUDY, [ids[studies[1]]], patient=by_hand)
    for choice in [patient, None]:
        hospital.write(inside.PATIENT, [known], patient=choice)
        found = {
            s['orthanc_UID']: s['patient'] for s in server.studies('patient')}
        assert found == dict(zip(studies, [choice, by_hand]))


def test_orthanc_patient_of_linked_studies_is_linked(hospital, orthanc):
    patient, puid = hospital.add_patient(birth_date=BORN)
    upload(orthanc, puid)
    server = hospital.add_server(orthanc)
    server.done()
    record, = hospital.read(
        inside.PATIENT, [('ident', '=', puid)], 'patient', 'decided_by')
    assert record['patient'] == patient and record['decided_by'] is None


def test_old_studies_are_not_put_up_for_review(hospital, orthanc):
    _, puid = hospital.add_patient(birth_date=BORN)

    def images(year):
        return study(
            Patient("Muster^E", puid, '19640812', 'F'),
            date=dt.datetime(year, 1, 1))

    def add(datasets):
        return study_id(orthanc.upload(datasets))

    def waiting():
        for domain in hospital.call(inside.review_domains):
            found = {s['orthanc_UID'] for s in hospital.read(
                    inside.STUDY, [('server', '=', server.id), domain],
                    'orthanc_UID')}
        return found

    known = images(2026)
    old, other = add(known), add(images(2026))
    server = hospital.add_server(
        orthanc, initial_index=orthanc.get('/changes', last='')['Last'])
    # What comes before the first synchronization is as new as what follows
    early = add(images(2009))
    server.done()
    assert waiting() == {early}
    late = add(images(2010))
    server.done()
    server.done('full')
    assert waiting() == {early, late}
    # So is what is added to an old study
    added = known[0]
    added.SeriesInstanceUID, added.SOPInstanceUID = (
        generate_uid() for _ in range(2))
    added.file_meta.MediaStorageSOPInstanceUID = added.SOPInstanceUID
    assert add([added]) == old
    server.done()
    assert waiting() == {early, late, old}
    assert other not in waiting()


@pytest.mark.parametrize('kind', ['incremental', 'full'])
def test_a_rule_dismisses_phantoms(hospital, orthanc, kind):
    _, puid = hospital.add_patient(birth_date=BORN, puid=f'PHANTOM-{kind}')
    hospital.call(inside.create, inside.RULE, [
            {'patient_id': 'PHANTOM*', 'reason': "Phantom"}])
    phantom = upload(
        orthanc, 'PHANTOM-7', name="QA^Daily", birth_date=None, sex='O')
    registered, stranger = upload(orthanc, puid), upload(orthanc, 'XPHANTOM')
    server = hospital.add_server(orthanc)
    server.done(kind)
    statuses = {
        s['orthanc_UID']: s['link_status']
        for s in server.studies('link_status')}
    assert statuses[phantom] == 'dismissed'
    assert statuses[registered] == 'auto_certain'
    assert statuses[stranger] != 'dismissed'
