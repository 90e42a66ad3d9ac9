# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the worklists of servers in step through their REST API.

The network is only used outside of transactions.  What is to be made in
Orthanc is recorded before, and what came of it behind: a run that is killed in
between finds its entries again by what they stand for.
"""

import datetime as dt
import logging
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from trytond.model import Index, ModelSQL, ModelView, Unique, fields
from trytond.pool import Pool
from trytond.transaction import Transaction, without_check_access

from ..common.access import GuardedMixin
from ..common.locks import named_lock
from ..common.transaction import in_transaction
from ..core.orthanc.errors import (
    Forbidden, NotFound, NoWorklists, OrthancError, Redirected, Unauthorized)
from ..core.orthanc.worklists import find_identity, to_tags
from ..core.secrets import SecretUnavailable

__all__ = ['Placement']

logger = logging.getLogger('trytond.modules.health_orthanc.placement')

# Entries whose fate is recorded at once
BATCH_LIMIT = 50
# Deletions, and entries, that a server may refuse before a run lets them be
REFUSED_LIMIT = 10
# These would befall all others too
_NO_REFUSALS = (Forbidden, NoWorklists, Redirected, Unauthorized)
# Files of the script may lie in the folder of Orthanc's entries
_FILE_PREFIX = 'gnuhealth-'


class _TooManyRefused(Exception):
    pass


@dataclass(frozen=True)
class _Place:
    "What is known of an entry in Orthanc"
    step: int | None
    identity: tuple[str, str] | None = None
    id: int | None = None
    version: int | None = None
    orthanc_id: str | None = None
    refused: int | None = None


class Placement(GuardedMixin, ModelSQL, ModelView):
    """Worklist Item on Server

    An entry on the worklist of a server, as it was sent last.
    """
    __name__ = 'gnuhealth.imaging.worklist.placement'

    server = fields.Many2One(
        'gnuhealth.orthanc.config', "Server", required=True, readonly=True,
        ondelete='CASCADE')
    step = fields.Many2One(
        'gnuhealth.imaging.procedure.step', "Step", readonly=True,
        ondelete='SET NULL',
        help="Empty if the step was deleted. The item is then deleted from "
        "the server.")
    study_instance_uid = fields.Char(
        "Study UID", required=True, readonly=True)
    step_id = fields.Char(
        "Step ID", required=True, readonly=True, strip=False)
    version = fields.Integer(
        "Version", readonly=True,
        help="Empty if it is unknown which version the server has.")
    orthanc_id = fields.Char(
        "Orthanc ID", readonly=True,
        help="Empty if it is unknown whether the server has the item.")
    refused_version = fields.Integer("Rejected Version", readonly=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('step_unique', Unique(table, table.server, table.step),
                'health_orthanc.msg_step_id_unique'),
            ]
        cls._sql_indexes.update({
                Index(table, (table.server, Index.Equality())),
                Index(table, (table.step, Index.Equality())),
                })

    @classmethod
    @without_check_access
    def servers(cls):
        "Return the ids of the servers that may hold entries"
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.select(table.server, group_by=table.server))
        return [server for server, in cursor]

    @classmethod
    def update_server(cls, server, asked_at=None):
        """Bring the worklist of a server in step, unless another run does.

        Parameters
        ----------
        asked_at : datetime, optional
            When this run was asked for: where one was begun since then, there
            is nothing to do.
        """
        Entry = Pool().get('gnuhealth.imaging.worklist.entry')
        with named_lock('worklist', server.id) as free:
            if free and in_transaction(cls._start, server.id, asked_at):
                Entry.refresh()
                cls._update(server.id)

    @classmethod
    def _start(cls, server_id, asked_at):
        Server = Pool().get('gnuhealth.orthanc.config')
        begun = Server(server_id).worklist_started
        if asked_at and begun and begun >= asked_at:
            return False
        Server.write_progress(server_id, worklist_started=dt.datetime.now())
        return True

    @classmethod
    def _update(cls, server_id):
        kind, status = 'internal', None
        try:
            with in_transaction(cls._client, server_id) as client:
                kind, status = _Update(server_id, client).run()
        except OrthancError as error:
            kind, status = error.kind, error.status
        except SecretUnavailable:
            kind = 'secret'
        except Exception as error:
            # The server's form tells, and other servers have their turn
            logger.error(
                "Worklist of Orthanc server %s: %s", server_id,
                type(error).__name__,
                exc_info=logger.isEnabledFor(logging.DEBUG))
        finally:
            in_transaction(cls._end, server_id, kind, status)

    @classmethod
    def _client(cls, server_id):
        return Pool().get('gnuhealth.orthanc.config')(server_id).get_client()

    @classmethod
    def _end(cls, server_id, kind, status):
        Server = Pool().get('gnuhealth.orthanc.config')
        before = Server(server_id).worklist_error_kind
        values = {'worklist_error_kind': kind, 'worklist_error_status': status}
        if kind is None:
            values['last_worklist_update'] = dt.datetime.now().replace(
                microsecond=0)
        # It runs every minute: each error is said once
        if kind != before:
            logger.warning(
                "Worklist of Orthanc server %s: %s", server_id,
                kind or "in step again")
        Server.write_progress(server_id, **values)


class _Update:
    """One run against one server

    Parameters
    ----------
    server_id : int
    client : OrthancClient
    """

    def __init__(self, server_id, client):
        self._server_id = server_id
        self._client = client
        self._refusals = 0
        self._refused_by = None

    def run(self):
        """Bring the worklist in step.

        Returns
        -------
        kind : str or None
        status : int or None
            Of the error with which the server refused single entries.

        Raises
        ------
        OrthancError
        """
        found = self._client.worklists()
        served, places = in_transaction(self._load)
        places, doubles = _located(places, found)
        with self._tolerant():
            self._clear([p for p in places if p.step not in served], doubles)
        with self._tolerant():
            self._fill([p for p in places if p.step in served], served)
        if self._refused_by:
            return self._refused_by.kind, self._refused_by.status
        return None, None

    @contextmanager
    def _tolerant(self):
        self._refusals = 0
        with suppress(_TooManyRefused):
            yield

    def _clear(self, places, doubles):
        for batch in _batches(places):
            self._remove(batch)
        for orthanc_id in doubles:
            self._delete(orthanc_id)

    def _fill(self, places, served):
        known = {p.step for p in places}
        stale = [
            p for p in places
            if p.orthanc_id is None or p.version != served[p.step]]
        stale += [_Place(step) for step in served if step not in known]
        # What was refused before never keeps others away
        stale.sort(key=lambda p: p.refused == served[p.step])
        for batch in _batches(stale):
            self._send(in_transaction(self._prepare, batch))

    # Records

    def _load(self):
        "Return what is to be there, and what is known to be there"
        pool = Pool()
        Entry = pool.get('gnuhealth.imaging.worklist.entry')
        Placement = pool.get('gnuhealth.imaging.worklist.placement')
        server = pool.get('gnuhealth.orthanc.config')(self._server_id)
        served = Entry.served_versions() if server.keeps_worklist else {}
        places = [
            _Place(
                p.step.id if p.step else None,
                (p.study_instance_uid, p.step_id), p.id, p.version,
                p.orthanc_id, p.refused_version)
            for p in Placement.search([('server', '=', server.id)])]
        return served, places

    def _prepare(self, batch):
        """Return places as they are to be, with their tags.

        Those that are new are recorded, not yet with an id in Orthanc.
        """
        pool = Pool()
        Entry = pool.get('gnuhealth.imaging.worklist.entry')
        Placement = pool.get('gnuhealth.imaging.worklist.placement')
        files = Entry.files([p.step for p in batch])
        places, tags = [], []
        for place in batch:
            # Others were canceled just now
            if place.step in files:
                version, file = files[place.step]
                tags.append(to_tags(file))
                places.append(replace(
                        place, version=version,
                        identity=find_identity(tags[-1])))
        records = iter(Placement.create([
                    {'server': self._server_id, 'step': p.step,
                        **_identity_values(p)}
                    for p in places if p.id is None]))
        places = [
            replace(p, id=next(records).id) if p.id is None else p
            for p in places]
        return list(zip(places, tags))

    @contextmanager
    def _recording(self, record):
        "Record what was done, whatever comes in between"
        done = []
        try:
            yield done
        finally:
            if done:
                in_transaction(record, done)

    @staticmethod
    def _save(places):
        Placement = Pool().get('gnuhealth.imaging.worklist.placement')
        args = []
        for place in places:
            args.extend(([Placement(place.id)], {
                        'version': place.version,
                        'orthanc_id': place.orthanc_id,
                        'refused_version': place.refused,
                        **_identity_values(place)}))
        Placement.write(*args)

    @staticmethod
    def _forget(places):
        Placement = Pool().get('gnuhealth.imaging.worklist.placement')
        Placement.delete(Placement.browse([p.id for p in places]))

    # Orthanc

    def _remove(self, batch):
        with self._recording(self._forget) as done:
            for place in batch:
                if place.orthanc_id is None or self._delete(place.orthanc_id):
                    done.append(place)

    def _delete(self, orthanc_id):
        "Return whether the entry is gone"
        try:
            self._client.delete_worklist(orthanc_id)
        except NotFound:
            # Somebody was faster
            pass
        except OrthancError as error:
            self._note_refusal(error)
            return False
        return True

    def _send(self, prepared):
        with self._recording(self._save) as done:
            for place, tags in prepared:
                try:
                    done.append(self._put(place, tags))
                except OrthancError as error:
                    done.append(replace(
                            place, version=None, refused=place.version))
                    self._note_refusal(error)

    def _put(self, place, tags):
        "Return the place of an entry that was sent"
        place = replace(place, refused=None)
        if place.orthanc_id is not None:
            try:
                self._client.replace_worklist(place.orthanc_id, tags)
                return place
            except NotFound:
                # Deleted just now
                pass
        return replace(place, orthanc_id=self._client.create_worklist(tags))

    def _note_refusal(self, error):
        """Let other entries have their turn.

        Raises
        ------
        OrthancError
            They would not fare better.
        _TooManyRefused
        """
        if (error.status is None or error.transient
                or isinstance(error, _NO_REFUSALS)):
            raise error
        self._refused_by = error
        self._refusals += 1
        if self._refusals >= REFUSED_LIMIT:
            raise _TooManyRefused()


def _located(places, found):
    """Find entries in Orthanc again.

    Parameters
    ----------
    places : list of _Place
    found : dict
        What the entries in Orthanc stand for, by their ids.

    Returns
    -------
    places : list of _Place
        With the ids under which they are there, None if they are not.
    doubles : list of str
        Ids of entries that stand for the same as others.
    """
    ids = defaultdict(list)
    for orthanc_id, identity in found.items():
        if not orthanc_id.startswith(_FILE_PREFIX):
            ids[identity].append(orthanc_id)
    located, doubles = [], []
    for place in places:
        same = ids.pop(place.identity, [])
        if place.orthanc_id not in found:
            # What is there under another id may hold anything
            place = replace(
                place, version=None, orthanc_id=same[0] if same else None)
        doubles.extend(id_ for id_ in same if id_ != place.orthanc_id)
        located.append(place)
    return located, doubles


def _identity_values(place):
    study_instance_uid, step_id = place.identity
    return {'study_instance_uid': study_instance_uid, 'step_id': step_id}


def _batches(places):
    for start in range(0, len(places), BATCH_LIMIT):
        yield places[start:start + BATCH_LIMIT]
