# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The studies that the matching is measured with."""
import pytest

from benchmarks.pairs import KINDS, Hospital, Rates
from benchmarks.people import PeopleRates, Population


def hospital(seed=1):
    return Hospital(
        Population(seed, 3000, PeopleRates()), 3000, Rates(), seed)


@pytest.fixture(scope='module')
def made():
    return hospital()


def test_same_seed_makes_the_same(made):
    again = hospital()
    assert made.pairs == again.pairs
    assert made.orders == again.orders
    assert made.population.people == again.population.people
    assert made.pairs != hospital(2).pairs


def test_every_kind_is_made(made):
    assert {pair.kind for pair in made.pairs} == set(KINDS)
    assert sum(KINDS.values()) == pytest.approx(1)


def test_truth_is_true(made):
    patients = {p.key: p.facts for p in made.population.people}
    for pair in made.pairs:
        if pair.patient is None:
            assert pair.kind == 'stranger' and not pair.recoverable
            continue
        if pair.order is not None:
            assert made.orders[pair.order].patient == patients[pair.patient]
        if pair.order_key:
            order = made.orders[pair.order].order
            assert (
                pair.study.study_uid == order.study_uid
                or pair.study.accession_number == order.accession_number
                or order.merge_id in pair.study.texts)
        if pair.error_free:
            patient = patients[pair.patient]
            assert pair.recoverable
            assert pair.study.patient_id == patient.puid


def test_images_of_another_ones_entry_tell_so(made):
    "What cannot be told by any data is not made"
    patients = {p.key: p.facts for p in made.population.people}
    orders = {c.order.study_uid: c for c in made.orders.values()}
    for pair in made.pairs:
        entry = orders.get(pair.study.study_uid)
        if pair.kind == 'wrong_entry' and entry:
            ours, study = patients[pair.patient], pair.study
            assert entry.patient.key != pair.patient
            assert (
                entry.patient.names[0] != ours.names[0]
                or study.patient_id != entry.patient.puid
                or study.birth_date != entry.patient.birth_date)
