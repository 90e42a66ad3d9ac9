# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from functools import wraps

from trytond.exceptions import UserError
from trytond.i18n import gettext
from trytond.model.exceptions import AccessError, ValidationError

from ..core.orthanc.errors import OrthancError
from ..core.secrets import SecretUnavailable

__all__ = [
    'AttachmentError', 'CorrectionError', 'DecisionAccessError',
    'DeletionError', 'DismissalRuleValidationError', 'LinkVetoError',
    'MirrorAccessError', 'OrthancUserError', 'ReasonRequiredError',
    'ServerDeleteError', 'ServerValidationError', 'StepAccessError',
    'StepValidationError', 'StepWorkflowError', 'SynchronizationError',
    'UploadError', 'ViewerValidationError', 'WorklistTemplateError',
    'describe', 'orthanc_errors']


class OrthancUserError(UserError):
    "What the user is told when Orthanc could not do as asked"


class ServerValidationError(ValidationError):
    pass


class ServerDeleteError(AccessError):
    pass


class ViewerValidationError(ValidationError):
    pass


class MirrorAccessError(AccessError):
    "Someone tried to edit what only Orthanc can say"


class SynchronizationError(UserError):
    pass


class CorrectionError(UserError):
    pass


class AttachmentError(UserError):
    pass


class DeletionError(UserError):
    pass


class DecisionAccessError(AccessError):
    "Someone tried to edit the history of a study"

    @classmethod
    def readonly(cls):
        return cls(gettext('health_orthanc.msg_decision_readonly'))


class LinkVetoError(ValidationError):
    "Someone linked a study against a contradiction, and did not say why"


class ReasonRequiredError(ValidationError):
    pass


class DismissalRuleValidationError(ValidationError):
    pass


class StepAccessError(AccessError):
    pass


class StepValidationError(ValidationError):
    pass


class StepWorkflowError(UserError):
    pass


class UploadError(UserError):
    pass


class WorklistTemplateError(ValidationError):
    pass


def describe(kind, **values):
    """Return what to tell and do about an error, in the user's language.

    Parameters
    ----------
    kind : str
        An `OrthancError.kind`, ``'secret'`` or ``'internal'``.
    """
    values.setdefault('status', '')
    return gettext(f'health_orthanc.msg_orthanc_{kind}', **values)


def orthanc_errors(func):
    "Turn the errors of the client into messages for the user"
    @wraps(func)
    def wrapper(*args, **kwargs):
        try:
            return func(*args, **kwargs)
        except OrthancError as error:
            raise OrthancUserError(
                describe(error.kind, status=error.status or '')) from error
        except SecretUnavailable as error:
            raise OrthancUserError(describe('secret')) from error
    return wrapper
