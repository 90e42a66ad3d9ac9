# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption of stored passwords.

A stored secret begins with the way in which it is stored: ``plain:`` or
``fernet:``.
"""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

__all__ = ['MASK', 'SecretUnavailable', 'seal', 'unseal']

MASK = '•' * 8
_PLAIN, _FERNET = 'plain:', 'fernet:'


class SecretUnavailable(Exception):
    """The key with which a secret was encrypted is not configured"""


def seal(secret: str | None, keys: Sequence[str] = ()) -> str | None:
    """Return a secret in the form in which it is stored.

    Parameters
    ----------
    secret : str or None
    keys : sequence of str
        Fernet keys, the newest first. Without any, the secret is stored in
        plain text.

    Returns
    -------
    str or None
        None for no secret.

    Raises
    ------
    SecretUnavailable
        A key is malformed.
    """
    if not secret:
        return None
    if not keys:
        return _PLAIN + secret
    return _FERNET + _fernet(keys).encrypt(secret.encode()).decode()


def unseal(stored: str | None, keys: Sequence[str] = ()) -> str | None:
    """Return the secret that `seal` has stored.

    Parameters
    ----------
    stored : str or None
    keys : sequence of str
        Fernet keys; any of them may be the right one.

    Returns
    -------
    str or None
        None for no secret.

    Raises
    ------
    SecretUnavailable
        None of the keys decrypts it.
    """
    if not stored:
        return None
    if stored.startswith(_FERNET):
        return _decrypt(stored.removeprefix(_FERNET), keys)
    return stored.removeprefix(_PLAIN)


def _decrypt(token: str, keys: Sequence[str]) -> str:
    if not keys:
        raise SecretUnavailable("no key is configured")
    try:
        return _fernet(keys).decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise SecretUnavailable("no configured key opens it") from error


def _fernet(keys: Sequence[str]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        # The original error could quote the key
        raise SecretUnavailable(
            "a configured key is not a Fernet key") from None
