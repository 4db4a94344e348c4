"""Kernels in C++ for what the frame budget needs: one plain library, for engines without torch too.

`compiler` builds it, at install or on first use; `build` keeps what is built on first use where
nobody else can change it; `library` finds it. `composition`, `denoise` and `network` call it. All
fail open: callers get None, and users a line that says what to install.
"""
