# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page Health, and the scheduled check of what it shows"""

import datetime as dt

from trytond.i18n import gettext
from trytond.ir.queue_ import has_worker
from trytond.model import ModelSingleton, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import Bool, Eval
from trytond.transaction import Transaction, without_check_access

from ..common.access import GuardedMixin
from ..common.exceptions import OperationValidationError
from ..common.transaction import now
from ..exchange.upload_session import free_space
from .figures import collect_figures
from .server import SYNCHRONIZE, next_run

__all__ = ['Operation']

WARNING = 'gnuhealth.orthanc.operation.warning'
# Hours after which a task that shows that a worker runs counts as lost
_LOST = 24
_LONGEST = dt.timedelta(days=366)
GB = 10**9
# Bytes of free space below which the page says that it is short
LEAST_SPACE = GB


def _time(string, name, help):
    return fields.TimeDelta(
        string, required=True, domain=[
            (name, '>=', dt.timedelta(minutes=1)),
            (name, '<=', _LONGEST),
            ], help=help)


class Operation(GuardedMixin, ModelSingleton, ModelSQL, ModelView):
    "Imaging Health"
    __name__ = 'gnuhealth.orthanc.operation'

    summary = fields.Function(fields.Text("Summary"), 'get_status')
    servers = fields.Function(
        fields.Many2Many(
            'gnuhealth.orthanc.config', None, None, "Servers"), 'get_records')
    warnings = fields.Function(
        fields.Many2Many(
            WARNING, None, None, "Warnings",
            states={'invisible': ~Bool(Eval('warnings', []))}),
        'get_records')
    tasks_waiting = fields.Function(
        fields.Integer(
            "Tasks Waiting", help="Tasks of imaging that could start now."),
        'get_status')
    oldest_task = fields.Function(
        fields.DateTime(
            "Oldest Task", help="Since when the oldest of them could start."),
        'get_status')
    worker_run = fields.Function(
        fields.DateTime(
            "Last Task Started",
            help="When a worker last took a task from the queue."),
        'get_status')
    scheduler_run = fields.Function(
        fields.DateTime(
            "Scheduler's Last Check",
            help="When the scheduler last ran the job that checks this page."),
        'get_status')
    upload_space = fields.Function(
        fields.Float(
            "Free Space for Uploads (GB)", digits=(16, 1),
            help="In the upload folder of the server that shows this "
            "page."),
        'get_status')
    next_synchronization = fields.Function(
        fields.DateTime("Next Synchronization"), 'get_status')

    contact_time = _time(
        "Server Not Working", 'contact_time',
        "Warn if a server, or the audit repository, has not worked for this "
        "time.")
    synchronization_time = _time(
        "No Synchronization", 'synchronization_time',
        "Warn if no synchronization of a server has succeeded for this time.")
    notification_time = _time(
        "Notifications Waiting", 'notification_time',
        "Warn if a notification has not been processed for this time.")
    worklist_time = _time(
        "Worklist Not Updated", 'worklist_time',
        "Warn if a worklist could not be updated for this time.")
    plugin_time = _time(
        "Plugin Silent", 'plugin_time',
        "Warn if a plugin has sent nothing for this time. It sends something "
        "at least every 5 minutes.")
    queue_time = _time(
        "Tasks Waiting", 'queue_time',
        "Warn if a task has waited and no worker has started one for this "
        "time.")
    scheduler_time = _time(
        "Scheduler Not Running", 'scheduler_time',
        "Warn if the scheduler has not run for this time.")
    email = fields.Char(
        "E-Mail", help="Addresses that warnings are sent to, separated by "
        "commas. The section email of the Tryton configuration must be set.")

    checked_at = fields.DateTime("Checked At", readonly=True)
    probe_queued_at = fields.DateTime("Probe Queued At", readonly=True)
    probe_run_at = fields.DateTime("Probe Run At", readonly=True)

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/form//group[@id="summary"]', 'states', {
                    'invisible': ~Bool(Eval('summary')),
                    }, ['summary']),
            ]

    @staticmethod
    def default_contact_time():
        return dt.timedelta(hours=1)

    @staticmethod
    def default_synchronization_time():
        return dt.timedelta(days=1)

    @staticmethod
    def default_notification_time():
        return dt.timedelta(hours=1)

    @staticmethod
    def default_worklist_time():
        return dt.timedelta(minutes=15)

    @staticmethod
    def default_plugin_time():
        return dt.timedelta(minutes=15)

    @staticmethod
    def default_queue_time():
        return dt.timedelta(minutes=15)

    @staticmethod
    def default_scheduler_time():
        return dt.timedelta(minutes=15)

    @classmethod
    def create(cls, vlist):
        if cls.get_singleton():
            return super().create(vlist)
        # ModelSingleton would lock the table. That restarts the transaction,
        # which is not possible while the module is activated.
        return super(ModelSingleton, cls).create(vlist)

    @classmethod
    def validate_fields(cls, records, field_names):
        super().validate_fields(records, field_names)
        if not field_names or 'email' in field_names:
            for record in records:
                if not all(map(_is_address, _addresses(record.email))):
                    raise OperationValidationError(gettext(
                            'health_orthanc.msg_operation_email'))

    # The page

    @classmethod
    def get_records(cls, records, names):
        pool = Pool()
        found = {
            'servers': [
                s.id for s in pool.get('gnuhealth.orthanc.config').search([])],
            'warnings': [
                w.id for w in pool.get(WARNING).search(
                    [('ended_at', '=', None)])],
            }
        return {
            name: {r.id: found[name] for r in records} for name in names}

    @classmethod
    def get_status(cls, records, names):
        figures, space = collect_figures(), free_space()
        values = {
            'summary': '\n'.join(_summarize(cls(1), figures, space)),
            'upload_space': space and round(space / GB, 1),
            'tasks_waiting': figures.tasks,
            'oldest_task': figures.oldest_task,
            'worker_run': figures.worker_run,
            'scheduler_run': figures.scheduler_run,
            'next_synchronization': next_run(SYNCHRONIZE),
            }
        return {
            name: {r.id: values[name] for r in records} for name in names}

    @classmethod
    @without_check_access
    def get_recipients(cls):
        "Return the addresses that warnings are sent to"
        return _addresses(cls(1).email)

    # The check

    @classmethod
    def check(cls):
        "Warn of what has not worked for its time (scheduler)"
        OperationWarning = Pool().get(WARNING)
        with without_check_access():
            figures = collect_figures()
            OperationWarning.clean()
            OperationWarning.update(find_troubles(cls(1), figures))
            cls._queue_probe(figures.moment)
            cls._stamp(checked_at=figures.moment)

    @classmethod
    def _queue_probe(cls, moment):
        "Queue a task that shows that a worker runs, unless one waits"
        queued, run = map(cls.get_stamp, ['probe_queued_at', 'probe_run_at'])
        if queued and (not run or run < queued) and (
                moment - queued < dt.timedelta(hours=_LOST)):
            return
        cls._stamp(probe_queued_at=moment)
        cls.__queue__.probe([cls.get_singleton()])

    @classmethod
    def probe(cls, records):
        "Record that a worker runs (queue)"
        cls._stamp(probe_run_at=now())

    @classmethod
    @without_check_access
    def check_scheduler(cls):
        """Warn if the scheduler does not run.

        It cannot tell this itself: other processes call it.
        """
        last = cls.get_stamp('checked_at')
        if is_scheduler_late(cls(1), last, now()):
            Pool().get(WARNING).update(
                {('scheduler', None): last}, {'scheduler'})

    @classmethod
    def _stamp(cls, **values):
        """Write times by SQL.

        Administrators who have the page open get no conflict.
        """
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.update(
                [getattr(table, name) for name in values],
                list(values.values())))

    @classmethod
    def get_stamp(cls, name):
        """Return a time that the check has written.

        Parameters
        ----------
        name : str
            The field.

        Returns
        -------
        datetime or None
        """
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.select(getattr(table, name)))
        return next((moment for moment, in cursor), None)


