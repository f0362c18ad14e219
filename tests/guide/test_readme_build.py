"""The README's build command alone makes both services."""

import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_the_build_alone(tmp_path):
    with open(os.path.join(ROOT, "README.md")) as file:
        command = re.search(r"`(cmake -S [^`]*)`", file.read()).group(1)
    assert command.count(" build") == 2
    command = command.replace("-B build", "-B %s" % tmp_path).replace("--build build", "--build %s" % tmp_path)
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=dict(os.environ, CMAKE_BUILD_PARALLEL_LEVEL=str(os.cpu_count())))
    assert done.returncode == 0, done.stdout[-4000:]
    assert os.access(tmp_path / "user-service" / "user-service", os.X_OK)
    assert os.access(tmp_path / "session-service" / "session-service", os.X_OK)
