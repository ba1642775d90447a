"""The GPU in software runs small programs right, and notices what is wrong in them."""

import numpy as np
import pytest

from .arithmetic import UnsupportedError
from .machine import Code, Shape, launch
from .memory import Global, serious
from .text import parse

HEAD = """
.visible .entry kernel(
 .param .u64 .ptr .global .align 1 p_out,
 .param .u32 p_n
)
{
 .reg .pred %p<9>;
 .reg .b32 %r<19>;
 .reg .b64 %rd<9>;
 .shared .align 16 .b8 smem[512];
 ld.param.b64 %rd1, [p_out];
 ld.param.b32 %r1, [p_n];
 mov.u32 %r2, %tid.x;
 mov.u32 %r3, %ctaid.x;
 mov.u32 %r4, %ntid.x;
 mad.lo.s32 %r5, %r3, %r4, %r2;
 mul.wide.s32 %rd2, %r5, 4;
 add.s64 %rd3, %rd1, %rd2;
 shl.b32 %r6, %r2, 2;
 mov.b32 %r7, smem;
 add.s32 %r8, %r7, %r6;
"""


def run(body, *, n=64, threads=64, blocks=1, out=64):
    """The report of a program and what it wrote."""
    memory, written = Global(), np.full(out, -1, dtype=np.int32)
    address = memory.add(written.ctypes.data, written.nbytes)
    code = Code.of(parse(HEAD + body + "\n ret;\n}\n"))
    params = {"p_out": address.to_bytes(8, "little"), "p_n": n.to_bytes(4, "little")}
    return launch(code, Shape((blocks, 1, 1), threads), params, memory), written


def found(report):
    return sorted({finding.what for finding in serious(report.findings)})


SWAP = """
 st.shared.b32 [%r8], %r2;
 {}
 xor.b32 %r9, %r2, {};
 shl.b32 %r10, %r9, 2;
 add.s32 %r11, %r7, %r10;
 ld.shared.b32 %r12, [%r11];
 st.global.b32 [%rd3], %r12;
"""


@pytest.mark.parametrize(("barrier", "distance"), [("bar.sync 0;", 33), ("bar.sync 0;", 1), ("bar.warp.sync 0xffffffff;", 1)])
def test_threads_that_wait_for_one_another_change_values(barrier, distance):
    report, out = run(SWAP.format(barrier, distance))
    assert out.tolist() == [thread ^ distance for thread in range(64)]
    assert found(report) == []


@pytest.mark.parametrize(("barrier", "distance"), [("", 1), ("", 32), ("bar.warp.sync 0xffffffff;", 32)])
def test_a_race_is_found_though_the_values_are_right(barrier, distance):
    report, out = run(SWAP.format(barrier, distance))
    assert out.tolist() == [thread ^ distance for thread in range(64)]
    assert found(report) == ["read of what another thread wrote, no barrier between"]


def test_a_write_over_what_others_read_is_a_race():
    report, _ = run(SWAP.format("bar.sync 0;", 1) + " st.shared.b32 [%r8], 77;")
    assert found(report) == ["write over what another thread read, no barrier between"]


def test_two_threads_that_write_one_place_are_a_race():
    report, _ = run(" st.shared.b32 [%r7], %r2;")
    assert found(report) == ["write of two threads at once with different values"]


def test_shared_memory_that_nobody_wrote_is_noticed():
    report, _ = run(" ld.shared.b32 %r12, [%r8];\n st.global.b32 [%rd3], %r12;")
    assert found(report) == ["read of what was never written"]


STORE = " setp.lt.s32 %p1, %r5, %r1;\n @%p1 st.global.b32 [%rd3], %r5;"


def test_a_guard_keeps_stores_inside_and_without_it_they_are_found():
    report, out = run(STORE, n=50, out=50)
    assert out.tolist() == list(range(50))
    assert found(report) == []
    report, out = run(STORE.replace("@%p1 ", ""), n=50, out=50)
    assert found(report) == ["address outside its tensor"]
    assert out.tolist() == list(range(50))


def test_loads_outside_and_addresses_of_nothing_are_found():
    report, _ = run(" ld.global.b32 %r12, [%rd3];", out=50)
    assert found(report) == ["address outside its tensor"]
    report, _ = run(" ld.global.b32 %r12, [%rd2];")
    assert found(report) == ["address outside every tensor"]


def test_a_misaligned_address_is_found():
    report, _ = run(" ld.global.b32 %r12, [%rd3+2];", out=65)
    assert found(report) == ["misaligned address"]


def test_an_element_that_two_blocks_write_is_found():
    one_thread = " setp.eq.s32 %p1, %r2, 0;\n @%p1 st.global.b32 [%rd1], %r3;"
    report, _ = run(one_thread, threads=32, blocks=2)
    assert found(report) == ["global element written twice"]


BRANCH = """
 setp.lt.s32 %p1, %r2, 5;
 mov.b32 %r12, 1;
 @%p1 bra LESS;
 mov.b32 %r12, 2;
 {}
LESS:
 add.s32 %r12, %r12, 10;
 st.global.b32 [%rd3], %r12;
"""


