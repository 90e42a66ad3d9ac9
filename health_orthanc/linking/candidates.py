# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Candidate search for studies: patients and orders"""

import datetime as dt
import json
from collections import defaultdict

from sql import Literal, Null, Union

from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction

from ..common.rows import fetch_rows, is_one_of, is_one_of_texts
from ..core.dicom.values import clean_text
from ..core.matching.attributes import Candidate, StudyAttributes
from ..core.matching.field_comparison import (
    compare_birth_dates, compare_patient_ids, compare_sex, received_values)
from ..core.matching.names import compare_names
from ..core.matching.search_keys import near_identifiers
from ..core.matching.verdicts import Verdict
from .attributes import order_attributes, patient_attributes
from .similar import can_search_sets, find_near

__all__ = ['find_candidates', 'make_attributes', 'study_attributes']

# The longest time between a study and an order that its numbers do not name
ORDER_WINDOW = dt.timedelta(days=31)


# Attributes of studies


def study_attributes(study):
    """Return the attributes of a study, including those of its notification.

    Parameters
    ----------
    study : Study

    Returns
    -------
    StudyAttributes
    """
    return make_attributes(
        study, study.series, {order.id for order in study.linked_orders})


def make_attributes(study, recorded, linked_orders=()):
    """Return the attributes of a study, from records or rows.

    Parameters
    ----------
    study : Study
    recorded : iterable of Series
        Its series, those that are missing included.
    linked_orders : iterable of int

    Returns
    -------
    StudyAttributes
    """
    notified = json.loads(study.notified_facts) if study.notified_facts else {}
    series = [s for s in notified.get('Series') or [] if isinstance(s, dict)]
    attributes = [
        a for s in series for a in s.get('RequestAttributes') or []
        if isinstance(a, dict)]
    # Orthanc 1.11 lists them itself
    attributes += [
        a for s in recorded if s.request_attributes and not s.missing_since
        for a in json.loads(s.request_attributes)]
    return StudyAttributes(
        study_uid=study.study_instance_UID or '',
        accession_number=study.accession_number or '',
        requested_accession_numbers=_texts(attributes, 'AccessionNumber'),
        requested_study_uids=_texts(attributes, 'StudyInstanceUID'),
        step_ids=_texts(attributes, 'ScheduledProcedureStepID'),
        procedure_ids=_texts(attributes, 'RequestedProcedureID'),
        patient_name=study.patient_name or '',
        letters_lost=bool(study.letters_lost),
        patient_id=study.patient_id or '',
        issuer=(
            _text(notified, 'IssuerOfPatientID')
            or study.issuer_of_patient_id or ''),
        other_patient_ids=frozenset(filter(None, (
                    clean_text(text) for texts in [
                        _text(notified, 'OtherPatientIDs'),
                        study.other_patient_ids or '']
                    for text in texts.split('\\')))),
        birth_date=study.patient_birth_date,
        birth_date_text=_malformed(study, 'PatientBirthDate'),
        sex=study.patient_sex or '',
        modalities=frozenset(s.modality for s in recorded if s.modality),
        description=study.study_description or '',
        date=study.date,
        station_aetitles=_texts(series, 'PerformedStationAETitle'),
        station_names=_texts(series, 'StationName'),
        texts=frozenset(
            text for text in notified.get('Texts') or []
            if isinstance(text, str)) | _own_texts(study),
        linked_orders=frozenset(linked_orders))


def _malformed(study, keyword):
    "Return what the images hold in place of a proper value"
    for line in (study.malformed_tags or '').splitlines():
        name, _, text = line.partition(': ')
        if name == keyword:
            return clean_text(text)
    return ''


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


# Patients and orders


def find_candidates(studies, issuers=(), order_window=ORDER_WINDOW):
    """Return the patients and orders that studies may belong to.

    They are found by the numbers of orders, by the PUID and other
    identifiers, and by name and birth date.  The last search is skipped if
    PUID, name, birth date and sex agree with a patient.  Each search uses an
    index, and their number does not grow with the number of studies.

    Parameters
    ----------
    studies : list of StudyAttributes
    issuers : collection of str
        The issuers of the PUID, see `core.matching.score.assess`.
    order_window : timedelta
        The longest time between a study and an order that its numbers do not
        name.

    Returns
    -------
    list of list of Candidate
        The candidates for each study.
    """
    searches = [_Search(study) for study in studies]
    _add_by_keys(searches)
    patients = patient_attributes(set().union(*(s.patients for s in searches)))
    PatientKey = Pool().get('gnuhealth.imaging_orthanc.patient_key')
    doubtful = [s for s in searches if not s.is_identified(patients, issuers)]
    for search, ids in zip(
            doubtful, PatientKey.find_similar([s.study for s in doubtful])):
        search.patients |= ids
    _assign_near(doubtful)
    patients.update(patient_attributes(
            set().union(*(s.patients for s in searches)) - patients.keys()))
    _add_open_orders(searches, order_window)
    orders = order_attributes(set().union(*(s.orders for s in searches)))
    return [search.candidates(patients, orders) for search in searches]


class _Search:
    "The keys to search for a study, and the ids of what was found"

    def __init__(self, study):
        self.study = study
        self.orders = set()
        self.patients = set()
        numbers = study.accession_numbers
        ids = {study.patient_id, *study.other_patient_ids}
        self.keys = {
            'study_instance_uid': study.study_uids,
            'merge_id': received_values(study),
            'accession_number': numbers,
            'accession_alias': numbers,
            'step_id': set(study.step_ids),
            'puid': ids,
            'replaced_puid': ids,
            'other_id': ids,
            }

    def is_identified(self, patients, issuers):
        """Return whether no search by name is needed.

        A PatientID that equals a patient's PUID contradicts all others.
        """
        return any(
            _agrees_with(self.study, patients[id_], issuers)
            for id_ in self.patients)

    def candidates(self, patients, orders):
        "Return the candidates, from the attributes of patients and orders"
        found = [(orders[id_][0], orders[id_][1]) for id_ in sorted(
                self.orders)]
        found += [(id_, None) for id_ in sorted(self.patients)]
        return [Candidate(patients[id_], order) for id_, order in found]


