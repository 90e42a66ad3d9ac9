# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers, identities and letters as real consoles send them."""
import datetime as dt
from dataclasses import replace

import pytest

from trytond.modules.health_orthanc.core.dicom.values import NameGroup
from trytond.modules.health_orthanc.core.matching.attributes import (
    Candidate, StudyAttributes)
from trytond.modules.health_orthanc.core.matching.decisions import (
    Doubt, Thresholds, decide)
from trytond.modules.health_orthanc.core.matching.field_comparison import (
    read_birth_dates)
from trytond.modules.health_orthanc.core.matching.names import compare_names
from trytond.modules.health_orthanc.core.matching.score import assess
from trytond.modules.health_orthanc.core.matching.search_keys import (
    near_identifiers)
from trytond.modules.health_orthanc.core.matching.verdicts import (
    Reason, Verdict)

from .test_assessment import (
    CERTAIN, ERIKA, JUST_ERIKA, MAX, ORDER, OTHER_ORDER, OURS, OWN_UID, STUDY,
    TODAY, TYPED, UNLINKED, UNSURE, comparison, decided, first)

EQUAL, DIFFERS, MISSING = Verdict.EQUAL, Verdict.DIFFERS, Verdict.MISSING
LONG = replace(ORDER, accession_number='GH00000065', procedure_id='')


# --- Numbers of orders


@pytest.mark.parametrize('received', [
        'SITE-GH00000065', 'GH00000065-1', 'GH00000065.CT', '00000065', '65',
        'gh00000065', 'GH65', 'SITE/GH00000065/1'.replace('/1', '')])
def test_number_with_lost_or_added_parts_is_similar(received):
    study = replace(TYPED, accession_number=received)
    found = comparison(first(study, Candidate(ERIKA, LONG)),
        'accession_number')
    assert (found.verdict, found.reason) == (DIFFERS, Reason.SIMILAR)


@pytest.mark.parametrize('received', ['66', 'X99', '00000650', '6', 'GH'])
def test_number_of_nobody_differs(received):
    study = replace(TYPED, accession_number=received)
    found = comparison(first(study, Candidate(ERIKA, LONG)),
        'accession_number')
    assert (found.verdict, found.reason) == (DIFFERS, None)


@pytest.mark.parametrize('received', [
        'X99', '65', 'SITE-GH00000065', '', 'X99\\Y99'])
def test_open_order_that_fits_is_a_doubt_whatever_number_came(received):
    study = replace(TYPED, accession_number=received)
    decision = decided(study, Candidate(ERIKA, LONG), JUST_ERIKA)
    assert decision.status is UNSURE
    assert decision.doubt in {
        Doubt.OPEN_ORDER, Doubt.NO_KEY, Doubt.DIFFERENCE, Doubt.RIVAL}


@pytest.mark.parametrize('order', [
        replace(LONG, open=False),
        replace(LONG, steps=(replace(ORDER.steps[0], modality='MR'),)),
        replace(LONG, steps=(replace(
                    ORDER.steps[0], date=TODAY - dt.timedelta(days=60)),)),
        ])
def test_order_that_does_not_fit_is_no_doubt(order):
    study = replace(TYPED, accession_number='X99')
    decision = decided(study, Candidate(ERIKA, order), JUST_ERIKA)
    assert decision.status is CERTAIN
    assert decision.best.candidate is JUST_ERIKA


def test_each_of_several_numbers_counts():
    study = replace(TYPED, accession_number='A100\\X99')
    found = comparison(first(study), 'accession_number')
    assert found.verdict is EQUAL
    decision = decided(study, OURS, JUST_ERIKA)
    assert decision.status is CERTAIN
    assert decision.best.candidate is OURS


def test_numbers_of_two_orders_are_for_a_person():
    study = replace(TYPED, accession_number='A100\\B200')
    other = Candidate(ERIKA, OTHER_ORDER)
    decision = decided(study, OURS, other, JUST_ERIKA)
    assert decision.status is UNSURE
    assert {c.candidate for c in decision.candidates} >= {OURS, other}


@pytest.mark.parametrize('values', [
        {'requested_accession_numbers': frozenset({'A100'})},
        {'requested_study_uids': frozenset({ORDER.study_uid})}])
def test_request_attributes_count_like_the_study(values):
    study = replace(TYPED, **values)
    decision = decided(study, OURS, JUST_ERIKA)
    assert decision.status is CERTAIN
    assert decision.best.candidate is OURS


# --- Identity


def test_other_identifier_never_decides():
    father = replace(ERIKA, other_ids=frozenset({'INS-4711'}))
    study = replace(TYPED, patient_id='INS-4711', birth_date=None)
    decision = decided(study, Candidate(father))
    assert (decision.status, decision.doubt) == (UNSURE, Doubt.IDENTITY)


