# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of the audit trail, and the pages that show them"""

import datetime as dt

from sql import Literal, Null
from sql.aggregate import Max

from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.pool import Pool
from trytond.tools import grouped_slice, reduce_ids
from trytond.transaction import inactive_records, without_check_access

from ..common.access import GuardedMixin
from ..common.exceptions import DecisionAccessError
from ..common.indexes import TextSearchMixin, text_clause
from ..common.long_lists import LongListMixin
from ..common.related import any_of
from ..common.rows import fetch_rows, insert_rows
from ..core.audit.digests import CHAINED, Link, find_break, row_digest

__all__ = [
    'ACTIONS', 'AuditEntry', 'ONCE_PER_SLOT', 'once_key', 'related_domain',
    'related_names']

ACTIONS = [
    ('view', "Images Viewed"),
    ('preview', "Image Previewed"),
    ('token', "Access Issued"),
    ('download', "Images Downloaded"),
    ('share', "Images Shared"),
    ('query', "Studies Searched"),
    ('upload', "Images Uploaded"),
    ('attach', "Image Attached"),
    ('link', "Link Decided"),
    ('reconcile', "Patient Reconciled"),
    ('delete', "Images Deleted"),
    ('wizard', "Dialog"),
    ('button', "Button"),
    ('route', "Web Request"),
    ('login', "Login"),
    ]
OUTCOMES = [
    ('success', "Done"),
    ('refused', "Refused"),
    ('failure', "Failed"),
    ]
# The same person looks at the same images again and again
ONCE_PER_SLOT = dt.timedelta(minutes=15)
# The values that make two such events the same
_ONCE = {
    'view': ('study_id', 'study_uid', 'server_id'),
    'preview': ('study_id', 'study_uid', 'server_id', 'detail'),
    # Clients may send one file after the other
    'upload': ('study_id', 'study_uid', 'server_id', 'detail'),
    }
# What nobody who is logged in was refused: anybody can ask without end
_ANONYMOUS = ('address', 'detail')
# Entries that are read at once
_BATCH = 10_000
_EPOCH = dt.datetime(1970, 1, 1)


def once_key(row):
    """Return what an event is recorded only once for.

    Parameters
    ----------
    row : mapping
        The values of the event.

    Returns
    -------
    tuple or None
        None if each event of this kind is recorded.
    """
    if row['outcome'] == 'success':
        names = _ONCE.get(row['action'])
    else:
        # What fails without a person is not of a stranger
        names = _ANONYMOUS if (
            row['outcome'] == 'refused' and not row['user_id']) else None
    if not names:
        return None
    return (
        _slot(row['at']), row['action'], row['outcome'], row['user_id'],
        *(row[name] for name in names))


def _slot(moment):
    "Return the begin of the quarter of an hour"
    return moment - (moment - _EPOCH) % ONCE_PER_SLOT