def _agrees_with(study, patient, issuers):
    verdicts = [
        compare_patient_ids(study, patient, {patient.puid}, issuers),
        compare_names(patient.names, study.patient_name),
        compare_birth_dates(
            patient.birth_date, study.birth_date,
            patient.birth_date_estimated),
        compare_sex(patient, study.sex)]
    return study.patient_id == patient.puid and all(
        v.verdict is Verdict.EQUAL for v in verdicts[:2]) and all(
        v.verdict is not Verdict.DIFFERS for v in verdicts[2:])


def _fetch_unions(queries):
    "Yield the rows of queries, executed as unions in batches"
    cursor = Transaction().connection.cursor()
    for part in grouped_slice(queries):
        cursor.execute(*Union(*part, all_=True))
        yield from cursor.fetchall()


def _add_by_keys(searches):
    "Add the orders and patients whose numbers each study has"
    queries = []
    for name, query in _key_queries().items():
        values = set().union(*(s.keys[name] for s in searches)) - {''}
        for some in grouped_slice(sorted(values)):
            queries.append(query(name, list(some)))
    found = defaultdict(list)
    for name, value, order, patient in _fetch_unions(queries):
        found[name, value].append((order, patient))
    for search in searches:
        for name, values in search.keys.items():
            for value in values:
                for order, patient in found.get((name, value), []):
                    search.patients.add(patient)
                    if order:
                        search.orders.add(order)


# Identifiers that are looked for in one statement
_NEAR_LIMIT = 8000


def _assign_near(searches):
    "Add the patients to each study whose PUID is one typing error away"
    by_id = defaultdict(list)
    for search in searches:
        by_id[search.study.patient_id].append(search)
    if can_search_sets():
        near = find_near(by_id)
    else:
        near = defaultdict(set)
        for id_ in by_id:
            for value in near_identifiers(id_):
                near[value].add(id_)
    query = _key_queries()['puid']
    for values in grouped_slice(sorted(near), _NEAR_LIMIT):
        for _, value, _, patient in _fetch_unions([
                    query('puid', list(some))
                    for some in grouped_slice(list(values))]):
            for id_ in near[value]:
                for search in by_id[id_]:
                    search.patients.add(patient)


def _key_queries():
    "Return a function for each kind of key that makes the query for values"
    pool = Pool()
    request = pool.get('gnuhealth.imaging.test.request').__table__()
    step = pool.get('gnuhealth.imaging.procedure.step').__table__()
    patient = pool.get('gnuhealth.patient').__table__()
    party = pool.get('party.party').__table__()
    code = pool.get('gnuhealth.person_alternative_identification').__table__()
    of_step = step.join(request, condition=step.request == request.id)
    replacement = pool.get('gnuhealth.patient').__table__()
    # Whoever was replaced by another patient is that one
    of_party = patient.join(
        party, condition=patient.party == party.id).join(
        replacement, 'LEFT',
        condition=replacement.party == party.replaced_by)
    of_duplicate = patient.join(
        party, condition=party.replaced_by == patient.party)
    of_code = patient.join(code, condition=code.party == patient.party)

    def query(source, column, order, patient, where=Literal(True)):
        return lambda name, values: source.select(
            Literal(name), column, order, patient,
            where=is_one_of_texts(column, values) & where)
    nothing = Literal(0)
    return {
        **{name: query(
                request, getattr(request, name), request.id, request.patient)
            for name in [
                'study_instance_uid', 'merge_id', 'accession_number',
                'accession_alias']},
        'step_id': query(of_step, step.step_id, request.id, request.patient),
        'puid': query(
            of_party, party.ref, nothing, patient.id,
            replacement.id == Null),
        'replaced_puid': query(of_duplicate, party.ref, nothing, patient.id),
        'other_id': query(of_code, code.code, nothing, patient.id),
        }


def _add_open_orders(searches, window):
    "Add the open orders of patients that are close in time to each study"
    searches = [s for s in searches if s.study.date and s.patients]
    if not searches:
        return
    dates = [s.study.date for s in searches]
    start = dt.datetime.combine(min(dates), dt.time()) - window
    end = dt.datetime.combine(max(dates), dt.time()) + window
    pool = Pool()
    request = pool.get('gnuhealth.imaging.test.request').__table__()
    step = pool.get('gnuhealth.imaging.procedure.step').__table__()
    by_patient = defaultdict(list)
    patients = sorted(set().union(*(s.patients for s in searches)))
    scheduled = request.join(step, condition=step.request == request.id)
    for part in grouped_slice(patients):
        ids = list(part)
        # One statement each: a union has no types of columns on SQLite
        for source, date in [
                (request, request.date), (scheduled, step.scheduled_at)]:
            for id_, patient, day in fetch_rows(source.select(
                        request.id, request.patient, date,
                        where=is_one_of(request.patient, ids)
                        & (request.state == 'requested')
                        & (date >= start) & (date < end))):
                by_patient[patient].append((id_, day))
    for search in searches:
        day = dt.datetime.combine(search.study.date, dt.time())
        search.orders |= {
            id_ for patient in search.patients
            for id_, date in by_patient[patient]
            if day - window <= date < day + window}
