"""What a worker computes with: its processor and the libraries that a score's last bits depend on."""

import platform
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True)
class Machine:
    """`processor`: a GPU's name, or the instructions of a CPU that torch computes with; versions of libraries."""

    processor: str
    torch: str
    torchvision: str
    pillow: str


def this_machine(device: str) -> Machine:
    """What this process computes with on a device, `cpu` or `cuda`."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else _cpu()
    return Machine(name, torch.__version__, version("torchvision"), version("pillow"))


def bfloat16_unit() -> str | None:
    """The unit by which the CPU computes in bfloat16; None if it has none, and torch would be slower in it.

    torch can compute in bfloat16 without, by way of float32; `torch.ops.mkldnn._is_mkldnn_bf16_supported` is true then.
    """
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.11 has none
    units = {"amx_bf16": "AMX", "avx512_bf16": "AVX512_BF16", "bf16": "BF16"}
    return next((unit for name, unit in units.items() if capabilities.get(name)), None)


def _cpu() -> str:
    import torch

    unit = bfloat16_unit()
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()} {instructions}, {f'bfloat16 by {unit}' if unit else 'no bfloat16'}"
