# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from trytond.modules.health_orthanc.core.secrets import (
    SecretUnavailable, seal, unseal)

KEY, OLD_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.mark.parametrize('keys', [[], [KEY], [KEY, OLD_KEY]])
@settings(max_examples=30)
@given(secret=st.text(min_size=1))
def test_what_is_sealed_is_unsealed(keys, secret):
    try:
        secret.encode()
    except UnicodeEncodeError:
        return
    assert unseal(seal(secret, keys), keys) == secret


@pytest.mark.parametrize('keys', [[], [KEY]])
def test_nothing_stays_nothing(keys):
    assert seal(None, keys) is seal('', keys) is None
    assert unseal(None, keys) is unseal('', keys) is None


def test_sealed_secret_does_not_show():
    assert 'hunter2' not in seal('hunter2', [KEY])
    assert seal('hunter2', [KEY]) != seal('hunter2', [KEY])


def test_secret_stored_before_there_was_a_key():
    assert unseal(seal('hunter2'), [KEY]) == 'hunter2'


def test_secret_that_looks_sealed_is_kept():
    for secret in ['fernet:x', 'plain:x', '•' * 8]:
        assert unseal(seal(secret)) == secret


def test_new_key_in_front_of_the_old_one():
    sealed = seal('hunter2', [OLD_KEY])
    assert unseal(sealed, [KEY, OLD_KEY]) == 'hunter2'
    assert unseal(seal('hunter2', [KEY, OLD_KEY]), [KEY]) == 'hunter2'


@pytest.mark.parametrize('keys', [[], [OLD_KEY], ['no key'], [KEY[:-2]]])
def test_secret_without_its_key(keys):
    with pytest.raises(SecretUnavailable) as caught:
        unseal(seal('hunter2', [KEY]), keys)
    for text in ['hunter2', *keys]:
        assert text not in str(caught.value)


def test_malformed_key_seals_nothing():
    with pytest.raises(SecretUnavailable) as caught:
        seal('hunter2', ['secret key'])
    assert 'secret key' not in str(caught.value)
    assert caught.value.__cause__ is None


def test_tampered_secret():
    sealed = seal('hunter2', [KEY])
    with pytest.raises(SecretUnavailable):
        unseal(sealed[:-5] + 'AAAA=', [KEY])
