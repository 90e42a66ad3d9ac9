# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered worklist items of open steps"""

import hashlib
import json
import logging
import time
from contextlib import contextmanager

from sql import Null
from sql.aggregate import Count, Max
from sql.conditionals import Coalesce

from trytond.model import Index, ModelSQL, Unique, fields
from trytond.pool import Pool
from trytond.tools import cursor_dict, grouped_slice, reduce_ids
from trytond.transaction import Transaction

from ..common.bulk import insert_values
from ..common.diagnostics import log_unexpected
from ..common.locks import named_lock
from ..common.rows import fetch_rows
from ..common.transaction import in_transaction
from ..core.worklist import item as worklist
from ..core.worklist.element_values import WorklistError
from ..core.worklist.template import TemplateError
from ..orders.states import OPEN_STATES
from . import variables as worklist_data
from .step_rows import find_steps, variables_of
from .template import describe_problems, list_problems

__all__ = ['WorklistEntry']

logger = logging.getLogger('trytond.modules.health_orthanc.worklist_entry')

# Entries that are rendered in one transaction, read in one statement, or sent
# in one response
RENDER_LIMIT = 1000
READ_LIMIT = 500
PAGE_LIMIT = 4000
# The highest version, of an integer in PostgreSQL
_LAST = 2**31 - 1
# After as many bytes of content, no more entries are added to a response
PAGE_BYTES = 16 * 1024 * 1024
# Seconds after which a refresh stops; the next one continues
REFRESH_SECONDS = 10
# The lock that the rendering process holds
RENDERING = 'worklist-items'
_LOCK_PAUSE = 0.1
# Versions are seconds since 2026, or higher if several entries change within
# a second: after a restore of the database, new versions are still higher than
# those that plugins have read before
_EPOCH = 1767225600
_DAY = 24 * 60 * 60


