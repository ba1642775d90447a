"""python -m bench [NAME or GROUP …]: measure and show what TABLE holds, each in a process of its own; without names, all that is timed.

python -m bench --list prints the list that bench/README.md holds.  `bench_` times against an alternative (bench/measured.py runs
its `measure`), `show_` proves a statement (its module is run).  The module's name is that of the make target and of the file in
bench/results: show_plan_savings.py, `make show-plan-savings`, plan-savings.json.
"""

from __future__ import annotations

import subprocess
import sys

TABLE = {  # group: {module: what}
    "main-job": {
        "bench_noise_path": "image + noise into the model's buffer, against the unfused torch sequences",
        "bench_votes": "argmax and histogram, against torch",
        "bench_confidence": "Clopper-Pearson bounds, against SciPy",
        "bench_overhead": "`certify` against the bare forward passes of the same batches",
        "show_draws": "1e8 draws: KS, Anderson-Darling, tails, correlations, mass out of reach",
        "show_kills": "20 kills at random moments, counts against an uninterrupted run",
        "show_published_logs": "certified accuracy from published logs, against the published table",
        "show_kernel_resources": "what Triton kernels need on sm_80, sm_90, sm_100, without a GPU",
        "show_gpu": "every Triton kernel on a GPU in software: bits, races, instructions (minutes)",
        "show_fresh_clone": "`make demo` and `make test` in a fresh clone with an empty HOME",
        "show_edges": "inputs once answered wrongly, 200 random kills, the cost of status",
    },
    "statistics": {
        "show_tails": "1e10 draws against exact tail probabilities (four minutes)",
        "show_dieharder": "the generator's words through dieharder (a Debian package), minutes",
    },
    "numerics": {
        "show_ncx2_accuracy": "non-central chi-square against arbitrary precision, SciPy, R (`RMATH=`)",
        "show_input_dependent_radii": "radii against 60 digits, curves with one crossing, radius against the rate",
        "bench_ncx2": "its tails and quantiles over arrays, against SciPy",
        "bench_input_dependent": "radii, against brentq on SciPy's functions",
    },
    "all-certificates": {
        "show_certificate_soundness": "golden table, independent optima, the papers' figures (limits/)",
        "bench_certificates": "certificates per second, against SciPy's functions and optimisers",
    },
    "dual-and-input-dependent": {
        "show_dual_soundness": "parts' bits; exact radii and flips of linear halves; coverage",
        "bench_dual": "one half into the model's buffer, against the authors' sequence in torch",
        "show_neighbors": "exact neighbours in a memory map larger than the memory that is used",
        "bench_sigma": "nearest neighbours of 200 queries, against scikit-learn's brute force",
        "show_smoothings": "the digits demo smoothed in three ways, at equal numbers of draws",
        "show_idrs_toy": "the toy experiments of input-dependent smoothing, beside the paper's",
    },
    "engine": {
        "bench_noises": "Laplace, generalised Gaussian, uniform, lattice draws, against NumPy's",
        "bench_inference": "forward passes: layouts, folding, bfloat16, runtimes, measured choices",
        "bench_end_to_end": "one image's votes, measured choices, against the published loop",
        "show_runtime": "float32, bfloat16 and int8 against the published loop; preparation; what int8 costs (`MNIST=`)",
        "show_memory": "peak memory of 100,000 copies of a 3x224x224 image",
        "show_dropin": "the shims of rsfast.compat beside what they stand for",
    },
    "plans": {
        "show_plan_guarantees": "probability of a false certificate, by recursion and simulation",
        "show_plan_savings": "draws and lost accuracy on probabilities recovered from the logs",
        "show_plan_halves": "false radii of two halves looked at repeatedly, by simulation",
        "show_plan_speed": "seconds of certifying real images with a fixed n and with plans",
    },
    "training-and-attacks": {
        "show_training": "objectives at three noise levels, certified (`MNIST=`, hours; resumable)",
        "show_attacks": "certificates attacked: flips inside (none), and the smallest flip over the radius",
        "bench_augmentation": "an epoch on noisy images, against the bare epoch and torch's line",
    },
    "code": {
        "show_house": "circles, floors, parameters, lengths, imports, additions as patches (`AGAINST=` compares times)",
    },
}  # fmt: skip


def name_of(module: str) -> str:
    """The name of bench_noise_path is noise-path."""
    return module.split("_", 1)[1].replace("_", "-")


MODULES = {name_of(module): module for group in TABLE.values() for module in group}


def listed() -> str:
    """TABLE in Markdown."""
    lines = []
    for group, modules in TABLE.items():
        lines += [f"`make show-{group}` runs", "", "| command | what |", "|---|---|"]
        lines += [f"| `make show-{name_of(module)}` | {what} |" for module, what in modules.items()] + [""]
    return "\n".join(lines)


def chosen(arguments: list[str]) -> list[str]:
    """Modules of names and groups; all that are timed if none is given."""
    if not arguments:
        return [module for module in MODULES.values() if module.startswith("bench_")]
    modules: list[str] = []
    for name in arguments:
        if name not in TABLE and name not in MODULES:
            sys.exit(f"{name} is neither a name nor a group of the benchmarks: python -m bench --list shows them.")
        modules += TABLE.get(name, [MODULES.get(name, "")])
    return modules


def main() -> None:
    if sys.argv[1:] == ["--list"]:
        print(listed())
        return
    for module in chosen(sys.argv[1:]):
        command = ["bench.measured", name_of(module)] if module.startswith("bench_") else [f"bench.{module}"]
        code = subprocess.run([sys.executable, "-m", *command]).returncode
        if code:
            sys.exit(code)


if __name__ == "__main__":
    main()
