"""A filter of system calls for programs that open files of others. Only the standard library.

It refuses what a decoder never needs: the network, other processes, mounts, keys, the kernel's
own doors, and names in its folder that lead elsewhere (links). What is refused answers EPERM, so
that a program that merely tries goes on.
Source: seccomp(2), linux/bpf_common.h, linux/audit.h; asm/unistd_64.h and asm-generic/unistd.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Calls by x32's numbers are another way to the same calls.
_X32 = 0x40000000

# name: (number on x86_64, number on aarch64); None: there is no such call there.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # the network; pairs of sockets lead nowhere
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    # names that lead elsewhere, and folders that we could not remove
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "kcmp": (312, 272),
    # mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    # parts of the kernel with a history
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "memfd_secret": (447, 447),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "lookup_dcookie": (212, 18),
    # the machine
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "vhangup": (153, 58),
}
_FORKS = {"fork": (57, None), "vfork": (58, None)}
_CLONE, _CLONE3 = (56, 220), (435, 435)
_IOCTL = (16, 29)
_KILL, _TKILL, _TGKILL = (62, 129), (200, 130), (234, 131)

_CLONE_THREAD = 0x00010000
# CLONE_NEW… of user, pid, net, ipc, uts, cgroup, mount; time's is a signal number in clone.
_CLONE_NEW = 0x10000000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000 | 0x02000000 | 0x20000
# Would type into, or paste into, the terminal of whoever started us.
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x00050000 | 1, 0x00050000 | 38
_NUMBER_AT, _ARCH_AT = 0, 4

PR_SET_SECCOMP = 22
_MODE_FILTER = 2


def build_filter(*, processes: bool, own_pid: int | None, machine: str = "") -> bytes | None:
    """The program for the kernel; None where its call numbers aren't known here.

    ``processes``: it may start others. ``own_pid``: signals to anybody else are refused; None
    where there is nobody else (a process namespace of its own).
    """
    machine = machine or platform.machine()
    if machine not in _AUDIT_ARCH:
        return None
    column = list(_AUDIT_ARCH).index(machine)
    code = [
        *(
            _op(_LOAD, _ARCH_AT),
            _op(_EQUAL, _AUDIT_ARCH[machine], 1, 0),
            _op(_RETURN, _KILL_PROCESS),
        ),
        _op(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        code += [_op(_AT_LEAST, _X32, 0, 1), _op(_RETURN, _EPERM)]
    refused = {**_REFUSED, **({} if processes else _FORKS)}
    if own_pid is not None:
        refused["tkill"] = _TKILL
    for numbers in refused.values():
        code += _when(numbers[column], [_op(_RETURN, _EPERM)])
    # Its flags lie in memory, where a filter can't look: the C library then takes clone.
    code += _when(_CLONE3[column], [_op(_RETURN, _ENOSYS)])
    code += _when(_CLONE[column], _judge_clone(processes))
    code += _when(_IOCTL[column], _unless_argument(1, (_TIOCSTI, _TIOCLINUX)))
    if own_pid is not None:
        for numbers in (_KILL, _TGKILL):
            code += _when(numbers[column], _only_argument(0, own_pid))
    return b"".join([*code, _op(_RETURN, _ALLOW)])


def install_filter(program: bytes) -> None:
    """Put this process under the filter, for good. Raises OSError. Needs no_new_privs."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a count and, aligned, a pointer.
    header = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(header), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)


def _when(number: int | None, then: list[bytes]) -> list[bytes]:
    """``then`` for one call; it has to end with a return, as the number is no longer loaded."""
    return [] if number is None else [_op(_EQUAL, number, 0, len(then)), *then]


def _argument(position: int) -> bytes:
    """Load the lower half of an argument (both machines are little-endian)."""
    return _op(_LOAD, 16 + 8 * position)


def _judge_clone(processes: bool) -> list[bytes]:
    code = [_argument(0), _op(_ANY_BIT, _CLONE_NEW, 0, 1), _op(_RETURN, _EPERM)]
    if not processes:
        code += [_op(_ANY_BIT, _CLONE_THREAD, 1, 0), _op(_RETURN, _EPERM)]
    return [*code, _op(_RETURN, _ALLOW)]


def _unless_argument(position: int, values: tuple[int, ...]) -> list[bytes]:
    code = [_argument(position)]
    for value in values:
        code += [_op(_EQUAL, value, 0, 1), _op(_RETURN, _EPERM)]
    return [*code, _op(_RETURN, _ALLOW)]


def _only_argument(position: int, value: int) -> list[bytes]:
    return [
        *(_argument(position), _op(_EQUAL, value, 1, 0)),
        *(_op(_RETURN, _EPERM), _op(_RETURN, _ALLOW)),
    ]
