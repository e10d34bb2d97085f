"""A private runtime directory for every test here."""

from tests.unit.supervisor.conftest import runtime_dir

__all__ = ["runtime_dir"]
