# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates of the worklists of servers through their REST API

The network is only used outside of transactions.  An entry is recorded before
it is created in Orthanc, and its Orthanc id is recorded after that.  If a run
is killed in between, the next one finds the entry by study UID and step ID.
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
from ..common.diagnostics import log_unexpected
from ..common.locks import named_lock
from ..common.transaction import in_transaction
from ..core.orthanc.errors import (
    Forbidden, NotFound, NoWorklists, OrthancError, Redirected, Unauthorized)
from ..core.orthanc.worklists import find_identity, to_tags
from ..core.secrets import SecretUnavailable

__all__ = ['Placement']

logger = logging.getLogger('trytond.modules.health_orthanc.placement')

# Entries whose results are recorded in one transaction
BATCH_LIMIT = 50
# Deletions, or entries, that a server may refuse before a run stops trying
REFUSED_LIMIT = 10
# Errors that would affect all other entries too
_NO_REFUSALS = (Forbidden, NoWorklists, Redirected, Unauthorized)
# The script may write its files into the folder of Orthanc's entries
_FILE_PREFIX = 'gnuhealth-'


class _TooManyRefused(Exception):
    "The server has refused `REFUSED_LIMIT` entries"


@dataclass(frozen=True)
class _Entry:
    "An entry in Orthanc, or one that is to be created"
    step: int | None
    identity: tuple[str, str] | None = None
    id: int | None = None
    version: int | None = None
    orthanc_id: str | None = None
    refused: int | None = None


