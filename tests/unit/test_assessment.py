# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What speaks for a candidate, and what a machine does with it."""
import datetime as dt
import itertools
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.dicom.values import NameGroup
from trytond.modules.health_orthanc.core.matching.attributes import (
    Candidate, OrderAttributes, PatientAttributes, StepAttributes,
    StudyAttributes)
from trytond.modules.health_orthanc.core.matching.decisions import (
    Doubt, Status, Thresholds, decide)
from trytond.modules.health_orthanc.core.matching.score import (
    WEIGHTS, Key, LastPerson, Obstacle, Veto, assess)
from trytond.modules.health_orthanc.core.matching.verdicts import (
    Reason, Verdict)

EQUAL, DIFFERS, MISSING = Verdict.EQUAL, Verdict.DIFFERS, Verdict.MISSING
CERTAIN, UNSURE, UNLINKED = Status
UID, OTHER_UID, OWN_UID = '2.25.1', '2.25.2', '1.2.3'
TODAY = dt.date(2026, 6, 1)

ERIKA = PatientAttributes(
    1, 'MUS310ERI', (NameGroup("Muster", "Erika"),), dt.date(1964, 8, 12),
    biological_sex='F', gender='F')
MAX = PatientAttributes(
    2, 'BEI222MAX', (NameGroup("Beispiel", "Max"),), dt.date(1980, 3, 5),
    biological_sex='M', gender='M')
ORDER = OrderAttributes(
    11, UID, 'A100', merge_id=UID, procedure_id='A100',
    steps=(StepAttributes('S1', 'CT', TODAY, 'CT1', 'ROOM1'),),
    description="CT thorax")
OTHER_ORDER = OrderAttributes(
    12, OTHER_UID, 'B200', merge_id=OTHER_UID, procedure_id='B200',
    steps=(StepAttributes('S2', 'MR', TODAY, 'MR1', 'ROOM2'),),
    description="MR knee")
STUDY = StudyAttributes(
    UID, 'A100', frozenset({'S1'}), frozenset({'A100'}), "MUSTER^ERIKA",
    'MUS310ERI', birth_date=ERIKA.birth_date, sex='F',
    modalities=frozenset({'CT', 'SR'}), description="CT thorax", date=TODAY,
    station_aetitles=frozenset({'CT1'}), station_names=frozenset({'ROOM1'}))
# As typed by hand, at a device with no worklist
TYPED = replace(
    STUDY, study_uid=OWN_UID, accession_number='', step_ids=frozenset(),
    procedure_ids=frozenset())
OURS = Candidate(ERIKA, ORDER)
JUST_ERIKA = Candidate(ERIKA)


def first(study=STUDY, candidate=OURS, *others):
    """Return what is found of a candidate among others."""
    found, = [
        a for a in assess(study, [candidate, *others])
        if a.candidate is candidate]
    return found


def decided(study, *candidates):
    found = [
        decide(assess(study, order))
        for order in itertools.permutations(candidates)]
    # In which order they were found makes no difference
    assert len({(f.status, f.doubt) for f in found}) == 1
    return found[0]


def comparison(assessment, name):
    return next(c for c in assessment.comparisons if c.field == name)


# --- Fields


def test_all_that_agrees_is_100():
    assessment = first()
    assert assessment.score == 100
    assert assessment.key is Key.STUDY_UID
    assert not assessment.vetoes
    assert [c.field for c in assessment.comparisons] == list(WEIGHTS)
    assert {c.verdict for c in assessment.comparisons
        if c.field != 'merge_id'} == {EQUAL}


def test_values_are_told_for_people():
    assessment = first(replace(STUDY, patient_name="MUSTER^ERIKA=山^花"))
    values = {c.field: (c.ours, c.theirs) for c in assessment.comparisons}
    assert values['name'] == ("Muster, Erika", "MUSTER, ERIKA (山 花)")
    assert values['birth_date'] == ('1964-08-12', '1964-08-12')
    assert values['modality'] == ('CT', 'CT, SR')


@pytest.mark.parametrize('name, value', [
        ('patient_name', "Beispiel^Max"),
        ('birth_date', dt.date(1964, 12, 8)),
        ('sex', 'M'),
        ('patient_id', 'MUS311ERI'),
        ('accession_number', 'C300'),
        ('step_ids', frozenset({'S9'})),
        ('procedure_ids', frozenset({'S9'})),
        ('modalities', frozenset({'MR'})),
        ('date', TODAY + dt.timedelta(8)),
        ])
