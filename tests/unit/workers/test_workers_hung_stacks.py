"""Stacks as faulthandler writes them, and where they tell a person to look."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tuitrain.workers import child, stacks

CHILD = child.__file__
LIBRARY = sysconfig.get_paths()["stdlib"]
DUMP = f"""what was printed before
Thread 0x00007f23de5946c0 (most recent call first):
  File "{CHILD}", line 145 in _watch_lifeline
  File "{LIBRARY}/threading.py", line 982 in run

Current thread 0x00007f23df468b80 (most recent call first):
{{frames}}
  File "{CHILD}", line 100 in main
  File "{LIBRARY}/multiprocessing/process.py", line 108 in run
  File "<string>", line 1 in <module>
"""


@pytest.mark.parametrize(
    ("files", "place"),
    [
        (["/home/me/my_env.py"], "my_env.py:7 in f0"),
        ([f"{LIBRARY}/socket.py", "/home/me/my_env.py", "/home/me/base.py"], "my_env.py:7 in f1"),
        (["/venv/lib/site-packages/ale_py/env.py", "/home/me/my_env.py"], "my_env.py:7 in f1"),
        ([f"{LIBRARY}/site-packages/ale_py/env.py", "<frozen importlib>"], "env.py:7 in f0"),
        ([f"{LIBRARY}/random.py", f"{Path(CHILD).parent}/actor.py"], "random.py:7 in f0"),
    ],
)
def test_a_person_is_told_the_innermost_line_of_their_own(files: list[str], place: str) -> None:
    frames = "\n".join(f'  File "{file}", line 7 in f{i}' for i, file in enumerate(files))
    stack = stacks.main_stack(DUMP.format(frames=frames))
    assert stack is not None
    assert stack.whole
    assert str(stack.place()) == place


def _raised(source: str, file: str, **names: object) -> BaseException:
    """What this program raises, as if it lay in that file."""
    try:
        exec(compile(source, file, "exec"), names)
    except Exception as error:
        return error
    raise AssertionError("it raises nothing")


def test_what_was_raised_is_placed_in_a_line_of_the_users_own() -> None:
    own = _raised("def step():\n    int('x')\nstep()", "/home/me/my_env.py")
    assert str(stacks.raised_at(own)) == "my_env.py:2 in step"
    wrapped = _raised(
        "try: call()\nexcept ValueError as e: raise RuntimeError from e",
        f"{Path(CHILD).parent}/make.py",
        call=lambda: exec(compile("int('x')", "/home/me/my_env.py", "exec")),
    )
    assert str(stacks.raised_at(wrapped)) == "my_env.py:1 in <module>"


def test_what_only_tuitrain_had_part_in_has_no_such_line() -> None:
    error = ValueError("x")
    assert stacks.raised_at(error) is None
    error.__cause__ = error
    assert stacks.raised_at(error) is None, "a circle of causes ends"


def test_half_a_stack_is_not_whole_and_text_without_one_is_none() -> None:
    assert stacks.main_stack("nothing of the kind\n  File x") is None
    half = 'Thread 0x01 (most recent call first):\n  File "/me/e.py", line 3 in step\n  File "/me'
    stack = stacks.main_stack(half)
    assert stack is not None
    assert not stack.whole
    assert str(stack.place()) == "e.py:3 in step"


PROGRAM = """
import ctypes, os, signal, sys
from tuitrain.workers import stacks
fd = stacks.own_descriptor(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND))
stacks.answer(fd)
signal.signal(stacks.SIGNAL, lambda *_: None)  # an environment takes it while it is built
signal.pthread_sigmask(signal.SIG_BLOCK, {stacks.SIGNAL})
stacks.answer(fd)
before = signal.pthread_sigmask(signal.SIG_BLOCK, {stacks.SIGNAL})
assert stacks.SIGNAL not in before, "it is blocked still"
nothing = ctypes.create_string_buffer(1024)  # an empty sigset_t
def in_c():
    print("ready", flush=True)
    ctypes.PyDLL(None).sigsuspend(nothing)  # lets the signal in, holding the interpreter
in_c()
"""


def test_stacks_come_from_who_holds_the_interpreter_in_c(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(log)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, stacks.SIGNAL)
        # It waits for the signal and then ends: all has been written then.
        process.wait(60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    stack = stacks.main_stack(log.read_text())
    assert stack is not None
    assert [frame.function for frame in stack.frames] == ["in_c", "<module>"]


def test_the_descriptor_for_stacks_is_out_of_the_way(tmp_path: Path) -> None:
    with open(tmp_path / "log", "w") as file:
        fd = stacks.own_descriptor(file.fileno())
        try:
            assert fd >= 200
            assert not os.get_inheritable(fd)
        finally:
            os.close(fd)
    assert signal.Signals(stacks.SIGNAL).name == "SIGRTMAX"
