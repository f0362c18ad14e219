"""The packages on a booted machine, in the order of their life: the tests build on each other."""

import os
import re
import subprocess

import pytest

from support import machine
from support.load import Load
from support.machine import (PORTS, append, end_override, exists, get, install, override, package, read, run,
                             show)
from support.services import ROOT
from support.wait import eventually

SERVICES = sorted(PORTS)
UNITS = ["session-service.service", "user-service.service", "user-service.socket"]
TEMPLATE = "session-service@.service"  # of instances, which an operator enables: test_template_unit.py
BOTH = pytest.mark.parametrize("service", SERVICES)
TOKENS = ["first-token-00000", "second-token-1111"]
MANY = 1000000


def configuration(service):
    return "/etc/%s/%s.conf" % (service, service)


def loaded(service, name):
    return "/run/credentials/%s.service/file_%s" % (service, name)


@BOTH
def test_what_a_package_holds(service):
    listing = run("dpkg-deb", "--contents", package(service)).splitlines()
    files = [line.split()[5][1:] for line in listing if not line.startswith("d")]
    assert len(files) == len({os.path.basename(f) for f in files if "lintian" not in f}) + 1
    for wanted in ("/usr/sbin/" + service, "/usr/share/man/man8/%s.8.gz" % service,
                   "/usr/share/doc/%s/copyright" % service,
                   "/usr/share/doc/%s/changelog.gz" % service):
        assert wanted in files
    units = [f for f in files if "/systemd/system/" in f]
    assert sorted(map(os.path.basename, units)) == sorted(u for u in [*UNITS, TEMPLATE] if u.startswith(service))
    conffiles = run("dpkg-deb", "--info", package(service), "conffiles").split()
    assert conffiles == [configuration(service)]


def test_installation_enables_and_starts():
    install(*(package(s) for s in SERVICES))
    for unit in UNITS:
        assert run("systemctl", "is-enabled", unit).strip() == "enabled"
        assert run("systemctl", "is-active", unit).strip() == "active"
    # There is no broker yet.
    for service in SERVICES:
        state, code = ("degraded", 200) if service == "user-service" else ("not ready", 503)
        eventually(lambda: show(service, "StatusText").startswith(state + ": "), "its status")
        assert get(service, "/healthz") == 200 and get(service, "/readyz") == code
    run("systemctl", "enable", "--now", "rabbitmq-server")
    machine.wait_ready(seconds=90)
    for service in SERVICES:
        eventually(lambda: show(service, "StatusText") == "ready; connected to the broker", "its status")


def test_systemd_has_nothing_to_say_of_the_units():
    assert run("systemd-analyze", "verify", *UNITS) == ""
    for service in SERVICES:
        run("systemd-analyze", "security", "--offline=true", "--threshold=13", service + ".service")


@BOTH
def test_what_the_kernel_says_of_a_process(service):
    pid = show(service, "MainPID")
    status = dict(line.split(":\t", 1)
                  for line in run("cat", "/proc/%s/status" % pid).splitlines())
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    limits = run("cat", "/proc/%s/limits" % pid)
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert re.search(r"Max open files +16384 +16384 ", limits)
    assert show(service, "MemoryMax") == str(512 * 1024 * 1024) and show(service, "TasksMax") == "64"
    assert run("stat", "--format=%a", "/var/lib/private/" + service).strip() == "700"


def test_a_user_is_saved_and_in_the_journal():
    reply = run("curl", "-sS", "--max-time", "15", "-d", "name=Ada", "localhost:3000/users/save")
    assert '"success":true' in reply
    key = re.search(r'"id":"([^"]*)"}$', reply.strip()).group(1)
    eventually(lambda: key in run("journalctl", "-u", "session-service"), "the journal shows it")
    fields = run("journalctl", "-u", "session-service", "-o", "json", "-n", "1",
                 "SYSLOG_IDENTIFIER=session-service")
    assert '"PRIORITY":"6"' in fields.replace(" ", "")


def test_a_manual_page_is_found():
    for service in SERVICES:
        run("man", "--where", "8", service)