def test_one_difference_is_less_than_100(name, value):
    study = replace(STUDY, **{name: value})
    assessment = first(study)
    assert assessment.score < 100
    assert [c.verdict for c in assessment.comparisons].count(DIFFERS) == 1
    assert decided(study, OURS, JUST_ERIKA).status is not CERTAIN


EMPTY = StudyAttributes()


@given(st.sets(st.sampled_from([f.name for f in fields(StudyAttributes)])))
def test_what_is_missing_does_not_count(names):
    study = replace(STUDY, **{name: getattr(EMPTY, name) for name in names})
    assessment = first(study)
    known = [c for c in assessment.comparisons if c.agreement is not None]
    assert assessment.score == (100 if known else 0)
    assert not assessment.vetoes
    assert DIFFERS not in {c.verdict for c in assessment.comparisons}


@pytest.mark.parametrize('sex', ['', 'O', 'U', 'X'])
def test_unknown_sex_is_missing(sex):
    assert comparison(first(replace(STUDY, sex=sex)), 'sex').verdict is MISSING


def test_gender_is_compared_where_no_sex_is_known():
    patient = replace(ERIKA, biological_sex='')
    assessment = first(replace(STUDY, sex='M'), Candidate(patient, ORDER))
    assert comparison(assessment, 'sex').reason is Reason.GENDER
    assert comparison(assessment, 'sex').verdict is DIFFERS
    assert not assessment.vetoes


def test_id_that_nobody_has_is_of_another_hospital():
    found = comparison(first(replace(STUDY, patient_id='4711')), 'patient_id')
    assert (found.verdict, found.reason) == (MISSING, Reason.FOREIGN_ID)


def test_id_of_another_issuer_is_of_another_hospital():
    study = replace(STUDY, issuer='ELSEWHERE')
    assessment, = assess(study, [OURS], issuers={'HERE'})
    found = comparison(assessment, 'patient_id')
    assert (found.verdict, found.reason) == (MISSING, Reason.FOREIGN_ID)
    for issuers in [set(), {'ELSEWHERE'}]:
        assessment, = assess(study, [OURS], issuers=issuers)
        assert comparison(assessment, 'patient_id').verdict is EQUAL


@pytest.mark.parametrize('typed', [
        'MUS310ER', 'MUS310EIR', 'MUS301ERI', 'mus310eri', 'MUS 310 ERI'])
def test_mistyped_id_is_similar(typed):
    found = comparison(first(replace(STUDY, patient_id=typed)), 'patient_id')
    assert (found.verdict, found.reason) == (DIFFERS, Reason.SIMILAR)


def test_other_ids_agree():
    for study, patient in [
            (replace(STUDY, patient_id='4711',
                other_patient_ids=frozenset({ERIKA.puid})), ERIKA),
            (replace(STUDY, patient_id='4711'),
                replace(ERIKA, other_ids=frozenset({'4711'})))]:
        found = comparison(first(study, Candidate(patient)), 'patient_id')
        assert (found.verdict, found.reason) == (EQUAL, Reason.OTHER_ID)


def test_uid_that_a_modality_gave_is_missing():
    found = comparison(first(replace(STUDY, study_uid=OWN_UID)), 'study_uid')
    assert (found.verdict, found.reason) == (MISSING, Reason.OWN_UID)


def test_uid_of_another_order_differs():
    found = comparison(
        first(replace(STUDY, study_uid=OTHER_UID), OURS,
            Candidate(MAX, OTHER_ORDER)), 'study_uid')
    assert (found.verdict, found.reason) == (DIFFERS, Reason.OTHER_ORDER)


@pytest.mark.parametrize('place', [
        {'texts': frozenset({"Chest", UID})},
        {'texts': frozenset({f'one\\{UID}'})},
        {'patient_id': UID},
        {'patient_name': f'MUSTER^ERIKA^^^{UID}'},
        ])
def test_merge_id_is_found_whole_anywhere(place):
    assessment = first(replace(TYPED, **place))
    assert assessment.key is Key.MERGE_ID


