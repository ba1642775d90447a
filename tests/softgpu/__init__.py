"""A GPU in NumPy: Triton's own launch path, with a driver that has no device and an interpreter of the PTX it compiles.

    text            PTX as instructions
    arithmetic      what an instruction computes, bit for bit
    memory          global and shared memory, and what they notice
    instructions    an instruction as a function of the machine
    machine         threads, warps, blocks; a launch and its report
    driver          the driver that Triton is given
    cases           calls of the backend, and their comparison with the reference; `python -m tests.softgpu.cases OUT`
    faults          faults planted in compiled kernels; `python -m tests.softgpu.faults OUT`
    variants        a plugin of pytest that counts what a test run would have compiled

A process in which TRITON_INTERPRET=1 is set cannot use it: pytest's own cannot, so that tests start another.
"""