def find_troubles(settings, figures):
    """Return what has not worked for its time.

    Parameters
    ----------
    settings : Operation
    figures : Figures

    Returns
    -------
    dict of datetime
        Since when, by kind and id of the server (None for the whole).
    """
    found = {}
    if _is_queue_late(settings, figures):
        found['queue', None] = figures.oldest_task
    if _is_audit_late(settings, figures):
        found['audit', None] = figures.oldest_audit
    for of_server in figures.servers:
        for kind, since in _find_server_troubles(
                settings, of_server, figures.moment):
            found[kind, of_server.server.id] = since
    return found


def _is_queue_late(settings, figures):
    "Return whether a task waits, and none has started, for the set time"
    before = figures.moment - settings.queue_time
    return bool(
        figures.oldest_task and figures.oldest_task < before
        and (not figures.worker_run or figures.worker_run < before))


def _is_audit_late(settings, figures):
    "Return whether the audit repository has not worked for the set time"
    return bool(
        figures.oldest_audit
        and figures.moment - figures.oldest_audit > settings.contact_time)


def _find_server_troubles(settings, figures, moment):
    "Yield the kinds of troubles of a server, and since when"
    server = figures.server
    if server.failing_since:
        if moment - server.failing_since > settings.contact_time:
            yield 'contact', server.failing_since
        # The others follow from this
        return
    last = server.last_synchronization or server.create_date
    if last and moment - last > settings.synchronization_time:
        yield 'synchronization', last
    oldest = figures.oldest_notification
    if oldest and moment - oldest > settings.notification_time:
        yield 'notifications', oldest
    updated = server.last_worklist_update or server.worklist_started
    if server.keeps_worklist and server.worklist_error_kind and updated and (
            moment - updated > settings.worklist_time):
        yield 'worklist', updated
    spoken = server.last_plugin_contact
    if figures.has_plugin and spoken and (
            moment - spoken > settings.plugin_time):
        yield 'plugin', spoken


def is_scheduler_late(settings, last, moment):
    "Return whether the scheduler has not run for the set time"
    return bool(last and moment - last > settings.scheduler_time)


def _summarize(settings, figures, space):
    "Yield in words what this machine, the scheduler and the workers lack"
    if space is not None and space < LEAST_SPACE:
        yield gettext('health_orthanc.msg_health_upload_space')
    if figures.scheduler_run is None:
        yield gettext('health_orthanc.msg_health_scheduler_never')
    elif is_scheduler_late(settings, figures.scheduler_run, figures.moment):
        yield gettext('health_orthanc.msg_warning_scheduler')
    if _is_queue_late(settings, figures):
        yield gettext('health_orthanc.msg_warning_queue')
    elif not has_worker:
        yield gettext('health_orthanc.msg_health_no_worker')
    if _is_audit_late(settings, figures):
        yield gettext('health_orthanc.msg_warning_audit')


def _addresses(text):
    return [a.strip() for a in (text or '').split(',') if a.strip()]


def _is_address(text):
    name, _, domain = text.rpartition('@')
    return bool(name and domain and text.isascii() and text.isprintable()
        and not set(' <>"') & set(text))
