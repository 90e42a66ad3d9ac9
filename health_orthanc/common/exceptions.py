# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exceptions shown to users, and their messages"""

from functools import wraps

from trytond.exceptions import UserError, UserWarning
from trytond.i18n import gettext
from trytond.model.exceptions import AccessError, ValidationError

from ..core.orthanc.errors import OrthancError
from ..core.secrets import SecretUnavailable

__all__ = [
    'AttachmentError', 'CorrectionError', 'DecisionAccessError',
    'DeletionError', 'DismissalRuleValidationError', 'LinkVetoError',
    'ModuleDeactivationError', 'OperationValidationError', 'OrthancUserError',
    'QuarantineError', 'ReasonRequiredError', 'ReplacementError',
    'ReportError', 'ResourceAccessError', 'ServerDeleteError',
    'ServerValidationError', 'StepAccessError', 'StepMoveWarning',
    'StepValidationError', 'StepWorkflowError', 'StudyTypeWarning',
    'SynchronizationError', 'UnconfirmedStudyWarning', 'UploadError',
    'ViewerValidationError', 'WorklistTemplateError', 'WrongPatientError',
    'describe', 'orthanc_errors']


class OrthancUserError(UserError):
    "A request to Orthanc has failed; the message says what to do"


class ServerValidationError(ValidationError):
    "The settings of a server are not valid"


class ServerDeleteError(AccessError):
    "A server cannot be deleted because records depend on it"


class ModuleDeactivationError(AccessError):
    "The module cannot be deactivated while it serves Orthanc servers"


class ViewerValidationError(ValidationError):
    "The URL template of a viewer is not valid"


class ResourceAccessError(AccessError):
    "A user tried to edit values that come from Orthanc"


class SynchronizationError(UserError):
    "The synchronization of a server has failed"


class CorrectionError(UserError):
    "A patient reconciliation cannot be started"


class UnconfirmedStudyWarning(UserWarning):
    "The images of a study may belong to somebody else"


class AttachmentError(UserError):
    "An image cannot be attached to a result"


class DeletionError(UserError):
    "Images cannot be deleted from Orthanc"


class DecisionAccessError(AccessError):
    "A user tried to edit the history of a study"

    @classmethod
    def readonly(cls):
        "Return the error for a record that nobody may change"
        return cls(gettext('health_orthanc.msg_decision_readonly'))


class LinkVetoError(ValidationError):
    "A user linked a study against a contradiction without a reason"


class ReasonRequiredError(ValidationError):
    "A decision on a study lacks its reason"


class ReplacementError(UserError):
    "The replacement of a patient cannot be undone"


class DismissalRuleValidationError(ValidationError):
    "A dismissal rule matches too much"


class QuarantineError(UserError):
    "The images of a study may belong to somebody else, and are not shown"


class WrongPatientError(UserError):
    "A study cannot be moved to another patient"


class ReportError(UserError):
    "A report cannot be printed"


class StepAccessError(AccessError):
    "A user may not change an order or step in this way"


class StepMoveWarning(UserWarning):
    "A step that is urgent or in progress is moved to another time"


class StepValidationError(ValidationError):
    "The values of an order or step are not valid"


class StepWorkflowError(UserError):
    "An order or step is not in the required state"


class StudyTypeWarning(UserWarning):
    "Orders of a study type will be on no worklist"


class OperationValidationError(ValidationError):
    "The settings of the page Health are not valid"


class UploadError(UserError):
    "Uploaded files cannot be used"


class WorklistTemplateError(ValidationError):
    "A worklist template is not valid"


def describe(kind, **values):
    """Return the message for an error, in the user's language.

    Parameters
    ----------
    kind : str
        An `OrthancError.kind`, ``'secret'`` or ``'internal'``.
    values : dict
        Further values of the message, such as ``status`` (HTTP).

    Returns
    -------
    str
        What happened and what to do.
    """
    values.setdefault('status', '')
    return gettext(f'health_orthanc.msg_orthanc_{kind}', **values)


def orthanc_errors(func):
    "Raise errors of the Orthanc client as messages for the user"
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
