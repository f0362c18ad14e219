"""What /metrics says, judged by Prometheus's own tool."""

import shutil
import subprocess

import pytest
import requests

from support.wait import PATIENCE_S, eventually

PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="SKIPPED: promtool is missing (Debian's package prometheus): "
                    "nobody has judged /metrics")
def test_promtool_finds_nothing(world):
    user, session = world.patient_user_service().wait_ready(), world.session_service().wait_ready()
    assert user.save({"name": "Ada"}, Idempotency_Key="m1").status_code == 200
    assert user.save({"name": 1}).status_code == 422
    world.publish("not JSON", message_id="m2")
    eventually(lambda: "m1" in session.handled_ids(), "one is handled")
    eventually(lambda: session.metric('session_service_dead_letters_total{reason="not-json"}') == 1, "one is a dead letter")
    for service in (user, session):
        reply = requests.get(service.base + "/metrics", timeout=PATIENCE_S)
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        judged = subprocess.run([PROMTOOL, "check", "metrics"], input=reply.text, text=True, timeout=PATIENCE_S,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert (judged.returncode, judged.stdout) == (0, ""), service.name
