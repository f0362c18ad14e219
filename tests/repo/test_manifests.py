"""deploy/kubernetes/ and the compose files: what the API takes, what an orchestrator needs, options that exist."""

import json
import re
import shutil
import subprocess

import pytest

from support.services import binary
from tree import ROOT, SERVICES, plant

yaml = pytest.importorskip("yaml", reason="SKIPPED: the manifests were NOT checked: there is no python3-yaml")

MANIFESTS = ROOT / "deploy" / "kubernetes"
# Of every service, in the order of the file.
KINDS = ["ConfigMap", "Service", "Service", "PodDisruptionBudget", "StatefulSet"]
TYPES = {"ConfigMap": "v1", "Service": "v1", "PodDisruptionBudget": "policy/v1", "StatefulSet": "apps/v1"}
NPM_SECONDS = 300
# A build that has none of a group cannot be asked about them.
GROUPS = ({"shards"}, {"store", "store-password-file"})


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document is not None]


def read(service):
    return (MANIFESTS / (service + ".yaml")).read_text()


def options(service):
    shown = subprocess.run([binary(service), "--help"], env={}, check=True, text=True, stdout=subprocess.PIPE).stdout
    return set(re.findall(r"^  --([a-z-]+) ", shown, re.MULTILINE))


def unknown_options(service, names):
    known = options(service)
    for group in GROUPS:
        if not group & known:
            names = set(names) - group
    return sorted(set(names) - known)


def settings(service, text):
    """The options file in the ConfigMap."""
    found = documents(text)[0]["data"][service + ".conf"]
    return dict(re.findall(r"^([a-z-]+) = (.*)$", found, re.MULTILINE))


def of_volumes(pod, container, service, values):
    """What is mounted is there, and what the settings name is mounted."""
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    given = {volume["name"] for volume in pod["volumes"]} | {"state"}
    if set(mounts) != given:
        yield "mounts %s, has %s" % (sorted(mounts), sorted(given))
    if mounts["state"]["mountPath"] != "/var/lib/" + service or mounts["state"].get("readOnly"):
        yield "the state is not where it can be written"
    if any(not mount.get("readOnly") for name, mount in mounts.items() if name != "state"):
        yield "more than the state can be written"
    if container["args"] != ["--config", "%s/%s.conf" % (mounts["settings"]["mountPath"], service)]:
        yield "does not use its settings"
    for name, value in values.items():
        if name.endswith("-file") and not value.startswith(mounts["credentials"]["mountPath"] + "/"):
            yield "%s is not among the mounted secrets" % name


def of_probes(container, port):
    if container["ports"] != [{"name": "http", "containerPort": port}]:
        yield "listens elsewhere"
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        if container[probe]["httpGet"] != {"path": path, "port": "http"}:
            yield "%s does not ask %s" % (probe, path)


def of_rights(pod, container):
    # Any user may be chosen: the images are made for that.
    if "runAsUser" in pod["securityContext"] or not pod["securityContext"]["runAsNonRoot"]:
        yield "is bound to one user, or may be root"
    if container["securityContext"] != {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                        "capabilities": {"drop": ["ALL"]}}:
        yield "has rights that it does not need"
    if pod["automountServiceAccountToken"] or "env" in container or "memory" not in container["resources"]["limits"]:
        yield "has a token or an environment, or no limit of its memory"


def problems(service, text):
    found = documents(text)
    kinds = [document["kind"] for document in found]
    if kinds != KINDS:
        return ["has %s" % kinds]
    labels = {"app.kubernetes.io/name": service}
    said = ["a %s has a namespace, other labels or another version" % document["kind"] for document in found
            if "namespace" in document["metadata"] or document["metadata"]["labels"] != labels
            or document["apiVersion"] != TYPES[document["kind"]]]
    values, spec = settings(service, text), found[4]["spec"]
    pod, port = spec["template"]["spec"], {"user-service": 3000, "session-service": 3001}[service]
    (container,) = pod["containers"]
    selectors = [found[1]["spec"]["selector"], found[2]["spec"]["selector"], found[3]["spec"]["selector"]["matchLabels"],
                 spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]]
    if any(selector != labels for selector in selectors):
        said.append("a selector finds other pods")
    if spec["serviceName"] != found[2]["metadata"]["name"] or found[2]["spec"]["clusterIP"] != "None":
        said.append("the instances have no names")
    if found[3]["spec"]["maxUnavailable"] != 1 or spec["replicas"] < 2:
        said.append("all instances may be away at once")
    grace = int(values.get("drain-delay", "0s")[:-1]) + 10 + 20
    if pod["terminationGracePeriodSeconds"] < grace:
        said.append("is killed while it drains")
    said += ["there is no option " + name for name in unknown_options(service, values)]
    return said + [*of_volumes(pod, container, service, values), *of_probes(container, port), *of_rights(pod, container)]