@pytest.mark.parametrize('text', [UID + '0', '1' + UID, f'ID {UID}'])
def test_part_of_a_text_is_no_merge_id(text):
    assessment = first(replace(TYPED, texts=frozenset({text})))
    assert assessment.key is Key.PATIENT_ID


def test_accession_number_of_before_is_one():
    order = replace(ORDER, aliases=frozenset({'OLD7'}))
    assessment = first(
        replace(TYPED, accession_number='OLD7'), Candidate(ERIKA, order))
    assert assessment.key is Key.ACCESSION_NUMBER
    assert comparison(assessment, 'accession_number').reason is Reason.ALIAS


@pytest.mark.parametrize('modalities, verdict', [
        ({'CT'}, EQUAL), ({'PT', 'CT'}, EQUAL), ({'SR', 'CT'}, EQUAL),
        ({'SR'}, MISSING), ({'SR', 'KO', 'PR', 'OT', 'SEG'}, MISSING),
        (set(), MISSING), ({'MR'}, DIFFERS), ({'MR', 'SR'}, DIFFERS)])
def test_modality(modalities, verdict):
    study = replace(STUDY, modalities=frozenset(modalities))
    assert comparison(first(study), 'modality').verdict is verdict


def test_projection_radiography_is_one_kind():
    steps = (replace(ORDER.steps[0], modality='DX'),)
    found = comparison(
        first(replace(STUDY, modalities=frozenset({'CR'})),
            Candidate(ERIKA, replace(ORDER, steps=steps))), 'modality')
    assert (found.verdict, found.reason) == (EQUAL, Reason.KIND)


@pytest.mark.parametrize('days', [-7, 0, 7])
def test_date_agrees_within_a_window(days):
    study = replace(STUDY, date=TODAY + dt.timedelta(days))
    assert comparison(first(study), 'date').verdict is EQUAL
    assessment, = assess(study, [OURS], dt.timedelta(3))
    assert comparison(assessment, 'date').verdict is (
        DIFFERS if days else EQUAL)


def test_any_step_will_do():
    steps = (
        *ORDER.steps,
        StepAttributes('S3', 'MR', TODAY + dt.timedelta(30), 'MR1'))
    order = replace(ORDER, steps=steps)
    late = replace(
        STUDY, step_ids=frozenset({'S3'}), modalities=frozenset({'MR'}),
        date=TODAY + dt.timedelta(31), station_aetitles=frozenset({'MR1'}))
    for study in [STUDY, late]:
        assert first(study, Candidate(ERIKA, order)).score == 100


def test_description_and_station_never_lower_a_match_by_key():
    other = {
        'description': "Routine", 'station_aetitles': frozenset({'CT2'}),
        'station_names': frozenset()}
    assessment = first(replace(STUDY, **other))
    assert comparison(assessment, 'description').verdict is DIFFERS
    assert comparison(assessment, 'station').verdict is DIFFERS
    assert assessment.score == 100
    assert decided(replace(STUDY, **other), OURS).status is CERTAIN
    assert first(replace(TYPED, **other)).score < 100


# --- Vetoes


@pytest.mark.parametrize('values, veto', [
        ({'patient_id': 'BEI222MAX'}, Veto.PATIENT_ID),
        ({'sex': 'M'}, Veto.SEX),
        ({'birth_date': dt.date(1970, 1, 2)}, Veto.BIRTH_DATE),
        ])
def test_contradiction_is_a_veto(values, veto):
    study = replace(STUDY, **values)
    assert first(study, OURS, Candidate(MAX)).vetoes == (veto,)
    decision = decided(study, OURS, JUST_ERIKA, Candidate(MAX))
    assert (decision.status, decision.best) == (UNLINKED, None)
    assert decision.doubt is Doubt.VETO
    # A person may choose it all the same
    assert decision.candidates[0].candidate is OURS


def test_right_uid_of_the_wrong_patient_is_not_linked():
    study = replace(
        STUDY, patient_id='BEI222MAX', patient_name="Beispiel^Max",
        birth_date=MAX.birth_date, sex='M')
    decision = decided(study, OURS, JUST_ERIKA, Candidate(MAX))
    assert decision.status is not CERTAIN
    assert decision.doubt in {Doubt.OTHER_KEY, Doubt.VETO}
    assert any(a.candidate is OURS for a in decision.candidates)


