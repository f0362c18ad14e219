"""The command line of both daemons."""

import os
import signal
import subprocess

import pytest

from support.services import binary
from support.wait import PATIENCE_S, eventually

BOTH = pytest.mark.parametrize("name", ["user-service", "session-service"])


def run(name, *arguments, **environment):
    return subprocess.run([binary(name), *arguments], stdin=subprocess.DEVNULL, timeout=PATIENCE_S,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=dict(os.environ, **environment))


@BOTH
def test_help_version_and_check(name):
    assert "--amqp-url" in run(name, "--help").stdout
    assert run(name, "--version").stdout.startswith(name + " ")
    result = run(name, "--check-config")
    assert (result.returncode, result.stdout) == (0, "configuration is valid\n")


@BOTH
@pytest.mark.parametrize("arguments, named", [
    (["--no-such"], "--no-such"), (["--queue-type", "odd"], "quorum|classic"),
    (["--heartbeat", "1"], "heartbeat"), (["--listen", "0.0.0.0:3999"], "--auth none"),
    (["--listen", "nowhere"], "--listen"), (["--amqp-url", "http://x:s3cret@y/"], "amqp://"),
    (["--config", "/nonexistent"], "/nonexistent"), (["--queue", "amq.x"], "amq."),
])
def test_a_wrong_configuration_is_named(name, arguments, named):
    result = run(name, "--check-config", *arguments)
    assert result.returncode == 2
    assert named in result.stderr and len(result.stderr.splitlines()) == 1
    assert "s3cret" not in result.stderr + result.stdout


@BOTH
@pytest.mark.parametrize("path", ["", "/" + 1000 * "d"], ids=["empty", "too-long"])
def test_a_service_checks_its_own_options(name, path):
    started, checked = run(name, "--state-dir", path), run(name, "--state-dir", path, "--check-config")
    assert (checked.returncode, started.returncode) == (2, 2)
    assert "--state-dir" in checked.stderr and checked.stderr == started.stderr


def test_without_an_outbox_the_state_directory_does_not_matter():
    assert run("user-service", "--outbox", "off", "--state-dir", "", "--check-config").returncode == 0


@BOTH
def test_a_check_changes_no_file(name, tmp_path):
    state = tmp_path / "state"
    assert run(name, "--state-dir", str(state), "--check-config").returncode == 0
    assert not state.exists()


@BOTH
def test_file_environment_command_line(name, tmp_path):
    prefix = name.upper().replace("-", "_")
    file = tmp_path / "conf"
    file.write_text("queue-type = odd\n")
    bad = run(name, "--config", str(file), "--check-config")
    assert bad.returncode == 2 and str(file) in bad.stderr and "queue-type" in bad.stderr
    file.write_text("queue-type = classic\n")
    bad = run(name, "--config", str(file), "--check-config", **{prefix + "_QUEUE_TYPE": "odd"})
    assert bad.returncode == 2 and prefix + "_QUEUE_TYPE" in bad.stderr
    good = run(name, "--config", str(file), "--check-config", "--queue-type", "quorum",
               **{prefix + "_QUEUE_TYPE": "classic"})
    assert good.returncode == 0, good.stderr


@BOTH
def test_a_mistyped_variable_is_a_warning(name, world):
    prefix = name.upper().replace("-", "_")
    strays = {prefix + "_QEUE_TYPE": "hunter2", prefix + "_PORT": "tcp://10.0.0.1:80", prefix + "_SERVICE_HOST": "x"}
    checked = run(name, "--check-config", **strays)
    assert (checked.returncode, checked.stdout) == (0, "configuration is valid\n")
    assert checked.stderr.splitlines() == [
        "%s: warning: the variable %s_QEUE_TYPE belongs to no option; the nearest is %s_QUEUE_TYPE (--queue-type)" % (
            name, prefix, prefix)]
    service = world.service(name, environment=strays)
    warnings = service.events("service.unknown_variable")
    assert [(w["level"], w["variable"], w["nearest"], w["option"]) for w in warnings] == [
        ("warning", prefix + "_QEUE_TYPE", prefix + "_QUEUE_TYPE", "queue-type")]


@BOTH
def test_an_address_in_use(name, world):
    first = world.service(name)
    second = run(name, "--listen", "127.0.0.1:%d" % first.port, "--amqp-url", world.url)
    assert second.returncode == 1
    assert str(first.port) in second.stderr and "in use" in second.stderr


@pytest.mark.parametrize("name, valid, invalid, named", [
    ("user-service", "max-in-flight = 100", "exchange = amq.default", "exchange: "),  # its own check
    ("session-service", "prefetch = 10", "open-paths = /sessions", "open-paths: "),  # that of both services
])
def test_a_reload_refuses_what_a_start_would_refuse(world, tmp_path, name, valid, invalid, named):
    options = tmp_path / "options"
    options.write_text(valid + "\n")
    service = world.service(name, "--config", str(options)).wait_ready()
    options.write_text(valid + "\n" + invalid + "\n")
    service.signal(signal.SIGHUP)
    failed = eventually(lambda: service.events("service.reload_failed"), "it says it")[0]
    assert failed["error"].startswith(named) and service.events("service.restart_needed") == []
