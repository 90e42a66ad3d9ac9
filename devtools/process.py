# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes that never outlive what started them."""
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    'LOOPBACK',
    'Process',
    'StartError',
    'die_with_parent',
    'free_port',
    'stopping_on_signals',
    'wait_until',
    ]

LOOPBACK = '127.0.0.1'
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class StartError(RuntimeError):
    """A program did not come up; the text holds the end of its log."""


def free_port() -> int:
    """Return a TCP port that nobody listens on at this moment.

    Somebody else may take it before it is used: whoever starts a server
    on it must be ready to try with another one.
    """
    with socket.socket() as sock:
        # All addresses, because Orthanc binds all of them.
        sock.bind(('', 0))
        return sock.getsockname()[1]


def wait_until(
        check: Callable[[], bool], timeout: float,
        interval: float = 0.05) -> bool:
    """Call `check` until it is true or `timeout` seconds have passed."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def _listening(port: int) -> Iterator[str]:
    """Yield the inodes of the IPv4 sockets that accept on `port`."""
    for line in Path('/proc/net/tcp').read_text().splitlines()[1:]:
        fields = line.split()
        address, state, inode = fields[1], fields[3], fields[9]
        if state == '0A' and int(address.rpartition(':')[2], 16) == port:
            yield inode


def _targets(folder: Path) -> Iterator[str]:
    """Yield where the links of a folder lead, while they come and go."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return
    for name in names:
        try:
            yield os.readlink(folder / name)
        except (FileNotFoundError, ProcessLookupError):
            # Closed since the folder was read
            continue


def die_with_parent(death_signal: int = signal.SIGTERM
        ) -> Callable[[], None]:
    """Return what a child calls first, to get a signal when we end."""
    parent = os.getpid()

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            os.kill(os.getpid(), death_signal)
    return prepare


class Process:
    """A child process with a log file, ended by its own pid.

    It runs in a process group of its own, so that Ctrl-C in a terminal
    reaches only the parent, which then stops its children in order.  The
    kernel ends it when the thread that started it ends.

    Parameters
    ----------
    command
        The program and its arguments.
    log
        The file that standard output and error are appended to.
    stop_signal
        What asks the program to end.
    environment
        All its variables; those of the parent if None.
    user
        The system user to run as; that of the parent if None.
    """

    def __init__(
            self, command: Sequence[str | os.PathLike], log: Path, *,
            stop_signal: int = signal.SIGTERM,
            environment: Mapping[str, str] | None = None,
            folder: Path | None = None,
            user: str | None = None):
        self.log = log
        self._stop_signal = stop_signal
        identity = {}
        if user is not None:
            identity = {'user': user, 'group': user, 'extra_groups': []}
        with log.open('ab') as output:
            self._popen = subprocess.Popen(
                list(map(os.fspath, command)),
                stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, cwd=folder,
                env=environment,
                start_new_session=True,
                preexec_fn=die_with_parent(stop_signal),
                **identity)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    def listens(self, port: int) -> bool:
        """Tell whether it is this very process that accepts on `port`."""
        own = set(_targets(Path(f'/proc/{self.pid}/fd')))
        return not own.isdisjoint(
            f'socket:[{inode}]' for inode in _listening(port))

    def stop(self, timeout: float = 20) -> None:
        """Ask the program to end, kill it after `timeout` seconds."""
        if self.running:
            self._popen.send_signal(self._stop_signal)
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End the program at once, with SIGKILL."""
        if self.running:
            self._popen.kill()
        self._popen.wait()

    def wait(self, timeout: float) -> int:
        """Return the exit code, within `timeout` seconds."""
        return self._popen.wait(timeout)

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        text = self.log.read_text(errors='replace')
        return '\n'.join(text.splitlines()[-lines:])

    def wait_ready(
            self, ready: Callable[[], bool], timeout: float,
            what: str) -> None:
        """Wait until `ready()`.

        Raises
        ------
        StartError
            If the program ends, or is not ready after `timeout` seconds.
        """
        if wait_until(lambda: not self.running or ready(), timeout):
            if self.running:
                return
            reason = f"ended with exit code {self.returncode}"
        else:
            self.kill()
            reason = f"was not ready after {timeout:g} s"
        raise StartError(f"{what} {reason}:\n{self.log_tail()}")


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Let SIGTERM, SIGHUP and SIGINT raise, so that `finally` runs.

    The first two raise SystemExit, the last KeyboardInterrupt also where a
    shell has started the program in the background, with SIGINT ignored.
    """
    def leave(number, frame):
        raise SystemExit(128 + number)
    handlers = {
        signal.SIGTERM: leave,
        signal.SIGHUP: leave,
        signal.SIGINT: signal.default_int_handler,
        }
    previous = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
