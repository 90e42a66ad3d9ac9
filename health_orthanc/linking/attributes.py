# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes of patients and orders for matching

They are read by SQL in batches: a search compares hundreds of patients, of
whom it needs a few columns.
"""

import datetime as dt
from collections import defaultdict

from sql import Literal, Union
from sql.conditionals import Coalesce

from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.tools import timezone as tz

from ..common.rows import fetch_rows, is_one_of
from ..core.dicom.values import NameGroup
from ..core.matching.attributes import (
    OrderAttributes, PatientAttributes, StepAttributes)

__all__ = ['order_attributes', 'patient_attributes']

_SEXES = {'m': 'M', 'f': 'F'}
_ID = '#'
_NAME_ORDER = ['official', 'maiden', 'usual', 'old', 'nickname']


# Patients


def patient_attributes(ids, active=False):
    """Return the attributes of patients.

    Parameters
    ----------
    ids : iterable of int
    active : bool
        Whether to leave out inactive patients.

    Returns
    -------
    dict of PatientAttributes
        By the id of the patient.
    """
    found = {}
    for sub_ids in grouped_slice(sorted(ids)):
        found.update(_read_patients(list(sub_ids), active))
    return found


def _read_patients(ids, active):
    pool = Pool()
    patient = pool.get('gnuhealth.patient').__table__()
    party = pool.get('party.party').__table__()
    where = is_one_of(patient.id, ids)
    if active:
        where &= Coalesce(patient.active, True)
        where &= Coalesce(party.active, True)
    certificate = pool.get('gnuhealth.death_certificate').__table__()
    rows = fetch_rows(patient.join(
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
    """Return names, in the order of their use, and other IDs of parties.

    The PUIDs of merged duplicates count as other IDs.

    Returns
    -------
    tuple of dict
        Lists of names and sets of IDs, by the id of the party.
    """
    pool = Pool()
    name = pool.get('gnuhealth.person_name').__table__()
    code = pool.get('gnuhealth.person_alternative_identification').__table__()
    party = pool.get('party.party').__table__()
    names, other_ids = defaultdict(list), defaultdict(set)
    if not parties:
        return names, other_ids
    nothing = [Literal('')] * 3 + [Literal(0)]
    rows = fetch_rows(Union(
            name.select(
                name.party, name.use, name.family, name.given, name.prefix,
                name.suffix, name.id,
                where=is_one_of(name.party, parties)
                & name.use.in_(_NAME_ORDER)),
            code.select(
                code.party, Literal(_ID), code.code, *nothing,
                where=is_one_of(code.party, parties)),
            party.select(
                party.replaced_by, Literal(_ID), party.ref, *nothing,
                where=is_one_of(party.replaced_by, parties)),
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
    """Return the attributes of orders.

    Parameters
    ----------
    ids : iterable of int

    Returns
    -------
    dict of tuple
        The id of the patient and the OrderAttributes, by the id of the order.
    """
    found = {}
    for sub_ids in grouped_slice(sorted(ids)):
        found.update(_read_orders(list(sub_ids)))
    return found


def _read_orders(ids):
    pool = Pool()
    request = pool.get('gnuhealth.imaging.test.request').__table__()
    test = pool.get('gnuhealth.imaging.test').__table__()
    steps = _read_steps(ids)
    rows = fetch_rows(request.join(
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


def _read_steps(requests):
    "Return the attributes of steps, by the id of the order"
    pool = Pool()
    Institution = pool.get('gnuhealth.institution')
    step = pool.get('gnuhealth.imaging.procedure.step').__table__()
    rows = fetch_rows(step.select(
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
