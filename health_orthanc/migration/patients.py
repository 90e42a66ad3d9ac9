# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The patients of Orthanc that 4.x has stored are completed."""

from sql import Null
from sql.conditionals import Coalesce, NullIf

from trytond.pool import Pool

from ..common.registration import around_registration
from .tables import (
    add_note, count_rows, empty_to_null, execute, fill_display_names, is_older)

__all__ = ['convert_patients', 'patients_of', 'prepare_patients']

_ADMIN = 1


def prepare_patients(Patient, module_name):
    "Return whether `convert_patients` must run"
    return is_older(Patient, module_name, 'display_name')


def convert_patients(Patient):
    "Complete the patients that 4.x left behind"
    table = Patient.__table__()
    add_note('patients', count_rows(table))
    empty_to_null(table, ['name', 'ident'])
    fill_display_names(table, table.name, table.display_name)
    # Links to the patient with the PUID were made by the machine
    who = Coalesce(
        NullIf(table.write_uid, 0), NullIf(table.create_uid, 0), _ADMIN)
    execute(table.update(
            [table.decided_by], [who],
            where=(table.patient != Null)
            & ~table.patient.in_(patients_of(table.ident))))


def patients_of(patient_id):
    "Return the query of the patients whose PUID the column holds"
    pool = Pool()
    patient = pool.get('gnuhealth.patient').__table__()
    party = pool.get('party.party').__table__()
    return patient.join(
        party, condition=patient.party == party.id).select(
        patient.id, where=party.ref == patient_id)


@around_registration('gnuhealth.orthanc.patient')
def _adapt_patients(OrthancPatient, module_name):
    # Migration from 4.x
    old = prepare_patients(OrthancPatient, module_name)
    yield
    if old:
        convert_patients(OrthancPatient)