@pytest.mark.parametrize('born', [
        None, dt.date(1964, 12, 8), dt.date(1964, 8, 13)])
def test_slip_in_a_birth_date_is_no_veto(born):
    assert not first(replace(STUDY, birth_date=born)).vetoes


# --- Decisions


@pytest.mark.parametrize('study', [
        STUDY,
        replace(STUDY, study_uid=OWN_UID),
        replace(STUDY, accession_number=''),
        replace(STUDY, step_ids=frozenset(), procedure_ids=frozenset()),
        replace(STUDY, patient_id=''),
        replace(STUDY, patient_id='4711'),
        replace(STUDY, birth_date=None),
        replace(TYPED, texts=frozenset({UID})),
        replace(TYPED, step_ids=frozenset({'S1'})),
        ])
def test_order_is_certain_by_its_key(study):
    other = Candidate(ERIKA, OTHER_ORDER)
    decision = decided(study, OURS, other, JUST_ERIKA)
    assert decision.status is CERTAIN and decision.doubt is None
    assert decision.best.candidate is OURS
    assert decision.best.score == 100


@pytest.mark.parametrize('values, doubt', [
        ({'patient_name': ''}, Doubt.DIFFERENCE),
        ({'patient_name': 'MUSTER'}, Doubt.DIFFERENCE),
        ({'patient_name': 'MUSTER^E'}, Doubt.DIFFERENCE),
        ({'patient_name': 'MUSTER^ERIK'}, Doubt.DIFFERENCE),
        ({'birth_date': None, 'patient_id': ''}, Doubt.IDENTITY),
        ])
def test_too_little_identity_is_to_be_reviewed(values, doubt):
    decision = decided(replace(STUDY, **values), OURS, JUST_ERIKA)
    assert (decision.status, decision.doubt) == (UNSURE, doubt)
    assert decision.best.candidate is OURS


def test_one_surname_missing_is_to_be_reviewed():
    patient = replace(ERIKA, names=(NameGroup("García López", "Ana"),))
    study = replace(STUDY, patient_name="GARCIA^ANA")
    decision = decided(study, Candidate(patient, ORDER), Candidate(patient))
    assert decision.status is UNSURE
    assert 90 <= decision.best.score < 100


def test_patient_is_certain_by_puid():
    decision = decided(TYPED, JUST_ERIKA)
    assert decision.status is CERTAIN
    assert decision.best.candidate is JUST_ERIKA
    for lost in [
            {'birth_date': None, 'sex': ''}, {'patient_id': ''},
            {'patient_name': ''}]:
        assert decided(replace(TYPED, **lost), JUST_ERIKA).status is UNSURE


def test_order_without_key_is_only_proposed():
    decision = decided(TYPED, OURS, JUST_ERIKA)
    assert (decision.status, decision.doubt) == (UNSURE, Doubt.NO_KEY)
    assert decision.best.candidate is OURS


def test_order_of_another_kind_is_not_proposed():
    order = Candidate(ERIKA, replace(OTHER_ORDER, steps=(
                StepAttributes('S2', 'MR', TODAY - dt.timedelta(60)),)))
    decision = decided(TYPED, order, JUST_ERIKA)
    assert decision.status is CERTAIN
    assert decision.best.candidate is JUST_ERIKA


def test_closed_order_is_found_by_its_key_only():
    closed = Candidate(ERIKA, replace(ORDER, open=False))
    assert decided(STUDY, closed, JUST_ERIKA).best.candidate is closed
    decision = decided(TYPED, closed, JUST_ERIKA)
    assert decision.best.candidate is JUST_ERIKA
    assert [a.candidate for a in decision.candidates] == [JUST_ERIKA]


def test_two_orders_alike_are_left_to_a_person():
    twin = Candidate(ERIKA, replace(
            ORDER, key=13, study_uid='2.25.3', merge_id='2.25.3',
            accession_number='A101', procedure_id='A101'))
    decision = decided(TYPED, OURS, twin, JUST_ERIKA)
    assert (decision.status, decision.doubt) == (UNSURE, Doubt.TIE)
    # Of the patient there is no doubt
    assert decision.best.candidate is JUST_ERIKA
    assert len(decision.candidates) == 3