@pytest.mark.parametrize("service", SERVICES)
def test_a_manifest_has_what_the_service_needs(service):
    assert problems(service, read(service)) == []


@pytest.mark.parametrize("before, after, problem", (
    ("path: /readyz", "path: /healthz", "readinessProbe does not ask /readyz"),
    ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "has rights that it does not need"),
    ("runAsNonRoot: true", "runAsUser: 10001", "is bound to one user, or may be root"),
    ("drain-delay = 5s", "drain-delay = 20s", "is killed while it drains"),
    ("drain-delay = 5s", "drain-wait = 5s", "there is no option drain-wait"),
    ("= /run/credentials/amqp", "= /etc/amqp", "amqp-password-file is not among the mounted secrets"),
    ("maxUnavailable: 1", "maxUnavailable: 2", "all instances may be away at once"),
    ("mountPath: /var/lib/user-service", "mountPath: /state", "the state is not where it can be written"),
    ("serviceName: user-service-instances", "serviceName: user-service", "the instances have no names"),
    ("kind: PodDisruptionBudget", "kind: Deployment", "has ['ConfigMap', 'Service', 'Service', 'Deployment',"),
))
def test_a_planted_mistake_in_a_manifest_is_found(before, after, problem):
    text = read("user-service")
    assert before in text
    assert any(problem in one for one in problems("user-service", text.replace(before, after)))


@pytest.fixture(scope="module")
def compiler():
    """Of tests/repo/kubernetes/package.json, installed into the build folder."""
    folder, source = ROOT / "build" / "manifests", ROOT / "tests" / "repo" / "kubernetes"
    if shutil.which("npm") is None:
        pytest.skip("SKIPPED: the manifests were NOT compared with the API's types: there is no npm")
    lock = (source / "package-lock.json").read_text()
    if not (folder / "installed").exists() or (folder / "installed").read_text() != lock:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder / name)
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=NPM_SECONDS)
        if done.returncode != 0:
            pytest.skip("SKIPPED: the manifests were NOT compared with the API's types: " + done.stdout[-300:])
        (folder / "installed").write_text(lock)
    return folder


def complaints(compiler, found):
    """Of the compiler, which refuses members that a type does not have."""
    lines = []
    for number, document in enumerate(found):
        kind = document["kind"]
        lines += ['import type { I%s as T%d } from "kubernetes-models/%s/%s";' % (kind, number, TYPES[kind], kind),
                  "export const o%d: T%d = %s;" % (number, number, json.dumps(document, indent=1))]
    plant(compiler, "manifests.ts", "\n".join(lines))
    done = subprocess.run(["node", "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--module",
                           "esnext", "--moduleResolution", "bundler", "--target", "es2022", "manifests.ts"], cwd=compiler,
                          text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=NPM_SECONDS)
    return done.stdout if done.returncode else ""


def all_documents():
    return [document for service in SERVICES for document in documents(read(service))]


def test_the_manifests_are_of_the_types_of_the_api(compiler):
    found = complaints(compiler, all_documents())
    assert not found, found


WRONG = (
    (("spec", "replikas"), 2, '"replikas"'),
    (("spec", "replicas"), "two", "'string' is not assignable to type 'number'"),
    (("spec", "podManagementPolicy"), "AllAtOnce", '"AllAtOnce"'),
    (("spec", "template", "spec", "readOnlyRootFilesystem"), True, '"readOnlyRootFilesystem"'),
    (("spec", "serviceName"), None, "'null' is not assignable to type 'string"),
)


def test_what_the_api_does_not_have_is_found(compiler):
    planted = []
    for path, value, _ in WRONG:
        document = documents(read("user-service"))[4]
        target = document
        for name in path[:-1]:
            target = target[name]
        target[path[-1]] = value
        planted.append(document)
    found = complaints(compiler, planted)
    assert [word for _, _, word in WRONG if word not in found] == [], found


def environment_options(text):
    return [(service, name.lower().replace("_", "-"))
            for service in SERVICES
            for name in re.findall(r"^ +%s_([A-Z_]+):" % service.upper().replace("-", "_"), text, re.MULTILINE)]


@pytest.mark.parametrize("file", sorted(path.name for path in ROOT.glob("docker-compose*.yml")))
def test_the_variables_of_a_compose_file_are_options(file):
    found = environment_options((ROOT / file).read_text())
    assert found
    for service in SERVICES:
        assert unknown_options(service, [name for one, name in found if one == service]) == []
