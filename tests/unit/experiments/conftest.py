"""A place for whole comparisons, which must leave nothing behind either."""

from tests.e2e.conftest import place, pytest_runtest_makereport

__all__ = ["place", "pytest_runtest_makereport"]
