# SPDX-License-Identifier: MIT
"""The lab: the gateway under test, real peers around it, and what tests need to look at both."""
