"""Libraries that a test preloads into a daemon."""

import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


def preload(directory, *names, **variables):
    """Compiles support/NAME.c for each name; returns the environment of the daemon."""
    libraries = []
    for name in names:
        library = os.path.join(str(directory), name + ".so")
        if not os.path.exists(library):
            subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, os.path.join(HERE, name + ".c"), "-ldl"],
                           check=True)
        libraries.append(library)
    return dict(variables, LD_PRELOAD=":".join(libraries), ASAN_OPTIONS="verify_asan_link_order=0")
