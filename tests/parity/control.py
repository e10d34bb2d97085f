"""`python -m tests.parity.control RUN_DIR CONTROL`: a whole supervised run that cannot learn.

In the place of ``tuitrain.supervisor``. Everything is as it would be but for the function that the
learner runs. Light and guarded, as that module is.
"""

from __future__ import annotations

import sys


def main(run_dir: str, control: str) -> int:
    """Supervise the run with a learner of ``tests.learning.doubles``."""
    from benchmarks.supervised import MeasuringPlan
    from tuitrain.supervisor.entry import supervise

    function = f"tests.learning.doubles:{control}"
    return supervise(run_dir, plan=MeasuringPlan({"learner": function, "trainer": function}))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
