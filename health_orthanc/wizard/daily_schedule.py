# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wizard that asks for the day and device of the daily schedule"""

import datetime as dt

from trytond.model import ModelView, fields
from trytond.pool import Pool
from trytond.tools import timezone as tz
from trytond.transaction import Transaction
from trytond.wizard import Button, StateReport, StateView, Wizard

from ..common.access import RestrictedFormMixin, RestrictedWizardMixin
from ..orders.daily_schedule import list_devices, user_zone

__all__ = ['PrintDailySchedule', 'PrintDailyScheduleStart']

STEP = 'gnuhealth.imaging.procedure.step'


class PrintDailyScheduleStart(RestrictedFormMixin, ModelView):
    "Print Daily Schedule"
    __name__ = 'gnuhealth.imaging.print_daily_schedule.start'
    _wizard = 'gnuhealth.imaging.print_daily_schedule'

    day = fields.Date("Day", required=True)
    device = fields.Selection(
        'get_devices', "Device",
        help="The AE title of a device. Leave empty to print a page for each "
        "device.")
    closed = fields.Boolean(
        "With Completed and Rejected Steps",
        help="If not checked, only steps that are still to be performed are "
        "printed.")

    @classmethod
    def default_day(cls):
        "Return today in the time zone of the user"
        return dt.datetime.now(user_zone()).date()

    @fields.depends('day')
    def get_devices(self):
        "Return the devices that there can be steps for"
        return [(None, '')] + [(t, t) for t in list_devices(self.day)]


class PrintDailySchedule(RestrictedWizardMixin, Wizard):
    "Print Daily Schedule"
    __name__ = 'gnuhealth.imaging.print_daily_schedule'

    start = StateView(
        'gnuhealth.imaging.print_daily_schedule.start',
        'health_orthanc.print_daily_schedule_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Print", 'print_', 'tryton-print', default=True),
            ])
    print_ = StateReport('gnuhealth.imaging.daily_schedule')

    def default_start(self, fields):
        "Propose the day of the selected step"
        context = Transaction().context
        if context.get('active_model') != STEP or not context.get('active_id'):
            return {}
        values, = Pool().get(STEP).read(
            [context['active_id']], ['scheduled_at'])
        start = values['scheduled_at'].replace(tzinfo=tz.UTC)
        return {'day': start.astimezone(user_zone()).date()}

    def do_print_(self, action):
        "Print what was asked for"
        return action, {
            'day': self.start.day,
            'device': self.start.device,
            'closed': bool(self.start.closed),
            }
