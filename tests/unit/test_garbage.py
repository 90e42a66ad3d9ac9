# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Garbage is collected less often during a synchronization, as before after"""

import gc

import pytest

from trytond.modules.health_orthanc.common.garbage import rare_collections


@pytest.fixture
def thresholds():
    before = gc.get_threshold()
    yield gc.set_threshold
    gc.set_threshold(*before)


def test_it_ends_with_the_last_context(thresholds):
    thresholds(700, 10, 10)
    with rare_collections():
        with rare_collections():
            assert gc.get_threshold()[0] > 50_000
        assert gc.get_threshold()[0] > 50_000
        assert gc.get_threshold()[1:] == (10, 10)
    assert gc.get_threshold() == (700, 10, 10)


def test_it_ends_with_an_error(thresholds):
    thresholds(700, 10, 10)
    with pytest.raises(ValueError), rare_collections():
        raise ValueError
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize('threshold', [0, 10**6])
def test_what_is_rarer_by_configuration_stays(thresholds, threshold):
    thresholds(threshold, 10, 10)
    with rare_collections():
        assert gc.get_threshold() == (threshold, 10, 10)
