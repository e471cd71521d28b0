# SPDX-License-Identifier: MIT
"""The demo's driver: runs a load under several allocators and shows speed and memory side by side."""
