"""The images work for any user of the group 0: that is how orchestrators run them that choose the user."""

import re

from tree import ROOT, SERVICES

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


def problems(text):
    found = ["the state of the %s is not the group's" % service for service in SERVICES
             if not re.search(r"install -d -o service -g 0 -m 0770 /var/lib/%s\b" % service, text)]
    scripts = re.findall(r"^COPY docker/\S+ (\S+)$", text, re.MULTILINE)
    return found + ["%s has the rights that the checkout gave it" % script for script in scripts
                    if "RUN chmod 0755 %s\n" % script not in text]


def test_the_images():
    assert problems(DOCKERFILE) == []


def test_a_planted_mistake_is_found():
    assert len(problems(DOCKERFILE.replace("-g 0 ", "-g service "))) == len(SERVICES)
    assert len(problems(DOCKERFILE.replace("RUN chmod 0755", "RUN chmod 0700"))) == 1
