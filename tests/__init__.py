"""Tests. A package, so that its environments can be named as `tests.envs:Chain`."""
