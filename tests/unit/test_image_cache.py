# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from trytond.modules.health_orthanc.core.orthanc.image_cache import ImageCache


class Archive:
    "Counts what is fetched, at a time that is set"

    def __init__(self, size=100):
        self.time = 0
        self.fetched = []
        self._cache = ImageCache(size, 60, lambda: self.time)

    def get(self, key, image=b'1234567890'):
        def fetch():
            self.fetched.append(key)
            return image
        return self._cache.get(key, fetch)


def test_an_image_is_fetched_once():
    archive = Archive()
    assert archive.get('a') == archive.get('a', b'other')
    archive.get('b')
    assert archive.fetched == ['a', 'b']


def test_an_old_image_is_fetched_again():
    archive = Archive()
    archive.get('a')
    archive.time = 60
    assert archive.get('a', b'new') == b'new'


def test_no_more_is_held_than_there_is_room_for():
    archive = Archive(25)
    for key in 'abaca':
        archive.get(key)
    assert archive.fetched == ['a', 'b', 'c']
    archive.get('b')
    assert archive.fetched == ['a', 'b', 'c', 'b']


def test_what_is_too_large_is_not_held():
    archive = Archive(5)
    assert archive.get('a') == archive.get('a')
    assert archive.fetched == ['a', 'a']


def test_a_failure_is_not_held():
    archive = Archive()

    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        archive._cache.get('a', fail)
    assert archive.get('a')
