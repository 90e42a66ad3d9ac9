# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Sphinx makes a site of the pages: ``./dev docs``.

The folder of the sources is the one above, so that pages outside of doc/ are
part of the site, and links to them lead to the same place as in the files.
"""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

project = "health_orthanc"
author = copyright = "health_orthanc contributors"
release, = re.findall(
    r'^version = "(.+)"$', (ROOT / 'pyproject.toml').read_text(), re.MULTILINE)
version = release

extensions = ['myst_parser']
root_doc = 'doc/index'
include_patterns = ['doc/**', 'CONTRIBUTING.md', 'benchmarks/*.md']
exclude_patterns = ['**/__pycache__']
source_suffix = {'.md': 'markdown'}
language = 'en'

# Links to headings are those of forges, where the pages are read as well.
myst_heading_anchors = 4
# A single web site, or reads without one: nothing is fetched from elsewhere.
html_theme = 'alabaster'
html_theme_options = {
    'description': "Orthanc DICOM servers in GNU Health",
    # Room for tables
    'page_width': '82rem',
    'sidebar_width': '17rem',
    'body_max_width': 'none',
    'font_family': 'sans-serif',
    'font_size': '15px',
    }
html_show_copyright = False
html_copy_source = False
# "--" of an option is no dash.
smartquotes = False
