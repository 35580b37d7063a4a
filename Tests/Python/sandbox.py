"""A sandbox, for programs that tests run in a process of their own."""

# Forbids executable memory as a sandbox does: mmap and mprotect with PROT_EXEC give EPERM. Only after the imports.
FORBID_EXECUTABLE_MEMORY = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
def forbid():
    PROT_EXEC, EPERM = 4, 0x00050000 | 1
    rule = lambda code, jt, jf, k: struct.pack("HBBI", code, jt, jf, k)
    load, equal, mask, give = 0x20, 0x15, 0x54, 0x06
    program = b"".join([
        rule(load, 0, 0, 0),           # the number of the call
        rule(equal, 1, 0, 9),          # mmap
        rule(equal, 0, 4, 10),         # mprotect
        rule(load, 0, 0, 16 + 2 * 8),  # its third argument
        rule(mask, 0, 0, PROT_EXEC),
        rule(equal, 0, 1, PROT_EXEC),
        rule(give, 0, 0, EPERM),
        rule(give, 0, 0, 0x7FFF0000),
    ])
    buffer = ctypes.create_string_buffer(program, len(program))
    class Filter(ctypes.Structure):
        _fields_ = [("count", ctypes.c_ushort), ("program", ctypes.c_void_p)]
    filter = Filter(len(program) // 8, ctypes.addressof(buffer))
    assert libc.prctl(38, 1, 0, 0, 0) == 0          # PR_SET_NO_NEW_PRIVS
    return libc.prctl(22, 2, ctypes.byref(filter)) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
"""
