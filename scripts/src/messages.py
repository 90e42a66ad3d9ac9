# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages for the user, on standard error."""
import sys
from collections.abc import Iterable, Sequence

from .staging import StagedFile
from .worklist import SUFFIX

MAXIMUM_NAMED = 5  # files or problems that one message names


def print_error(text: object) -> None:
    print(text, file=sys.stderr, flush=True)


def shorten(problems: Iterable[str]) -> list[str]:
    """Return each problem once, and only some of many."""
    different = list(dict.fromkeys(problems))
    if len(different) > MAXIMUM_NAMED:
        more = len(different) - MAXIMUM_NAMED
        return different[:MAXIMUM_NAMED] + [f"({more} more.)"]
    return different


def warn_of_remarks(staged: Sequence[StagedFile], verbose: bool) -> None:
    """Print why files were written without dump2dcm.

    Parameters
    ----------
    verbose
        Whether to print details too, which may hold patient data.
    """
    files: dict[str, list[str]] = {}
    for file in staged:
        if file.remark:
            reason, _, detail = file.remark.partition('\n')
            files.setdefault(reason, []).append(file.item.name)
            if verbose and detail:
                print_error(f"{file.item.name}{SUFFIX}: {detail}")
    for reason, names in files.items():
        more = f" and {len(names) - MAXIMUM_NAMED} more" \
            * (len(names) > MAXIMUM_NAMED)
        print_error(
            f"Warning: {reason}. Written without it: "
            f"{', '.join(names[:MAXIMUM_NAMED])}{more}.")
