"""make show-kernel-resources: every Triton kernel compiled ahead of time, without a GPU, and what it needs there.

Instructions are those in the program, of rare branches as well: where there is no loop, more than any thread executes.  "each":
divided by the pixels (or rows of logits) that a thread of the program writes.

python -m bench.show_kernel_resources            # writes bench/results/<machine>/kernel-resources.json
python -m bench.show_kernel_resources --stdout   # prints the same
python -m bench.show_kernel_resources --once     # prints it of every variant for one target, of every kernel for all; instructions are not counted
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compile_kernel

from rsfast.kernels import coefficients as const
from rsfast.kernels.perturb import perturb_kernel
from rsfast.kernels.perturb_part import half_width_kernel, halo_tiles, taps_kernel
from rsfast.kernels.votes import count_kernel, rows_per_program

TARGETS = (80, 90, 100)
ALIGNED = [["tt.divisibility", 16]]
LATTICE = {"thresholds": "*i64", "high": "*i32", "length": "i32", "step": "fp32"}


def perturb_variants() -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    types = (
        {"pixels": "*fp32", "scale": "*fp32", "ids": "*i64", "table": "*fp32"}
        | LATTICE
        | dict.fromkeys(("D", "plane", "first", "count", "stream_id", "k0", "k1"), "i32")
    )
    return [
        (f"{draw} {dtype} {'channels-last' if last else 'contiguous'}{'' if even else ', odd planes'}", types | {"out": pointer},
         {"C": 3, "KIND": kind, "CHANNELS_LAST": last, "BFLOAT16": dtype == "bfloat16", "TILES": const.TILES_OF_A_WARP[kind], "EVEN": even})
        for even in (True, False)
        for kind, draw in enumerate(const.KINDS)
        for dtype, pointer in (("float32", "*fp32"), ("bfloat16", "*i16"), ("float16", "*fp16"))
        for last in (False, True)
        if (kind == const.NORMAL or even) and ((dtype == "bfloat16") == last or (kind == const.NORMAL and even))
    ]  # fmt: skip


def part_variants() -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    types = dict.fromkeys(("pixels", "scale", "gain", "offset", "table"), "*fp32") | {"ids": "*i64", "kept": "*i32"} | LATTICE
    types |= dict.fromkeys(("m", "half", "first", "count", "stream_id", "k0", "k1"), "i32")
    return [
        (f"{name} {'bfloat16 channels-last' if last else 'float32 contiguous'}", types | {"out": "*i16" if last else "*fp32"},
         {"C": 3, "KIND": const.NORMAL, "FILL": fill, "CHANNELS_LAST": last, "BFLOAT16": last, "TILES": 16, "HALO": halo_tiles(fill, 16)})
        for fill, name in enumerate(const.FILLS)
        if fill != const.TAPS
        for last in (False, True)
    ]  # fmt: skip


def taps_variants() -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    types = (
        dict.fromkeys(("pixels", "scale", "gain", "offset", "weights", "table"), "*fp32")
        | {"ids": "*i64", "indices": "*i32"}
        | LATTICE
    )
    types |= dict.fromkeys(("m", "plane", "first", "count", "stream_id", "k0", "k1"), "i32") | {"out": "*fp32"}
    return [
        (f"{taps} tap(s) float32 contiguous", types,
         {"C": 3, "KIND": const.NORMAL, "T": taps, "CHANNELS_LAST": False, "BFLOAT16": False, "PIXELS": 512})
        for taps in (1, 4)
    ]  # fmt: skip


def count_variants() -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    types = {"votes": "*i64", "rows": "*i64"} | dict.fromkeys(("copies", "classes", "table_rows", "copies_per_row"), "i32")
    return [
        (f"{k} classes{'' if dtype == '*fp32' else ', float64'}{', rows given' if rows else ''}", types | {"logits": dtype},
         {"ROWS": rows_per_program(width), "CLASSES": width, "HAS_ROWS": rows})
        for dtype in ("*fp32", "*fp64")
        for k, width in ((10, 16), (1000, 1024))
        for rows in (False, True)
        if dtype == "*fp32" or rows
    ]  # fmt: skip


def tool(*command: str) -> str:
    """What one of the CUDA tools that come with Triton prints."""
    path = next(Path(triton.__file__).parent.glob(f"backends/nvidia/bin/{command[0]}*"))
    return subprocess.run([str(path), *command[1:]], capture_output=True, text=True, check=True).stdout


def resources(cubin: bytes, *, count: bool) -> tuple[int, int, int, int]:
    """Registers a thread, bytes of spilled stack, bytes of shared memory, instructions (0 unless they are to be counted)."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage, code = tool("cuobjdump", "-res-usage", file.name), tool("nvdisasm", "-c", file.name) if count else ""
    found = {name: int(value) for name, value in re.findall(r"(REG|STACK|SHARED):(\d+)", usage)}
    instructions = [
        name for name in re.findall(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ +)?([A-Z]\w+)", code, re.MULTILINE) if name != "NOP"
    ]
    return found["REG"], found["STACK"], found["SHARED"], len(instructions)


def pixels_of(constants: dict[str, Any]) -> int:
    """Pixels, or rows of logits, that a program writes."""
    if "FILL" in constants:
        return 2 * 64 * (constants["TILES"] - 2 * constants["HALO"])
    return constants.get("PIXELS") or 64 * constants.get("TILES", 0) or constants["ROWS"]


def rows(*, once: bool = False) -> list[dict[str, Any]]:
    table = []
    turn = itertools.cycle(TARGETS)
    for name, kernel, variants in (
        ("perturb", perturb_kernel, perturb_variants()),
        ("part", half_width_kernel, part_variants()),
        ("taps", taps_kernel, taps_variants()),
        ("count", count_kernel, count_variants()),
    ):
        for variant, types, constants in variants:
            signature = {a: "constexpr" if a in constants else types[a] for a in kernel.arg_names}
            warps = 1 if name == "perturb" else 4
            aligned = [(i,) for i, a in enumerate(kernel.arg_names) if signature[a][0] == "*"]  # as torch allocates them
            for target in (next(turn),) if once and len(variants) > len(TARGETS) else TARGETS:
                options = {"num_warps": warps, "enable_fp_fusion": False}
                source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=dict.fromkeys(aligned, ALIGNED))
                compiled = compile_kernel(source, target=GPUTarget("cuda", target, 32), options=options)
                ptx = compiled.asm["ptx"]
                registers, stack, shared, instructions = resources(compiled.asm["cubin"], count=not once)
                table.append({
                    "kernel": name,
                    "variant": variant,
                    "target": f"sm_{target}",
                    "registers": registers,
                    "spill_bytes": stack,
                    "shared_bytes": max(shared, compiled.metadata.shared),
                    "instructions": instructions,
                    "thread_instructions_each": round(instructions * 32 * warps / pixels_of(constants), 1),
                    "fused_multiply_adds": len(re.findall(r"\bfma\.", ptx)),
                    "approximate_operations": len(re.findall(r"\.approx|\.ftz|\.full\.f32", ptx)),
                })  # fmt: skip
    return table


def main() -> None:
    once = "--once" in sys.argv
    figures = {"triton": triton.__version__, "kernels": rows(once=once)}
    if once or "--stdout" in sys.argv:
        print(json.dumps(figures))
        return
    from bench.results_file import write

    for row in figures["kernels"]:
        print(
            "{kernel:8} {variant:36} {target}  {registers:3} registers, {spill_bytes} spilled, {shared_bytes} shared, "
            "{thread_instructions_each} instructions a pixel".format(**row)
        )
    write("kernel-resources", figures)


if __name__ == "__main__":
    main()