class WorklistEntry(ModelSQL):
    """Worklist Item

    The rendered item of a step.  It is rendered again when one of the records
    that it was made from has changed.
    """
    __name__ = 'gnuhealth.imaging.worklist.entry'

    step = fields.Many2One(
        'gnuhealth.imaging.procedure.step', "Step", required=True,
        ondelete='CASCADE')
    version = fields.Integer("Version", required=True)
    stamp = fields.Char("Fingerprint")
    dicom = fields.Binary("DICOM")
    text = fields.Text("Text", strip=False)
    kind = fields.Char("Type")
    charset = fields.Char("Character Set", strip=False)
    stations = fields.Integer(
        "Stations", help="The number of AE titles of the item.")
    problem = fields.Text("Error")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        table = cls.__table__()
        cls._sql_constraints += [
            ('step_unique', Unique(table, table.step),
                'health_orthanc.msg_step_id_unique'),
            ]
        cls._sql_indexes.add(Index(table, (table.version, Index.Range())))

    # Reading

    @classmethod
    def problems(cls, steps):
        """Return why steps could not be rendered.

        Parameters
        ----------
        steps : list of ProcedureStep

        Returns
        -------
        dict of str
            In the user's language, by the ids of the steps concerned.
        """
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        found = {}
        for ids in grouped_slice([s.id for s in steps]):
            cursor.execute(*table.select(
                    table.step, table.problem,
                    where=reduce_ids(table.step, ids)
                    & (table.problem != Null)))
            found.update(cursor)
        return {
            id_: describe_problems(json.loads(problem))
            for id_, problem in found.items()}

    @classmethod
    def failed(cls):
        "Return a query for the ids of the steps that could not be rendered"
        table = cls.__table__()
        return table.select(table.step, where=table.problem != Null)

    @classmethod
    def preview(cls, request):
        """Return the rendered items of an order as text.

        Parameters
        ----------
        request : Request

        Returns
        -------
        str
            For a step that cannot be rendered, the reason.
        """
        with _as_system():
            request = request.__class__(request.id)
            steps = [s for s in request.steps if s.state in OPEN_STATES]
            rendered = [cls._entry_values(s) for s in steps or request.steps]
        return '\n\n'.join(
            r['text'] or describe_problems(json.loads(r['problem']))
            for r in rendered)

    @classmethod
    def _served(cls, since=0, limit=None):
        """Return version, id, step and stations of entries, oldest first.

        Parameters
        ----------
        since : int
            Only later versions are returned.
        limit : int, optional
        """
        pool = Pool()
        step = pool.get('gnuhealth.imaging.procedure.step').__table__()
        request = pool.get('gnuhealth.imaging.test.request').__table__()
        entry = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*entry
            .join(step, condition=entry.step == step.id)
            .join(request, condition=step.request == request.id)
            .select(
                entry.version, entry.id, entry.step,
                Coalesce(entry.stations, 1),
                where=_is_served(step, request) & (entry.kind != Null)
                & (entry.version > max(0, min(since, _LAST))),
                order_by=entry.version, limit=limit))
        return cursor.fetchall()

    @classmethod
    def get_served_versions(cls):
        "Return the version of each served entry, by the id of its step"
        return {step: version for version, _, step, _ in cls._served()}

    @classmethod
    def files(cls, steps):
        """Return the worklist files of steps.

        Parameters
        ----------
        steps : iterable of int

        Returns
        -------
        dict of tuple
            Version and content of the file, by the id of each step that
            could be rendered.
        """
        return {
            e.step.id: (e.version, e.dicom) for e in cls.search([
                    ('step', 'in', list(steps)),
                    ('kind', '!=', None),
                    ])}

    @classmethod
    def page(cls, since=0, texts=False, etag=None):
        """Return the entries that changed after an index.

        It is read in a separate transaction.

        Parameters
        ----------
        since : int
            The index of the previous response; 0 for all entries.
        texts : bool
            Whether to add the texts from which scripts write files.
        etag : str, optional
            Of the previous response.

        Returns
        -------
        dict or None
            ``since``, ``index``, ``more``, ``entries``; the last page also
            has ``open`` (the ids of all served entries) and ``etag``.  The id
            of an entry changes with its content.  None if nothing has changed
            since the response with `etag`.
        """
        return in_transaction(cls._page, since, texts, etag)

    @classmethod
    def _page(cls, since, texts, etag):
        served = cls._served() if etag else None
        if served is not None and _etag(served) == etag:
            return None
        changed = [row for row in served or [] if row[0] > since]
        if served is None:
            # Only the last page names all
            changed = cls._served(since, PAGE_LIMIT + 1)
        entries, count = cls._read_entries(changed[:PAGE_LIMIT], texts)
        more = len(changed) > count
        page = {
            'since': since,
            'index': changed[count - 1][0] if count else since,
            'more': more,
            'entries': entries,
            }
        if not more:
            served = cls._served() if served is None else served
            page['open'] = [
                id_ for version, _, step, stations in served
                for id_ in _item_ids(step, version, stations, texts)]
            page['etag'] = _etag(served)
        return page

    @classmethod
    def _read_entries(cls, rows, texts):
        "Return the entries of a page, and from how many rows they are"
        read = cls._read_texts if texts else cls._read_files
        entries, count, size = [], 0, 0
        for part in map(list, grouped_slice(rows, READ_LIMIT)):
            found = read(part)
            entries.extend(found)
            count += len(part)
            size += sum(
                len(e['dicom']) + len(e.get('text', '')) for e in found)
            if size > PAGE_BYTES:
                break
        return entries, count

    @classmethod
    def _read_files(cls, rows):
        "Return what the plugin needs of entries"
        table = cls.__table__()
        files = dict(fetch_rows(table.select(
                    table.id, table.dicom,
                    where=reduce_ids(table.id, [id_ for _, id_, *_ in rows]))))
        return [{
                'id': f'{step}.{version}',
                'index': version,
                'dicom': bytes(files[id_]),
                } for version, id_, step, _ in rows]

    @classmethod
    def _read_texts(cls, rows):
        "Return what scripts need of entries"
        return [
            values for entry in cls.browse([id_ for _, id_, *_ in rows])
            for values in entry._list_items()]

    def _list_items(self):
        "Yield the content of the item of each station"
        items = [(self.dicom, self.text)]
        if (self.stations or 1) > 1:
            items = worklist.split_stations(self.dicom, self.kind)
        ids = _item_ids(self.step.id, self.version, len(items), True)
        for number, (id_, (dicom, text)) in enumerate(zip(ids, items)):
            name = f'gnuhealth-{self.step.id}'
            yield {
                'id': id_,
                'index': self.version,
                'dicom': dicom,
                'name': f'{name}-{number + 1}' if number else name,
                'kind': self.kind,
                'text': text,
                'charset': self.charset,
                'step_id': self.step.step_id,
                }

    # Rendering

    @classmethod
    def refresh(cls, patience=0):
        """Render the entries that are out of date, in separate transactions.

        If another process is rendering, this one only waits.

        Parameters
        ----------
        patience : float
            The longest time to wait, in seconds.
        """
        deadline = time.monotonic() + patience
        while not cls._refresh_alone() and time.monotonic() < deadline:
            time.sleep(_LOCK_PAUSE)

    @classmethod
    def _refresh_alone(cls):
        "Render unless another process does; return whether it was possible"
        deadline = time.monotonic() + REFRESH_SECONDS
        with named_lock(RENDERING) as taken:
            if taken:
                stamps = in_transaction(cls._find_stale)
                known = worklist_data.Known()
                for batch in _batches(stamps):
                    in_transaction(cls._render_steps, batch, known)
                    if time.monotonic() > deadline:
                        break
        return taken

    @classmethod
    def _find_stale(cls):
        """Return the stamps of the steps to render, and delete old entries.

        They are read before what is rendered.  So if that changes meanwhile,
        the next refresh finds another stamp, and renders the step again.
        """
        with _as_system():
            cls._delete_closed()
            stamps = cls._stamps()
            table = cls.__table__()
            cursor = Transaction().connection.cursor()
            cursor.execute(*table.select(table.step, table.stamp))
            known = dict(cursor)
            return {
                id_: stamp for id_, stamp in stamps.items()
                if known.get(id_) != stamp}

    @classmethod
    def _delete_closed(cls):
        "Delete the entries of steps that were closed over a day ago"
        step = Pool().get('gnuhealth.imaging.procedure.step').__table__()
        entry = cls.__table__()
        cursor = Transaction().connection.cursor()
        # The highest versions are kept: the next ones must be higher
        cursor.execute(*entry
            .join(step, condition=entry.step == step.id)
            .select(
                entry.id,
                where=(entry.version < int(time.time()) - _EPOCH - _DAY)
                & ~step.state.in_(OPEN_STATES)))
        cls.delete(cls.browse([id_ for id_, in cursor]))

    @classmethod
    def _render_steps(cls, stamps, known):
        "Render the steps of stamps"
        with _as_system():
            entries = {
                e.step.id: e
                for e in cls.search([('step', 'in', list(stamps))])}
            version = cls._last_version()
            created, written = [], []
            for step in find_steps(list(stamps), known):
                values = {
                    'stamp': stamps[step.id], **cls._entry_values(step, known)}
                entry = entries.get(step.id)
                if not entry or any(
                        getattr(entry, name) != value
                        for name, value in values.items() if name != 'stamp'):
                    version = max(version + 1, int(time.time()) - _EPOCH)
                    values['version'] = version
                if entry:
                    written.extend(([entry], values))
                else:
                    created.append({'step': step.id, **values})
            if created:
                insert_values(
                    cls, list(created[0]), [v.values() for v in created])
            if written:
                cls.write(*written)

    @classmethod
    def _last_version(cls):
        table = cls.__table__()
        cursor = Transaction().connection.cursor()
        cursor.execute(*table.select(Max(table.version)))
        version, = cursor.fetchone()
        return version or 0

    @classmethod
    def _entry_values(cls, step, known=None):
        "Return the field values of the entry of a step"
        nothing = dict.fromkeys(
            ['dicom', 'text', 'kind', 'charset', 'stations', 'problem'])
        try:
            kind, item = cls._render(step, known)
            return {
                **nothing,
                'dicom': item.file,
                'text': item.text,
                'kind': kind,
                'charset': item.charset,
                'stations': item.stations,
                }
        except (TemplateError, WorklistError) as error:
            problems = list_problems(error)
        except Exception as error:
            # Variables of other modules may raise anything. The message may
            # hold patient data, and the other steps must still be rendered.
            log_unexpected(
                logger, error, "Worklist entry of step %s", step.id)
            problems = [['internal', {}]]
        return {**nothing, 'problem': json.dumps(problems)}

    @classmethod
    def _render(cls, step, known=None):
        """Return the type of the template of a step, and its item.

        Raises
        ------
        TemplateError, WorklistError
        """
        template = step.request.worklist_template
        kind = template.template_type if template else 'dump2dcm'
        source = template.template if template else worklist.DEFAULT_TEMPLATE
        data = variables_of(step, known)
        data['template_type'] = kind
        readable = worklist_data.reachable(data.pop('reachable', None))
        my = worklist_data.RecordView(
            data.pop('my', step.request), kind, readable)
        return kind, worklist.make_item(source, kind, data, my=my)

    @classmethod
    def _stamps(cls):
        """Return digests of the records that entries are made from.

        Returns
        -------
        dict of str
            By the id of each step that is served.
        """
        rows = cls._stamp_rows()
        parties = {row[name] for row in rows for name in _PARTIES}
        patients = {row['patient'] for row in rows}
        names = _child_states('gnuhealth.person_name', 'party', parties)
        diseases = _child_states(
            'gnuhealth.patient.disease', 'patient', patients)
        weights = _child_states(
            'gnuhealth.patient.evaluation', 'patient', patients)
        common = cls._common_stamp()
        stamps = {}
        for row in rows:
            parts = [
                common, *row.values(),
                *(names.get(row[name]) for name in _PARTIES),
                diseases.get(row['patient']), weights.get(row['patient'])]
            stamps[row['step']] = hashlib.sha256(
                repr(parts).encode()).hexdigest()[:32]
        return stamps

    @classmethod
    def _stamp_rows(cls):
        pool = Pool()

        def table(name):
            return pool.get(name).__table__()

        step = table('gnuhealth.imaging.procedure.step')
        request = table('gnuhealth.imaging.test.request')
        patient = table('gnuhealth.patient')
        party = table('party.party')
        doctor = table('gnuhealth.healthprofessional')
        doctor_party = table('party.party')
        performer = table('gnuhealth.healthprofessional')
        performer_party = table('party.party')
        test = table('gnuhealth.imaging.test')
        template = table('gnuhealth.imaging_worklist.worklist_template')
        institution = table('gnuhealth.institution')
        place = table('party.party')
        joined = (step
            .join(request, condition=step.request == request.id)
            .join(patient, condition=request.patient == patient.id)
            .join(party, condition=patient.party == party.id)
            .join(test, condition=request.requested_test == test.id)
            .join(doctor, 'LEFT', condition=request.doctor == doctor.id)
            .join(doctor_party, 'LEFT',
                condition=doctor.party == doctor_party.id)
            .join(performer, 'LEFT',
                condition=step.performing_physician == performer.id)
            .join(performer_party, 'LEFT',
                condition=performer.party == performer_party.id)
            .join(template, 'LEFT',
                condition=test.imaging_worklist_template == template.id)
            .join(institution, 'LEFT',
                condition=step.institution == institution.id)
            .join(place, 'LEFT', condition=institution.party == place.id))
        cursor = Transaction().connection.cursor()
        cursor.execute(*joined.select(
                step.id.as_('step'), patient.id.as_('patient'),
                party.id.as_('party'), doctor_party.id.as_('doctor_party'),
                performer_party.id.as_('performer_party'),
                *(_changed(t).as_(f'changed{number}')
                    for number, t in enumerate([
                            step, request, patient, party, test, doctor,
                            doctor_party, performer, performer_party,
                            template, institution, place])),
                where=_is_served(step, request),
                order_by=[step.scheduled_at, step.id]))
        return list(cursor_dict(cursor))

    @classmethod
    def _common_stamp(cls):
        "Return a digest of the records that all entries depend on"
        pool = Pool()
        cursor = Transaction().connection.cursor()
        parts = []
        for name in [
                'company.company', 'gnuhealth.imaging.test.type',
                'gnuhealth.pathology', 'gnuhealth.disease_group.members',
                'gnuhealth.specialty', 'gnuhealth.hp_specialty']:
            table = pool.get(name).__table__()
            cursor.execute(*table.select(
                    Count(table.id), Max(_changed(table))))
            parts.append(cursor.fetchone())
        return hashlib.sha256(repr(
                [parts, worklist.DEFAULT_TEMPLATE]).encode()).hexdigest()


