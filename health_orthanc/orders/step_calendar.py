# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calendar of procedure steps: hours, colors, devices, and moving steps"""

import datetime as dt

from sql import Literal
from sql.conditionals import Coalesce
from sql.functions import Position
from sql.operators import Concat

from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval, PYSONEncoder
from trytond.transaction import Transaction, without_check_access

from ..common.access import check_write, may_read, must_ask, warning_name
from ..common.exceptions import StepMoveWarning
from ..common.views import set_client_attribute
from .states import OPEN_STATES
from .step_display import readable_patients

__all__ = [
    'ActWindow', 'COLORS', 'OVERDUE_COLOR', 'ProcedureStep', 'TEXT_COLOR']

# On each of these backgrounds the text can be read (WCAG: 4.5 to 1)
TEXT_COLOR = '#ffffff'
COLORS = {
    'scheduled': '#1f6f72',
    'in_progress': '#9a5700',
    'completed': '#2e7d32',
    'rejected': '#6a3d8f',
    'canceled': '#616161',
    }
OVERDUE_COLOR = '#c62828'

STEP = 'gnuhealth.imaging.procedure.step'
_STATES = {'readonly': ~Eval('state').in_(OPEN_STATES)}
# What moves a step in the calendar
_TIMES = {'scheduled_at', 'scheduled_end', 'duration'}
_SHORTEST = dt.timedelta(minutes=30)


def _calendar_duration(duration):
    "Return the duration of a step in the calendar: at least 30 minutes"
    return max(duration or dt.timedelta(), _SHORTEST)


