# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daily schedule on paper: the steps of a day, a page for each device

A device is an AE title.  A step with several AE titles is on the page of each
of them, as it is on the worklist of each.
"""

import datetime as dt
from dataclasses import dataclass, field

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.report import Report
from trytond.tools import timezone as tz
from trytond.transaction import Transaction, check_access, without_check_access

from ..common.access import apply_rules
from ..common.exceptions import ReportError
from ..common.printing import PrintMixin
from .states import OPEN_STATES

__all__ = ['DailySchedule', 'list_devices', 'user_zone']

STEP = 'gnuhealth.imaging.procedure.step'
_CLOSED_STATES = ['completed', 'rejected']


@dataclass
class _Device:
    """A device and its steps of the day

    Attributes
    ----------
    key : str
        The AE title, empty for steps without one.
    modalities : set of str
    steps : list of ProcedureStep
    rows : list of _Row
        What is printed of the steps.
    """
    key: str
    modalities: set = field(default_factory=set)
    steps: list = field(default_factory=list)
    rows: list = field(default_factory=list)

    @property
    def title(self):
        "The heading of its page"
        return ' · '.join(filter(None, [
                    self.key or gettext('health_orthanc.msg_schedule_device'),
                    ', '.join(sorted(self.modalities))]))


@dataclass
class _Row:
    "What is printed of a step"
    time: str
    patient: str
    identity: str
    birth_date: str
    study: str
    order: str
    state: str
    urgent: bool
    details: list


class DailySchedule(PrintMixin, Report):
    "Daily Schedule"
    __name__ = 'gnuhealth.imaging.daily_schedule'

    @classmethod
    def check_access(cls):
        super().check_access()
        if Transaction().user:
            with check_access():
                Pool().get('ir.model.access').check(STEP, 'read')

    @classmethod
    def execute(cls, ids, data):
        # Neither records nor the template of another report
        return super().execute([], {
                name: data.get(name) for name in ['day', 'device', 'closed']})

    @classmethod
    def get_context(cls, records, header, data):
        context = super().get_context(records, header, data)
        day, device = _read_day(data.get('day')), data.get('device') or ''
        lang = Pool().get('ir.lang').get()
        devices = _find_devices(day, str(device), bool(data.get('closed')))
        context.update(
            gettext=gettext,
            # Those without an AE title last
            devices=[devices[key] for key in sorted(
                    devices, key=lambda key: (not key, key))],
            day=lang.strftime(day, f'%A, {lang.date}'),
            printed_at=lang.strftime(
                dt.datetime.now(user_zone()), f'{lang.date} %H:%M'))
        _fill_rows(context['devices'], lang)
        return context


def _is_day(value):
    # The first and the last of all have no bounds in all time zones
    return isinstance(value, dt.date) and (
        not isinstance(value, dt.datetime)
        and dt.date.min < value < dt.date.max)


def _read_day(value):
    "Return the day that a client asks for"
    if _is_day(value):
        return value
    raise ReportError(gettext('health_orthanc.msg_schedule_day'))


def user_zone():
    "Return the time zone of the user's company or institution"
    Institution = Pool().get('gnuhealth.institution')
    return tz.get_tzinfo(Institution.zone_of_user())


def _bounds(day):
    "Return start and end, in UTC, of a day in the user's time zone"
    return tuple(
        dt.datetime.combine(
            day + dt.timedelta(days=days), dt.time(), tzinfo=user_zone())
        .astimezone(tz.UTC).replace(tzinfo=None) for days in [0, 1])


def list_devices(day):
    """Return the AE titles for which there can be steps on a day.

    Parameters
    ----------
    day : date or None
        Without it only those of study types.

    Returns
    -------
    list of str
    """
    found = {t for t, _ in _titles_of_study_types()}
    for step in _find_steps(day, closed=True) if _is_day(day) else []:
        found.update(_titles(step.station_aetitle))
    return sorted(filter(None, found))


def _titles(value):
    "Return the single AE titles, or one that is empty"
    return [t.strip() for t in (value or '').split('\\') if t.strip()] or ['']


@without_check_access
def _titles_of_study_types():
    "Return AE titles of the study types, each with a modality"
    Test = Pool().get('gnuhealth.imaging.test')
    found = []
    for test in Test.search([('aetitle', '!=', None)]):
        modality = test.step_defaults().get('modality')
        found += [(title, modality) for title in _titles(test.aetitle)]
    return [(title, modality) for title, modality in found if title]


def _find_steps(day, closed):
    "Return the steps of a day that the current user may see"
    Step = Pool().get(STEP)
    start, end = _bounds(day)
    with check_access():
        steps = Step.search([
                ('scheduled_at', '>=', start), ('scheduled_at', '<', end),
                ('request_state', 'in', ['requested', 'done']),
                ('state', 'in', OPEN_STATES + _CLOSED_STATES * closed),
                ], order=[('scheduled_at', 'ASC'), ('id', 'ASC')])
    with without_check_access():
        steps = Step.browse([s.id for s in steps])
    for name, get in [
            ('gnuhealth.imaging.test.request', lambda s: s.request),
            ('gnuhealth.patient', lambda s: s.request.patient)]:
        allowed = apply_rules(name, {get(s).id for s in steps})
        steps = [s for s in steps if get(s).id in allowed]
    return steps


def _find_devices(day, chosen, closed):
    "Return the devices by their AE titles, with their steps of a day"
    devices = {}
    for title, modality in _titles_of_study_types():
        devices.setdefault(title, _Device(title)).modalities.update(
            filter(None, [modality]))
    for step in _find_steps(day, closed):
        for title in _titles(step.station_aetitle):
            device = devices.setdefault(title, _Device(title))
            device.modalities.update(filter(None, [step.modality]))
            device.steps.append(step)
    if chosen:
        return {chosen: devices.get(chosen) or _Device(chosen)}
    return devices


def _fill_rows(devices, lang):
    "Add to devices what is printed of their steps"
    Step, zone = Pool().get(STEP), user_zone()
    steps = list({s.id: s for d in devices for s in d.steps}.values())
    if not steps:
        return
    identities = Step.get_patient_identity(steps, None)
    warnings = Step.get_patient_warnings(steps, None)
    clinical = Step.get_clinical_information(steps, None)
    with without_check_access():
        rows = {
            s.id: _describe(
                s, identities[s.id], warnings[s.id], clinical[s.id],
                lang, zone)
            for s in steps}
    for device in devices:
        device.rows = [rows[s.id] for s in device.steps]


def _describe(step, identity, warnings, clinical, lang, zone):
    "Return what is printed of a step"
    request = step.request
    born = request.patient.party.dob
    local = step.scheduled_at.replace(tzinfo=tz.UTC).astimezone(zone)
    study = step.description or request.requested_test.rec_name
    return _Row(
        time=f'{local:%H:%M}',
        patient=request.patient.rec_name,
        identity=identity,
        birth_date=lang.strftime(born) if born else '',
        study=', '.join(filter(None, [
                    study, step.laterality and step.laterality_string])),
        order=' · '.join(filter(None, [
                    request.request, request.accession_number])),
        state='' if step.state == 'scheduled' else step.state_string,
        urgent=bool(request.urgent),
        details=[
            *(warnings or '').splitlines(), *(clinical or '').splitlines()])
