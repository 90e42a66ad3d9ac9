# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients ask for when a user opens lists, and types into the search."""
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from devtools.tryton import MODULE

__all__ = ['Client', 'Person', 'Screen', 'Screens', 'Statements']

LIMIT = 1000
ROWS = 50
STUDY = 'gnuhealth.imaging_orthanc.study'
ORTHANC_PATIENT = 'gnuhealth.orthanc.patient'
PATIENT = 'gnuhealth.patient'
REQUEST = 'gnuhealth.imaging.test.request'
RESULT = 'gnuhealth.imaging.test.result'
STEP = 'gnuhealth.imaging.procedure.step'
AUDIT = 'gnuhealth.imaging_orthanc.audit'
SERIES = 'gnuhealth.imaging_orthanc.study_series'
_STATISTICS = 'gnuhealth.imaging_orthanc.statistics.'
LISTED = [
    STUDY, ORTHANC_PATIENT, REQUEST, RESULT, STEP, AUDIT,
    'gnuhealth.imaging_orthanc.deletion',
    'gnuhealth.imaging_orthanc.wrong_patient',
    'gnuhealth.orthanc.notification',
    'gnuhealth.orthanc.synchronization.failure',
    *(_STATISTICS + name for name in [
            'device', 'order', 'rejection', 'server', 'study_age',
            'study_day', 'turnaround']),
    ]


class Person:
    "Somebody in the archive, by whom is searched"
    def __init__(self, transaction: Any):
        cursor = transaction.connection.cursor()
        cursor.execute(
            'SELECT s.id, s.patient, s.patient_id, s.accession_number,'
            ' s.date, s.patient_birth_date, s.patient_display_name,'
            ' p.lastname, p.name, p.ref'
            ' FROM gnuhealth_imaging_orthanc_study s'
            ' JOIN gnuhealth_patient g ON g.id = s.patient'
            ' JOIN party_party p ON p.id = g.party'
            " WHERE s.link_status = 'auto_certain' AND s.request IS NOT NULL"
            ' AND s.missing_since IS NULL ORDER BY s.id OFFSET 1000 LIMIT 1')
        (self.study, self.patient, self.patient_id, self.accession_number,
            self.date, self.birth_date, self.name, self.family, self.given,
            self.puid) = cursor.fetchone()

    def texts(self) -> dict[str, str]:
        "Return what a person types into the search box"
        family, _, given = self.name.partition(', ')
        return {
            'name': f'{family} {given}',
            'name reversed': f'{given} {family}',
            'part of a name': 'mustersona',
            'common name': 'Muster',
            'patient ID': self.patient_id,
            'end of a patient ID': self.patient_id[-6:],
            'accession number': self.accession_number,
            'description': 'Abdomen',
            'rare description': 'arthrography',
            'two letters': 'MG',
            'two letters of a name': family[:2],
            'nothing': 'Zzyzx',
            }


class Statements:
    "The statements that PostgreSQL executes for us, and their seconds"

    def __init__(self) -> None:
        from trytond.backend.postgresql.database import LoggingCursor
        self.seen: list[tuple[float, bytes]] = []
        execute = LoggingCursor.execute

        def timed(cursor: Any, sql: Any, args: Any = None) -> Any:
            start = time.perf_counter()
            try:
                return execute(cursor, sql, args)
            finally:
                self.seen.append((
                        time.perf_counter() - start,
                        cursor.query or b''))
        LoggingCursor.execute = timed

    @contextmanager
    def collected(self) -> Iterator[list[tuple[float, bytes]]]:
        self.seen = []
        yield self.seen


class Client:
    "Calls RPC methods as a user"

    def __init__(self, database: str, user: int):
        self._database = database
        self._user = user
        self.context = self.call('res.user', 'get_preferences', True)

    def call(self, model: str, method: str, *args: Any) -> Any:
        from trytond.pool import Pool
        from trytond.transaction import Transaction
        with Transaction().start(
                self._database, self._user, readonly=True) as transaction:
            Model = Pool().get(model)
            rpc = Model.__rpc__[method]
            values, names, context, _ = rpc.convert(
                Model, *args, getattr(self, 'context', {}))
            with transaction.set_context(context):
                return rpc.result(getattr(Model, method)(*values, **names))


