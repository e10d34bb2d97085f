"""Preflight checks: what is wrong with a machine or a config before a run finds out.

``gather`` looks, ``facts`` are what it saw, and each check is a pure function from facts to a
``Finding``. ``report`` shows them. The commands and processes are in ``tuitrain/cli/doctor.py``.
"""
