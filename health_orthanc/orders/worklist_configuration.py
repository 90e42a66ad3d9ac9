# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of orders and steps, and the worklist window"""

import datetime as dt

from trytond.i18n import gettext
from trytond.model import ModelSingleton, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Eval, Id
from trytond.transaction import without_check_access

from ..common.access import GuardedMixin
from ..common.exceptions import StepValidationError
from ..core.dicom.values import is_short_string
from .step_calendar import clear_calendar_views

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

    day_start = fields.Time(
        "Start of Day", required=True, format='%H:%M',
        help="The calendar of steps opens at this time.")
    day_end = fields.Time(
        "End of Day", required=True, format='%H:%M',
        domain=[('day_end', '>', Eval('day_start', None))],
        help="What is outside these hours has a darker background in the "
        "calendar of steps. The tabs Today include the night that begins or "
        "ends today.")

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

    @staticmethod
    def default_day_start():
        return dt.time(7)

    @staticmethod
    def default_day_end():
        return dt.time(19)

    @classmethod
    def write(cls, *args):
        super().write(*args)
        clear_calendar_views()

    @classmethod
    @without_check_access
    def working_hours(cls):
        """Return the hours at which the calendar of steps opens.

        Returns
        -------
        dict of time
            `day_start` and `day_end`.
        """
        configuration = cls(1)
        return {
            name: getattr(configuration, name)
            for name in ['day_start', 'day_end']}

    @classmethod
    def create(cls, vlist):
        if cls.get_singleton():
            return super().create(vlist)
        # ModelSingleton would lock the table. That restarts the transaction,
        # which is not possible while the module is activated. The constraint
        # prevents a second record.
        records = super(ModelSingleton, cls).create(vlist)
        # The first record is created when the module is activated
        Request = Pool().get('gnuhealth.imaging.test.request')
        Request.create_recent_steps()
        return records

    @classmethod
    @without_check_access
    def window(cls):
        """Return the earliest and latest start of steps on worklists.

        Returns
        -------
        tuple of datetime
            In UTC.
        """
        configuration = cls(1)
        now = dt.datetime.now()
        return (
            now - configuration.window_after,
            now + configuration.window_before)

    @classmethod
    def new_accession_number(cls):
        "Return an unused accession number"
        return cls._next_number(
            'accession_sequence', 'gnuhealth.imaging.test.request',
            'accession_number')

    @classmethod
    def new_step_id(cls):
        "Return an unused Scheduled Procedure Step ID"
        return cls._next_number(
            'step_sequence', 'gnuhealth.imaging.procedure.step', 'step_id')

    @classmethod
    @without_check_access
    def _next_number(cls, name, model, field):
        Model = Pool().get(model)
        sequence = getattr(cls(1), name)
        for _ in range(_SEQUENCE_TRIES):
            value = sequence.get()
            if not is_short_string(value):
                break
            # An administrator may have reset the sequence
            if not Model.search([(field, '=', value)], limit=1, order=[]):
                return value
        raise StepValidationError(gettext(
                'health_orthanc.msg_sequence_unusable',
                sequence=sequence.rec_name))
