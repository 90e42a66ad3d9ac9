# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many orders at once, made by an agent inside of Tryton."""
import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from trytond.pool import Pool

__all__ = [
    'Order', 'listed', 'make_orders', 'occupy_renderer', 'typed_into']

REQUEST = 'gnuhealth.imaging.test.request'
STEP = 'gnuhealth.imaging.procedure.step'
TEST = 'gnuhealth.imaging.test'
PRODUCT = 'product_product_ctscancharges'
TYPE = 'gnuhealth_test_type_ctscan'


@dataclass(frozen=True)
class Order:
    """What a physician orders, with a step of its own.

    Attributes
    ----------
    puid
        Of the patient, who is made where there is none with it.
    start
        In UTC.
    study
        The name of the study type.
    doctor, performer
        Family and given name.
    request, step
        Further values of the records.
    institution
        Name and time zone.
    allergy
        What the patient has an allergy to; the context of the order, too.
    charset
        Of the template of the study type.
    """
    puid: str
    family: str
    given: str
    start: dt.datetime
    sex: str = 'f'
    birth_date: dt.date = dt.date(1980, 2, 29)
    study: str = "CT of the Head"
    doctor: tuple[str, str] = ("Musterfrau", "Cora")
    performer: tuple[str, str] | None = None
    request: Mapping[str, object] = field(default_factory=dict)
    step: Mapping[str, object] = field(default_factory=dict)
    institution: tuple[str, str] | None = None
    allergy: str | None = None
    charset: str | None = None


def make_orders(orders: Sequence[Order]) -> list[dict]:
    """Return the numbers of the orders, past GNU Health's button."""
    pool = Pool()
    Request, Step = pool.get(REQUEST), pool.get(STEP)
    patients = _find_patients(orders)
    doctors = _make_doctors({
            name for order in orders
            for name in [order.doctor, order.performer] if name})
    tests = _make_tests({(order.study, order.charset) for order in orders})
    institutions = {
        names: _make_institution(*names)
        for names in {order.institution for order in orders} if names}
    contexts = _make_allergies([
            (order.allergy, patients[order.puid], doctors[order.doctor])
            for order in orders])
    requests = Request.create([{
                'patient': patients[order.puid],
                'date': order.start,
                'doctor': doctors[order.doctor],
                'requested_test': tests[order.study, order.charset],
                'context': context,
                **order.request,
                } for order, context in zip(orders, contexts)])
    Request.requested(requests)
    actions = []
    for order, request in zip(orders, requests):
        step = {'modality': 'CT', 'station_aetitle': 'CT1', **order.step}
        if order.institution:
            step['institution'] = institutions[order.institution]
        if order.performer:
            step['performing_physician'] = doctors[order.performer]
        actions.extend((list(request.steps), step))
    Step.write(*actions)
    return [{
            'id': request.id, 'accession': request.accession_number,
            'uid': request.study_instance_uid,
            'step': request.steps[0].step_id,
            } for request in Request.browse(requests)]


def _find_patients(orders: Sequence[Order]) -> dict[str, int]:
    Patient = Pool().get('gnuhealth.patient')
    wanted = {order.puid: order for order in orders}
    found = {
        p.puid: p.id
        for p in Patient.search([('puid', 'in', list(wanted))])}
    new = {
        puid: _make_party(
            name=order.given, lastname=order.family, is_person=True,
            is_patient=True, gender=order.sex, dob=order.birth_date,
            ref=puid)
        for puid, order in wanted.items() if puid not in found}
    patients = Patient.create([{
                'party': party.id, 'biological_sex': wanted[puid].sex,
                } for puid, party in new.items()])
    return found | dict(zip(new, [p.id for p in patients]))


def _make_party(**values: object):
    # GNU Health makes one at a time only
    party, = Pool().get('party.party').create(
        [{'fed_country': 'XXX', 'create_target': False, **values}])
    return party


def _make_doctors(names: set[tuple[str, str]]) -> dict:
    pool = Pool()
    names = sorted(names)
    parties = [
        _make_party(
            name=given, lastname=family, is_person=True, is_healthprof=True,
            gender='f')
        for family, given in names]
    doctors = pool.get('gnuhealth.healthprofessional').create(
        [{'party': party.id} for party in parties])
    return {name: doctor.id for name, doctor in zip(names, doctors)}


def _make_tests(names: set[tuple[str, str | None]]) -> dict:
    """Return the ids of study types by name and character set."""
    pool = Pool()
    templates = {
        charset: _make_template(charset) if charset else None
        for _, charset in names}
    Data = pool.get('ir.model.data')
    names = sorted(names, key=str)
    tests = pool.get(TEST).create([{
                'code': f'TEST{number}',
                'name': name,
                'test_type': Data.get_id('health_imaging', TYPE),
                'product': Data.get_id('health_imaging', PRODUCT),
                'imaging_worklist_template': templates[charset],
                } for number, (name, charset) in enumerate(names)])
    return {name: test.id for name, test in zip(names, tests)}


def _make_allergies(
        allergies: Sequence[tuple[str | None, int, int]]
        ) -> list[int | None]:
    """Return the ids of the pathologies, None for None."""
    pool = Pool()
    ids = []
    for number, (name, patient, doctor) in enumerate(allergies):
        ids.append(None)
        if name:
            pathology, = pool.get('gnuhealth.pathology').create(
                [{'code': f'TEST{number}', 'name': name}])
            pool.get('gnuhealth.patient.disease').create([{
                        'patient': patient, 'pathology': pathology.id,
                        'healthprof': doctor, 'is_allergy': True,
                        'is_active': True}])
            ids[-1] = pathology.id
    return ids


def _make_institution(name: str, zone: str) -> int:
    """Return the id of an institution that is a company with a zone."""
    pool = Pool()
    Currency = pool.get('currency.currency')
    party = _make_party(name=name, is_institution=True)
    institution, = pool.get('gnuhealth.institution').create([{
                'party': party.id, 'code': f'I{party.id}',
                'institution_type': 'hospital', 'public_level': 'public'}])
    currency = Currency.search([], limit=1) or Currency.create(
        [{'name': "Euro", 'code': 'EUR', 'symbol': '€'}])
    pool.get('company.company').create([{
                'party': party.id, 'currency': currency[0].id,
                'timezone': zone}])
    return institution.id


def _make_template(charset: str) -> int:
    template, = Pool().get(
        'gnuhealth.imaging_worklist.worklist_template').create(
        [{'name': charset, 'charset': charset}])
    return template.id


def typed_into(orders: Sequence[int]) -> list[dict[str, int]]:
    """Return the ids of the records behind each order, by what they are."""
    return [{
            'request': request.id,
            'step': request.steps[0].id,
            'patient': request.patient.party.id,
            'test': request.requested_test.id,
            'doctor': request.doctor.party.id,
            'performer': request.steps[0].performing_physician.party.id,
            'institution': request.steps[0].institution.party.id,
            'context': request.context.id,
            } for request in Pool().get(REQUEST).browse(orders)]


def listed() -> list[str]:
    """Return the step IDs of the list that a script gets."""
    return [
        entry['step_id']
        for entry in Pool().get(STEP).get_worklist()['entries']]


def occupy_renderer(sign: Path, seconds: float) -> None:
    """Be the process that renders for a while; make a file to tell so."""
    locks = import_module('trytond.modules.health_orthanc.common.locks')
    entry = import_module('trytond.modules.health_orthanc.worklist.item')
    with locks.named_lock(entry.RENDERING) as taken:
        assert taken
        sign.touch()
        time.sleep(seconds)
