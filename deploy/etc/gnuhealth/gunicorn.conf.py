# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""gunicorn for trytond, behind nginx on the same machine"""

bind = '127.0.0.1:8000'
# A request has a thread until its answer is sent: uploads and downloads hold
# one for minutes
worker_class = 'gthread'
workers = 2
threads = 16
# Each process connects to PostgreSQL by itself
preload_app = False
# To start: GNU Health's modules are loaded meanwhile. Requests have no limit.
timeout = 300
graceful_timeout = 60
# Longer than nginx keeps connections for viewers
keepalive = 15
# nginx writes the log of requests
accesslog = None
errorlog = '-'
proc_name = 'trytond'
control_socket_disable = True