def test_namesakes_are_looked_at_with_an_other_identifier():
    father = replace(ERIKA, other_ids=frozenset({'INS-4711'}))
    son = replace(ERIKA, key=3, puid='MUS999ERI')
    study = replace(STUDY, patient_id='INS-4711')
    decision = decided(study, Candidate(father, ORDER), Candidate(son))
    assert (decision.status, decision.doubt) == (UNSURE, Doubt.NAMESAKE)


def test_owner_of_the_puid_comes_before_whoever_has_it_otherwise():
    other = replace(ERIKA, other_ids=frozenset({MAX.puid}))
    study = replace(TYPED, patient_id=MAX.puid)
    decision = decided(study, Candidate(other), Candidate(MAX))
    assert decision.status is UNLINKED
    assert comparison(
        first(study, Candidate(other), Candidate(MAX)), 'patient_id'
        ).reason is Reason.OTHER_PATIENT


def test_another_puid_among_the_other_ids_is_a_doubt():
    study = replace(TYPED, other_patient_ids=frozenset({MAX.puid}))
    decision = decided(study, JUST_ERIKA, Candidate(MAX))
    assert (decision.status, decision.doubt) == (UNSURE, Doubt.RIVAL)
    assert Candidate(MAX) in {c.candidate for c in decision.candidates}


@pytest.mark.parametrize(('values', 'doubt'), [
        ({'active': False}, Doubt.INACTIVE),
        ({'deceased': True}, Doubt.DECEASED),
        ({'deceased': True, 'died_on': TODAY - dt.timedelta(days=1)},
            Doubt.DECEASED),
        ])
def test_no_certain_link_to_whoever_is_not_there(values, doubt):
    patient = replace(ERIKA, **values)
    for candidates in [
            [Candidate(patient)],
            [Candidate(patient, ORDER), Candidate(patient)]]:
        decision = decided(STUDY, *candidates)
        assert (decision.status, decision.doubt) == (UNSURE, doubt)


def test_study_of_before_the_death_is_certain():
    patient = replace(ERIKA, deceased=True, died_on=TODAY)
    assert decided(TYPED, Candidate(patient)).status is CERTAIN


def test_study_of_before_the_birth_is_a_doubt():
    study = replace(TYPED, date=ERIKA.birth_date - dt.timedelta(days=1))
    decision = decided(study, JUST_ERIKA)
    assert (decision.status, decision.doubt) == (UNSURE, Doubt.UNBORN)


@pytest.mark.parametrize(('text', 'dates'), [
        ('1988-09-08', ['1988-09-08']),
        ('1988/9/8', ['1988-09-08']),
        ('08.09.1988', ['1988-09-08']),
        ('8. 9. 1988', ['1988-09-08']),
        ('08/09/1988', ['1988-09-08', '1988-08-09']),
        ('25/12/1988', ['1988-12-25']),
        ('12/25/1988', ['1988-12-25']),
        ('30.02.1988', []),
        ('1988', []),
        ('unknown', []),
        ])
def test_birth_dates_as_people_write_them(text, dates):
    assert [d.isoformat() for d in read_birth_dates(text)] == dates


@pytest.mark.parametrize(('text', 'verdict'), [
        ('1964-08-12', EQUAL), ('12.08.1964', EQUAL),
        ('13.08.1964', DIFFERS), ('in August', DIFFERS),
        # Day and month may be meant the other way round
        ('12/08/1964', MISSING)])
def test_birth_date_in_another_form_is_compared(text, verdict):
    study = replace(TYPED, birth_date=None, birth_date_text=text)
    found = first(study, JUST_ERIKA)
    assert comparison(found, 'birth_date').verdict is verdict
    assert comparison(found, 'birth_date').theirs == text
    assert not found.vetoes


def test_birth_date_that_cannot_be_read_is_a_doubt():
    study = replace(STUDY, birth_date=None, birth_date_text='in August')
    decision = decided(study, OURS, JUST_ERIKA)
    assert (decision.status, decision.doubt) == (UNSURE, Doubt.DIFFERENCE)


def test_right_person_is_first_with_the_id_of_another():
    other = replace(
        MAX, birth_date=ERIKA.birth_date, biological_sex='F', gender='F')
    study = replace(TYPED, patient_id=other.puid)
    decision = decided(study, JUST_ERIKA, Candidate(other))
    assert (decision.status, decision.doubt) == (UNLINKED, Doubt.VETO)
    assert [c.candidate.patient.key for c in decision.candidates] == [
        ERIKA.key, other.key]


def test_owner_of_the_puid_and_the_next_ones_are_listed():
    nobody = StudyAttributes(
        OWN_UID, patient_name="Fremd^Franz", patient_id='PAT000123',
        birth_date=dt.date(1950, 1, 2), sex='M')
    owner = Candidate(replace(ERIKA, puid='PAT000123'))
    near = Candidate(replace(ERIKA, key=5, puid='PAT000132'))
    far = Candidate(replace(ERIKA, key=6, puid='PAT999999'))
    found = decide(
        assess(nobody, [owner, near, far]), Thresholds(candidates=1))
    assert {c.candidate for c in found.candidates} == {owner, near}