def restart_under_load(prefix, action):
    load = Load(3000, 16, MANY, prefix, new_connections=True).start()
    try:
        eventually(lambda: len(load.ok) > 300, "saves before")
        action(load)
        enough = len(load.ok) + 300
        eventually(lambda: len(load.ok) > enough, "saves after")
    finally:
        load.stop()
        load.join()
    # New connections, of which none is refused, and requests, of which none fails.
    assert set(load.statuses) <= {200, 202}, load.statuses
    machine.wait_all_handled(load)


def test_a_restart_under_load_refuses_and_fails_nothing():
    def action(load):
        for _ in range(4):
            pid = show("user-service", "MainPID")
            enough = len(load.ok) + 200
            run("systemctl", "restart", "user-service")
            assert show("user-service", "MainPID") != pid
            eventually(lambda: len(load.ok) > enough, "saves between")

    restart_under_load("restart", action)


def test_a_restart_of_the_other_service_loses_nothing():
    restart_under_load("other", lambda load: run("systemctl", "restart", "session-service"))


def test_a_stop_under_load_loses_nothing():
    load = Load(3000, 16, MANY, "stop", new_connections=True).start()
    try:
        eventually(lambda: len(load.ok) > 300, "saves before")
        run("systemctl", "stop", "user-service.socket", "user-service.service")
        run("systemctl", "stop", "session-service")
    finally:
        load.stop()
        load.join()
    for unit in UNITS:
        assert show(unit, "ActiveState") == "inactive" and show(unit, "Result") == "success"
    assert machine.journal("user-service")[-1]["event"] == "service.stopped"
    run("systemctl", "start", "user-service", "session-service")
    assert show("user-service.socket", "ActiveState") == "active"
    machine.wait_ready()
    machine.wait_all_handled(load)


def restarts(service):
    return int(show(service, "NRestarts"))


def test_the_watchdog_restarts_what_is_stopped():
    for service in SERVICES:
        assert show(service, "WatchdogUSec") == "1min"
        override(service + ".service", "[Service]\nWatchdogSec=4\n")
    run("systemctl", "restart", *SERVICES)
    machine.wait_ready()
    before = {s: (restarts(s), show(s, "MainPID")) for s in SERVICES}
    for service in SERVICES:
        run("kill", "-STOP", before[service][1])
    for service in SERVICES:
        eventually(lambda: restarts(service) > before[service][0], service + " is restarted")
        assert "Watchdog timeout" in run("journalctl", "-u", service, "--no-pager")
    machine.wait_ready()
    for service in SERVICES:
        assert restarts(service) == before[service][0] + 1
        assert show(service, "MainPID") != before[service][1]
        end_override(service + ".service")


@BOTH
def test_one_that_dies_is_restarted(service):
    before = restarts(service)
    run("systemctl", "kill", "--signal=KILL", "--kill-who=main", service)
    eventually(lambda: restarts(service) > before, "it is restarted")
    machine.wait_ready(service)


def test_a_bad_setting_is_said_and_not_tried_again_and_again():
    original = read(configuration("session-service"))
    append(configuration("session-service"), "prefetch = many\n")
    run("systemctl", "restart", "session-service", check=False)
    eventually(lambda: show("session-service", "ActiveState") == "failed", "it has failed")
    # A restart by hand begins the count anew.
    assert restarts("session-service") == 0 and show("session-service", "Result") == "exit-code"
    assert "prefetch" in run("journalctl", "-u", "session-service", "-n", "40", "--no-pager")
    with open(machine.path(configuration("session-service")), "w") as file:
        file.write(original)
    run("systemctl", "restart", "session-service")
    machine.wait_ready()


