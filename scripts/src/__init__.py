# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of the scripts; ``./dev build`` joins them into one file for each
script.
"""