def test_bare_step_id_links_nothing():
    study = StudyAttributes(
        study_uid=OWN_UID, step_ids=frozenset({'S1'}), patient_id='4711',
        patient_name="Fremd^Franz")
    assessment = first(study)
    found = comparison(assessment, 'step')
    assert (found.verdict, found.reason) == (MISSING, Reason.BARE_STEP)
    assert not assessment.order_key
    for name in ["Fremd^Franz", "", "Muster^Erika"]:
        decision = decided(
            replace(study, patient_name=name), OURS, JUST_ERIKA)
        assert decision.status is not CERTAIN
    assert decided(study, OURS).status is UNLINKED


def test_patient_id_that_equals_a_step_number_links_nothing():
    study = replace(STUDY, **{
            f.name: getattr(EMPTY, f.name) for f in fields(StudyAttributes)
            if f.name not in {'study_uid', 'patient_id'}})
    study = replace(study, study_uid=OWN_UID, patient_id='S1')
    assert decided(study, OURS, JUST_ERIKA).status is UNLINKED


NAMESAKE = replace(ERIKA, key=3, puid='MUS999ERI')


def test_namesakes_are_told_apart_by_puid_only():
    other = Candidate(NAMESAKE)
    assert decided(STUDY, OURS, JUST_ERIKA, other).status is CERTAIN
    without = replace(STUDY, patient_id='')
    decision = decided(without, OURS, JUST_ERIKA, other)
    assert (decision.status, decision.doubt) == (UNSURE, Doubt.NAMESAKE)
    decision = decided(replace(TYPED, patient_id=''), JUST_ERIKA, other)
    assert (decision.status, decision.doubt) == (UNLINKED, Doubt.TIE)
    assert len(decision.candidates) == 2


def test_twins_are_told_apart_by_name():
    twin = Candidate(replace(
            ERIKA, key=4, puid='MUS777ERN', names=(
                NameGroup("Muster", "Erna"),)))
    study = replace(TYPED, patient_id='')
    decision = decided(study, JUST_ERIKA, twin)
    assert decision.status is UNSURE
    assert decision.best.candidate is JUST_ERIKA
    # Her twin's entry of the worklist was picked
    decision = decided(STUDY, Candidate(twin.patient, ORDER), twin, JUST_ERIKA)
    assert decision.status is not CERTAIN


def test_keys_of_two_orders_are_for_a_person():
    study = replace(STUDY, accession_number='B200')
    decision = decided(
        study, OURS, Candidate(ERIKA, OTHER_ORDER), JUST_ERIKA)
    assert (decision.status, decision.doubt) == (UNSURE, Doubt.OTHER_KEY)


def test_all_typed_by_hand_with_typos_is_proposed():
    study = replace(
        TYPED, patient_name="MUSTR^ERIKA", patient_id='MUS310EIR',
        birth_date=dt.date(1964, 12, 8))
    decision = decided(study, OURS, JUST_ERIKA, Candidate(NAMESAKE))
    assert decision.status is not CERTAIN
    assert decision.candidates[0].candidate is OURS


def test_study_of_a_stranger_stays_unlinked():
    study = StudyAttributes(
        OWN_UID, patient_name="Fremd^Franz", patient_id='4711')
    assert decided(study).doubt is Doubt.NOBODY
    decision = decided(study, Candidate(MAX), JUST_ERIKA)
    assert (decision.status, decision.doubt) == (UNLINKED, Doubt.FLOOR)
    assert not decision.candidates


def test_name_alone_is_not_proposed():
    study = StudyAttributes(OWN_UID, patient_name="Muster^Erika", sex='F')
    decision = decided(study, JUST_ERIKA)
    assert (decision.status, decision.doubt) == (UNLINKED, Doubt.FLOOR)
    assert len(decision.candidates) == 1


def test_thresholds_are_the_hospitals():
    study = StudyAttributes(OWN_UID, patient_name="Muster^Erika", sex='F')
    found = assess(study, [JUST_ERIKA])
    assert decide(found, Thresholds(review_strength=30)).status is UNSURE
    found = assess(replace(TYPED, sex=''), [JUST_ERIKA])
    assert decide(found).status is CERTAIN
    assert decide(found, Thresholds(patient_identity=4)).status is UNSURE


