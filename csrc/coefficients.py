"""python csrc/coefficients.py: write csrc/coefficients.hpp from kernels/coefficients.py; a test holds the two together."""

import runpy
from pathlib import Path

HERE = Path(__file__).parent


def floating(value):
    """An exact C++ float: 0x1.8p+1f."""
    mantissa, exponent = value.hex().split("p")
    mantissa = mantissa.rstrip("0")
    return f"{mantissa}{'0' if mantissa.endswith('.') else ''}p{exponent}f"


def header():
    """The text of coefficients.hpp."""
    const = runpy.run_path(str(HERE.parent / "kernels" / "coefficients.py"))
    lines = [
        "// Made of kernels/coefficients.py by csrc/coefficients.py: change that, then run this.",
        "// clang-format off",
        "#pragma once",
        "#include <cstdint>",
        "",
        "namespace rsfast {",
        "",
    ]
    for name in ("LOG", "SIN", "COS"):
        lines.append(f"constexpr float {name}[] = {{{', '.join(map(floating, const[name]))}}};")
    for name in ("MINUS_TWO_LN2", "TWO_M31", "TWO_M32"):
        lines.append(f"constexpr float {name} = {floating(const[name])};")
    for name in ("PHILOX_M0", "PHILOX_M1", "PHILOX_W0", "PHILOX_W1", "REFINE_STREAM"):
        lines.append(f"constexpr uint32_t {name} = {const[name]:#x}u;")
    for name in ("TILE", "LANES", "REFINE_BELOW", "DEGREE", "ROWS", "INNER_ROW", "TAIL_ROW"):
        lines.append(f"constexpr int32_t {name} = {const[name]};")
    for enum, names in (("Kind", "KINDS"), ("Fill", "FILLS"), ("Cast", "CASTS")):
        members = ", ".join(f"{name} = {const[name.upper()]}" for name in const[names])
        lines += ["", f"enum class {enum} : int {{ {members} }};", f"constexpr int {names} = {len(const[names])};"]
    return "\n".join([*lines, "", "}  // namespace rsfast", ""])


if __name__ == "__main__":
    (HERE / "coefficients.hpp").write_text(header())
