"""Prints what CUDA kernels take of a multiprocessor, as the table in docs/performance.md.

    python scripts/kernel_resources.py

Needs NVRTC (`pip install nvidia-cuda-nvrtc`), but no card.
"""

from vcam_relight.pipeline.cuda.nvrtc import installed_nvrtc, resources
from vcam_relight.pipeline.cuda.sources import headers, kernel_files

CAPABILITIES = (75, 80, 86, 89, 90, 120)


def main() -> None:
    """Compiles every kernel for every kind of card."""
    nvrtc = installed_nvrtc(most=99)
    found: dict[str, dict[int, int]] = {}
    shared: dict[str, int] = {}
    for path in kernel_files():
        for capability in CAPABILITIES:
            log = nvrtc.compile(path.name, path.read_text("utf-8"), headers(), capability).log
            for one in sorted(resources(log), key=lambda one: one.name):
                found.setdefault(f"{path.stem}: {one.name}", {})[capability] = one.registers
                shared[f"{path.stem}: {one.name}"] = one.shared
    print(f"NVRTC {'.'.join(map(str, nvrtc.version))}\n")
    print(f"| kernel | {' | '.join(f'sm_{one}' for one in CAPABILITIES)} | shared, bytes |")
    print("|---" * (len(CAPABILITIES) + 2) + "|")
    for name, registers in found.items():
        row = [registers[one] for one in CAPABILITIES] + [shared[name]]
        print(f"| {name} | {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    main()
