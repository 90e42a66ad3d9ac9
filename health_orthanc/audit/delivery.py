# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of the audit trail as messages to an audit repository

The entries are the queue: the place of the last one that has arrived is kept.
While the repository is away, they wait.
"""

import logging
import os
import platform
from dataclasses import replace

from trytond.config import config
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction, inactive_records

from ..common.locks import named_lock
from ..common.rows import fetch_rows
from ..common.transaction import end_reading, in_transaction, now
from ..core.audit.messages import (
    Entry, Source, application_message, audit_message)
from ..core.audit.syslog import (
    FACILITY, Collector, CollectorUnavailable, syslog_message)

__all__ = ['AuditEntry', 'is_delivered']

logger = logging.getLogger('trytond.modules.health_orthanc.audit')

_SECTION = 'health_orthanc'
# Entries that are sent over one connection
_BATCH = 500
# The databases whose start this process has reported
_announced = set()
# Those whose repository was not reached when it was last tried
_away = set()


def is_delivered():
    "Return whether entries are sent to a repository"
    return bool(config.get(_SECTION, 'audit_syslog'))


def _collector():
    return Collector.from_url(
        config.get(_SECTION, 'audit_syslog'),
        ca=config.get(_SECTION, 'audit_syslog_ca'),
        certificate=config.get(_SECTION, 'audit_syslog_certificate'),
        key=config.get(_SECTION, 'audit_syslog_key'))


def _source():
    return Source(
        config.get(_SECTION, 'audit_source')
        or f'{Transaction().database.name}@{platform.node()}',
        config.get(_SECTION, 'audit_site') or '')


def _log_contact(error=None):
    "Log that the repository does not work any more, or works again"
    name = Transaction().database.name
    if error and name not in _away:
        _away.add(name)
        logger.error("Audit repository not reached: %s", error.kind)
    elif not error and name in _away:
        _away.remove(name)
        logger.error("Audit repository is reached again")


class AuditEntry(metaclass=PoolMeta):
    __name__ = 'gnuhealth.imaging_orthanc.audit'

    @classmethod
    def send(cls):
        "Send the entries that the repository has not got (scheduler)"
        # What could not be appended when it was done
        in_transaction(cls.append, [])
        if not is_delivered():
            return
        try:
            collector = _collector()
        except ValueError:
            logger.error("Setting audit_syslog is not an address")
            return
        # The scheduler's transaction has nothing to do meanwhile
        with named_lock('audit') as free:
            end_reading()
            try:
                while free and cls._send_some(collector):
                    pass
            except CollectorUnavailable as error:
                _log_contact(error)

    @classmethod
    def _send_some(cls, collector):
        "Send some entries, and return whether there may be more"
        entries = in_transaction(cls._unsent)
        if not entries:
            return False
        source = _source()
        name = Transaction().database.name
        messages = [(e.at, audit_message(e, source)) for e in entries]
        if name not in _announced:
            messages.insert(0, (now(), application_message(now(), source)))
        facility = config.getint(
            _SECTION, 'audit_syslog_facility', default=FACILITY)
        host = platform.node()
        collector.send(
            syslog_message(body, at, host, os.getpid(), facility)
            for at, body in messages)
        _announced.add(name)
        _log_contact()
        in_transaction(cls._mark_sent, entries[-1].number)
        return len(entries) == _BATCH

    @classmethod
    def _unsent(cls):
        pool = Pool()
        Chain = pool.get('gnuhealth.imaging_orthanc.audit.chain')
        rows = cls.search([
                ('number', '>', Chain.sent()),
                ], order=[('number', 'ASC')], limit=_BATCH)
        with inactive_records():
            users = {u.id: u for u in pool.get('res.user').browse(
                    list({r.user_id for r in rows} - {None}))}
        return cls._messages(rows, users)

    @classmethod
    def unsent_since(cls):
        """Return since when the oldest entry waits for the repository.

        Returns
        -------
        datetime or None
            None if none waits, or no repository is configured.
        """
        if not is_delivered():
            return None
        Chain = Pool().get('gnuhealth.imaging_orthanc.audit.chain')
        table = cls.__table__()
        for at, in fetch_rows(table.select(
                    table.at, where=table.number > Chain.sent(),
                    order_by=table.number.asc, limit=1)):
            return at

    @classmethod
    def _messages(cls, rows, users):
        """Return what is sent of rows.

        Rooms that know more than the numbers of records extend it.

        Parameters
        ----------
        rows : list of AuditEntry
        users : dict
            The users by their ids.

        Returns
        -------
        list of Entry
        """
        entries = []
        for row in rows:
            entry = Entry(
                row.number, row.digest, row.at, row.action, row.outcome,
                address=row.address or '', puid=row.puid or '',
                study_uid=row.study_uid or '', detail=row.detail or '')
            user = users.get(row.user_id)
            if user:
                entry = replace(
                    entry, user=user.login or '', user_name=user.name or '')
            entries.append(entry)
        return entries

    @classmethod
    def _mark_sent(cls, number):
        Chain = Pool().get('gnuhealth.imaging_orthanc.audit.chain')
        # Others append meanwhile
        Chain.lock_end(cls._last)
        Chain.move_sent(number)
