# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of orders and steps, and when steps are on the worklist."""

import datetime as dt

from trytond.i18n import gettext
from trytond.model import ModelSingleton, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Id
from trytond.transaction import without_check_access

from ..common.access import GuardedMixin
from ..common.exceptions import StepValidationError
from ..core.dicom.values import is_short_string

__all__ = ['WorklistConfiguration']

_SEQUENCE_TRIES = 100


class WorklistConfiguration(
        GuardedMixin, ModelSingleton, ModelSQL, ModelView):
    "Worklist Configuration"
    __name__ = 'gnuhealth.imaging.worklist.configuration'

    accession_sequence = fields.Many2One(
        'ir.sequence', "Accession Number Sequence", required=True,
        domain=[('sequence_type', '=', Id(
                    'health_orthanc', 'sequence_type_accession_number'))],
        help="The numbers must have at most 16 characters.")
    step_sequence = fields.Many2One(
        'ir.sequence', "Step ID Sequence", required=True,
        domain=[('sequence_type', '=', Id(
                    'health_orthanc', 'sequence_type_procedure_step'))],
        help="The numbers must have at most 16 characters.")
    window_before = fields.TimeDelta(
        "Time Before Start", required=True,
        domain=[('window_before', '>=', dt.timedelta())],
        help="A step is added to the worklist this time before its start.")
    window_after = fields.TimeDelta(
        "Time After Start", required=True,
        domain=[('window_after', '>=', dt.timedelta())],
        help="An open step stays on the worklist for this time after its "
        "start. Then it is overdue.")

    @classmethod
    def default_accession_sequence(cls):
        return cls._xml_id('sequence_accession_number')

    @classmethod
    def default_step_sequence(cls):
        return cls._xml_id('sequence_procedure_step')

    @staticmethod
    def _xml_id(name):
        try:
            return Pool().get('ir.model.data').get_id('health_orthanc', name)
        except KeyError:
            return None

    @staticmethod
    def default_window_before():
        return dt.timedelta(days=30)

    @staticmethod
    def default_window_after():
        return dt.timedelta(days=7)

    @classmethod
    def create(cls, vlist):
        if cls.get_singleton():
            return super().create(vlist)
        # ModelSingleton would lock the table, which restarts the transaction:
        # that of an activation cannot be. The constraint keeps a second one
        # away.
        records = super(ModelSingleton, cls).create(vlist)
        # The module was just activated
        Request = Pool().get('gnuhealth.imaging.test.request')
        Request.open_recent()
        return records

    @classmethod
    @without_check_access
    def window(cls):
        "Return from when to when steps start that are served, in UTC"
        configuration = cls(1)
        now = dt.datetime.now()
        return (
            now - configuration.window_after,
            now + configuration.window_before)

    @classmethod
    def new_accession_number(cls):
        return cls._next(
            'accession_sequence', 'gnuhealth.imaging.test.request',
            'accession_number')

    @classmethod
    def new_step_id(cls):
        return cls._next(
            'step_sequence', 'gnuhealth.imaging.procedure.step', 'step_id')

    @classmethod
    @without_check_access
    def _next(cls, name, model, field):
        Model = Pool().get(model)
        sequence = getattr(cls(1), name)
        for _ in range(_SEQUENCE_TRIES):
            value = sequence.get()
            if not is_short_string(value):
                break
            # The sequence may have been set back
            if not Model.search([(field, '=', value)], limit=1, order=[]):
                return value
        raise StepValidationError(gettext(
                'health_orthanc.msg_sequence_unusable',
                sequence=sequence.rec_name))
