"""docker-compose.yml, as it is: what its containers may do, a user's way, restarts, Ctrl-C."""

import json
import os
import subprocess

import pytest
import requests

from support.compose import PORTS, AttachedUp, Compose, run, status
from support.load import Load
from support.services import ROOT
from support.wait import eventually

SERVICES = sorted(PORTS)
TOKENS = """
services:
  user-service:
    environment:
      USER_SERVICE_AUTH: loopback
      USER_SERVICE_AUTH_TOKEN_FILE: /run/secrets/auth-tokens
    volumes: ["%s/auth-tokens:/run/secrets/auth-tokens:ro"]
"""
MIB = 1024 * 1024


def test_a_user_is_saved_from_the_host_and_logged(compose):
    reply = json.loads(run("curl", "-sS", "--noproxy", "*", "--max-time", "15", "-d", "name=Ada",
                           "-d", "email=ada@example.org", "localhost:3000/users/save"))
    assert reply["success"] is True and reply["data"]["name"] == "Ada"
    eventually(lambda: reply["id"] in compose.handled_ids(), "the user is logged")


@pytest.mark.parametrize("service", SERVICES)
def test_what_the_engine_says_of_a_container(compose, service):
    found = compose.inspect(service)
    limits = found["HostConfig"]
    assert found["Config"]["User"] == "10001:10001"
    assert limits["ReadonlyRootfs"] is True
    assert limits["CapDrop"] == ["ALL"] and not limits["CapAdd"] and not limits["Privileged"]
    assert limits["SecurityOpt"] == ["no-new-privileges:true"]
    assert limits["Memory"] == 512 * MIB and limits["PidsLimit"] == 64
    port = "%d/tcp" % PORTS[service]
    assert limits["PortBindings"] == {port: [{"HostIp": "127.0.0.1", "HostPort": port[:-4]}]}
    mounts = {m["Destination"]: m for m in found["Mounts"]}
    assert set(mounts) == {"/var/lib/" + service, "/run/credentials"}
    assert mounts["/var/lib/" + service]["Type"] == "volume"
    assert mounts["/var/lib/" + service]["RW"] is True and mounts["/run/credentials"]["RW"] is False
    eventually(lambda: compose.inspect(service)["State"]["Health"]["Status"] == "healthy", service + " is healthy")


