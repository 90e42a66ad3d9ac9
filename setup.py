# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where setuptools builds: all else is in pyproject.toml."""
import atexit
import shutil
import tempfile

from setuptools import setup
from setuptools.command.build import build


class Build(build):
    """Build in a temporary folder.

    What is in `build/` from an earlier time would be in the next wheel.
    """

    def initialize_options(self) -> None:
        super().initialize_options()
        self.build_base = tempfile.mkdtemp(prefix='build-')
        atexit.register(shutil.rmtree, self.build_base, ignore_errors=True)


setup(cmdclass={'build': Build})