class AuditEntry(
        GuardedMixin, LongListMixin, TextSearchMixin, ModelSQL, ModelView):
    """Who Saw It

    Who has seen, changed or was refused which images.  Nobody can change it.

    The columns hold numbers, not relations: an entry stays as it was written
    when a record is deleted or replaced.
    """
    __name__ = 'gnuhealth.imaging_orthanc.audit'
    _searched_columns = frozenset({'puid', 'study_uid', 'address', 'detail'})

    number = fields.Integer("Number", required=True, readonly=True)
    at = fields.DateTime("Date", required=True, readonly=True)
    user_id = fields.Integer("User ID", readonly=True)
    user = fields.Function(
        fields.Many2One(
            'res.user', "User",
            help="Empty if the system did it, or nobody was logged in."),
        'get_user', searcher='search_user')
    action = fields.Selection(
        ACTIONS, "Action", required=True, readonly=True, sort=False)
    outcome = fields.Selection(
        OUTCOMES, "Outcome", required=True, readonly=True, sort=False)
    patient_id = fields.Integer("Patient Record", readonly=True)
    puid = fields.Char(
        "PUID", readonly=True, strip=False,
        help="The person's identifier at that time.")
    patient_name = fields.Function(
        fields.Char("Patient"), 'get_patient_names',
        searcher='search_patient_name')
    study_id = fields.Integer("Study Record", readonly=True)
    study_uid = fields.Char("Study Instance UID", readonly=True, strip=False)
    server_id = fields.Integer("Server Record", readonly=True)
    address = fields.Char(
        "From", readonly=True, strip=False,
        help="The network address of the client.")
    detail = fields.Char("Detail", readonly=True, strip=False)
    digest = fields.Char(
        "Digest", required=True, readonly=True, strip=False,
        help="It covers this entry and the one before.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._order = [('number', 'DESC')]
        cls._sql_indexes.update({
                Index(table, (table.number, Index.Range())),
                Index(
                    table, (table.number, Index.Range()),
                    where=table.outcome != 'success'),
                Index(
                    table, (table.action, Index.Equality()),
                    (table.number, Index.Range()),
                    where=table.outcome == 'success'),
                Index(table, (table.at, Index.Range())),
                Index(
                    table, (table.patient_id, Index.Equality()),
                    (table.number, Index.Range())),
                Index(
                    table, (table.study_id, Index.Equality()),
                    (table.number, Index.Range())),
                Index(
                    table, (table.study_uid, Index.Equality()),
                    (table.number, Index.Range())),
                Index(
                    table, (table.user_id, Index.Equality()),
                    (table.at, Index.Range())),
                })

    def get_rec_name(self, name):
        return f'{self.number}'

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, value = clause
        bool_op = 'AND' if operator.startswith(('!', 'not ')) else 'OR'
        return [bool_op,
            *(related_domain(
                    column, model, ('rec_name', operator, value),
                    by_words=True)
                for column, model in [
                    ('user_id', 'res.user'),
                    ('patient_id', 'gnuhealth.patient')]),
            text_clause('detail', operator, value),
            *(text_clause(field, operator, value, words=False)
                for field in ['puid', 'study_uid', 'address'])]

    def get_user(self, name):
        return self.user_id

    @classmethod
    def search_user(cls, name, clause):
        if clause[0] == 'user' and clause[1] in {'=', '!=', 'in', 'not in'} \
                and not isinstance(clause[2], str):
            return [('user_id', *clause[1:])]
        return related_domain('user_id', 'res.user', clause)

    @classmethod
    def get_patient_names(cls, entries, name):
        return related_names(entries, 'patient_id', 'gnuhealth.patient')

    @classmethod
    def search_patient_name(cls, name, clause):
        return related_domain(
            'patient_id', 'gnuhealth.patient', ('rec_name', *clause[1:]))

    @classmethod
    def events_of(cls, event, model, ids):
        """Return the events for the studies of records.

        Rooms that know studies extend it.

        Parameters
        ----------
        event : AuditEvent
        model : str or None
            The name of any model.
        ids : list of int

        Returns
        -------
        list of AuditEvent
            Empty if the records belong to no study.
        """
        return []

    # Entries are only appended

    @classmethod
    def create(cls, vlist):
        cls._refuse('create')

    @classmethod
    def write(cls, *args):
        cls._refuse('write')

    @classmethod
    def delete(cls, records):
        cls._refuse('delete')

    @classmethod
    def copy(cls, records, default=None):
        cls._refuse('create')

    @classmethod
    def import_data(cls, fields_names, data):
        cls._refuse('create')

    @classmethod
    def _refuse(cls, mode):
        Pool().get('ir.model.access').check(cls.__name__, mode)
        raise DecisionAccessError.readonly()

    @classmethod
    def append(cls, rows):
        """Append rows to the chain, after those that wait.

        It is called in a short transaction of its own: it holds the end of
        the chain, for which others wait.

        Parameters
        ----------
        rows : list of dict
            The values in `RECORDED`.
        """
        pool = Pool()
        Chain = pool.get('gnuhealth.imaging_orthanc.audit.chain')
        Pending = pool.get('gnuhealth.imaging_orthanc.audit.pending')
        place = Chain.lock_end(cls._last)
        rows = cls._without_recorded(Pending.take() + rows)
        if not rows:
            return
        puids = _puids({r['patient_id'] for r in rows} - {None})
        chained = []
        for row in rows:
            values = {
                **row, 'number': place.number + 1,
                'puid': puids.get(row['patient_id'])}
            place = Link(
                place.number + 1, row_digest(place.digest, values))
            chained.append({**values, 'digest': place.digest})
        insert_rows(cls, chained)
        Chain.move_end(place)

    @classmethod
    def chain_start(cls):
        "Return the place of the last entry that was removed after its time"
        return Pool().get('gnuhealth.imaging_orthanc.audit.chain').start()

    @classmethod
    def verify(cls):
        """Read all entries, and compare them with their digests.

        Yields
        ------
        Link or Break
            The place of each entry; at last a `Break`, if there is one.
        """
        Chain = Pool().get('gnuhealth.imaging_orthanc.audit.chain')
        yield from find_break(cls._rows(), Chain.start(), Chain.end())

    @classmethod
    def _rows(cls):
        "Yield the columns of all entries in the order of their numbers"
        table = cls.__table__()
        names = [*CHAINED, 'digest', 'id']
        last = None
        while True:
            # Batches, so that memory does not grow with the trail
            found = fetch_rows(table.select(
                    *(getattr(table, name) for name in names),
                    where=(table.number > last[0])
                    | ((table.number == last[0]) & (table.id > last[1]))
                    if last else Literal(True),
                    order_by=[table.number.asc, table.id.asc], limit=_BATCH))
            yield from (dict(zip(names, values)) for values in found)
            if len(found) < _BATCH:
                return
            last = found[-1][0], found[-1][-1]

    @classmethod
    def _last(cls):
        "Return the place of the last row"
        table = cls.__table__()
        for number, digest in fetch_rows(table.select(
                    table.number, table.digest,
                    where=table.number.in_(
                        table.select(Max(table.number))))):
            return Link(number, digest)
        return Link()

    @classmethod
    def _without_recorded(cls, rows):
        "Leave out what was recorded in the same quarter of an hour"
        keyed = [(once_key(row), row) for row in rows]
        known = cls._recorded({key for key, _ in keyed} - {None})
        fresh = []
        for key, row in keyed:
            if key is None or key not in known:
                known.add(key)
                fresh.append(row)
        return fresh

    @classmethod
    def _recorded(cls, keys):
        "Return the keys of what was recorded since the first of some"
        if not keys:
            return set()
        table = cls.__table__()
        names = [
            'at', 'action', 'outcome', 'user_id', 'study_id', 'study_uid',
            'server_id', 'detail', 'address']
        users = {user for _, _, _, user, *_ in keys}
        wanted = table.user_id.in_(list(users - {None}) or [0])
        if None in users:
            wanted |= table.user_id == Null
        return {once_key(dict(zip(names, values))) for values in fetch_rows(
                table.select(
                    *(getattr(table, name) for name in names),
                    where=(table.at >= min(slot for slot, *_ in keys))
                    & wanted))}


def _puids(patient_ids):
    "Return the PUIDs of patients by their ids"
    if not patient_ids:
        return {}
    pool = Pool()
    patient = pool.get('gnuhealth.patient').__table__()
    party = pool.get('party.party').__table__()
    found = {}
    for sub_ids in grouped_slice(patient_ids):
        found.update(fetch_rows(
                patient.join(party, condition=patient.party == party.id)
                .select(patient.id, party.ref,
                    where=reduce_ids(patient.id, sub_ids))))
    return found


@without_check_access
def related_names(entries, column, model):
    """Return the names of the records that a column names.

    Parameters
    ----------
    entries : list of AuditEntry
    column : str
    model : str

    Returns
    -------
    dict
        The name, or None if the record is deleted, by the id of each entry.
    """
    Model = Pool().get(model)
    wanted = {getattr(e, column) for e in entries} - {None}
    names = {}
    # Those of deactivated records, too
    with inactive_records():
        for sub_ids in grouped_slice(wanted):
            names.update(
                (r.id, r.rec_name) for r in Model.search(
                    [('id', 'in', list(sub_ids))], order=[]))
    return {e.id: names.get(getattr(e, column)) for e in entries}


@without_check_access
def related_domain(column, model, clause, by_words=False):
    """Return the domain for a search by a value of the records of a column.

    Parameters
    ----------
    column : str
    model : str
    clause : tuple
        Its name may be that of the field, or lead into the related record.
    by_words : bool, optional
        As in `any_of`.

    Returns
    -------
    list
    """
    name, *rest = clause
    name = name.partition('.')[2] or 'rec_name'
    with inactive_records():
        return [any_of(column, model, [(name, *rest)], by_words)]
