# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording of events in the audit trail

Events are stored in a transaction of their own: what is refused is rolled
back, but its event is kept.
"""

import logging
import threading
from dataclasses import dataclass, replace

from cachetools import TTLCache

from trytond import backend
from trytond.pool import Pool
from trytond.transaction import Transaction

from ..common.diagnostics import log_unexpected
from ..common.transaction import has_written, in_transaction, now
from .entry import ONCE_PER_SLOT, once_key

__all__ = [
    'AuditEvent', 'record_event', 'record_events', 'refusals_recorded']

logger = logging.getLogger('trytond.modules.health_orthanc.audit')

# The longest texts, which may come from a client
_ADDRESS_SIZE = 64
_DETAIL_SIZE = 255
_UID_SIZE = 64

# What is recorded only once within a time need not be looked up each time
_recorded = TTLCache(10_000, ONCE_PER_SLOT.total_seconds())
_recorded_lock = threading.Lock()
_thread = threading.local()


@dataclass(frozen=True)
class AuditEvent:
    """What somebody has done with the images of a study, or tried to do

    Attributes
    ----------
    action : str
        A value of `ACTIONS` in `audit/entry.py`.
    outcome : {'success', 'refused', 'failure'}
    study_uid : str, optional
        Study Instance UID.
    study_id, patient_id, server_id : int, optional
        The ids of the records.
    detail : str, optional
        What distinguishes the event: a UID, a reason, the name of a wizard.
        It must not hold names or birth dates of patients, nor secrets.
    user_id : int, optional
        By default, the user of the transaction.
    address : str, optional
        The client's; by default that of the current request.
    """
    action: str
    outcome: str = 'success'
    study_uid: str | None = None
    study_id: int | None = None
    patient_id: int | None = None
    server_id: int | None = None
    detail: str | None = None
    user_id: int | None = None
    address: str | None = None


def record_event(event):
    """Record an event in the audit trail.

    Parameters
    ----------
    event : AuditEvent

    See Also
    --------
    record_events
    """
    record_events([event])


def record_events(events):
    """Record events in the audit trail.

    It is called within a transaction of the user, before images are handed
    out: they are not, if the event cannot be stored.  Usually the events are
    stored at once, in a transaction of their own.  What is done in a
    transaction that has written is stored as part of it, and dropped with it;
    a refusal is kept.

    That somebody views a study is recorded once within a quarter of an hour.

    Parameters
    ----------
    events : iterable of AuditEvent
    """
    rows = list(map(_row, events))
    if any(row['outcome'] == 'refused' for row in rows):
        _thread.refusals = refusals_recorded() + 1
    rows = [row for row in rows if not _is_recorded(row)]
    if any(row['outcome'] != 'refused' for row in rows) and has_written():
        Pending = Pool().get('gnuhealth.imaging_orthanc.audit.pending')
        Pending.store([r for r in rows if r['outcome'] != 'refused'])
        Transaction().join(_AfterCommit())
        rows = [r for r in rows if r['outcome'] == 'refused']
    if rows:
        _append(rows)


def refusals_recorded():
    """Return how many times this thread has recorded refusals.

    Whoever records a refusal in the end asks whether somebody has done so who
    knew more of it.
    """
    return getattr(_thread, 'refusals', 0)


def _row(event):
    "Return the values of an event, completed from the transaction"
    transaction = Transaction()
    request = transaction.context.get('_request') or {}
    event = replace(
        event,
        user_id=event.user_id if event.user_id is not None
        else transaction.user,
        address=event.address or request.get('remote_addr'))
    return {
        'at': now(),
        'user_id': event.user_id or None,
        'action': event.action,
        'outcome': event.outcome,
        'patient_id': event.patient_id,
        'study_id': event.study_id,
        'study_uid': _clean(event.study_uid, _UID_SIZE),
        'server_id': event.server_id,
        'address': _clean(event.address, _ADDRESS_SIZE),
        'detail': _clean(event.detail, _DETAIL_SIZE),
        }


def _clean(text, size):
    "Return a text in one line and without what a database does not store"
    if not text:
        return None
    text = ''.join(
        c if c.isprintable() else ' ' for c in str(text)[:size])
    return text.strip() or None


def _is_recorded(row):
    key = once_key(row)
    return key is not None and (
        Transaction().database.name, key) in _recorded


class _AfterCommit:
    "Append the events that a transaction has stored when it is committed"

    def __eq__(self, other):
        # Each transaction has one
        return isinstance(other, _AfterCommit)

    __hash__ = None

    def tpc_begin(self, transaction):
        "Do nothing: the events are part of the transaction"

    commit = tpc_vote = tpc_abort = tpc_begin

    def tpc_finish(self, transaction):
        "Append the events"
        try:
            _append([])
        except Exception as error:
            # They wait for the next event, or for the scheduler; and other
            # data managers must finish, too
            log_unexpected(logger, error, "Audit trail: events wait")


def _append(rows):
    blocking = _blocking_transaction()
    if blocking:
        blocking.atexit(_append_later, Transaction().database.name, rows)
        return
    in_transaction(Pool().get('gnuhealth.imaging_orthanc.audit').append, rows)
    with _recorded_lock:
        for key in filter(None, map(once_key, rows)):
            _recorded[Transaction().database.name, key] = True


def _blocking_transaction():
    "Return the transaction of this thread that another one would wait for"
    # SQLite allows one writer
    if backend.name == 'sqlite':
        for transaction in Transaction._local.transactions:
            connection = transaction.connection
            if connection and connection.in_transaction:
                return transaction


def _append_later(database_name, rows):
    # The current transaction has just been stopped
    with Transaction(new=True).start(database_name, 0, readonly=True):
        _append(rows)