VALUES = {
    'study_uid': ['', UID, OTHER_UID, OWN_UID],
    'accession_number': ['', 'A100', 'B200', 'A10'],
    'step_ids': [frozenset(), frozenset({'S1'}), frozenset({'S2'})],
    'patient_name': ["", "Muster^Erika", "Beispiel^Max", "Muster", "M^E"],
    'patient_id': ['', 'MUS310ERI', 'BEI222MAX', 'MUS999ERI', '4711'],
    'birth_date': [None, ERIKA.birth_date, MAX.birth_date, TODAY],
    'sex': ['', 'M', 'F', 'O'],
    'modalities': [frozenset(), frozenset({'CT'}), frozenset({'MR'})],
    'date': [None, TODAY, dt.date(2000, 1, 1)],
    }
STUDIES = st.fixed_dictionaries(
    {name: st.sampled_from(values) for name, values in VALUES.items()}
    ).map(lambda values: StudyAttributes(**values))
CANDIDATES = [
    OURS, JUST_ERIKA, Candidate(MAX, OTHER_ORDER), Candidate(MAX),
    Candidate(NAMESAKE)]


@settings(max_examples=300)
@given(STUDIES, st.permutations(CANDIDATES))
def test_what_is_certain_has_no_contradiction(study, candidates):
    found = assess(study, candidates)
    for assessment in found:
        assert 0 <= assessment.score <= 100
        known = [
            c.agreement for c in assessment.comparisons
            if c.agreement is not None
            and c.field not in {'description', 'station'}]
        assert (assessment.score == 100) == (set(known) == {1})
    decision = decide(found)
    if decision.status is CERTAIN:
        best = decision.best
        assert best.score == 100 and not best.vetoes
        assert best.is_equal('name')
        assert best.is_equal('patient_id') or best.is_equal('birth_date')
        assert DIFFERS not in best.identity
        assert best.order_key or not best.candidate.order
    assert (decision.doubt is None) == (decision.status is CERTAIN)
    assert (decision.best is None) == (decision.status is UNLINKED)
    again = decide(assess(study, CANDIDATES))
    assert (again.status, again.doubt) == (decision.status, decision.doubt)


DECEASED = replace(MAX, key=3, deceased=True, died_on=dt.date(2010, 1, 1))
NOT_BORN = replace(ERIKA, key=4, birth_date=dt.date(2020, 1, 1))
# Every attribute changes something
CHANGES = {
    **VALUES,
    'issuer': ['', 'ELSEWHERE'],
    'letters_lost': [False, True],
    'birth_date_text': ['', '1964'],
    'other_patient_ids': [
        frozenset(), frozenset({'BEI222MAX'}), frozenset({'MUS310ERI'})],
    }


@settings(max_examples=300)
@given(STUDIES, st.lists(st.tuples(
            st.sampled_from(
                [(n, v) for n, values in CHANGES.items() for v in values]),
            st.lists(st.sampled_from([
                    *CANDIDATES, Candidate(DECEASED), Candidate(NOT_BORN)]),
                unique_by=id),
            st.sampled_from([(), ('OURS',)])), max_size=8))
def test_studies_of_one_person_are_assessed_as_others(study, steps):
    last = LastPerson()
    for (name, value), candidates, issuers in steps:
        study = replace(study, **{name: value})
        assert assess(
            study, candidates, issuers=issuers, last_person=last
            ) == assess(study, candidates, issuers=issuers)


def test_a_person_is_compared_once_for_several_studies():
    last = LastPerson()
    studies = [replace(TYPED, date=date) for date in [TODAY, None]]
    first, again = (
        assess(study, [JUST_ERIKA], last_person=last) for study in studies)
    assert first[0] is again[0]
    before_birth = replace(TYPED, date=dt.date(1950, 1, 1))
    unborn, = assess(before_birth, [JUST_ERIKA], last_person=last)
    assert unborn.obstacle is Obstacle.UNBORN
    other, = assess(
        replace(TYPED, sex='M'), [JUST_ERIKA], last_person=last)
    assert other.vetoes == (Veto.SEX,)


def test_the_issuers_of_a_hospital_may_change_between_two_studies():
    last = LastPerson()
    study = replace(TYPED, issuer='ELSEWHERE')
    found = [
        assess(study, [JUST_ERIKA], issuers=issuers, last_person=last)[0]
        for issuers in [(), ('OURS',), ('ELSEWHERE',)]]
    assert [a.owns_patient_id for a in found] == [True, False, True]