class ProcedureStep(metaclass=PoolMeta):
    __name__ = STEP

    scheduled_end = fields.Function(
        fields.DateTime(
            "End", states=_STATES,
            help="The end shown in the calendar, at least half an hour after "
            "the start."),
        'get_scheduled_end', setter='set_scheduled_end',
        searcher='search_scheduled_end')
    calendar_title = fields.Function(
        fields.Char("Title"), 'get_calendar_title')
    calendar_color = fields.Function(
        fields.Char("Color"), 'get_calendar_color')
    calendar_text_color = fields.Function(
        fields.Char("Text Color"), 'get_calendar_text_color')
    device = fields.Function(
        fields.Char(
            "Device",
            help="The AE title of the device. A step with several is found "
            "by each of them."),
        'get_device')

    def get_scheduled_end(self, name):
        return self.scheduled_at + _calendar_duration(self.duration)

    @classmethod
    def set_scheduled_end(cls, steps, name, value):
        "Change the duration, as when the end is dragged in the calendar"
        for step in steps:
            if value and value != step.scheduled_end:
                cls.write([step], {'duration': value - step.scheduled_at})

    @classmethod
    def search_scheduled_end(cls, name, clause):
        _, operator, value = clause
        if value is None:
            # The end is never empty
            return [] if operator == '!=' else [('id', '=', None)]
        values = value if isinstance(value, (list, tuple)) else [value]

        def begins(duration):
            starts = [end - duration for end in values]
            return ('scheduled_at', operator,
                starts if values is value else starts[0])
        # Databases differ in how they add an interval to a timestamp
        return ['OR',
            [['OR', ('duration', '=', None), ('duration', '<=', _SHORTEST)],
                begins(_SHORTEST)],
            *([('duration', '=', duration), begins(duration)]
                for duration in cls._longer_durations())]

    @classmethod
    def _longer_durations(cls):
        """Yield the distinct durations that are not shown as the shortest.

        Each is looked up in the index: the table may hold the steps of many
        years, and durations are few.
        """
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        found = (_SHORTEST,)
        while found:
            cursor.execute(*table.select(
                    table.duration, where=table.duration > found[0],
                    order_by=table.duration.asc, limit=1))
            found = cursor.fetchone()
            if found:
                yield found[0]

    @classmethod
    @without_check_access
    def get_calendar_title(cls, steps, name):
        "Return all that is needed in one line: short events have only one"
        overdue = cls.get_overdue(steps, 'overdue')
        readable = readable_patients(steps)
        labels = {
            name: cls.__names__(name)['field']
            for name in ['urgent', 'overdue']}
        return {
            s.id: ' · '.join(filter(None, [
                        s.request.urgent and labels['urgent'],
                        s.request.patient.id in readable
                        and s.request.patient.rec_name,
                        s.modality, s.description, s.state_string,
                        overdue[s.id] and labels['overdue']]))
            for s in cls.browse(steps)}

    @classmethod
    def get_calendar_color(cls, steps, name):
        overdue = cls.get_overdue(steps, 'overdue')
        return {
            s.id: OVERDUE_COLOR if overdue[s.id] else COLORS[s.state]
            for s in steps}

    @classmethod
    def get_calendar_text_color(cls, steps, name):
        return dict.fromkeys(map(int, steps), TEXT_COLOR)

    def get_device(self, name):
        return self.station_aetitle

    @classmethod
    def domain_device(cls, domain, tables):
        table, _ = tables[None]
        _, operator, value = domain
        if value is None or operator not in {'=', '!=', 'in', 'not in'}:
            return cls.station_aetitle.convert_domain(
                ('station_aetitle', operator, value), tables, cls)
        titles = Concat(
            Concat('\\', Coalesce(table.station_aetitle, '')), '\\')
        found = Literal(False)
        for title in value if isinstance(value, (list, tuple)) else [value]:
            found |= Position(f'\\{title}\\', titles) > 0
        return ~found if operator in {'!=', 'not in'} else found

    @classmethod
    def parse_view(cls, tree, *args, **kwargs):
        root = tree.getroottree().getroot()
        if root.tag == 'calendar':
            pool = Pool()
            Configuration = pool.get(
                'gnuhealth.imaging.worklist.configuration')
            for name, value in Configuration.working_hours().items():
                set_client_attribute(root, name, value.strftime('%H:%M:%S'))
        return super().parse_view(tree, *args, **kwargs)

    @classmethod
    def write(cls, *args):
        if Transaction().check_access:
            for steps, values in zip(args[::2], args[1::2]):
                if values.keys() & _TIMES:
                    cls._ask_before_move(steps, values)
        super().write(*args)

    @classmethod
    def _ask_before_move(cls, steps, values):
        "Ask whether to move steps that somebody waits for or works on"
        check_write(cls, values)
        cls.check_read(steps)
        moved = [
            s for s in steps if any(
                getattr(s, name) != values[name]
                for name in _TIMES & values.keys())]
        for kind, asked in [
                ('in_progress', [
                        s for s in moved if s.state == 'in_progress']),
                ('urgent', [
                        s for s in moved
                        if s.state == 'scheduled' and s.urgent])]:
            key = warning_name(f'step_move_{kind}', asked)
            if asked and must_ask(key):
                raise StepMoveWarning(key, gettext(
                        f'health_orthanc.msg_step_move_{kind}',
                        step=asked[0].rec_name))


class ActWindow(metaclass=PoolMeta):
    __name__ = 'ir.action.act_window'

    def get_domains(self, name):
        "Add a tab for each device to the calendar of steps"
        pool = Pool()
        domains = super().get_domains(name)
        if (self.res_model == STEP
                and self.id == pool.get('ir.model.data').get_id(
                    'health_orthanc', 'act_step_calendar')
                and may_read(STEP)):
            domains.extend(_device_tabs())
        return domains

    @staticmethod
    def clear_device_tabs():
        "Let clients that log in get the devices of today's study types"
        Pool().get('ir.action.keyword')._get_keyword_cache.clear()


def _device_tabs():
    "Return a tab for all steps, for each device, and for all other devices"
    devices = Pool().get('gnuhealth.imaging.test').device_titles()
    if not devices:
        return
    encode = PYSONEncoder().encode
    yield gettext('health_orthanc.msg_all_devices'), encode([]), False
    for title in devices:
        yield title, encode([('device', '=', title)]), False
    yield (gettext('health_orthanc.msg_other_devices'),
        encode([('device', 'not in', devices)]), False)


def clear_calendar_views():
    "Let clients that log in get the present working hours"
    ModelView._fields_view_get_cache.clear()
