# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from trytond.modules.health_orthanc.archive import preview


@pytest.fixture(autouse=True)
def cache():
    preview._cached.cache_clear()
    yield preview._cached.cache
    preview._cached.cache_clear()


def get(key, image=b'1234567890'):
    """Return an image, and whether it was fetched"""
    fetched = []

    def fetch():
        fetched.append(key)
        return image
    return preview._cached(key, fetch), bool(fetched)


def test_an_image_is_fetched_once():
    assert get('a') == (b'1234567890', True)
    assert get('a', b'other') == (b'1234567890', False)
    assert get('b') == (b'1234567890', True)


def test_images_are_kept_for_five_minutes(cache):
    assert cache.ttl == 300
    get('a')
    cache.expire(cache.timer() + 299)
    assert not get('a')[1]
    cache.expire(cache.timer() + 301)
    assert get('a', b'new') == (b'new', True)


def test_images_take_no_more_memory_than_allowed(cache):
    assert cache.maxsize == 32 * 2**20
    for key in range(5):
        get(key, b'x' * 10 * 2**20)
        assert cache.currsize <= cache.maxsize
    assert [key for key in range(5) if key in cache] == [2, 3, 4]


def test_an_image_that_is_too_large_is_not_kept(cache):
    image = b'x' * (cache.maxsize + 1)
    assert get('a', image) == get('a', image) == (image, True)


def test_a_failure_is_not_kept():
    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        preview._cached('a', fail)
    assert get('a')[1]
