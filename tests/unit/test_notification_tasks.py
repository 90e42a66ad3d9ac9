# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin gets its answer, however long the tasks take."""
import threading

from trytond.modules.health_orthanc.synchronization import routes

LIMIT = 30  # seconds that are never needed


def test_the_answer_does_not_wait_for_long_tasks(monkeypatch):
    done, finished, answered = [], threading.Event(), threading.Event()

    def run_task(pool, task):
        assert answered.wait(LIMIT)
        done.append((pool, task))
        if len(done) == 40:
            finished.set()

    monkeypatch.setattr(routes, 'run_task', run_task)
    routes.run_tasks('one', list(range(20)), 0.01)
    routes.run_tasks('two', list(range(20)), 0.01)
    assert not done
    answered.set()
    assert finished.wait(LIMIT)
    assert done == [
        (pool, task) for pool in ['one', 'two'] for task in range(20)]


def test_short_tasks_are_done_before_the_answer(monkeypatch):
    done = []
    monkeypatch.setattr(
        routes, 'run_task', lambda pool, task: done.append(task))
    routes.run_tasks('one', [3, 4, 5], LIMIT)
    assert done == [3, 4, 5]


def test_what_a_task_queues_is_run_after_it(monkeypatch):
    done, finished = [], threading.Event()

    def run_task(pool, task):
        done.append(task)
        if task < 3:
            routes.Transaction().tasks.append(task + 1)
        else:
            finished.set()

    monkeypatch.setattr(routes, 'run_task', run_task)
    routes.run_tasks('one', [1], LIMIT)
    assert finished.wait(LIMIT)
    assert done == [1, 2, 3]