@contextmanager
def _as_system():
    """Use root, no context and no access checks, whoever the user is.

    So entries do not depend on the user: names are in the language of the
    database, and inactive records are used.
    """
    transaction = Transaction()
    with transaction.set_user(0), transaction.reset_context(), \
            transaction.set_context(_check_access=False, active_test=False):
        yield


def _batches(stamps):
    "Yield the stamps that are rendered in one transaction"
    for ids in grouped_slice(list(stamps), RENDER_LIMIT):
        yield {id_: stamps[id_] for id_ in ids}


def _etag(served):
    "Return a digest of what is served"
    return hashlib.sha256(repr(served).encode()).hexdigest()[:32]


def _item_ids(step, version, stations, texts):
    """Return the ids of the items of a step.

    The plugin for Orthanc matches several AE titles; others need an item of
    each.
    """
    first = f'{step}.{version}'
    others = range(2, stations + 1) if texts else []
    return [first, *(f'{first}.{number}' for number in others)]


_PARTIES = ['party', 'doctor_party', 'performer_party']


def _changed(table):
    return Coalesce(table.write_date, table.create_date)


def _is_served(step, request):
    Configuration = Pool().get('gnuhealth.imaging.worklist.configuration')
    start, end = Configuration.window()
    return (step.state.in_(OPEN_STATES)
        & (request.state == 'requested')
        & (step.scheduled_at >= start)
        & (step.scheduled_at < end))


def _child_states(model, column, ids):
    "Return number and last change of child records, by their owner's id"
    table = Pool().get(model).__table__()
    owner = getattr(table, column)
    cursor = Transaction().connection.cursor()
    found = {}
    for sub_ids in grouped_slice(sorted(filter(None, ids))):
        cursor.execute(*table.select(
                owner, Count(table.id), Max(_changed(table)),
                where=reduce_ids(owner, sub_ids), group_by=owner))
        found.update((id_, state) for id_, *state in cursor)
    return found
