# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU Health's GTK client under a screen that nobody sees."""
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .process import Process, wait_until

__all__ = ['drive', 'install', 'screen']

CLIENT_VERSION = '5.0.2'
# What Debian's packages of GTK for Python belong to
PYTHON = '/usr/bin/python3'
PIP_TIMEOUT = 300
START_TIMEOUT = 30
DISPLAYS = range(90, 190)


def install(cache: Path) -> Path:
    """Return the folder of the client, installed on the first call."""
    folder = cache / f'gtk-client-{CLIENT_VERSION}'
    if not folder.exists():
        part = folder.with_suffix('.part')
        shutil.rmtree(part, ignore_errors=True)
        # GTK itself is Debian's
        for arguments in [
                ['python-dateutil'],
                ['--no-deps', f'gnuhealth-client=={CLIENT_VERSION}']]:
            subprocess.run(
                [sys.executable, '-m', 'pip', 'install', '--quiet',
                    '--only-binary', ':all:', '--target', part, *arguments],
                check=True, timeout=PIP_TIMEOUT)
        part.rename(folder)
    return folder


@contextmanager
def screen(folder: Path) -> Iterator[str]:
    """Start an X server that shows nothing; yield the name of its display.

    Parameters
    ----------
    folder
        For its log.
    """
    for number in DISPLAYS:
        socket = Path(f'/tmp/.X11-unix/X{number}')
        if socket.exists():
            continue
        server = Process(
            ['Xvfb', f':{number}', '-screen', '0', '1366x768x24',
                '-nolisten', 'tcp', '-noreset'],
            folder / f'xvfb-{number}.log')
        try:
            # Another one may take the number before this one does
            if wait_until(
                    lambda: socket.exists() or not server.running,
                    START_TIMEOUT) and server.running:
                yield f':{number}'
                return
        finally:
            server.stop()
    raise RuntimeError("No display is free")


def drive(
        client: Path, folder: Path, script: Path, arguments: Sequence[str],
        timeout: float, **variables: str) -> str:
    """Run the client with `script` in its process; return what that prints.

    Parameters
    ----------
    client
        What `install` returned.
    folder
        The home folder of whoever uses it.
    script
        It is called with `arguments`.
    timeout
        In seconds.
    variables
        Of its environment.
    """
    with screen(folder) as display:
        environment = {
            'DISPLAY': display,
            'GDK_BACKEND': 'x11',
            # No file dialog of the desktop's own
            'GTK_USE_PORTAL': '0',
            'HOME': str(folder),
            'LC_ALL': 'C.UTF-8',
            'NO_AT_BRIDGE': '1',
            'PATH': os.environ['PATH'],
            'PYTHONPATH': str(client),
            **variables,
            }
        log = folder / 'client.log'
        process = Process(
            ['dbus-run-session', '--', PYTHON, script, *arguments], log,
            environment=environment, folder=folder)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"The client did not end:\n{process.log_tail(40)}") from None
        finally:
            process.stop()
        text = log.read_text(errors='replace')
        assert process.returncode == 0, (
            f"The client ended with {process.returncode}:\n{text}")
        return text
