# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens, in which order: made from a number, always the same."""
import random
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ['KINDS', 'Plan', 'Step', 'make_plan']

ORTHANC, GNUHEALTH, WORKER = 'O', 'G', 'W'
PARTS = [ORTHANC, GNUHEALTH]
# How a notification is delivered: once; five times, one after the other or
# at once; with the first answers lost; with the answers late.
COURIERS = {
    'once': 4, 'five': 3, 'together': 3, 'lost': 2, 'late': 2}
SERIES = 'AB'

# What a plan may hold that has to be shown
KINDS = {
    'down': "GNU Health is down while images arrive",
    'cut': "Orthanc is killed while images arrive",
    'unstable': "Orthanc is killed before the study is stable",
    'stable': "Orthanc is killed after the study is stable",
    'O first': "both are down, Orthanc is started first",
    'G first': "both are down, GNU Health is started first",
    'five': "each event is delivered five times",
    'worker': "only the workers are killed",
    'told': "a process is killed after the next notification",
    }


@dataclass(frozen=True)
class Step:
    """One thing that happens.

    Attributes
    ----------
    action
        ``send`` series, ``cut`` (Orthanc is killed while it is sent one),
        ``kill``, ``stop``, ``start`` a part, ``trap`` (a part is killed after
        the next notification), ``wait`` for ``stable``, ``told`` or some
        seconds, ``courier``, ``replay`` (all notifications come once more),
        ``minute`` (of the scheduler) or ``synchronize``.
    what
        The series, as order and letter; the part; how the courier works.
    seconds
        How long something takes, or until it happens.
    """
    action: str
    what: tuple[str, ...] = ()
    seconds: float = 0

    def __str__(self) -> str:
        words = ' '.join([self.action, *self.what])
        return f'{words} {self.seconds:g}' if self.seconds else words


@dataclass(frozen=True)
class Plan:
    """What happens to the images of some orders.

    Attributes
    ----------
    orders
        How many, each of two steps.
    """
    seed: int
    orders: int
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return ', '.join(map(str, self.steps))

    @property
    def kinds(self) -> frozenset[str]:
        """Return which of `KINDS` it shows."""
        return frozenset(_kinds(self))


def make_plan(seed: int) -> Plan:
    return _Maker(seed).make()


class _Maker:
    """Draws one step after the other."""

    def __init__(self, seed: int):
        self._random = random.Random(seed)
        self._seed = seed
        self._orders = self._random.choices([1, 2, 3], [6, 3, 1])[0]
        self._faults = self._random.randint(1, 4)
        self._running = dict.fromkeys(PARTS, True)
        self._starts = dict.fromkeys(PARTS, 0)
        self._sent = False
        self._waits = 2
        self._steps: list[Step] = []
        self._to_send = [
            f'{number + 1}{series}'
            for number in range(self._orders) for series in SERIES]
        self._random.shuffle(self._to_send)

    def make(self) -> Plan:
        self._add(self._courier())
        while self._to_send or self._faults > 0:
            steps = list(self._possible())
            self._add(self._random.choices(
                    [step for _, step in steps],
                    [weight for weight, _ in steps])[0])
        # In the end all runs.
        for part in self._random.sample(PARTS, 2):
            self._add(Step('start', (part,)))
        return Plan(self._seed, self._orders, tuple(self._steps))

    def _courier(self) -> Step:
        way, = self._random.choices(list(COURIERS), COURIERS.values())
        return Step('courier', (way,))

    def _possible(self) -> Iterator[tuple[float, Step]]:
        """Yield steps and how often they are drawn."""
        up = self._running
        last = self._steps[-1].action
        # Before there are images, little is shown by a fault.
        fault = 1 if self._sent else 0.2
        if self._to_send:
            count = self._random.choice([1, 1, 1, 2])
            series = tuple(self._to_send[:count])
            yield (6 if up[ORTHANC] else 1), Step('send', series)
            if self._faults > 0 and up[ORTHANC]:
                yield 1.5, Step('cut', series, self._seconds(0, 0.15))
        for part in PARTS:
            if not up[part]:
                yield 4, Step('start', (part,))
            elif self._faults > 0 and self._starts[part] < 2:
                yield 3 * fault, Step('kill', (part,))
                yield fault, Step('stop', (part,))
                yield fault, Step('trap', (part,), self._seconds(0, 0.6))
        if up[GNUHEALTH]:
            if self._faults > 0:
                yield fault, Step('kill', (WORKER,))
                yield fault, Step('trap', (WORKER,), self._seconds(0, 0.6))
            yield 0.5 * fault, Step('minute')
            yield 0.5 * fault, Step('replay')
            # The scheduler catches up when it is started.
            yield (3 if last == 'start' else 1) * fault, Step('synchronize')
        if last != 'wait':
            if self._waits and self._sent and up[ORTHANC]:
                yield 3, Step('wait', ('stable',))
                if up[GNUHEALTH]:
                    yield 2, Step('wait', ('told',))
            yield 2, Step('wait', (), self._seconds(0.05, 1))
        if last != 'courier':
            yield 0.7, self._courier()

    def _seconds(self, low: float, high: float) -> float:
        return round(self._random.uniform(low, high), 2)

    def _add(self, step: Step) -> None:
        self._steps.append(step)
        if step.action in {'send', 'cut'}:
            self._sent = True
            del self._to_send[:len(step.what)]
        if step.action in {'kill', 'stop', 'trap', 'cut'}:
            self._faults -= 1
        if step.action == 'wait' and step.what:
            self._waits -= 1
        if step.action == 'cut':
            self._running[ORTHANC] = False
        elif step.action in {'kill', 'stop'}:
            self._running[step.what[0]] = False
        elif step.action == 'start':
            part, = step.what
            self._starts[part] += not self._running[part]
            self._running[part] = True


def _kinds(plan: Plan) -> Iterator[str]:
    up = {*PARTS}
    sent = stable = False
    for step in plan.steps:
        part = step.what[0] if step.what else ''
        match step.action:
            case 'send':
                if ORTHANC in up:
                    sent, stable = True, False
                    if GNUHEALTH not in up:
                        yield 'down'
            case 'cut':
                yield 'cut'
                sent, stable = True, False
                up.discard(ORTHANC)
            case 'wait' if part == 'stable':
                stable = sent
            case 'kill' if part == WORKER:
                yield 'worker'
            case 'kill' | 'stop':
                if part == ORTHANC and sent and step.action == 'kill':
                    yield 'stable' if stable else 'unstable'
                up.discard(part)
            case 'start':
                if not up:
                    yield f'{part} first'
                up.add(part)
            case 'trap':
                yield 'told'
            case 'courier' if part in {'five', 'together'}:
                yield 'five'
