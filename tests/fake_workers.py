"""Workers without torch for tests of the supervisor; ``tests.fake_plan`` starts them.

They run under the real ``child.main`` and speak through the real link; what each does is said in
the config: ``env.kwargs = {"workers": {"learner": {"do": "work"}, "a0": {"do": "raise"}}}``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuitrain.config.schema import Config
from tuitrain.workers.child import ChildArgs, Refused
from tuitrain.workers.link import Link

SPEC_HASH = "the run's spec"
ENTRY = "tests.fake_workers:behave"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
print(flush=True)
time.sleep(600)
"""


@dataclass
class FakeBlueprint:
    run_id: str
    config: Config


def behave(args: ChildArgs, link: Link) -> None:
    """Do what the config says for this worker."""
    told: dict[str, Any] = args.config.env.kwargs["workers"][args.name]
    do = told["do"]
    print(f"{args.name} will {do}", flush=True)
    if do == "never ready":
        link.wait(lambda: False, "nothing")
    if do == "asleep at start":
        _for_ever()
    if do == "raise at start":
        raise RuntimeError("cannot build")
    folder = Path(args.run_dir)
    if (folder / "go").exists():  # a successor
        if do == "raise at second start":
            raise RuntimeError("cannot build any more")
        if do == "never ready again":
            link.wait(lambda: False, "nothing")
        told = told | {"spec_hash": told.get("later spec_hash", told.get("spec_hash", SPEC_HASH))}
        if do == "die at second start" and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def save(_: Any) -> dict[str, Any]:
        if told.get("disk full"):
            raise OSError(28, "No space left on device")
        if "part" in told:  # of these policies
            part = folder / "checkpoints" / f"0000-00000001-{args.name}.part"
            part.write_text("weights")
            fields = {"file": part.name, "sha256": "aa", "policies": told["part"], "updates": 5}
            return {"part": fields}
        path = folder / "checkpoints" / "ckpt-1"
        path.write_text("weights")
        return {"path": str(path)} | told.get("counts", {})

    if args.role == "actor":
        link.on("checkpoint", lambda _: _touched(folder / f"state of {args.name}"))
    if args.role in ("learner", "trainer"):
        link.on("checkpoint", save)
        link.on("stop", lambda stop: save(stop) if stop.checkpoint else {})
    link.on("resync", lambda _: {"default": {"version": 7, "sha256": told.get("sha256", "aa")}})
    if args.role == "evaluator":
        link.on("evaluate", lambda _: _evaluate(link, told))
    if do == "deaf to pause":
        link.on("pause", lambda _: _for_ever())
    if do == "die at a checkpoint":
        link.on("checkpoint", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    if do == "die at stop":
        link.on("stop", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    if do == "deaf to stop":
        link.on("stop", lambda _: _for_ever())
    if do == "leave a process":
        left = subprocess.Popen(
            [sys.executable, "-c", STUBBORN],
            stdout=subprocess.PIPE,
            start_new_session=told.get("own session", False),
        )
        assert left.stdout is not None
        left.stdout.readline()
        (folder / "left.pid").write_text(str(left.pid))
    concluded: list[Any] = []

    def conclude(command: Any) -> dict[str, Any]:
        if told.get("die at conclude") and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if told.get("no conclusion"):
            raise RuntimeError("it cannot")
        concluded.append(command)
        return {}

    link.on("conclude", conclude)
    data: dict[str, Any] = dict(told.get("ready", {}))
    if args.incarnation:  # what a learner's successor has found
        data = {key: told[key] for key in ("updates", "lost_updates") if key in told}
        data |= {"start": str(folder / told["start"])} if "start" in told else {}
    if do == "ready late":
        _until(folder / "late", link)
    link.ready(spec_hash=told.get("spec_hash", SPEC_HASH), device="cpu", data=data)
    if args.role == "probe":
        if do == "die after ready":
            os._exit(3)  # as of a crash in atexit
        return
    if do == "begin late":
        time.sleep(0.3)  # a long first unit of work
    go, gone_off = folder / "go", False
    if do == "raise at first":
        raise ValueError("at first")
    if do == "raise at first, later":
        _until(go, link)
        raise ValueError("at first")
    for step in range(10**9):
        link.counters.progress += 1
        link.counters.values["steps"] = float(step)
        link.counters.values["env_steps"] = float(step + told.get("steps", 0))
        link.counters.values["inserts/default"] = float(step + 10)  # as its plan wants
        link.counters.values["updates/default"] = float(step // 2)
        link.tick()
        if do == "work, then raise" and step == 5:
            raise ValueError("the reason")
        if not gone_off and go.exists():
            gone_off = True
            fault(do, link)
            lost = len(list(folder.glob("lost-*")))
            if lost < told.get("loses its numbers", 0):  # so many processes in this place do
                (folder / f"lost-{lost}").touch()
                link.record({"kind": "learner", "policy": "default", "loss": float("nan")})
            for record in told.get("measured", []):
                link.record(record)
            for mean in told.get("returns", []):
                record = {"kind": "eval", "policy": "default", "return_mean": mean}
                link.record(record | {"steps": step + told.get("steps", 0)})
        if concluded or (gone_off and told.get("at its end")):
            link.finish(path=str(folder / "checkpoints" / "ckpt-last"))
        time.sleep(0.002)  # a unit of work


def _evaluate(link: Link, told: dict[str, Any]) -> dict[str, Any]:
    if told.get("no records"):
        link.notice("an evaluation is queued")
        return {"queued": True}
    link.record({"kind": "eval", "policy": "default", "version": 6, "return_mean": 1.0})
    link.record({"kind": "eval", "policy": "default", "version": 7, "return_mean": 2.0})
    return {"queued": True}


def fault(do: str, link: Link) -> None:
    """What happens once the file `go` is in the run folder."""
    if do == "raise":
        raise ValueError("the \x1b[31mreason\x1b[0m")
    if do == "refuse":
        raise Refused from ValueError("the reason")
    if do == "raise without streams":
        for fd in (0, 1, 2):
            os.close(fd)
        raise ValueError("the reason")
    if do == "raise unencodable":
        raise ValueError("the reason: \udcff" + 5_000 * "\x1b")
    if do == "print on a full disk":
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, 1)
        os.dup2(full, 2)
        for _ in range(3):
            print("a line " * 10_000)
            print("and an error", file=sys.stderr)
        link.notice("it has printed")
    if do == "leave a thread":
        threading.Thread(target=_for_ever).start()
        link.notice("a thread is left")
    if do == "exit 0":
        os._exit(0)
    if do == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "SIGSEGV":
        ctypes.string_at(0)
    if do == "hang":
        _for_ever()
    if do == "wait":
        link.wait(lambda: False, "a miracle")
    if do == "lose its numbers":
        for loss in (0.5, float("nan"), float("nan")):
            link.record({"kind": "learner", "policy": "default", "loss": loss})
        link.finish()
    if do == "finish":
        link.record({"kind": "train", "policy": "default", "steps": 1, "return_mean": 2.0})
        link.finish(path="/a/checkpoint", fingerprint={"default": "ff"})
    if do == "say nonsense":
        link._control.send_bytes(b"\x00not json")


def _touched(path: Path) -> dict[str, Any]:
    path.touch()
    return {}


def _until(path: Path, link: Link) -> None:
    while not path.exists():
        link.tick()
        time.sleep(0.002)


def _for_ever() -> Any:
    while True:
        time.sleep(60)
