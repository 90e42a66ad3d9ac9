# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request of a viewer, under the rights of its user"""

from trytond.i18n import gettext
from trytond.pool import Pool
from trytond.transaction import without_check_access

from ..archive.audited import study_events
from ..audit.trail import AuditEvent, record_events
from ..core.worklist.element_values import person_name
from ..worklist.variables import party_name
from .memory import clients, grants, views
from .rights import find_viewable, in_name_of, may_annotate
from .search import find_studies

__all__ = ['Access', 'Refusal']

# Studies of one search whose refusal is recorded
_MOST_RECORDED = 20


class Refusal(Exception):
    """The user may not have what the viewer asks for

    Parameters
    ----------
    status : int
        HTTP status.
    message : str
        For the user.
    """

    def __init__(self, status, message):
        super().__init__(status)
        self.status = status
        self.message = message


class Access:
    """What a session may have of a server

    Parameters
    ----------
    database : str
        The name.
    session, user, server : int
        The ids.
    """

    def __init__(self, database, session, user, server):
        self.database = database
        self.session = session
        self.user = user
        self.server = server

    def client(self):
        """Return the client of the server.

        Returns
        -------
        OrthancClient
            Of all sessions: it must not be closed.

        Raises
        ------
        SecretUnavailable
        """
        key = self.database, self.server
        client = clients.get(key)
        if client is None:
            client = self._server().get_client()
            clients.set(key, client)
        return client

    def _server(self):
        return Pool().get('gnuhealth.orthanc.config')(self.server)

    def check_study(self, uid):
        """Check that the user may see the images of a study.

        Parameters
        ----------
        uid : str
            Study Instance UID.

        Raises
        ------
        Refusal
            The same whether there is no such study or it is another's.
        """
        key = self.database, self.session, self.server, uid
        if grants.get(key):
            return
        with in_name_of(self.user):
            if uid not in self._viewable([uid]):
                self.record('view', uid, 'refused')
                raise self.refused()
        grants.set(key, True)

    def recall(self, uid, viewed):
        """Return the client if nothing is left to check or to record.

        Parameters
        ----------
        uid : str
            Study Instance UID.
        viewed : bool
            Whether images are shown.

        Returns
        -------
        OrthancClient or None
        """
        key = self.database, self.session, self.server, uid
        if grants.get(key) and (views.get(key) or not viewed):
            return clients.get((self.database, self.server))

    def record_view(self, uid):
        """Record that the user sees images of a study.

        Parameters
        ----------
        uid : str
            Study Instance UID.
        """
        key = self.database, self.session, self.server, uid
        if not views.get(key):
            self.record('view', uid)
            views.set(key, True)

    def record(self, action, uid, outcome='success', detail=None):
        """Record what the user does with a study in the audit trail.

        Parameters
        ----------
        action, outcome, detail : str
            As in `AuditEvent`.
        uid : str
            Study Instance UID.
        """
        values = {
            'outcome': outcome, 'detail': detail, 'user_id': self.user}
        record_events(
            study_events(action, self.studies(uid), **values)
            or [AuditEvent(
                    action, study_uid=uid, server_id=self.server, **values)])

    def _viewable(self, uids):
        Server = Pool().get('gnuhealth.orthanc.config')
        found = Server.search([('id', '=', self.server)])
        return find_viewable(found[0], uids) if found else set()

    @staticmethod
    def refused():
        "Return the refusal of a study"
        return Refusal(403, gettext('health_orthanc.msg_viewing_refused'))

    def search(self, search):
        """Return the studies that a search finds.

        Parameters
        ----------
        search : StudySearch

        Returns
        -------
        list of str
            Study Instance UIDs.

        Raises
        ------
        Refusal
            The user may see none of those that are named.
        """
        pool = Pool()
        Server = pool.get('gnuhealth.orthanc.config')
        Session = pool.get('gnuhealth.imaging_orthanc.viewer_session')
        opened = Session(self.session).opened_ids
        found = Server.search([('id', '=', self.server)])
        with in_name_of(self.user):
            if not found:
                raise self.refused()
            uids = find_studies(found[0], search, opened)
            if search.uids and not uids and not self._viewable(search.uids):
                for uid in search.uids[:_MOST_RECORDED]:
                    self.record('view', uid, 'refused')
                raise self.refused()
        return uids

    def check_may_store(self, uid=None):
        """Check that the user may add to studies, and to this one.

        Parameters
        ----------
        uid : str, optional
            Study Instance UID.

        Raises
        ------
        Refusal
        """
        if uid:
            self.check_study(uid)
        with in_name_of(self.user):
            if not may_annotate():
                self.record('upload', uid, 'refused')
                raise Refusal(
                    403, gettext('health_orthanc.msg_viewing_annotate'))

    def check_annotation(self, uid, patient_id):
        """Return the name of the user as author of an annotation.

        Parameters
        ----------
        uid : str
            Study Instance UID.
        patient_id : str
            PatientID in the annotation.

        Returns
        -------
        str
            PN.

        Raises
        ------
        Refusal
        """
        self.check_study(uid)
        with in_name_of(self.user):
            studies = self.studies(uid)
            if len(studies) != 1 or (studies[0].patient_id or '') != (
                    patient_id):
                self.record('upload', uid, 'refused')
                raise Refusal(
                    409, gettext('health_orthanc.msg_viewing_patient'))
            return self._author()

    @without_check_access
    def studies(self, uid):
        """Return the records of a study.

        Parameters
        ----------
        uid : str
            Study Instance UID.

        Returns
        -------
        list of Study
            Several if Orthanc holds several patients' under one UID.
        """
        Study = Pool().get('gnuhealth.imaging_orthanc.study')
        return Study.search([
                ('server', '=', self.server),
                ('study_instance_UID', '=', uid),
                ('missing_since', '=', None),
                ])

    @without_check_access
    def _author(self):
        pool = Pool()
        Party = pool.get('party.party')
        parties = Party.search([('internal_user', '=', self.user)], limit=1)
        if parties:
            return party_name(parties[0])
        return person_name(pool.get('res.user')(self.user).rec_name, '')
