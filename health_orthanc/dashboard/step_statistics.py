# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of procedure steps"""

from sql import Literal
from sql.aggregate import Avg, Count, Min, Sum
from sql.conditionals import Case, Coalesce, NullIf
from sql.functions import Extract, Lower, Substring, Trim

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool

from .statistics import DAYS, StatisticsMixin, days_ago, readable

__all__ = ['StepDevice', 'StepRejection', 'StepTurnaround']

STEP = 'gnuhealth.imaging.procedure.step'
# Of a reason that was typed, as far as it is compared and shown
_REASON_LENGTH = 40
_HOUR = 3600
# A longer time is written in days
_HOURS_SHOWN = 48


def _count(condition):
    return Sum(Case((condition, 1), else_=0))


class StepDevice(StatisticsMixin):
    "Steps of Today by Device"
    __name__ = 'gnuhealth.imaging_orthanc.statistics.device'
    _counted_models = (STEP,)

    device = fields.Char("Device")
    scheduled = fields.Integer("Scheduled")
    in_progress = fields.Integer("In Progress")
    completed = fields.Integer("Completed")
    rejected = fields.Integer("Rejected")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('device', 'ASC')]

    @classmethod
    def table_query(cls):
        start, end = Pool().get('gnuhealth.institution').today()
        query, step = readable(Pool().get(STEP), [
                ('scheduled_at', '>=', start), ('scheduled_at', '<', end),
                ('request_state', 'in', ['requested', 'done']),
                ('state', '!=', 'canceled'),
                ], ['station_aetitle', 'modality'])
        device = Coalesce(
            NullIf(step.station_aetitle, ''), step.modality, '–')
        query.columns = cls._columns(
            id=Min(step.id), device=device, **{
                state: _count(step.state == state) for state in [
                    'scheduled', 'in_progress', 'completed', 'rejected']})
        query.group_by = [device]
        return query


class StepTurnaround(StatisticsMixin):
    "Time from Order to Images"
    __name__ = 'gnuhealth.imaging_orthanc.statistics.turnaround'
    _counted_models = (STEP,)

    modality = fields.Char("Modality")
    steps = fields.Integer("Steps")
    hours = fields.Float(
        "Hours", digits=(16, 1),
        help="The average time from the order to its images.")
    # Bars of a few minutes are too low to be read at an axis of hours
    time = fields.Function(
        fields.Char("Time",
            help="The average time from the order to its images, in hours "
            "and minutes, or in days."),
        'get_time')
    modality_time = fields.Function(
        fields.Char("Modality and Time"), 'get_modality_time')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('hours', 'DESC'), ('id', 'ASC')]

    def get_time(self, name):
        if self.hours >= _HOURS_SHOWN:
            days = Pool().get('ir.lang').get().format('%.1f', self.hours / 24)
            return days + '\u00a0' + gettext('ir.msg_timedelta_d')
        hours, minutes = divmod(max(1, round(self.hours * 60)), 60)
        return f'{hours}:{minutes:02}\u00a0h'

    def get_modality_time(self, name):
        return f'{self.modality}: {self.time}'

    @classmethod
    def table_query(cls):
        pool = Pool()
        query, step = readable(pool.get(STEP), [
                ('state', '=', 'completed'), ('study', '!=', None),
                ('ended_at', '>=', days_ago(DAYS)),
                ('request.requested_at', '!=', None),
                ])
        request = pool.get('gnuhealth.imaging.test.request').__table__()
        requested = request.select(
            Extract('EPOCH', request.requested_at),
            where=request.id == step.request)
        seconds = Extract('EPOCH', step.ended_at) - requested
        modality = Coalesce(step.modality, '–')
        query.columns = cls._columns(
            id=Min(step.id), modality=modality, steps=Count(step.id),
            hours=cls.hours.sql_cast(Avg(seconds) / _HOUR))
        query.group_by = [modality]
        return query


class StepRejection(StatisticsMixin):
    "Rejected Steps by Reason"
    __name__ = 'gnuhealth.imaging_orthanc.statistics.rejection'
    _counted_models = (STEP,)

    reason = fields.Char("Reason")
    steps = fields.Integer("Steps")
    rate = fields.Float(
        "Percent", digits=(16, 1),
        help="The share of all steps that were performed.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._order = [('steps', 'DESC'), ('id', 'ASC')]

    @classmethod
    def table_query(cls):
        Step = Pool().get(STEP)
        performed, step = readable(Step, [
                ('state', 'in', ['completed', 'rejected']),
                ('ended_at', '>=', days_ago(DAYS)),
                ])
        performed.columns = [Count(step.id)]
        query, step = readable(Step, [
                ('state', '=', 'rejected'),
                ('ended_at', '>=', days_ago(DAYS)),
                ], ['rejection_reason'])
        text = Substring(
            Trim(Coalesce(step.rejection_reason, '–')), 1, _REASON_LENGTH)
        query.columns = cls._columns(
            id=Min(step.id), reason=Min(text), steps=Count(step.id),
            rate=cls.rate.sql_cast(
                Count(step.id) * Literal(100.0) / performed))
        query.group_by = [Lower(text)]
        return query