@pytest.mark.parametrize('typed', [
        'PAT000132', 'PAT00123', 'PAT0000123', 'PAT000124', 'QAT000123'])
def test_near_identifiers(typed):
    assert 'PAT000123' in near_identifiers(typed)
    assert typed not in near_identifiers(typed)


def test_only_plausible_identifiers_have_near_ones():
    assert not near_identifiers('')
    assert not near_identifiers('123')
    assert not near_identifiers('1.2.840.10008.5.1.4.31')
    assert len(near_identifiers('GNU123456789ORG')) < 1000


# --- Letters


@pytest.mark.parametrize(('ours', 'theirs'), [
        ("Ejemplar Núñez^Íñigo José", "Ejemplar N??ez^??igo Jos?"),
        ("Núñez^Ana", "N_\ufffdez^Ana"),
        ("Müller^Jörg", "M?ller^J?rg"),
        ("Weiß^Karl", "Wei?^Karl"),
        ])
def test_lost_letters_agree_with_any(ours, theirs):
    found = compare_names([NameGroup.parse(ours)], theirs)
    assert (found.verdict, found.reason) == (EQUAL, Reason.UNKNOWN_LETTERS)


@pytest.mark.parametrize(('ours', 'theirs'), [
        ("Núñez^Ana", "N??ez^Eva"), ("Müller^Jörg", "M?ler^J?rg"),
        ("Müller^Jörg", "M?ller^J?rg^Uwe")])
def test_known_letters_still_differ(ours, theirs):
    found = compare_names([NameGroup.parse(ours)], theirs)
    assert found.verdict is DIFFERS


def test_name_of_lost_letters_is_missing():
    found = compare_names(
        [NameGroup.parse("Παπαδόπουλος^Νίκος")], "????????????^?????")
    assert (found.verdict, found.reason) == (MISSING, Reason.UNKNOWN_LETTERS)


@pytest.mark.parametrize('theirs', ['^', '^^^^', '', '=^='])
def test_carets_are_no_name(theirs):
    assert compare_names(ERIKA.names, theirs).verdict is MISSING


@pytest.mark.parametrize(('ours', 'theirs'), [
        ("Núñez^Ana", "Nez^Ana"), ("Núñez^Ana", "Nz^Ana"),
        ("Núñez^Ana", "Ana^Nez"), ("Ångström^Eva", "ngstrm^Eva"),
        ("Müller^Jörg", "Mller^Jrg")])
def test_dropped_letters_are_missing(ours, theirs):
    for lost in [False, True]:
        found = compare_names([NameGroup.parse(ours)], theirs, lost)
        assert (found.verdict, found.reason) == (
            MISSING, Reason.LETTERS_LOST)


@pytest.mark.parametrize(('ours', 'theirs'), [
        ("Nez^Ana", "Nez^Ana"), ("김^민", "^"), ("Núñez^Ana", ""),
        ("Παπαδόπουλος^Anna", "^Anna")])
def test_name_that_has_lost_letters_is_never_equal(ours, theirs):
    found = compare_names([NameGroup.parse(ours)], theirs, True)
    assert (found.verdict, found.reason) == (MISSING, Reason.LETTERS_LOST)


@pytest.mark.parametrize(('ours', 'theirs'), [
        ("Núñez^Ana", "Nez^Eva"), ("Muster^Erika", "Mster^Erika"),
        ("Παπαδόπουλος^Anna", "Smith^Anna")])
def test_lost_letters_do_not_hide_others(ours, theirs):
    for lost in [False, True]:
        found = compare_names([NameGroup.parse(ours)], theirs, lost)
        assert found.verdict is DIFFERS


def test_name_that_has_lost_letters_decides_nothing():
    spanish = replace(
        ERIKA, names=(NameGroup.parse("Núñez^Ana"),))
    for name, lost in [("Nez^Ana", False), ("^", True), ("Nez^Ana", True)]:
        received = replace(STUDY, patient_name=name, letters_lost=lost)
        decision = decided(received, Candidate(spanish, ORDER))
        assert decision.status is CERTAIN
        typed = replace(TYPED, patient_name=name, letters_lost=lost)
        assert decided(typed, Candidate(spanish)).status is UNSURE
        # Nor with less than three of the four
        little = replace(received, patient_id='')
        assert decided(little, Candidate(spanish, ORDER)).status is UNSURE


def test_order_of_somebody_whose_letters_are_lost():
    lost = replace(STUDY, patient_name="??????^?????")
    assert decided(lost, OURS, JUST_ERIKA).status is CERTAIN
    by_number = replace(lost, study_uid=OWN_UID)
    assert decided(by_number, OURS, JUST_ERIKA).status is CERTAIN
    # By the PUID alone it is not
    typed = replace(TYPED, patient_name="??????^?????")
    assert decided(typed, JUST_ERIKA).status is UNSURE
    # Nor with less than three of the four
    little = replace(lost, patient_id='')
    assert decided(little, OURS, JUST_ERIKA).status is UNSURE
