# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GNU Health says of patients and orders, by the batch.

It is read from the tables: a search looks at hundreds of patients of whom a
few values are needed.
"""

import datetime as dt
from collections import defaultdict

from sql import Literal, Union
from sql.conditionals import Coalesce

from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.tools import timezone as tz
from trytond.transaction import Transaction

from ..core.dicom.values import NameGroup
from ..core.matching.attributes import (
    OrderAttributes, PatientAttributes, StepAttributes)

__all__ = ['order_attributes', 'patient_attributes']

_SEXES = {'m': 'M', 'f': 'F'}
_ID = '#'
_NAME_ORDER = ['official', 'maiden', 'usual', 'old', 'nickname']


def _rows(query):
    cursor = Transaction().connection.cursor()
    cursor.execute(*query)
    return cursor.fetchall()


# Patients


def patient_attributes(ids, active=False):
    """Return the facts of patients by their ids.

    Parameters
    ----------
    active : bool
        Whether those are left out that are not.

    Returns
    -------
    dict
    """
    found = {}
    for sub_ids in grouped_slice(sorted(ids)):
        found.update(_patient_facts(list(sub_ids), active))
    return found


def _patient_facts(ids, active):
    pool = Pool()
    patient = pool.get('gnuhealth.patient').__table__()
    party = pool.get('party.party').__table__()
    where = patient.id.in_(ids)
    if active:
        where &= Coalesce(patient.active, True)
        where &= Coalesce(party.active, True)
    certificate = pool.get('gnuhealth.death_certificate').__table__()
    rows = _rows(patient.join(
            party, condition=patient.party == party.id).join(
            certificate, 'LEFT',
            condition=party.death_certificate == certificate.id).select(
            patient.id, patient.party, patient.biological_sex, party.ref,
            party.lastname, party.name, party.dob, party.est_dob,
            party.gender,
            Coalesce(patient.active, True) & Coalesce(party.active, True),
            party.deceased, certificate.dod, where=where))
    parties = [row[1] for row in rows]
    names, other_ids = _names_and_ids(parties)
    return {
        id_: PatientAttributes(
            key=id_,
            puid=puid or '',
            names=_names(
                names.get(party, []), NameGroup(lastname or '', name or '')),
            birth_date=dob,
            birth_date_estimated=bool(estimated),
            biological_sex=_SEXES.get(sex, ''),
            gender=_SEXES.get(gender, ''),
            other_ids=frozenset(other_ids.get(party, set()) - {puid}),
            active=bool(is_active),
            deceased=bool(deceased),
            died_on=_date(died_at))
        for id_, party, sex, puid, lastname, name, dob, estimated, gender,
        is_active, deceased, died_at in rows}


def _date(moment):
    # SQLite gives what is joined as text
    if isinstance(moment, str):
        moment = dt.datetime.fromisoformat(moment)
    return moment.date() if moment else None


def _names_and_ids(parties):
    """Return the rows of names in the order of their use, and other IDs.

    The PUIDs of duplicates that a party replaces are other IDs of it.

    Returns
    -------
    tuple of dict
        Lists and sets by party.
    """
    pool = Pool()
    name = pool.get('gnuhealth.person_name').__table__()
    code = pool.get('gnuhealth.person_alternative_identification').__table__()
    party = pool.get('party.party').__table__()
    names, other_ids = defaultdict(list), defaultdict(set)
    if not parties:
        return names, other_ids
    nothing = [Literal('')] * 3 + [Literal(0)]
    rows = _rows(Union(
            name.select(
                name.party, name.use, name.family, name.given, name.prefix,
                name.suffix, name.id,
                where=name.party.in_(parties) & name.use.in_(_NAME_ORDER)),
            code.select(
                code.party, Literal(_ID), code.code, *nothing,
                where=code.party.in_(parties)),
            party.select(
                party.replaced_by, Literal(_ID), party.ref, *nothing,
                where=party.replaced_by.in_(parties)),
            all_=True))
    for id_, use, *parts, number in rows:
        if use == _ID:
            other_ids[id_].add(parts[0] or '')
        else:
            names[id_].append((_NAME_ORDER.index(use), number, parts))
    return (
        {id_: [[part or '' for part in parts] for *_, parts in sorted(found)]
            for id_, found in names.items()},
        {id_: found - {''} for id_, found in other_ids.items()})


def _names(rows, main):
    groups = [
        NameGroup(family, given, '', prefix, suffix)
        for family, given, prefix, suffix in rows]
    groups.insert(1 if groups else 0, main)
    return tuple(dict.fromkeys(g for g in groups if g))


# Orders


def order_attributes(ids):
    """Return the facts of orders by their ids.

    Returns
    -------
    dict of tuple
        The id of the patient and the OrderAttributes.
    """
    found = {}
    for sub_ids in grouped_slice(sorted(ids)):
        found.update(_order_facts(list(sub_ids)))
    return found


def _order_facts(ids):
    pool = Pool()
    request = pool.get('gnuhealth.imaging.test.request').__table__()
    test = pool.get('gnuhealth.imaging.test').__table__()
    steps = _steps(ids)
    rows = _rows(request.join(
            test, condition=request.requested_test == test.id).select(
            request.id, request.patient, request.study_instance_uid,
            request.accession_number, request.accession_alias,
            request.merge_id, request.request_line, test.name, request.state,
            where=request.id.in_(ids)))
    return {
        id_: (patient, OrderAttributes(
                key=id_,
                study_uid=uid or '',
                accession_number=number or '',
                aliases=frozenset(filter(None, [alias])),
                merge_id=merge_id or '',
                procedure_id=line or '',
                steps=tuple(steps[id_]),
                description=description or '',
                open=state == 'requested'))
        for id_, patient, uid, number, alias, merge_id, line, description,
        state in rows}


def _steps(requests):
    "Return the facts of steps by order"
    pool = Pool()
    Institution = pool.get('gnuhealth.institution')
    step = pool.get('gnuhealth.imaging.procedure.step').__table__()
    rows = _rows(step.select(
            step.request, step.step_id, step.modality, step.scheduled_at,
            step.institution, step.station_aetitle, step.station_name,
            where=step.request.in_(requests), order_by=step.id))
    zones = Institution.zones(
        {row[4] for row in rows} - {None}) if rows else {}
    steps = defaultdict(list)
    for request, id_, modality, at, institution, aetitle, station in rows:
        start = at.replace(tzinfo=tz.UTC).astimezone(
            tz.get_tzinfo(zones[institution])) if at else None
        steps[request].append(StepAttributes(
                step_id=id_ or '', modality=modality or '',
                date=start.date() if start else None,
                station_aetitle=aetitle or '', station_name=station or ''))
    return steps
