# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that name a patient, found by introspection

A record of this module, an order or a result belongs to the patient whom such
a field names, and follows the patient to a replacement.  A field that says
what was so at a certain time, or that is derived from the patient, is listed
in the attribute `_kept_patients` of its model.
"""

from trytond.model import ModelSQL, fields
from trytond.pool import Pool

from ..common.registration import inherited_names, is_own

__all__ = ['followed_links', 'patient_fields']

PATIENT, PARTY = 'gnuhealth.patient', 'party.party'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
STUDY = 'gnuhealth.imaging_orthanc.study'


def _models():
    "Yield our models, and orders and results"
    for name, Model in Pool().iterobject():
        if issubclass(Model, ModelSQL) and not Model.table_query and (
                is_own(Model) or name in {REQUEST, RESULT}):
            yield name, Model


def _stored_fields(Model):
    "Yield the names and fields that have a column and are not kept"
    kept = inherited_names(Model, '_kept_patients')
    for name, field in Model._fields.items():
        if name not in kept and not isinstance(field, fields.Function):
            yield name, field


def patient_fields():
    """Return the fields by which records follow a patient or a party.

    Returns
    -------
    list of tuple
        Model, field, and the model that the field refers to: a patient or a
        party, or None for a Reference.
    """
    found = []
    for model, Model in _models():
        for name, field in _stored_fields(Model):
            if isinstance(field, fields.Many2One):
                if field.model_name in {PATIENT, PARTY}:
                    found.append((model, name, field.model_name))
            elif isinstance(field, fields.Reference):
                found.append((model, name, None))
    return sorted(found, key=lambda line: line[:2])


def followed_links():
    """Return the fields by which orders, results and studies belong together.

    They must have one patient.

    Returns
    -------
    list of tuple
        Model, and the names and targets of its fields.
    """
    nodes = {REQUEST, RESULT, STUDY}
    found = []
    for model, Model in _models():
        links = [
            (name, field.model_name) for name, field in _stored_fields(Model)
            if isinstance(field, fields.Many2One)
            and field.model_name in nodes]
        # A model in between has two of them
        if links and (model in nodes or len(links) > 1):
            found.append((model, sorted(links)))
    return sorted(found)
