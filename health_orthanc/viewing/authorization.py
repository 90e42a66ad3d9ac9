# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Orthanc's authorization plugin is told

The plugin remembers an answer for as long as the answer says.  Nothing is
remembered here: a change of rights takes effect with its next question.
"""

import re

from trytond.pool import Pool
from trytond.transaction import without_check_access

from ..archive.audited import study_events
from ..archive.server import secret_keys
from ..audit.trail import AuditEvent, record_event, record_events
from ..common.transaction import now
from ..core.secrets import SecretUnavailable, unseal
from .rights import find_viewable, in_name_of

__all__ = ['VALIDITY', 'AuthorizationService']

# Seconds; 0 would let the plugin ask for each image
VALIDITY = 30
TOKEN_TYPE = 'viewer-instant-link'
_MODELS = {
    'series': ('gnuhealth.imaging_orthanc.study_series', 'study'),
    'instance': ('gnuhealth.imaging_orthanc.series_instances', 'series.study'),
    }
_UIDS = {'series': 'series_UID', 'instance': 'sop_instance_UID'}
_ORTHANC_ID = re.compile('[0-9a-zA-Z-]{1,64}')
_UID = re.compile('[0-9.]{1,64}')
# Of a token, in the audit trail
_UNKNOWN = 'viewer of Orthanc'


class AuthorizationService:
    """What may be done in an Orthanc

    Parameters
    ----------
    server : Server
        Whose plugin asks.
    """

    def __init__(self, server):
        self.server = server

    def validate(self, credentials, access):
        """Return whether something may be done.

        Parameters
        ----------
        credentials : Credentials or None
        access : AccessRequest

        Returns
        -------
        dict
            ``granted`` and ``validity``, the seconds that it is valid.
        """
        if self.is_ours(credentials):
            return _granted(True)
        live = self.find_live(credentials)
        if live is None:
            return _granted(False)
        granted = access.method == 'get' and self._may(live, access)
        if granted or access.level == 'study':
            self._record(live, access, granted)
        remaining = int((live.expires_at - now()).total_seconds())
        return _granted(granted, remaining)

    def profile(self, credentials):
        """Return what somebody may do with all images.

        Parameters
        ----------
        credentials : Credentials or None

        Returns
        -------
        dict
            The module may do everything. A person has no permissions: each
            would open the images of everybody.
        """
        name, all_ = '', self.is_ours(credentials)
        if all_:
            name = self.server.user
        elif live := self.find_live(credentials):
            name = Pool().get('res.user')(live.user).name
        return {
            'name': name,
            'permissions': ['all'] if all_ else [],
            'authorized-labels': ['*'] if all_ else [],
            'validity': VALIDITY,
            }

    def decode(self, credentials):
        """Return what a token is for.

        Parameters
        ----------
        credentials : Credentials or None

        Returns
        -------
        dict
            ``token-type`` and ``resources``, or an ``error-code``.
        """
        Token = Pool().get('gnuhealth.imaging_orthanc.viewer_token')
        live = self.find_live(credentials)
        if live is None:
            known = credentials and Token.is_known(
                credentials.token, self.server.id)
            return {'error-code': 'expired' if known else 'unknown'}
        study = self._study(live)
        if not self._is_viewable(live, study):
            return {'error-code': 'invalid'}
        return {
            'token-type': TOKEN_TYPE,
            'resources': [{
                    'level': 'study',
                    'dicom-uid': study.study_instance_UID,
                    'orthanc-id': study.orthanc_UID,
                    }],
            }

    def renew(self, wanted):
        """Return a further token for the person and study of a token.

        The plugin does not say who asks: they have to name a token of theirs.

        Parameters
        ----------
        wanted : TokenRequest

        Returns
        -------
        str or None
            None if this is refused.
        """
        Token = Pool().get('gnuhealth.imaging_orthanc.viewer_token')
        live = Token.find_live(wanted.id, self.server.id)
        if live is None or not all(
                r.level == 'study' and self._may(live, r)
                for r in wanted.resources):
            record_event(AuditEvent(
                    'token', 'refused', server_id=self.server.id,
                    user_id=live.user if live else None,
                    detail=_UNKNOWN))
            return None
        return Token.renew(live, wanted.ends_before(now()))

    def is_ours(self, credentials):
        "Return whether this module has sent a request to Orthanc"
        try:
            password = unseal(self.server.sealed_password, secret_keys())
        except SecretUnavailable:
            return False
        return bool(credentials) and credentials.are_of(
            self.server.user, password)

    def find_live(self, credentials):
        "Return the token of somebody, None if it is not valid"
        if credentials is None:
            return None
        Token = Pool().get('gnuhealth.imaging_orthanc.viewer_token')
        live = Token.find_live(credentials.token, self.server.id)
        if live is None:
            # Nobody knows who it is
            record_event(AuditEvent(
                    'token', 'refused', server_id=self.server.id,
                    detail=_UNKNOWN))
        return live

    def _may(self, live, access):
        "Return whether the user of a token may read a resource now"
        study = self._study(live)
        return _belongs(study, access) and self._is_viewable(live, study)

    def _record(self, live, access, granted):
        "Record that the user of a token sees a study, or may not"
        study = self._study(live)
        values = {
            'user_id': live.user, 'detail': f'token {live.id}',
            'outcome': 'success' if granted else 'refused'}
        if granted or _belongs(study, access):
            record_events(study_events('view', [study], **values))
        else:
            record_event(AuditEvent(
                    'view', study_uid=access.dicom_uid,
                    server_id=self.server.id, **values))

    @staticmethod
    def _study(live):
        return Pool().get('gnuhealth.imaging_orthanc.study')(live.study)

    def _is_viewable(self, live, study):
        uid = study.study_instance_UID
        if study.server != self.server or study.missing_since:
            return False
        with in_name_of(live.user):
            return bool(uid) and uid in find_viewable(self.server, [uid])


def _granted(granted, remaining=VALIDITY):
    return {
        'granted': granted,
        'validity': max(1, min(VALIDITY, remaining)),
        }


def _is_named(access):
    "Return whether a resource is named by what can be an identifier"
    return bool(access.orthanc_id or access.dicom_uid) and (
        not access.orthanc_id or bool(
            _ORTHANC_ID.fullmatch(access.orthanc_id))) and (
        not access.dicom_uid or bool(_UID.fullmatch(access.dicom_uid)))


@without_check_access
def _belongs(study, access):
    "Return whether a resource is a study, or is known to be of it"
    if not _is_named(access):
        return False
    if access.level == 'study':
        return all(given in {None, own} for given, own in [
                (access.orthanc_id, study.orthanc_UID),
                (access.dicom_uid, study.study_instance_UID)])
    if access.level not in _MODELS:
        return False
    name, parent = _MODELS[access.level]
    domain = [(parent, '=', study.id)]
    if access.orthanc_id:
        domain.append(('orthanc_UID', '=', access.orthanc_id))
    if access.dicom_uid:
        domain.append((_UIDS[access.level], '=', access.dicom_uid))
    return bool(Pool().get(name).search(domain, limit=1, order=[]))