@BOTH
def test_a_reload_takes_a_new_token(service):
    credentials = "/etc/%s/credentials/auth-tokens" % service
    original = read(configuration(service))
    machine.write_secret(credentials, TOKENS[0] + "\n")
    append(configuration(service), "auth-token-file = %s\n" % loaded(service, "auth-tokens"))
    run("systemctl", "restart", service)
    machine.wait_ready(service, token=TOKENS[0])
    assert get(service, "/metrics") == get(service, "/metrics", TOKENS[1]) == 401

    pid = show(service, "MainPID")
    machine.write_secret(credentials, TOKENS[1] + "\n")
    run("systemctl", "reload", service)
    eventually(lambda: get(service, "/metrics", TOKENS[1]) == 200, "the new token is taken")
    assert get(service, "/metrics", TOKENS[0]) == 401
    assert show(service, "MainPID") == pid and show(service, "ActiveState") == "active"
    directory = os.path.dirname(loaded(service, "x"))
    assert run("stat", "--format=%a %n", loaded(service, "auth-tokens")).startswith("400 ")
    assert ",ro," in run("findmnt", "--noheadings", "--output=OPTIONS", directory).replace(
        "ro,", ",ro,", 1)

    # A file that cannot be used changes nothing, and the reload fails.
    machine.write_secret(credentials, "short\n")
    assert not machine.succeeds("systemctl", "reload", service)
    assert machine.journal(service)[-1]["event"] == "service.reload_failed"
    assert "reload 2 failed: " in show(service, "StatusText") and show(service, "ActiveState") == "active"
    assert get(service, "/metrics", TOKENS[1]) == 200
    os.remove(machine.path(credentials))
    with open(machine.path(configuration(service)), "w") as file:
        file.write(original)
    run("systemctl", "restart", service)
    machine.wait_ready(service)
    assert not any(t in run("journalctl", "-u", service) for t in TOKENS)


def test_a_reload_takes_a_new_password_of_the_broker():
    original = read(configuration("user-service"))
    secret = "/etc/user-service/credentials/amqp-password"
    run("rabbitmqctl", "add_user", "user-service", "first-password")
    run("rabbitmqctl", "set_permissions", "user-service", "^session$", r"^amq\.default$", "^$")
    machine.write_secret(secret, "first-password\n")
    append(configuration("user-service"),
           "amqp-url = amqp://user-service@127.0.0.1:5672/\namqp-password-file = %s\n"
           % loaded("user-service", "amqp-password"))
    run("systemctl", "restart", "user-service")
    machine.wait_ready()

    run("rabbitmqctl", "change_password", "user-service", "second-password")
    machine.write_secret(secret, "second-password\n")
    run("systemctl", "reload", "user-service")
    before = len(machine.journal("user-service"))
    run("rabbitmqctl", "close_all_user_connections", "user-service", "test")
    eventually(lambda: "broker.connected" in [
        e["event"] for e in machine.journal("user-service")[before:]], "it is connected again")
    machine.wait_ready()
    assert run("curl", "-s", "-d", "name=Ada", "localhost:3000/users/save").startswith('{"success"')

    os.remove(machine.path(secret))
    with open(machine.path(configuration("user-service")), "w") as file:
        file.write(original)
    run("systemctl", "restart", "user-service")
    machine.wait_ready()
    log = run("journalctl", "--no-pager", "-u", "user-service")
    assert "first-password" not in log and "second-password" not in log


def guide():
    with open(os.path.join(ROOT, "docs", "operations.md")) as file:
        return file.read()


def test_the_metrics_of_the_guide_exist():
    metrics = run("curl", "-s", "localhost:3000/metrics", "localhost:3001/metrics")
    named = set(re.findall(r"(?:user_service|session_service|log)_\w+", guide()))
    assert len(named) > 5
    for name in named:
        assert re.search("(?m)^%s[ {]" % name, metrics), name
    outcomes = set(re.findall(r'user_service_saves_total.outcome="(\w+)"', metrics))
    for group in re.findall(r'outcome=~?"([^"]*)"', guide()):
        assert set(group.replace("\\", "").split("|")) <= outcomes


def shell_block(begins_with):
    return re.search(r"```sh\n(%s.*?)```" % re.escape(begins_with), guide(), re.DOTALL).group(1)


def save_as(key, name):
    reply = run("curl", "-sS", "--max-time", "15", "-H", "Idempotency-Key: " + key, "-d", "id=" + key,
                "-d", "name=" + name, "localhost:3000/users/save")
    assert '"success":true' in reply, reply


