# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a synchronization, which several workers share

A part belongs to the worker that holds its lock.  Nobody else writes to it.
If the worker is lost, so is its lock, and another one continues the part
where it was saved.

Whatever a worker stores is stored together with its part.  If the part was
given to others, or the comparison has begun anew, nothing of it is stored:
nobody has to wait for a worker that may never answer.
"""

import datetime as dt
import json
from collections import Counter, defaultdict
from contextlib import nullcontext

from sql import Literal, Null
from sql.aggregate import Count
from sql.conditionals import Coalesce
from sql.operators import Concat

from trytond.model import Index, ModelSQL, fields
from trytond.pool import Pool
from trytond.transaction import Transaction

from ..common.access import GuardedMixin
from ..common.locks import named_lock
from ..common.rows import fetch_rows, insert_rows
from ..common.transaction import now

__all__ = ['Part', 'PartGone']

# The part of a worker that has saved nothing for so long is given to others
PATIENCE = dt.timedelta(minutes=10)


class PartGone(Exception):
    "A part is no longer that of this worker"


class Part(GuardedMixin, ModelSQL):
    "Part of an Orthanc Synchronization"
    __name__ = 'gnuhealth.orthanc.synchronization.part'

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='CASCADE')
    level = fields.Selection([
            ('study', "Study"),
            ('series', "Series"),
            ('match', "Matching"),
            ], "Level", required=True, readonly=True, sort=False)
    number = fields.Integer("Number", required=True, readonly=True)
    start = fields.Integer("Start", readonly=True)
    end = fields.Integer("End", readonly=True)
    # Of studies, as `Listings.find_dated_studies` takes it
    dates = fields.Char("Dates", readonly=True)
    position = fields.Text("Position", readonly=True)
    # The ids that were read, as digests
    listed = fields.Text("Listed", readonly=True)
    # One JSON object in each line: to add one, none has to be read
    counts = fields.Text("Counts", readonly=True)
    done = fields.Boolean("Done", readonly=True)
    saved_at = fields.DateTime("Saved At", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_indexes.add(
            Index(
                table, (table.server, Index.Equality()),
                (table.number, Index.Range())))
        # Clients do not use it
        cls.__rpc__.clear()

    @classmethod
    def replace(cls, server_id, level=None, ranges=()):
        """Replace the parts of a server by others.

        Parameters
        ----------
        server_id : int
        level : {'study', 'series', 'match'}
        ranges : iterable of tuple
            Start and end of each, which may be None, and its dates, if it
            is read by dates.
        """
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.delete(where=table.server == server_id))
        insert_rows(cls, [{
                    'server': server_id,
                    'level': level,
                    'number': number,
                    'start': start,
                    'end': end,
                    'dates': dates[0] if dates else None,
                    'done': False,
                    'saved_at': now(),
                    } for number, (start, end, *dates) in enumerate(ranges)])

    @classmethod
    def find_open(cls, server_id, limit=None):
        """Return the ids of the first parts that are not done.

        Parameters
        ----------
        server_id : int
        limit : int, optional

        Returns
        -------
        list of int
        """
        table = cls.__table__()
        return [id_ for id_, in fetch_rows(table.select(
                    table.id, where=(table.server == server_id)
                    & (table.done == Literal(False)),
                    order_by=table.number, limit=limit))]

    @classmethod
    def load(cls, part_id):
        """Return the range of a part that is not done, and its position.

        Returns
        -------
        dict or None
        """
        table = cls.__table__()
        names = [
            'server', 'level', 'number', 'start', 'end', 'dates', 'listed',
            'position']
        for values in fetch_rows(table.select(
                    *(getattr(table, name) for name in names),
                    where=(table.id == part_id)
                    & (table.done == Literal(False)))):
            found = dict(zip(names, values))
            found['position'] = json.loads(found['position'] or '{}')
            return found

    @classmethod
    def load_positions(cls, server_id, number=None):
        """Return the positions of the parts that are done, in their order.

        Parameters
        ----------
        server_id : int
        number : int, optional
            Only the part with this number.

        Returns
        -------
        list of tuple
            The id and the position of each.
        """
        table = cls.__table__()
        where = (table.server == server_id) & (table.done == Literal(True))
        if number is not None:
            where &= table.number == number
        return [
            (id_, json.loads(position or '{}'))
            for id_, position in fetch_rows(table.select(
                    table.id, table.position, where=where,
                    order_by=table.number))]

    @classmethod
    def load_listed(cls, part_id):
        "Return what was listed of a part, as digests"
        table = cls.__table__()
        (listed,), = fetch_rows(table.select(
                table.listed, where=table.id == part_id))
        return listed

    @classmethod
    def has_level(cls, server_id, level):
        "Return whether a server has parts of a level"
        table = cls.__table__()
        return bool(fetch_rows(table.select(
                    table.id, where=(table.server == server_id)
                    & (table.level == level), limit=1)))

    @classmethod
    def store(cls, part_id, values, counts=None):
        """Write values to a part.

        Parameters
        ----------
        part_id : int
        values : dict
        counts : dict of int, optional
            Added to its counts.  This belongs in the transaction of what
            they count.

        Raises
        ------
        PartGone
            Nothing of the transaction is to be stored.
        """
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        values = {
            name: json.dumps(value) if isinstance(value, dict) else value
            for name, value in {**values, 'saved_at': now()}.items()}
        if counts:
            # Before it: those of earlier versions are one line without an end
            values['counts'] = Concat(
                Coalesce(table.counts, ''), '\n' + json.dumps(counts))
        cursor.execute(*table.update(
                [getattr(table, name) for name in values],
                list(values.values()), where=table.id == part_id))
        if not cursor.rowcount:
            raise PartGone

    @classmethod
    def move_counts(cls, server_id, run_id, only_done=True):
        """Move the counts of parts to a run.

        Parameters
        ----------
        server_id, run_id : int
        only_done : bool
            Not those of parts that are being read.
        """
        Synchronization = Pool().get('gnuhealth.orthanc.synchronization')
        table = cls.__table__()
        total = Counter()
        ids = []
        where = (table.server == server_id) & (table.counts != Null)
        if only_done:
            where &= table.done == Literal(True)
        for id_, counts in fetch_rows(table.select(
                    table.id, table.counts, where=where)):
            ids.append(id_)
            for line in counts.splitlines():
                total.update(json.loads(line or '{}'))
        if ids:
            cursor = Transaction().connection.cursor()
            cursor.execute(*table.update(
                    [table.counts], [Null], where=table.id.in_(ids)))
            Synchronization.add_counts(run_id, total)

    @classmethod
    def count_done(cls, server_ids):
        """Return how many parts of servers are done, and how many there are.

        Parameters
        ----------
        server_ids : iterable of int

        Returns
        -------
        dict of tuple
            By server; none of servers without parts.
        """
        server_ids = list(server_ids)
        if not server_ids:
            return {}
        table = cls.__table__()
        counts = defaultdict(lambda: (0, 0))
        for server, done, count in fetch_rows(table.select(
                    table.server, table.done, Count(table.id),
                    where=table.server.in_(server_ids),
                    group_by=[table.server, table.done])):
            known, total = counts[server]
            counts[server] = known + (count if done else 0), total + count
        return dict(counts)

    @classmethod
    def free_silent(cls, server_id):
        """Give the parts of workers that have long saved nothing to others.

        A machine that was disconnected, or a process that was stopped, may
        hold its locks for hours.
        """
        cls.release(server_id, now() - PATIENCE)

    @classmethod
    def release(cls, server_id, before=None):
        """Take the parts that are not done from their workers.

        They get new ids, and thereby locks.

        Parameters
        ----------
        server_id : int
        before : datetime, optional
            Only those that were saved earlier.
        """
        table = cls.__table__()
        names = [
            'server', 'level', 'number', 'start', 'end', 'dates', 'position',
            'listed', 'counts', 'done', 'saved_at']
        where = (table.server == server_id) & (table.done == Literal(False))
        if before:
            where &= table.saved_at < before
        released = fetch_rows(table.select(
                table.id, *(getattr(table, name) for name in names),
                where=where))
        if not released:
            return
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.delete(
                where=table.id.in_([id_ for id_, *_ in released])))
        insert_rows(cls, [dict(zip(names, row)) for _, *row in released])

    @staticmethod
    def reserve(part_id, is_shared):
        """Return a context that tries to reserve a part.

        Parameters
        ----------
        part_id : int
        is_shared : bool
            Whether others may want it.

        Returns
        -------
        context manager
            Of a bool: whether it was reserved.
        """
        return named_lock('part', part_id) if is_shared else (
            nullcontext(True))
