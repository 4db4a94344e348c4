"""Kernels in C++ for what the frame budget needs, built where they are first used.

`build` builds and keeps them, `composition` is a plain library for any engine, `network` holds
torch's operators. Each fails open: callers get None, and users a line that says what to install.
"""