def test_the_commands_on_dead_letters_of_the_guide():
    save_as("twice", "Ada")
    # Who remembers the key refuses the other user itself, and so it is forgotten as after a restore.
    run("sh", "-euc", shell_block("systemctl stop user-service.socket user-service"))
    machine.wait_ready("user-service")
    save_as("twice", "Eve")
    eventually(lambda: any(e.get("reason") == "id-conflict" for e in machine.journal("session-service")),
               "the second is put aside")
    assignment, *commands = shell_block("dead_letters=").replace("ID", "twice").splitlines()
    assert [c.split()[1] for c in commands] == ["list", "show", "redrive", "redrive", "purge"]

    def output(command):
        return run("sh", "-c", assignment + "\n" + command + "; echo exit $?")

    # The packages' file names no broker, and the command assumes none.
    assert output(commands[0]).endswith("exit 2\n")
    run("sh", "-c", "echo 'amqp-url = amqp://guest:guest@127.0.0.1:5672/' >> /etc/session-service/session-service.conf")
    eventually(lambda: "twice" in output(commands[0]), "the copy is there")
    assert "id-conflict" in output(commands[0])
    assert 'name":"Eve"' in output(commands[1])
    for command in commands[2:4]:
        out = output(command)
        assert "twice: left: it would come back" in out and out.endswith("exit 3\n")
    assert "1 purged" in output(commands[4])
    assert "no dead letters" in output(commands[0])


def test_a_backup_and_what_it_brings_back_as_in_the_guide():
    install("sqlite3")
    save_as("before", "Ada")
    eventually(lambda: "before" in machine.handled_ids(), "it is handled")
    run("sh", "-euc", shell_block("sqlite3 "))
    save_as("after", "Eve")
    eventually(lambda: "after" in machine.handled_ids(), "it is handled too")
    run("sh", "-euc", shell_block("systemctl stop session-service"))
    machine.wait_ready("session-service")
    assert machine.get("session-service", "/users/before") == 200
    assert machine.get("session-service", "/users/after") == 404
    save_as("once-more", "Joan")
    eventually(lambda: "once-more" in machine.handled_ids(), "it can be written to")


def test_nginx_as_in_the_guide():
    example = re.search(r"```(?:nginx)?\n(upstream .*?)```", guide(), re.DOTALL).group(1)
    key, certificate = re.search(r"certificate_key (.*);", example), re.search(
        r"certificate  +(.*);", example)
    install("nginx-light")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
        "/CN=users.example.org", "-addext", "subjectAltName=DNS:users.example.org", "-keyout",
        key.group(1), "-out", certificate.group(1))
    with open(machine.path("/etc/nginx/sites-enabled/users"), "w") as file:
        file.write(example)
    assert "test is successful" in run("nginx", "-t")
    run("systemctl", "reload-or-restart", "nginx")
    reply = run("curl", "-sS", "--max-time", "15", "--retry", "10", "--retry-connrefused",
                "--cacert", certificate.group(1), "--resolve", "users.example.org:443:127.0.0.1",
                "-d", "name=Ada", "https://users.example.org/users/save")
    assert reply.startswith('{"success":true'), reply
    run("systemctl", "stop", "nginx")


def test_another_address_as_in_the_guide():
    pid = show("user-service", "MainPID")
    commands = re.search(r"`(systemctl restart user-service.socket)`", guide()).group(1).split()
    # The last is none that this machine has, as at boot.
    for address in ("127.0.0.2:3100", "192.0.2.7:3000"):
        override("user-service.socket", "[Socket]\nListenStream=\nListenStream=%s\n" % address)
        run(*commands, check=False)
        assert show("user-service.socket", "ActiveState") == "active"
        assert show("user-service.socket", "Listen") == address + " (Stream)"
        if address.startswith("192."):
            # Beyond this machine only with tokens.
            eventually(lambda: show("user-service", "ActiveState") == "failed", "it refuses")
            break
        eventually(lambda: show("user-service", "MainPID") not in ("0", pid), "it is restarted")
        pid = show("user-service", "MainPID")
        assert run("curl", "-sS", "--max-time", "15", address + "/healthz").startswith("{")
        eventually(lambda: address in [e.get("listen") for e in machine.journal("user-service")], "the log says it")
    end_override("user-service.socket")
    run(*commands)
    run("systemctl", "start", "user-service")
    machine.wait_ready("user-service")


