"""A certificate authority for a test: made by openssl in a folder of the test's own."""

import os
import subprocess


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
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                "-subj", "/CN=" + name, "-keyout", self.ca_key, "-out", self.ca)

    def _path(self, name):
        return os.path.join(self.directory, name)

    def issue(self, name, alternative_names, days=1):
        """Returns (certificate, key). One with `days` below 0 has expired."""
        base = self._path("%s-%s" % (self.name, name))
        key, request, certificate = base + "-key.pem", base + ".csr", base + ".pem"
        extensions = base + ".ext"
        with open(extensions, "w") as file:
            file.write("subjectAltName = %s\n" % alternative_names)
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" + name,
                "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key,
                "-CAcreateserial", "-days", str(days), "-extfile", extensions,
                "-out", certificate)
        return certificate, key