@pytest.mark.parametrize("service", SERVICES)
def test_what_the_kernel_says_of_a_process(compose, service):
    lines = compose.execute(service, "cat", "/proc/1/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert set(status["Uid"].split() + status["Gid"].split()) == {"10001"}
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    # The service is the first process, so that the engine's signal is the service's.
    assert compose.execute(service, "cat", "/proc/1/comm").strip() == service


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_can_write_its_state_and_nothing_else(compose, service):
    script = "for d in / /etc /usr/local/sbin /tmp /run /run/credentials /var/lib/%s; do " \
             "if (: >$d/probe) 2>/dev/null; then rm $d/probe; echo $d; fi; done" % service
    assert compose.execute(service, "bash", "-c", script).split() == ["/var/lib/" + service]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_what_runs_and_not_what_builds(compose, service):
    script = "type -P gcc cmake curl; ldd /usr/local/sbin/%s | grep 'not found'; " \
             "find / -xdev -type f -perm /6000; ls /src 2>/dev/null; true" % service
    assert compose.execute(service, "bash", "-c", script) == ""


def test_the_broker_is_not_published_and_has_no_guest(compose):
    assert not compose.inspect("rabbitmq")["HostConfig"]["PortBindings"]
    lines = compose.execute("rabbitmq", "rabbitmqctl", "-q", "list_users").splitlines()
    assert sorted(line.split()[0] for line in lines[1:]) == SERVICES
    assert compose.execute("rabbitmq", "cat", "/proc/1/comm").startswith("beam")
    assert compose.execute("rabbitmq", "stat", "-c", "%U", "/proc/1").strip() == "rabbitmq"


def test_passwords_are_random_and_nowhere_to_be_seen(compose):
    passwords = {s: compose.execute(s, "cat", "/run/credentials/amqp-password") for s in SERVICES}
    assert len(set(passwords.values())) == 2
    seen = json.dumps([compose.inspect(s) for s in SERVICES + ["rabbitmq"]])
    for service in SERVICES + ["rabbitmq"]:
        seen += run("docker", "top", compose.container(service), "-eo", "pid,args")
        seen += compose.log_text(service)
    for password in passwords.values():
        assert len(password) == 48 and password not in seen


def test_a_restart_of_the_broker_under_load_loses_nothing(compose):
    load = Load(3000, connections=4, count=1000000, prefix="restart",
                interval_s=0.02).start()
    try:
        eventually(lambda: len(load.ok) > 500, "saves before the restart")
        compose("restart", "rabbitmq", seconds=180)
        compose.wait_ready()
        before = len(load.ok)
        eventually(lambda: len(load.ok) > before + 500, "saves after the restart")
    finally:
        load.stop()
        load.join()
    assert not load.failed, load.statuses
    assert load.statuses.get(202), "the load did not notice the restart: %s" % load.statuses
    compose.wait_all_handled(load)


def test_a_removed_password_is_made_anew(compose):
    file = "/credentials/user-service/amqp-password"
    before = compose.execute("rabbitmq", "cat", file)
    compose.execute("rabbitmq", "rm", file)
    compose("restart", "rabbitmq", seconds=180)
    compose.wait_ready()
    assert compose.execute("user-service", "cat", "/run/credentials/amqp-password") != before


def test_what_is_queued_outlives_all_containers(compose):
    compose("stop", "session-service")
    load = Load(3000, connections=1, count=10, prefix="down").start().join()
    assert len(load.ok) == 10
    compose("down", seconds=180)
    compose.up()
    compose.wait_all_handled(load)


def session_verdict(port):
    try:
        reply = requests.get("http://127.0.0.1:%d/readyz" % port, timeout=15)
    except requests.RequestException:
        return None
    return reply.json().get("status") if reply.status_code == 200 else None


def test_a_second_session_service_stands_by_and_takes_over(compose):
    """With the store of the first one, which is in their volume."""
    load = Load(3000, connections=1, count=10, prefix="before").start().join()
    compose.wait_all_handled(load)
    second = "session-service-standby"
    compose("up", "--detach", "--no-deps", second, seconds=600)
    try:
        eventually(lambda: session_verdict(3002) == "standby", "the second one stands by")
        assert session_verdict(3001) == "ready"
        run("docker", "kill", compose.container("session-service"))
        eventually(lambda: session_verdict(3002) == "ready", "the second one works")
        sessions = requests.get("http://127.0.0.1:3002/sessions?limit=1", timeout=15)
        assert sessions.status_code == 200 and sessions.json()["data"], "it has the users of the first one"
        assert len(Load(3000, connections=1, count=10, prefix="after").start().join().ok) == 10
    finally:
        compose("rm", "--stop", "--force", second, seconds=180)
        compose("start", "session-service", seconds=180)
    compose.wait_ready()


def test_control_c_drains(compose):
    attached = AttachedUp(compose)
    try:
        load = Load(3000, connections=4, count=1000000, prefix="stop").start()
        try:
            eventually(lambda: len(load.ok) > 500, "saves before the stop")
            seconds = attached.interrupt(100)
        finally:
            load.stop()
            load.join()
    finally:
        attached.close()
    print("Ctrl-C took %.1f s" % seconds)
    states = {s: compose.inspect(s)["State"] for s in SERVICES + ["rabbitmq"]}
    assert all(s["Running"] is False and s["ExitCode"] == 0 and not s["OOMKilled"]
               for s in states.values()), states
    for service in SERVICES:
        assert compose.events(service)[-1]["event"] == "service.stopped"
    compose("start", seconds=180)
    compose.wait_ready()
    compose.wait_all_handled(load)


def test_the_image_refuses_to_be_open_by_accident(compose):
    image = compose.inspect("user-service")["Image"]
    result = subprocess.run(["docker", "run", "--rm", image], cwd=ROOT, timeout=60, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 2 and "auth" in result.stdout


def test_tokens_protect_the_user_service(compose, tmp_path):
    token = "0123456789abcdef-test"
    (tmp_path / "auth-tokens").write_text("# for the test\n%s\n" % token)
    (tmp_path / "tokens.yml").write_text(TOKENS % tmp_path)
    protected = Compose(*compose.files, str(tmp_path / "tokens.yml"))
    protected("up", "--detach", "--no-deps", "user-service", seconds=180)
    try:
        eventually(lambda: status("user-service", "/healthz") == 200, "it answers")
        users = "http://127.0.0.1:3000/users/save"
        assert requests.post(users, json={"name": "Ada"}, timeout=15).status_code == 401
        bearer = {"Authorization": "Bearer " + token}
        eventually(lambda: requests.post(users, json={"name": "Ada"}, timeout=15,
                                         headers=bearer).status_code == 200, "a user is saved")
    finally:
        compose("up", "--detach", "--no-deps", "user-service", seconds=180)
    compose.wait_ready()


def test_what_the_compose_files_do_not_say(compose):
    with open(os.path.join(ROOT, "docker-compose.yml")) as file:
        text = file.read()
    assert "guest" not in text and "password:" not in text.lower()
