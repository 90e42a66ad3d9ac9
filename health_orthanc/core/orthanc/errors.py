# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between here and an Orthanc."""

__all__ = [
    'CertificateRejected', 'ConnectionFailed', 'ConnectionRefused',
    'Forbidden', 'InstanceRefused', 'InvalidAddress', 'InvalidCertificate',
    'JobFailed', 'NoImage', 'NoWorklists', 'NotFound', 'NotOrthanc',
    'OrthancError', 'Redirected', 'ServerFault', 'TimedOut', 'TooOld',
    'Unauthorized', 'UnexpectedAnswer']


class OrthancError(Exception):
    """Orthanc could not do as asked

    Its text names the call and what happened, never a credential, a query
    string or anything of a patient.

    Parameters
    ----------
    detail : str
        One of the fixed words that the client knows, or what OpenSSL says
        about a certificate.
    request : str
        Method and kind of the resource, as in ``'GET /studies'``.
    status : int, optional
        The HTTP status, where there was one.
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
        "Whether the same call may succeed a moment later"
        return False


class ConnectionFailed(OrthancError):
    kind = 'unreachable'
    summary = "no connection"
    transient = True


class ConnectionRefused(OrthancError):
    kind = 'refused'
    summary = "connection refused"
    transient = True


class TimedOut(OrthancError):
    kind = 'timeout'
    summary = "no full answer in time"
    transient = True


class CertificateRejected(OrthancError):
    kind = 'certificate'
    summary = "the certificate was rejected"


class Unauthorized(OrthancError):
    kind = 'unauthorized'
    status = 401
    summary = "user or password not accepted"


class Forbidden(OrthancError):
    kind = 'forbidden'
    status = 403
    summary = "the user may not do this"


class NotFound(OrthancError):
    kind = 'not_found'
    status = 404
    summary = "no such resource"


class NoImage(OrthancError):
    "An instance without pixels, or with pixels that Orthanc cannot decode"
    kind = 'no_image'
    status = 415
    summary = "no image to show"


class InstanceRefused(OrthancError):
    """An instance that is not stored

    Its `detail` is ``'filtered'`` for what a rule of the server keeps out,
    else what Orthanc says, as in ``'Bad file format'``.
    """
    kind = 'instance_refused'
    status = 400
    summary = "the instance is not stored"


class NoWorklists(OrthancError):
    "An Orthanc without the REST API for worklists"
    kind = 'no_worklists'
    status = 404
    summary = "no worklists here"


class Redirected(OrthancError):
    """The address leads elsewhere

    Attributes
    ----------
    location : str
        Where to, without query and credentials; empty if it was not told.
    """
    kind = 'redirected'
    summary = "redirected"

    def __init__(
            self, detail: str = '', request: str = '',
            status: int | None = None, location: str = ''):
        super().__init__(detail, request, status)
        self.location = location


class ServerFault(OrthancError):
    kind = 'server_fault'
    status = 500
    summary = "the server failed"

    @property
    def transient(self) -> bool:
        return self.status in {502, 503, 504}


class JobFailed(OrthancError):
    "A job of Orthanc that did not come to its end"
    kind = 'job_failed'
    summary = "the job failed"


class UnexpectedAnswer(OrthancError):
    """An answer that cannot be used

    Its `detail` is ``'cut'``, ``'encoding'``, ``'not HTTP'``,
    ``'not JSON'``, ``'not PNG'``, ``'shape'`` or ``'too large'``.
    """
    kind = 'unexpected_answer'
    summary = "unusable answer"

    @property
    def transient(self) -> bool:
        return self.detail == 'cut'


class NotOrthanc(OrthancError):
    kind = 'not_orthanc'
    summary = "the server is no Orthanc"


class TooOld(OrthancError):
    "The `detail` is the version"
    kind = 'too_old'
    summary = "this Orthanc is too old"


class InvalidAddress(OrthancError):
    """A text that is no address of an Orthanc

    Its `detail` is ``'scheme'``, ``'host'``, ``'port'``, ``'path'``,
    ``'credentials'``, ``'query'`` or ``'character'``.
    """
    kind = 'invalid_address'
    summary = "not a usable address"


class InvalidCertificate(OrthancError):
    "The `detail` is ``'authorities'`` or ``'client'``: which PEM text"
    kind = 'invalid_certificate'
    summary = "the PEM text cannot be loaded"
