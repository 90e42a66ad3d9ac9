# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may read the worklist files, which hold data of patients."""
import grp
import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Permissions:
    """The group and the permissions of files.

    Attributes
    ----------
    mode
        The permissions.
    group
        A number; None for the group of the folder, so that a server that
        belongs to it can read the files.
    """
    mode: int = 0o640
    group: int | None = None

    def apply(self, path: Path, folder: Path) -> None:
        """Set those of a file, if it has others.

        Raises
        ------
        OSError
            If they cannot be set: only a member of a group can give files to
            it.
        """
        found = path.stat()
        group = self.group
        if group is None:
            group = folder.stat().st_gid
        if found.st_gid != group and self.mode & stat.S_IRWXG:
            os.chown(path, -1, group)
        if stat.S_IMODE(found.st_mode) != self.mode:
            path.chmod(self.mode)


def parse_group(text: str) -> int:
    """Return the number of a group from its name or number."""
    if text.isdecimal():
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise ValueError(text) from None


parse_group.__name__ = 'group'  # for the message of argparse
