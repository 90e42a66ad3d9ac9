# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: AGPL-3.0-or-later
"""Modules of the plugin; ``./dev build`` joins them into the one file that
Orthanc loads.
"""
