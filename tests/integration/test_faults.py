# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No link is lost or doubled while parts are killed; see `./dev faults`."""
from collections import Counter

import pytest

from devtools.faults.plan import KINDS, make_plan
from devtools.faults.run import Result, run_plans
from devtools.tryton import MODULE

# Of `./dev test`, and of `./dev test --all`
SHOWN, PLANS = (10, 73), 200
JOBS = 3


def test_a_plan_is_always_the_same():
    assert str(make_plan(4)) == (
        'courier five, send 1A, wait stable, minute, wait 0.28, send 1B,'
        ' wait told, trap G 0.28, start G, start O')


def test_the_plans_show_all():
    shown = Counter(
        kind for seed in SHOWN for kind in make_plan(seed).kinds)
    assert all(shown[kind] for kind in KINDS), shown


@pytest.fixture(scope='module')
def results(request, prepared_tryton) -> dict[int, Result]:
    """What has come of the plans that are asked for."""
    seeds = sorted(
        item.callspec.params['seed'] for item in request.session.items
        if item.path == request.path and hasattr(item, 'callspec'))
    origin = prepared_tryton('postgresql', MODULE)
    return {
        result.plan.seed: result for result in run_plans(origin, seeds, JOBS)}


@pytest.mark.parametrize('seed', [
        *SHOWN,
        *(pytest.param(seed, marks=pytest.mark.release)
            for seed in range(PLANS) if seed not in SHOWN)])
def test_each_order_is_done_by_its_images(results, seed):
    result = results[seed]
    assert not result.troubles, result.complaints
    assert result.kept == result.processed >= result.plan.orders
