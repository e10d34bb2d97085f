"""A run without processes, whose snapshots the test makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tuitrain.config.checks import ChecksConfig
from tuitrain.diagnosis.standing import CLEAR_LOOKS, RAISE_LOOKS
from tuitrain.protocol import CheckState, CheckView
from tuitrain.supervisor.checking import Checking
from tuitrain.supervisor.ending import End


def check(state: CheckState, id_: str = "q_bound") -> CheckView:
    return CheckView(id=id_, name=id_, value="7", limit="1", state=state, advice="lower it")


class Scene:
    """A run whose only check is in the state that the test says."""

    def __init__(self, folder: Path, on_fail: str, **limits: Any) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.ends: list[End] = []
        self.asked: list[str] = []
        self.back: list[tuple[str, Callable[[str], None]]] = []
        self.now = check("ok")
        self.run: Any = SimpleNamespace(
            config=SimpleNamespace(
                checks=ChecksConfig.model_validate({"on_fail": on_fail} | limits)
            ),
            folder=SimpleNamespace(checkpoints=folder, name="maze-0001"),
            journal=SimpleNamespace(
                event=lambda text, *, level, data: self.events.append((level, text, data))
            ),
            end=SimpleNamespace(done=lambda: bool(self.ends)),
            request_end=self.ends.append,
            held=False,
        )
        self.full = ""
        recovery: Any = SimpleNamespace(
            going_back=False,
            roll_back=lambda to, check, why, cannot: self.back.append((to.name, cannot)),
            no_room=lambda: self.full,
        )
        requests: Any = SimpleNamespace(handle=self._handle)
        self.recovery = recovery
        self.checking = Checking(self.run, requests, recovery)

    async def _handle(self, request: Any) -> None:
        self.asked.append(request.command)
        self.run.held = True

    def snapshot(self, state: str = "running") -> Any:
        return SimpleNamespace(state=state, steps=1000, time_s=1.0, checks=[self.now])

    def look(
        self, state: CheckState, id_: str = "q_bound", times: int = RAISE_LOOKS, of: str = "running"
    ) -> None:
        self.now = check(state, id_)
        for _ in range(times):
            self.checking.look(self.snapshot(of))

    def save(
        self,
        number: int,
        state: CheckState = "ok",
        id_: str = "q_bound",
        times: int = CLEAR_LOOKS,
    ) -> str:
        """A checkpoint; a check is in this state when it is written, and for so many looks."""
        name = save(self.run.folder.checkpoints, number, self.checking.on_checkpoint)
        self.look(state, id_, times=1)
        self.look("ok", id_, times=times - 1)
        return name

    def acted(self) -> bool:
        return bool(self.asked or self.back or self.ends)


def save(folder: Path, number: int, tell: Callable[[str], None]) -> str:
    path = folder / f"ckpt-{number:010d}.pt"
    path.touch()
    tell(str(path))
    return path.name
