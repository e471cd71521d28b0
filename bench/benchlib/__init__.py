# SPDX-License-Identifier: MIT
"""The parts of the bench runner; python3 standard library only."""