def test_one_that_cannot_start_for_long_is_tried_for_ever():
    for service in SERVICES:
        assert show(service, "StartLimitIntervalUSec") == "0"
        override(service + ".service", "[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=1ms\n")
    run("systemctl", "restart", *SERVICES, check=False)
    # By default systemd gives up after 5 in 10 seconds.
    for service in SERVICES:
        eventually(lambda: restarts(service) > 20, service + " is tried again and again")
        end_override(service + ".service")
    machine.wait_ready()


def test_the_journal_takes_more_lines_than_its_own_limit():
    # By default it drops what is more than 10,000 lines in 30 seconds.
    assert show("session-service", "LogRateLimitBurst") == "1000000000"
    assert show("session-service", "LogRateLimitIntervalUSec") == "1s"


def next_version(service, folder):
    """A package with a later version, and with another sample of settings."""
    tree = str(folder / service)
    source = machine.path(package(service))
    target = "/packages/%s_next.deb" % service
    subprocess.run(["dpkg-deb", "--raw-extract", source, tree], check=True, timeout=60)
    control = os.path.join(tree, "DEBIAN", "control")
    with open(control) as file:
        text = file.read()
    with open(control, "w") as file:
        file.write(re.sub(r"(?m)^Version: .*$", "Version: 0.1.0+next", text))
    with open(tree + configuration(service), "a") as file:
        file.write("\n# A sample of the next version.\n")
    subprocess.run(["dpkg-deb", "--build", tree, machine.path(target)], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)
    return target


def test_an_upgrade_under_load_keeps_a_changed_conffile(tmp_path):
    line = {"user-service": "confirm-timeout = 7s\n", "session-service": "log-payload = full\n"}
    for service in SERVICES:
        append(configuration(service), line[service])
        run("touch", "/var/lib/private/%s/state" % service)
    packages = [next_version(s, tmp_path) for s in SERVICES]
    pids = {s: show(s, "MainPID") for s in SERVICES}

    restart_under_load("upgrade", lambda load: install(*packages))
    for service in SERVICES:
        assert run("dpkg-query", "-W", "-f", "${Version}", service) == "0.1.0+next"
        assert show(service, "MainPID") != pids[service]
        assert read(configuration(service)).endswith(line[service])
        assert "next version" in read(configuration(service) + ".dpkg-dist")
        assert exists("/var/lib/private/%s/state" % service)
    run("curl", "-sS", "-d", "name=Grace Hopper", "localhost:3000/users/save")
    eventually(lambda: "Grace Hopper" in run("journalctl", "-u", "session-service", "-n", "20"), "the setting is in force")


def test_removal_keeps_what_the_operator_made():
    for service in SERVICES:
        machine.write_secret("/etc/%s/credentials/kept" % service, "secret\n")
    run("apt-get", "remove", "-y", "-q", *SERVICES)
    for service in SERVICES:
        assert get(service, "/healthz") is None
        assert not exists("/usr/sbin/" + service)
        assert exists(configuration(service)) and exists("/var/lib/private/%s/state" % service)
        assert read("/etc/%s/credentials/kept" % service) == "secret\n"
    run("journalctl", "-u", "session-service", "-n", "1")


def test_purge_removes_everything():
    run("apt-get", "purge", "-y", "-q", *SERVICES)
    for service in SERVICES:
        for name in ("/etc/" + service, "/var/lib/" + service, "/var/lib/private/" + service,
                     "/run/credentials/%s.service" % service):
            assert not exists(name), name
    left = run("find", "/etc", "/usr", "/var", "-name", "*user-service*", "-o", "-name",
               "*session-service*").split()
    # The cache of man-db is its own.
    assert [name for name in left if not name.startswith("/var/cache/man/")] == []


def test_what_was_purged_can_be_installed_again():
    install(*(package(s) for s in SERVICES))
    machine.wait_ready()
    run("apt-get", "purge", "-y", "-q", *SERVICES)
