"""`--device`: what JAX has chosen is accepted or refused, and what helps is said."""

import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import jaxlib.version
import pytest

from data_prep.errors import UserError
from gatgnn_jax.devices import chosen
from gatgnn_jax.devices.chosen import FAST_ATOMICS, use_device

CPU = SimpleNamespace(
    platform="cpu", device_kind="cpu", client=SimpleNamespace(platform_version="cpu")
)
NVIDIA = SimpleNamespace(
    platform="gpu",
    device_kind="NVIDIA A100-SXM4-40GB",
    client=SimpleNamespace(platform_version="PJRT C API\ncuda 13000"),
)
AMD = SimpleNamespace(
    platform="gpu",
    device_kind="AMD Instinct MI300X",
    client=SimpleNamespace(platform_version="PJRT C API\nrocm 70000"),
)


@pytest.fixture
def asked(monkeypatch):
    """What a machine with a device answers to --device, and what is set in JAX."""
    settings: dict[str, object] = {}
    monkeypatch.setattr(jax.config, "update", settings.__setitem__)
    monkeypatch.setattr(chosen, "_warn_once", chosen._warn_once.__wrapped__)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)

    def ask(device: str, machine: SimpleNamespace) -> dict[str, object]:
        monkeypatch.setattr(jax, "devices", lambda: [machine])
        settings.clear()
        use_device(device)
        return settings

    return ask


@pytest.mark.parametrize("machine", [NVIDIA, AMD])
@pytest.mark.parametrize("device", ["auto", "gpu"])
def test_a_gpu_is_used_without_naming_platforms(asked, device, machine):
    assert "jax_platforms" not in asked(device, machine)


def test_a_cpu_is_chosen_by_name_or_because_there_is_nothing_else(asked):
    assert asked("cpu", CPU)["jax_platforms"] == "cpu"
    assert "jax_platforms" not in asked("auto", CPU)


def test_without_a_gpu_it_says_what_to_install(asked, monkeypatch):
    with pytest.raises(UserError, match=r"no GPU, only cpu here; .*\n.*\[cuda13\].*\[cuda12\]"):
        asked("gpu", CPU)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    with pytest.raises(UserError, match="with JAX_PLATFORMS=cpu"):
        asked("gpu", CPU)


@pytest.mark.parametrize(("device", "platform"), [("auto", "no_such"), ("gpu", "rocm")])
@pytest.mark.slow
def test_a_platform_that_is_not_there_is_no_traceback(device, platform):
    done = subprocess.run(
        [sys.executable, "-m", "gatgnn_jax.predict", "bulk_modulus", "x.cif", "--device", device],
        env=os.environ | {"JAX_PLATFORMS": platform},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    message = f"--device {device}: JAX finds no device here (with JAX_PLATFORMS={platform})"
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("jaxlib_version", "python", "advice"),
    [
        ((0, 10, 1), (3, 11), None),
        ((0, 10, 2), (3, 11), '"jax[cuda13]==0.10.1"'),
        ((0, 10, 2), (3, 12), '"jax[cuda13]>=0.11.1"'),
        ((0, 11, 0), (3, 13), '"jax[cuda13]>=0.11.1"'),
        ((0, 11, 1), (3, 12), None),
    ],
)
def test_slow_sums_on_nvidia(asked, monkeypatch, capsys, jaxlib_version, python, advice):
    """The version that is recommended can be installed with this Python."""
    monkeypatch.setattr(jaxlib.version, "__version_info__", jaxlib_version)
    monkeypatch.setattr(sys, "version_info", python)
    asked("auto", NVIDIA)
    warning = capsys.readouterr().err
    assert warning.count("\n") == (advice is not None)
    assert advice is None or (advice in warning and FAST_ATOMICS in warning)

    for machine in (CPU, AMD):
        asked("auto", machine)
    monkeypatch.setenv("XLA_FLAGS", f"--xla_backend_extra_options={FAST_ATOMICS}")
    asked("auto", NVIDIA)
    assert capsys.readouterr().err == ""
