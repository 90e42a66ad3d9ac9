# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of calls to an Orthanc server."""

__all__ = [
    'CertificateRejected', 'ConnectionFailed', 'ConnectionRefused',
    'DatabaseCopied', 'Forbidden', 'InstanceRefused', 'InvalidAddress',
    'InvalidCertificate', 'JobFailed', 'NoImage', 'NoWorklists', 'NotFound',
    'NotOrthanc', 'OrthancError', 'PlainHttp', 'Redirected', 'ServerFault',
    'TimedOut', 'TooOld', 'Unauthorized', 'UnexpectedAnswer']


class OrthancError(Exception):
    """A call to Orthanc has failed

    Its text names the call and the error; it never holds a credential, a query
    string or data of a patient.

    Parameters
    ----------
    detail : str
        A fixed word, or OpenSSL's description of a certificate error.
    request : str
        Method and kind of the resource, as in ``'GET /studies'``.
    status : int, optional
        HTTP status, if there was an answer.

    Attributes
    ----------
    kind : str
        A fixed name of the class, for messages and for storage.
    detail, request : str
    status : int or None
    """
    kind = 'error'
    status: int | None = None
    summary = "the call failed"

    def __init__(
            self, detail: str = '', request: str = '',
            status: int | None = None):
        super().__init__(detail, request, status)
        self.detail = detail
        self.request = request
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        text = f"{self.request}: {self.summary}".removeprefix(": ")
        notes = [str(n) for n in [self.status, self.detail] if n]
        return f"{text} ({', '.join(notes)})" if notes else text

    @property
    def transient(self) -> bool:
        """bool : whether the same call may succeed a moment later"""
        return False


class ConnectionFailed(OrthancError):
    """No connection to the server could be made, or it was lost"""
    kind = 'unreachable'
    summary = "no connection"
    transient = True


class PlainHttp(ConnectionFailed):
    """The server answers, but without TLS"""
    kind = 'plain_http'
    summary = "no TLS at this port"
    transient = False


class ConnectionRefused(OrthancError):
    """Nothing listens at the address of the server"""
    kind = 'refused'
    summary = "connection refused"
    transient = True


class TimedOut(OrthancError):
    """The server did not answer completely in time"""
    kind = 'timeout'
    summary = "no full answer in time"
    transient = True


class CertificateRejected(OrthancError):
    """One of the two TLS certificates was rejected; `detail` says why"""
    kind = 'certificate'
    summary = "the certificate was rejected"


class DatabaseCopied(OrthancError):
    """The server belongs to the database that ours is a copy of"""
    kind = 'database_copied'
    summary = "not sent: the database is a copy"


class Unauthorized(OrthancError):
    """User or password are wrong (HTTP 401)"""
    kind = 'unauthorized'
    status = 401
    summary = "user or password not accepted"


class Forbidden(OrthancError):
    """The user may not do this (HTTP 403)"""
    kind = 'forbidden'
    status = 403
    summary = "the user may not do this"


class NotFound(OrthancError):
    """The resource does not exist (HTTP 404)"""
    kind = 'not_found'
    status = 404
    summary = "no such resource"


class NoImage(OrthancError):
    """The instance has no pixels, or none that Orthanc can decode"""
    kind = 'no_image'
    status = 415
    summary = "no image to show"


class InstanceRefused(OrthancError):
    """The instance was not stored

    Its `detail` is ``'filtered'`` if a rule of the server rejects it, else
    Orthanc's message, as in ``'Bad file format'``.
    """
    kind = 'instance_refused'
    status = 400
    summary = "the instance is not stored"


class NoWorklists(OrthancError):
    """The Orthanc has no REST API for worklists"""
    kind = 'no_worklists'
    status = 404
    summary = "no worklists here"


class Redirected(OrthancError):
    """The server redirects to another URL

    Attributes
    ----------
    location : str
        The URL without query and credentials; empty if unknown.
    """
    kind = 'redirected'
    summary = "redirected"

    def __init__(
            self, detail: str = '', request: str = '',
            status: int | None = None, location: str = ''):
        super().__init__(detail, request, status)
        self.location = location


class ServerFault(OrthancError):
    """The server has answered with another error status"""
    kind = 'server_fault'
    status = 500
    summary = "the server failed"

    @property
    def transient(self) -> bool:
        """bool : true for the statuses 502, 503 and 504"""
        return self.status in {502, 503, 504}


class JobFailed(OrthancError):
    """A job of Orthanc has not succeeded"""
    kind = 'job_failed'
    summary = "the job failed"


class UnexpectedAnswer(OrthancError):
    """The answer cannot be used

    Its `detail` is ``'cut'``, ``'encoding'``, ``'not HTTP'``,
    ``'not JSON'``, ``'not PNG'``, ``'shape'`` or ``'too large'``.
    """
    kind = 'unexpected_answer'
    summary = "unusable answer"

    @property
    def transient(self) -> bool:
        """bool : true for an answer that was cut"""
        return self.detail == 'cut'


class NotOrthanc(OrthancError):
    """The server is not an Orthanc"""
    kind = 'not_orthanc'
    summary = "the server is no Orthanc"


class TooOld(OrthancError):
    """The Orthanc is too old; `detail` is its version"""
    kind = 'too_old'
    summary = "this Orthanc is too old"


class InvalidAddress(OrthancError):
    """The text is not the URL of an Orthanc

    Its `detail` is ``'scheme'``, ``'host'``, ``'port'``, ``'path'``,
    ``'credentials'``, ``'query'`` or ``'character'``.
    """
    kind = 'invalid_address'
    summary = "not a usable address"


class InvalidCertificate(OrthancError):
    """The PEM text cannot be loaded

    Its `detail` is ``'authorities'`` or ``'client'``.
    """
    kind = 'invalid_certificate'
    summary = "the PEM text cannot be loaded"
