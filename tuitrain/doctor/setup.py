"""Checks of a config: torch and its devices, packages, environment, network."""

from __future__ import annotations

from collections.abc import Sequence

from tuitrain.doctor.facts import Built, Package, Torch, Wants
from tuitrain.doctor.finding import Finding, size
from tuitrain.protocol import CheckState

_INDEX = "https://download.pytorch.org/whl/"


def config(problems: Sequence[str], source: str) -> Finding:
    """It can be read.

    Args:
        problems: every one in words; empty where there is none.
    """
    if not problems:
        return Finding("config", "config", "ok", f"{source} is fine")
    count = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
    return Finding(
        "config", "config", "fail", f"{source}: {count}", "Correct the file:", tuple(problems)
    )


def torch(torch: Torch, wants: Wants | None) -> Finding:
    """It can be imported, and has the devices that are asked for."""
    if torch.error:
        advice = "Install it again: pip install --force-reinstall torch"
        return Finding("torch", "torch", "fail", torch.error, advice)
    build = f"built for CUDA {torch.cuda_build}" if torch.cuda_build else "built for CPU"
    there = ", ".join(torch.devices) or "no GPU"
    found = f"{torch.version}, {build}, {there}"
    asked = {} if wants is None else _asked(wants)
    for key, device in asked.items():
        index = int(device.partition(":")[2] or 0)
        if index >= len(torch.devices):
            advice = f'{key} = "{device}" cannot be had. On the CPU:'
            fix = f"--set {key}=cpu"
            return Finding("torch", "torch", "fail", found, advice, (fix,))
    idle = wants is not None and wants.learner_device == "auto"
    if torch.gpu_there and not torch.devices and (wants is None or idle):
        if torch.cuda_build:
            advice = "There is an NVIDIA GPU that torch cannot use; does its driver work?"
            return Finding("torch", "torch", "warn", found, advice, ("nvidia-smi",))
        advice = "There is an NVIDIA GPU that this build cannot use. To use it:"
        fixes = ("pip install --force-reinstall torch \\", f"  --index-url {_INDEX}cu128")
        return Finding("torch", "torch", "warn", found, advice, fixes)
    return Finding("torch", "torch", "ok", found)


def _asked(wants: Wants) -> dict[str, str]:
    devices = {"learner.device": wants.learner_device, "actors.device": wants.actor_device}
    return {key: device for key, device in devices.items() if device.startswith("cuda")}


def packages(asked: Sequence[Package]) -> Finding:
    """What the config names beyond tuitrain's own needs is installed."""
    if not asked:
        return Finding("packages", "packages", "ok", "no optional ones are needed")
    missing = [package for package in asked if not package.installed]
    if not missing:
        names = ", ".join(package.name for package in asked)
        return Finding("packages", "packages", "ok", f"{names}: installed")
    found = ", ".join(f"{package.name} is missing ({package.why})" for package in missing)
    extras = sorted({package.extra for package in missing})
    fix = f"pip install 'tuitrain[{','.join(extras)}]'"
    needed = any(package.needed for package in missing)
    return Finding("packages", "packages", "fail" if needed else "warn", found, "", (fix,))


def environment(built: Built | None, env_id: str) -> Finding:
    """It can be imported and built in a fresh process, and its spaces are supported."""
    if built is None:
        return Finding("environment", "environment", "n/a", "not tried")
    if built.error:
        first, *more = built.error.splitlines()
        advice = "In full:" if more else ""
        lines = tuple(line.removeprefix("    ") for line in more)
        return Finding("environment", "env & network", "fail", first, advice, lines)
    told = "; ".join(f"{name}: {words}" for name, words in built.policies.items())
    if len(built.policies) == 1:
        told = next(iter(built.policies.values()))
    return Finding("environment", "environment", "ok", f"{env_id}: {told}")


def network(built: Built | None, name: str) -> Finding:
    """It can be built in a fresh process, and nothing is wrong with it by construction."""
    if built is None or built.error:
        return Finding("network", "network", "n/a", "not reached" if built else "not tried")
    for fault in built.network_faults:
        state: CheckState = "warn" if fault.state == "warn" else "fail"
        return Finding("network", "network", state, f"{name} {fault.says}", fault.advice)
    return Finding("network", "network", "ok", f"{name}, {size(built.weights_bytes)} of weights")


def evaluations(built: Built | None) -> Finding:
    """They play what training does; where not, that may be meant."""
    if built is None or built.error:
        return Finding("evaluations", "evaluations", "n/a", "not tried")
    if built.evaluations:
        return Finding("evaluations", "evaluations", "n/a", built.evaluations)
    return Finding("evaluations", "evaluations", "ok", "play with the settings of training")


def randomness(built: Built | None) -> Finding:
    """The environment keeps its randomness to itself, so that runs repeat."""
    name = "randomness"
    if built is None or built.error:
        return Finding("randomness", name, "n/a", "not tried")
    if not built.global_random:
        return Finding("randomness", name, "ok", "the environment's own")
    names = " and ".join(built.global_random)
    found = f"the environment draws from the global state of {names}, swapped for each actor"
    return Finding("randomness", name, "ok", f"{found}: runs repeat")
