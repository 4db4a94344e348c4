"""`python -m support.cuda_fault LIBRARY CASE`: whether an emulation passes a case, in two orders of
threads; for kernels with a fault, which may end the process."""

import ctypes
import secrets
import sys

from support.cuda_cases import CASES
from vcam_relight.pipeline.cuda.emulation.build import card_by


def main(path: str, name: str) -> int:
    library = ctypes.CDLL(path)
    card, seed, first = card_by(library), secrets.randbits(32), b""
    for order in (0, 3):
        library.emulation_order(ctypes.c_int(order))
        found = b"".join(array.tobytes() for array in CASES[name](card, seed))
        if first and found != first:
            print("another order of threads, another result")
            return 1
        first = found
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