def test_threads_that_took_different_branches_meet_again():
    report, out = run(BRANCH.format(""))
    assert out.tolist() == [11] * 5 + [12] * 59
    assert found(report) == []
    assert report.opcodes["mov", "b32"] == 64 + 64 + 59  # the shared array's address, and one of two numbers


def test_a_barrier_that_some_threads_pass_by_is_found():
    report, _ = run(BRANCH.format("bar.sync 0;"))
    assert found(report) == ["a barrier that some threads of the block never reach"]


def test_a_loop_ends_for_each_thread_by_itself():
    _, out = run("""
 mov.b32 %r12, 0;
LOOP:
 add.s32 %r12, %r12, 3;
 setp.lt.s32 %p1, %r12, %r2;
 @%p1 bra LOOP;
 st.global.b32 [%rd3], %r12;
""")
    assert out.tolist() == [max(3, -(-thread // 3) * 3) for thread in range(64)]


@pytest.mark.parametrize(
    ("mode", "lane", "clamp", "source"),
    [
        ("bfly", 5, 31, lambda t: t ^ 5),
        ("down", 7, 31, lambda t: t + 7 if t % 32 + 7 < 32 else t),
        ("up", 7, 0, lambda t: t - 7 if t % 32 >= 7 else t),
        ("idx", 9, 31, lambda t: t // 32 * 32 + 9),
        ("idx", 3, 0x181F, lambda t: t // 8 * 8 + 3),
    ],
)
def test_shuffles_take_from_the_thread_that_is_named(mode, lane, clamp, source):
    _, out = run(f" shfl.sync.{mode}.b32 %r12, %r2, {lane}, {clamp}, -1;\n st.global.b32 [%rd3], %r12;")
    assert out.tolist() == [source(thread) for thread in range(64)]


def test_reductions_of_a_warp_and_atomics_add_up():
    _, out = run(" redux.sync.min.s32 %r12, %r5, 0xffffffff;\n st.global.b32 [%rd3], %r12;")
    assert out.tolist() == [0] * 32 + [32] * 32
    _, out = run(" atom.global.gpu.relaxed.add.u32 %r12, [%rd1], %r2;", blocks=2)
    assert out[0] == -1 + 2 * sum(range(64))


def test_matrices_come_back_as_they_were_stored():
    """stmatrix and ldmatrix of four 8x8 matrices, one of them transposed, against the layout of the documentation."""
    body = """
 and.b32 %r9, %r2, 31;
 shl.b32 %r10, %r9, 4;
 add.s32 %r11, %r7, %r10;
 shl.b32 %r13, %r2, 1;
 shl.b32 %r14, %r13, 16;
 or.b32 %r13, %r13, %r14;
 add.s32 %r13, %r13, 0x00010000;
 stmatrix.sync.aligned.m8n8.x4.shared.b16 [%r11], {%r13, %r13, %r13, %r13};
 bar.sync 0;
 ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%r15, %r16, %r17, %r18}, [%r11];
 st.global.b32 [%rd3], %r17;
"""
    report, out = run(body, threads=32, out=32)
    matrix = np.arange(64).reshape(8, 8)  # thread t held 2 t and 2 t + 1: row t / 4, columns 2 (t % 4) and the next
    expected = [int(matrix[2 * (t % 4), t // 4] | matrix[2 * (t % 4) + 1, t // 4] << 16) for t in range(32)]
    assert out.tolist() == expected
    assert found(report) == []


def test_sectors_are_those_that_stores_of_a_warp_touch():
    report, _ = run(" st.global.b32 [%rd3], %r5;")  # 256 bytes, aligned to their place in this process
    assert report.memory.sectors in (8, 10)  # a tensor of NumPy is aligned to 16
    scattered = " mul.wide.s32 %rd4, %r5, 32;\n add.s64 %rd5, %rd1, %rd4;\n st.global.b32 [%rd5], %r5;"
    report, _ = run(scattered, out=8 * 64)
    assert report.memory.sectors == report.memory.partial_sectors() == 64


def test_neighbours_in_the_grid_that_write_half_a_sector_each_write_it_whole():
    body = """
 shr.u32 %r9, %r2, 2;
 shl.b32 %r9, %r9, 3;
 and.b32 %r10, %r2, 3;
 add.s32 %r9, %r9, %r10;
 shl.b32 %r10, %r3, 2;
 add.s32 %r9, %r9, %r10;
 mul.wide.s32 %rd4, %r9, 4;
 add.s64 %rd5, %rd1, %rd4;
 st.global.b32 [%rd5], %r5;
"""
    report, _ = run(body, threads=32, blocks=2)
    memory = report.memory
    assert memory.partial_sectors() == 16
    assert memory.partial_sectors(2) in (0, 2)  # both ends, where the tensor is aligned to 16


def test_an_instruction_that_is_not_known_is_refused_by_name():
    with pytest.raises(UnsupportedError, match="fma.rn.f32"):
        run(" fma.rn.f32 %r12, %r2, %r3, %r4;")
    with pytest.raises(UnsupportedError, match="not the whole warp"):
        run(" shfl.sync.bfly.b32 %r12, %r2, 1, 31, 15;")
