"""The README's commands do what the README says."""

import os
import re
import subprocess

from support.services import ROOT
from support.wait import eventually

with open(os.path.join(ROOT, "README.md")) as file:
    README = file.read()
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
# Each command with the lines that follow it.
CURLS = re.findall(r"^\$ (curl .*)\n((?:[^`\n].*\n)+?)(?=\n|```)", README, re.MULTILINE)


def run(command):
    result = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT)
    assert result.returncode == 0, result.stdout
    return result.stdout


def curl(command, port):
    assert "localhost:3000" in command
    return run(command.replace("curl ", "curl -sS --noproxy '*' ", 1)
               .replace("localhost:3000", "127.0.0.1:%d" % port))


def without_ids(text):
    return UUID.sub("UUID", text).strip()


def test_every_curl_gets_the_reply_that_is_shown(world):
    assert len(CURLS) == README.count("$ curl") >= 4
    saving = world.patient_user_service().wait_ready()
    alone = world.user_service("--amqp-url", "amqp://guest:guest@127.0.0.1:1/")
    for command, reply in CURLS:
        port = alone.port if '"stored":"outbox"' in reply else saving.port
        assert without_ids(curl(command, port)) == without_ids(reply), command


def test_the_log_line_that_is_shown(world):
    shown = re.search(r'^\{"time".*"event":"user.saved".*\}$', README, re.MULTILINE).group(0)
    user = world.patient_user_service().wait_ready()
    session = world.session_service().wait_ready()
    curl(CURLS[0][0], user.port)
    eventually(session.handled_ids, "the user is logged")

    def shape(line):
        return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\d{13}", "TIME", without_ids(line))

    lines = [x for x in session.log_text().splitlines() if '"user.saved"' in x]
    assert [shape(x) for x in lines] == [shape(shown)]
