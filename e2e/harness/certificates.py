"""A throw-away certificate authority, by openssl."""

import os
import subprocess


class Authority:
    """Signs server and client certificates for one API server."""

    def __init__(self, folder):
        self.folder = folder
        self.certificate = self.path("ca.crt")
        self.key = self.path("ca.key")
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key)
        self._openssl(
            "req",
            "-x509",
            "-new",
            "-key",
            self.key,
            "-subj",
            "/CN=e2e authority",
            "-days",
            "2",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-out",
            self.certificate,
        )

    def path(self, name):
        return os.path.join(self.folder, name)

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def server(self, name, names="IP:127.0.0.1,DNS:localhost"):
        """A certificate for 127.0.0.1, or for other names. Answers the paths of certificate and key."""
        return self._sign(name, f"/CN={name}", f"extendedKeyUsage=serverAuth\nsubjectAltName={names}")

    def client(self, name, organisation=None):
        """A certificate that makes its holder the user `name`. Answers the paths of certificate and key."""
        subject = f"/O={organisation}/CN={name}" if organisation else f"/CN={name}"
        return self._sign(f"client-{name}".replace(":", "-"), subject, "extendedKeyUsage=clientAuth")

    def service_account_key(self):
        """The RSA key that signs service-account tokens."""
        path = self.path("service-account.key")
        self._openssl("genrsa", "-out", path, "2048")
        return path

    def _sign(self, file, subject, extensions):
        key, request, certificate, config = (self.path(f"{file}.{end}") for end in ("key", "csr", "crt", "ext"))
        with open(config, "w", encoding="utf-8") as out:
            out.write(f"basicConstraints=critical,CA:FALSE\n{extensions}\n")
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        self._openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        self._openssl(
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            self.certificate,
            "-CAkey",
            self.key,
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            config,
            "-out",
            certificate,
        )
        return certificate, key
