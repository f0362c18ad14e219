"""A certificate authority for a test: made by openssl in a folder of the test's own."""

import datetime
import os
import subprocess

# `openssl x509` of Debian 13 makes no certificate that has expired; `openssl ca` does.
CONFIGURATION = """
[ca]
default_ca = here
[here]
new_certs_dir = {directory}
database = {directory}/{name}.index
unique_subject = no
serial = {directory}/{name}.serial
default_md = sha256
policy = any
[any]
commonName = supplied
"""
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(*arguments):
    result = subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert result.returncode == 0, result.stdout


class Authority:
    def __init__(self, directory, name="authority"):
        self.directory = str(directory)
        self.name = name
        os.makedirs(self.directory, exist_ok=True)
        self.ca, self.ca_key = self._path(name + ".pem"), self._path(name + "-key.pem")
        openssl("req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=" + name,
                "-keyout", self.ca_key, "-out", self.ca)
        self.configuration = self._path(name + ".cnf")
        with open(self.configuration, "w") as file:
            file.write(CONFIGURATION.format(directory=self.directory, name=name))
        with open(self._path(name + ".index"), "w"):
            pass
        with open(self._path(name + ".serial"), "w") as file:
            file.write("1000\n")

    def _path(self, name):
        return os.path.join(self.directory, name)

    def issue(self, name, alternative_names, days=1):
        """Returns (certificate, key). One with `days` below 0 has expired."""
        base = self._path("%s-%s" % (self.name, name))
        key, request, certificate = base + "-key.pem", base + ".csr", base + ".pem"
        extensions = base + ".ext"
        with open(extensions, "w") as file:
            file.write("subjectAltName = %s\n" % alternative_names)
        openssl("req", "-new", *NEW_KEY, "-subj", "/CN=" + name, "-keyout", key, "-out", request)
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
        openssl("ca", "-config", self.configuration, "-batch", "-notext", "-in", request,
                "-cert", self.ca, "-keyfile", self.ca_key, "-extfile", extensions,
                "-startdate", _date(end - datetime.timedelta(days=2)), "-enddate", _date(end),
                "-out", certificate)
        return certificate, key


def _date(time):
    return time.strftime("%Y%m%d%H%M%SZ")
