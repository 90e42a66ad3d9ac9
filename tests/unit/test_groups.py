# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One acquisition that answers several orders."""
from dataclasses import replace

import pytest

from trytond.modules.health_orthanc.core.matching.attributes import Candidate
from trytond.modules.health_orthanc.core.matching.decisions import Doubt
from trytond.modules.health_orthanc.core.matching.verdicts import Verdict

from .test_assessment import (
    CERTAIN, ERIKA, JUST_ERIKA, MAX, ORDER, OTHER_ORDER, OURS, STUDY, TYPED,
    UNSURE, comparison, decided, first)

ABDOMEN = replace(
    OTHER_ORDER, steps=(replace(ORDER.steps[0], step_id='S2'),),
    description="CT abdomen")
PELVIS = replace(
    ABDOMEN, key=13, study_uid='2.25.3', merge_id='2.25.3',
    accession_number='C300', procedure_id='C300',
    steps=(replace(ORDER.steps[0], step_id='S3'),))
OTHER = Candidate(ERIKA, ABDOMEN)
THIRD = Candidate(ERIKA, PELVIS)
CLOSED = replace(ABDOMEN, open=False)


def orders(decision):
    return set(decision.orders)


@pytest.mark.parametrize('values', [
        {'accession_number': 'A100\\B200'},
        {'requested_accession_numbers': frozenset({'A100', 'B200'})},
        {'accession_number': 'A100',
            'requested_accession_numbers': frozenset({'A100', 'B200'})},
        {'requested_study_uids': frozenset({
                    ORDER.study_uid, ABDOMEN.study_uid})},
        {'study_uid': ORDER.study_uid, 'accession_number': 'A100\\B200'},
        {'step_ids': frozenset({'S1', 'S2'})},
        {'accession_number': 'A100', 'step_ids': frozenset({'S1', 'S2'}),
            'procedure_ids': frozenset({'A100', 'B200'})},
        ])
def test_all_orders_that_are_named_are_linked(values):
    decision = decided(replace(TYPED, **values), OURS, OTHER, JUST_ERIKA)
    assert decision.status is CERTAIN
    assert orders(decision) == {11, 12}
    assert decision.candidates[0] is decision.best
    assert decision.candidates[1] is decision.further[0]
    assert {a.score for a in [decision.best, *decision.further]} == {100}


def test_three_orders():
    study = replace(TYPED, accession_number='A100\\B200\\C300')
    decision = decided(study, OURS, OTHER, THIRD, JUST_ERIKA)
    assert decision.status is CERTAIN
    assert orders(decision) == {11, 12, 13}


def test_what_names_another_of_the_orders_is_no_difference():
    study = replace(STUDY, accession_number='A100\\B200')
    found = first(study, OTHER, OURS)
    assert found.score == 100
    assert comparison(found, 'accession_number').theirs == 'B200'
    assert comparison(found, 'study_uid').verdict is Verdict.MISSING


@pytest.mark.parametrize('values', [
        # Another worklist item was picked than the number says
        {'study_uid': ORDER.study_uid, 'accession_number': 'B200'},
        {'accession_number': 'A100', 'step_ids': frozenset({'S2'})},
        ])
def test_two_keys_that_disagree_are_no_group(values):
    decision = decided(replace(TYPED, **values), OURS, OTHER, JUST_ERIKA)
    assert decision.status is UNSURE
    assert decision.doubt in {Doubt.OTHER_KEY, Doubt.TIE}
    assert not decision.further


def test_a_third_order_that_another_key_names_is_a_doubt():
    study = replace(
        TYPED, accession_number='C300', step_ids=frozenset({'S1', 'S2'}))
    decision = decided(study, OURS, OTHER, THIRD, JUST_ERIKA)
    assert decision.status is UNSURE


def test_an_order_of_another_patient_is_never_in_the_group():
    study = replace(TYPED, accession_number='A100\\B200')
    decision = decided(study, OURS, Candidate(MAX, ABDOMEN), JUST_ERIKA)
    assert (decision.status, decision.doubt) == (UNSURE, Doubt.OTHER_KEY)
    assert orders(decision) == {11}


def test_an_order_with_images_is_left_to_a_person():
    study = replace(TYPED, accession_number='A100\\B200')
    closed = Candidate(ERIKA, CLOSED)
    decision = decided(study, OURS, closed, JUST_ERIKA)
    assert decision.status is UNSURE
    # Unless they are these images
    study = replace(study, linked_orders=frozenset({11, 12}))
    both = [Candidate(ERIKA, replace(ORDER, open=False)), closed]
    decision = decided(study, *both, JUST_ERIKA)
    assert decision.status is CERTAIN
    assert orders(decision) == {11, 12}


@pytest.mark.parametrize('change', [
        {'birth_date': None, 'patient_id': ''},
        {'patient_name': 'MUSTER^ERNA'},
        ])
def test_the_patient_must_agree_as_for_one_order(change):
    study = replace(TYPED, accession_number='A100\\B200', **change)
    decision = decided(study, OURS, OTHER, JUST_ERIKA)
    assert decision.status is not CERTAIN


def test_an_order_that_does_not_fit_makes_all_of_them_a_doubt():
    steps = (replace(ABDOMEN.steps[0], modality='MR'),)
    study = replace(TYPED, accession_number='A100\\B200')
    decision = decided(
        study, OURS, Candidate(ERIKA, replace(ABDOMEN, steps=steps)),
        JUST_ERIKA)
    assert (decision.status, decision.doubt) == (UNSURE, Doubt.DIFFERENCE)
    assert orders(decision) == {11, 12}


def test_another_open_order_stays_a_rival():
    study = replace(TYPED, step_ids=frozenset({'S1', 'S2'}))
    rival = Candidate(ERIKA, PELVIS)
    decision = decided(study, OURS, OTHER, rival, JUST_ERIKA)
    assert orders(decision) == {11, 12}


def test_steps_of_a_stranger_name_nothing():
    study = replace(
        TYPED, patient_id='X1', patient_name='IRRTUM^OTTO',
        birth_date=None, sex='', step_ids=frozenset({'S1', 'S2'}))
    decision = decided(study, OURS, OTHER, JUST_ERIKA)
    assert not decision.orders
