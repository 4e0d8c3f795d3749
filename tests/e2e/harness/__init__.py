# SPDX-License-Identifier: BSD-2-Clause
"""What the end-to-end tests stand on: namespaces, the daemon, traffic, leak checks."""