class Placement(GuardedMixin, ModelSQL, ModelView):
    """Worklist Item on Server

    An entry on the worklist of a server, as it was last sent.
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
        "Return the ids of the servers that may hold our entries"
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.select(table.server, group_by=table.server))
        return [server for server, in cursor]

    @classmethod
    def update_server(cls, server, asked_at=None):
        """Update the worklist of a server, unless another run does.

        Parameters
        ----------
        server : Server
        asked_at : datetime, optional
            When this run was queued.  If another run has started since then,
            nothing is done.
        """
        Entry = Pool().get('gnuhealth.imaging.worklist.entry')
        with named_lock('worklist', server.id) as free:
            if free and in_transaction(cls._claim_run, server.id, asked_at):
                Entry.refresh()
                cls._update(server.id)

    @classmethod
    def _claim_run(cls, server_id, asked_at):
        Server = Pool().get('gnuhealth.orthanc.config')
        begun = Server(server_id).worklist_started
        if asked_at and begun and begun >= asked_at:
            return False
        Server.write_progress(server_id, worklist_started=dt.datetime.now())
        return True

    @classmethod
    def _update(cls, server_id):
        Server = Pool().get('gnuhealth.orthanc.config')
        kind, status = 'internal', None
        try:
            with in_transaction(cls._client, server_id) as client:
                kind, status = _ServerUpdate(server_id, client).run()
            Server.record_contact(server_id)
        except OrthancError as error:
            kind, status = error.kind, error.status
            Server.record_failure(server_id, kind, single=True)
        except SecretUnavailable:
            kind = 'secret'
            Server.record_failure(server_id, kind)
        except Exception as error:
            # The server's form shows the error; other servers still run
            log_unexpected(
                logger, error, "Worklist of Orthanc server %s", server_id)
        finally:
            in_transaction(cls._record_outcome, server_id, kind, status)

    @classmethod
    def _client(cls, server_id):
        return Pool().get('gnuhealth.orthanc.config')(server_id).get_client()

    @classmethod
    def _record_outcome(cls, server_id, kind, status):
        Server = Pool().get('gnuhealth.orthanc.config')
        server = Server(server_id)
        before = server.worklist_error_kind
        values = {'worklist_error_kind': kind, 'worklist_error_status': status}
        if kind is None:
            values['last_worklist_update'] = dt.datetime.now().replace(
                microsecond=0)
        # It runs every minute: a failure is logged when it begins and ends,
        # unless the server as a whole has stopped working
        if bool(kind) != bool(before) and not server.failing_since:
            logger.error(
                "Worklist of Orthanc server %s: %s", server_id,
                kind or "in step again")
        Server.write_progress(server_id, **values)


class _ServerUpdate:
    """An update of the worklist of one server

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
        """Make the worklist equal to the served entries.

        Returns
        -------
        kind : str or None
            The kind of the error if the server has refused single entries.
        status : int or None
            The HTTP status of that error.

        Raises
        ------
        OrthancError
        """
        found = self._client.worklists()
        served, places = in_transaction(self._load_entries)
        places, duplicates = _locate_entries(places, found)
        with self._limiting_refusals():
            self._delete_unwanted(
                [p for p in places if p.step not in served], duplicates)
        with self._limiting_refusals():
            self._send_changed([p for p in places if p.step in served], served)
        if self._refused_by:
            return self._refused_by.kind, self._refused_by.status
        return None, None

    @contextmanager
    def _limiting_refusals(self):
        self._refusals = 0
        with suppress(_TooManyRefused):
            yield

    def _delete_unwanted(self, places, duplicates):
        for batch in _split(places):
            self._delete_entries(batch)
        for orthanc_id in duplicates:
            self._delete_entry(orthanc_id)

    def _send_changed(self, places, served):
        known = {p.step for p in places}
        stale = [
            p for p in places
            if p.orthanc_id is None or p.version != served[p.step]]
        stale += [_Entry(step) for step in served if step not in known]
        # Entries that were refused before come last
        stale.sort(key=lambda p: p.refused == served[p.step])
        for batch in _split(stale):
            self._send_entries(in_transaction(self._prepare_entries, batch))

    # Records

    def _load_entries(self):
        "Return the versions to be served, and the recorded entries"
        pool = Pool()
        Entry = pool.get('gnuhealth.imaging.worklist.entry')
        Placement = pool.get('gnuhealth.imaging.worklist.placement')
        server = pool.get('gnuhealth.orthanc.config')(self._server_id)
        served = Entry.get_served_versions() if server.keeps_worklist else {}
        places = [
            _Entry(
                p.step.id if p.step else None,
                (p.study_instance_uid, p.step_id), p.id, p.version,
                p.orthanc_id, p.refused_version)
            for p in Placement.search([('server', '=', server.id)])]
        return served, places

    def _prepare_entries(self, batch):
        """Return the entries to send, with their tags.

        New ones are recorded, without an id in Orthanc yet.
        """
        pool = Pool()
        Entry = pool.get('gnuhealth.imaging.worklist.entry')
        Placement = pool.get('gnuhealth.imaging.worklist.placement')
        files = Entry.files([p.step for p in batch])
        places, tags = [], []
        for place in batch:
            # The steps of others were canceled in the meantime
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
        "Record the results at the end, even after an exception"
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
    def _delete_records(places):
        Placement = Pool().get('gnuhealth.imaging.worklist.placement')
        Placement.delete(Placement.browse([p.id for p in places]))

    # Orthanc

    def _delete_entries(self, batch):
        with self._recording(self._delete_records) as done:
            for place in batch:
                if place.orthanc_id is None or self._delete_entry(
                        place.orthanc_id):
                    done.append(place)

    def _delete_entry(self, orthanc_id):
        "Delete an entry, and return whether it no longer exists"
        try:
            self._client.delete_worklist(orthanc_id)
        except NotFound:
            # It was deleted by somebody else
            pass
        except OrthancError as error:
            self._note_refusal(error)
            return False
        return True

    def _send_entries(self, prepared):
        with self._recording(self._save) as done:
            for place, tags in prepared:
                try:
                    done.append(self._send_entry(place, tags))
                except OrthancError as error:
                    done.append(replace(
                            place, version=None, refused=place.version))
                    self._note_refusal(error)

    def _send_entry(self, place, tags):
        "Send an entry, and return it with its Orthanc id"
        place = replace(place, refused=None)
        if place.orthanc_id is not None:
            try:
                self._client.replace_worklist(place.orthanc_id, tags)
                return place
            except NotFound:
                # It was deleted in the meantime
                pass
        return replace(place, orthanc_id=self._client.create_worklist(tags))

    def _note_refusal(self, error):
        """Count a refused entry, so that the run continues with others.

        Raises
        ------
        OrthancError
            The error would affect the other entries too.
        _TooManyRefused
        """
        if (error.status is None or error.transient
                or isinstance(error, _NO_REFUSALS)):
            raise error
        self._refused_by = error
        self._refusals += 1
        if self._refusals >= REFUSED_LIMIT:
            raise _TooManyRefused()


def _locate_entries(places, found):
    """Assign the entries in Orthanc to the recorded ones.

    Parameters
    ----------
    places : list of _Entry
    found : dict
        Study UID and step ID of the entries in Orthanc, by their ids.

    Returns
    -------
    places : list of _Entry
        With their present ids in Orthanc, None if they do not exist there.
    duplicates : list of str
        Ids of further entries for the same step.
    """
    ids = defaultdict(list)
    for orthanc_id, identity in found.items():
        if not orthanc_id.startswith(_FILE_PREFIX):
            ids[identity].append(orthanc_id)
    located, duplicates = [], []
    for place in places:
        same = ids.pop(place.identity, [])
        if place.orthanc_id not in found:
            # The content of an entry with another id is not known
            place = replace(
                place, version=None, orthanc_id=same[0] if same else None)
        duplicates.extend(id_ for id_ in same if id_ != place.orthanc_id)
        located.append(place)
    return located, duplicates


def _identity_values(place):
    study_instance_uid, step_id = place.identity
    return {'study_instance_uid': study_instance_uid, 'step_id': step_id}


def _split(places):
    for start in range(0, len(places), BATCH_LIMIT):
        yield places[start:start + BATCH_LIMIT]
