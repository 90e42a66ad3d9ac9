# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches are read in another thread while their consumer works"""

import threading

import pytest

from trytond.modules.health_orthanc.synchronization.reading import ahead

TIMEOUT = 30


def test_reading_begins_before_anything_is_consumed():
    begun = threading.Event()

    def batches():
        begun.set()
        yield [1]
    with ahead(batches()) as found:
        assert begun.wait(TIMEOUT)
        assert list(found) == [[1]]


def test_one_batch_is_read_ahead_and_not_more():
    read = []

    def batches():
        for number in range(4):
            read.append(number)
            yield [number]
    with ahead(batches()) as found:
        assert next(found) == [0]
    # The context has waited for the thread
    assert read == [0, 1]


@pytest.mark.parametrize('batches', [[], [[]], [[1], [], [2]]])
def test_all_batches_come_in_their_order(batches):
    with ahead(iter(batches)) as found:
        assert list(found) == batches


def test_an_error_comes_after_the_batches_before_it():
    def batches():
        yield [1]
        raise ValueError
    with ahead(batches()) as found:
        assert next(found) == [1]
        with pytest.raises(ValueError):
            next(found)


def test_what_the_consumer_raises_ends_the_reading():
    read = []

    def batches():
        for number in range(50):
            read.append(number)
            yield [number]
    with pytest.raises(KeyError), ahead(batches()) as found:
        for _ in found:
            raise KeyError
    assert len(read) <= 2