class Screen:
    """What a client asks for.

    Parameters
    ----------
    kind : str
        ``list``, ``pages``, ``count``, ``search`` or ``form``.
    """

    def __init__(
            self, role: str, kind: str, model: str, name: str,
            calls: Callable[[Client], None]):
        self.role = role
        self.kind = kind
        self.model = model
        self.name = name
        self._calls = calls

    def run(self, client: Client) -> None:
        self._calls(client)

    def __str__(self) -> str:
        model = self.model.rpartition('.')[2]
        return f'{self.role:13} {self.kind:6} {model:9} {self.name}'


class Screens:
    "The screens of a user"

    def __init__(self, role: str, client: Client, person: Person):
        self._role = role
        self._client = client
        self._person = person

    def __iter__(self) -> Iterator[Screen]:
        for model in LISTED:
            if not self._may_read(model):
                continue
            # Not while the transaction of the actions is open
            for title, domain, order, view, tabs in list(
                    self._actions(model)):
                yield from self._lists(
                    model, title, domain, order, view, tabs)
            if not model.startswith(_STATISTICS):
                yield from self._searches(model)
        if self._may_read(STUDY):
            yield from self._patient()

    def _may_read(self, model: str) -> bool:
        from trytond.model.exceptions import AccessError
        try:
            self._client.call(model, 'search', [], 0, 1)
        except AccessError:
            return False
        return True

    def _actions(self, model: str) -> Iterator[tuple]:
        from trytond.pool import Pool
        from trytond.pyson import PYSONDecoder
        from trytond.transaction import Transaction
        with Transaction().start(
                self._client._database, self._client._user, readonly=True,
                context={**self._client.context, '_check_access': True}):
            decode = PYSONDecoder({
                    'context': self._client.context,
                    '_user': self._client._user,
                    **self._client.context}).decode
            for action in Pool().get('ir.action.act_window').search([
                        ('res_model', '=', model)]):
                if not (self._is_panel(action) or self._is_in_menu(action)):
                    continue
                domain = decode(action.pyson_domain)
                view = next((
                        v.view.id for v in action.act_window_views
                        if v.view.type == 'tree'), None)
                tabs = [
                    (tab.name, decode(tab.domain or '[]'), tab.count)
                    for tab in action.act_window_domains]
                yield (
                    action.name, domain, decode(action.pyson_order or 'null'),
                    view, tabs)

    @staticmethod
    def _is_panel(action: Any) -> bool:
        "Return whether an action is shown on boards"
        from trytond.pool import Pool
        names = {
            data.fs_id for data in Pool().get('ir.model.data').search([
                    ('model', '=', action.__name__),
                    ('db_id', '=', action.id),
                    ('module', '=', MODULE)])}
        return any(
            name.startswith(('act_board_', 'act_statistics_'))
            for name in names)

    @staticmethod
    def _is_in_menu(action: Any) -> bool:
        "Return whether the current user may see a menu entry of an action"
        from trytond.pool import Pool
        menus = [
            keyword.model.id for keyword in action.keywords
            if keyword.keyword == 'tree_open']
        return bool(Pool().get('ir.ui.menu').search([('id', 'in', menus)]))

    def _lists(
            self, model: str, title: str, domain: list, order: list | None,
            view: int | None, tabs: list[tuple]) -> Iterator[Screen]:
        for tab, narrowing, counted in tabs or [('', [], False)]:
            whole = [domain, narrowing] if narrowing else domain
            name = f'{title} / {tab}' if tab else title
            yield self._screen(
                'list', model, name,
                self._reading(model, whole, order, view))
            yield self._screen('pages', model, name, (
                    lambda client, whole=whole: client.call(
                        model, 'search_count', whole, 0, LIMIT * 100)))
            if counted:
                yield self._screen('count', model, name, (
                        lambda client, whole=whole: client.call(
                            model, 'search_count', whole, 0, LIMIT)))

    def _searches(self, model: str) -> Iterator[Screen]:
        person = self._person
        domains = {
            name: [('rec_name', 'ilike', f'%{text}%')]
            for name, text in person.texts().items()}
        if model == STUDY:
            domains.update({
                'date': [('date', '=', person.date)],
                'birth date': [
                    ('patient_birth_date', '=', person.birth_date)],
                'accession': [('accession_number', '=',
                        person.accession_number)],
                'ID contains': [('patient_id', 'ilike',
                        f'%{person.patient_id[-6:]}%')],
                'description contains': [
                    ('study_description', 'ilike', '%arthro%')],
                'description and date': [
                    ('study_description', 'ilike', '%thorax%'),
                    ('date', '>=', person.date)],
                'modality contains': [('modalities', 'ilike', '%MG%')],
                'linked name': [('gnuhealth_patient_name', 'ilike',
                        f'%{person.family}%')],
                'name, to review': [
                    ('link_status', '=', 'auto_unsure'),
                    ('historical', '=', False), ('missing_since', '=', None),
                    ('rec_name', 'ilike', f'%{person.family}%')],
                })
            for field in [
                    'study_description', 'patient_display_name',
                    'patient_id', 'accession_number', 'modalities',
                    'patient_birth_date']:
                for order in ['ASC', 'DESC']:
                    yield self._screen(
                        'order', model, f'{field} {order}', self._reading(
                            model, [], [(field, order)], None))
        if model == ORTHANC_PATIENT:
            domains['birth date'] = [('bd', '=', person.birth_date)]
        if model == STEP:
            domains['today'] = [('today', '=', True)]
        for name, domain in domains.items():
            yield self._screen(
                'search', model, name,
                self._reading(model, domain, None, None))

    def _reading(
            self, model: str, domain: list, order: list | None,
            view: int | None) -> Callable[[Client], None]:
        fields = self._client.call(
            model, 'fields_view_get', view, 'tree')['fields']
        names = [*fields, 'rec_name', *(
                f'{name}.rec_name' for name, field in fields.items()
                if field['type'] == 'many2one')]

        def read(client: Client) -> None:
            ids = client.call(model, 'search', domain, 0, LIMIT, order)
            if ids:
                client.call(model, 'read', ids[:ROWS], names)
        return read

    def _patient(self) -> Iterator[Screen]:
        person = self._person
        names = [
            'orthanc_studies', 'orthanc_studies_count',
            'orthanc_last_study_date', 'orthanc_unconfirmed_studies']
        from trytond.pool import Pool
        from trytond.transaction import Transaction
        with Transaction().start(self._client._database, 0, readonly=True):
            view = Pool().get('ir.model.data').get_id(
                MODULE, 'study_view_list_timeline')
        fields = self._client.call(
            STUDY, 'fields_view_get', view, 'tree')['fields']

        def read(client: Client) -> None:
            record, = client.call(PATIENT, 'read', [person.patient], names)
            if record['orthanc_studies']:
                client.call(
                    STUDY, 'read', record['orthanc_studies'], list(fields))
        yield self._screen('form', PATIENT, 'Studies', read)
        for name, domain in {
                'all': [],
                'modality': [('series.modality', '=', 'CT')],
                'year': [('date', '>=', person.date.replace(1, 1))],
                }.items():
            yield self._screen(
                'list', STUDY, f'All images / {name}', self._reading(
                    STUDY, [
                        ('patient', '=', person.patient),
                        ('link_status', '!=', 'auto_unsure'), domain],
                    None, view))

    def _screen(
            self, kind: str, model: str, name: str,
            calls: Callable[[Client], None]) -> Screen:
        return Screen(self._role, kind, model, name, calls)
