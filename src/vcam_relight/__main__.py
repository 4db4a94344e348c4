"""`python -m vcam_relight`: the same program as the console script `vcam`."""

from vcam_relight.vcam.cli.main import program

if __name__ == "__main__":
    program()
