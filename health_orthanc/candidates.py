# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a study is compared with: patients of GNU Health and their orders."""

import datetime as dt
import json

from trytond.pool import Pool
from trytond.tools import timezone as tz

from .core.facts import (
    Candidate, OrderFacts, PatientFacts, StepFacts, StudyFacts)
from .core.search import birth_date_variants
from .core.values import NameGroup, clean_text

__all__ = ['candidates_of', 'study_facts']

# How many patients with the same birth date are looked at
PATIENT_LIMIT = 200
# Days between the date of a study and that of an order without a key of it
ORDER_WINDOW = 31
_SEXES = {'m': 'M', 'f': 'F'}
_NAME_ORDER = ['official', 'maiden', 'usual', 'old', 'nickname']


# What the images say


def study_facts(study):
    "Return what is known of a study, its notification included"
    told = json.loads(study.notified_facts) if study.notified_facts else {}
    series = [s for s in told.get('Series') or [] if isinstance(s, dict)]
    attributes = [
        a for s in series for a in s.get('RequestAttributes') or []
        if isinstance(a, dict)]
    return StudyFacts(
        study_uid=study.study_instance_UID or '',
        accession_number=study.accession_number or '',
        step_ids=_texts(attributes, 'ScheduledProcedureStepID'),
        procedure_ids=_texts(attributes, 'RequestedProcedureID'),
        patient_name=study.patient_name or '',
        patient_id=study.patient_id or '',
        issuer=_text(told, 'IssuerOfPatientID'),
        other_patient_ids=frozenset(filter(None, (
                    clean_text(text) for text in _text(
                        told, 'OtherPatientIDs').split('\\')))),
        birth_date=study.patient_birth_date,
        sex=study.patient_sex or '',
        modalities=frozenset(
            s.modality for s in study.series if s.modality),
        description=study.study_description or '',
        date=study.date,
        station_aetitles=_texts(series, 'PerformedStationAETitle'),
        station_names=_texts(series, 'StationName'),
        texts=frozenset(
            text for text in told.get('Texts') or []
            if isinstance(text, str)) | _own_texts(study))


def _text(values, name):
    value = values.get(name)
    return clean_text(value) if isinstance(value, str) else ''


def _texts(dictionaries, name):
    return frozenset(filter(None, (_text(d, name) for d in dictionaries)))


def _own_texts(study):
    return frozenset(filter(None, [
                study.patient_id, study.patient_name, study.study_id,
                study.accession_number, study.study_description,
                study.study_instance_UID]))


# What GNU Health says


def candidates_of(facts):
    """Return the patients and orders that a study may belong to.

    They are found by keys of orders, by the PUID, and where neither finds
    anybody by the birth date; each search uses an index.

    Parameters
    ----------
    facts : StudyFacts

    Returns
    -------
    list of Candidate
    """
    Request = Pool().get('gnuhealth.imaging.test.request')
    by_key = Request.search(_key_domain(facts), order=[('id', 'ASC')])
    patients = {r.patient for r in by_key} | set(_known_patients(facts))
    if not patients:
        patients = set(_similar_patients(facts))
    requests = set(by_key) | set(_awaited(patients, facts))
    zones = _zones(requests)
    candidates = [
        Candidate(_patient_facts(r.patient), _order_facts(r, zones))
        for r in sorted(requests, key=int)]
    candidates += [
        Candidate(_patient_facts(p)) for p in sorted(patients, key=int)]
    return candidates


def _key_domain(facts):
    texts = list(facts.texts)
    numbers = [facts.accession_number] if facts.accession_number else []
    return ['OR',
        ('study_instance_uid', 'in', [facts.study_uid] if facts.study_uid
            else []),
        ('merge_id', 'in', texts),
        ('accession_number', 'in', numbers),
        ('accession_alias', 'in', numbers),
        ('steps.step_id', 'in', list(facts.step_ids)),
        ]


def _known_patients(facts):
    Patient = Pool().get('gnuhealth.patient')
    ids = {facts.patient_id, *facts.other_patient_ids} - {''}
    return Patient.search([('party.ref', 'in', list(ids))]) if ids else []


def _similar_patients(facts):
    Patient = Pool().get('gnuhealth.patient')
    if not facts.birth_date:
        return []
    return Patient.search([
            ('party.dob', 'in', list(birth_date_variants(facts.birth_date))),
            ], limit=PATIENT_LIMIT, order=[])


def _awaited(patients, facts):
    "Return the orders of patients that images may be for without a key"
    if not patients or not facts.date:
        return []
    Request = Pool().get('gnuhealth.imaging.test.request')
    start = dt.datetime.combine(facts.date, dt.time())
    window = dt.timedelta(days=ORDER_WINDOW)
    return Request.search([
            ('patient', 'in', [p.id for p in patients]),
            ('state', '=', 'requested'),
            ('date', '>=', start - window),
            ('date', '<', start + window),
            ])


def _zones(requests):
    Institution = Pool().get('gnuhealth.institution')
    return Institution.zones({
            s.institution for r in requests for s in r.steps
            if s.institution})


def _patient_facts(patient):
    party = patient.party
    names = sorted(
        (n for n in party.person_names if n.use in _NAME_ORDER),
        key=lambda name: _NAME_ORDER.index(name.use))
    groups = [
        NameGroup(
            n.family or '', n.given or '', '', n.prefix or '',
            n.suffix or '')
        for n in names]
    groups.insert(
        1 if groups else 0,
        NameGroup(party.lastname or '', party.name or ''))
    return PatientFacts(
        key=patient.id,
        puid=party.ref or '',
        names=tuple(dict.fromkeys(g for g in groups if g)),
        birth_date=party.dob,
        birth_date_estimated=bool(party.est_dob),
        biological_sex=_SEXES.get(patient.biological_sex, ''),
        gender=_SEXES.get(party.gender, ''),
        other_ids=frozenset(
            i.code for i in party.alternative_ids if i.code))


def _order_facts(request, zones):
    return OrderFacts(
        key=request.id,
        study_uid=request.study_instance_uid or '',
        accession_number=request.accession_number or '',
        merge_id=request.merge_id or '',
        procedure_id=request.request_line or '',
        aliases=frozenset(filter(None, [request.accession_alias])),
        steps=tuple(_step_facts(s, zones) for s in request.steps),
        description=request.requested_test.rec_name,
        open=request.state == 'requested')


def _step_facts(step, zones):
    institution = step.institution.id if step.institution else None
    zone = tz.get_tzinfo(zones[institution])
    start = step.scheduled_at.replace(tzinfo=tz.UTC).astimezone(zone)
    return StepFacts(
        step_id=step.step_id or '', modality=step.modality or '',
        date=start.date(), station_aetitle=step.station_aetitle or '',
        station_name=step.station_name or '')
