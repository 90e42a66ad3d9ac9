# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The session of the client that sends the current request

trytond checks the key of the session, and then tells models only the user.
"""

from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ['get_session_key', 'session_key']

_key: ContextVar[str | None] = ContextVar('session_key', default=None)


@contextmanager
def session_key(key):
    """Remember the key while a request is answered.

    Parameters
    ----------
    key : str or None
    """
    token = _key.set(key)
    try:
        yield
    finally:
        _key.reset(token)


def get_session_key():
    """Return the key of the client's session.

    Returns
    -------
    str or None
        None if there is no request, or one of a script that sends its
        password. What trytond has not checked must be compared with the
        sessions of the user.
    """
    return _key.get()
