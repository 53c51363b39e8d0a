"""A machine on which every use of the network is noted and fails."""

from __future__ import annotations

import socket


class NoNetwork:
    """Notes what was asked of the network.

    Attributes:
        asked: A host name or an address for each attempt.
    """

    def __init__(self, monkeypatch):
        import huggingface_hub.constants

        self.asked = []
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)  # or nothing would be tried
        monkeypatch.setattr(socket, "getaddrinfo", self._refuse)
        monkeypatch.setattr(socket.socket, "connect", lambda _, address: self._refuse(address))

    def _refuse(self, address, *_arguments, **_settings):
        self.asked.append(address)
        raise RuntimeError("There is no network here.")  # not an OSError, after which huggingface_hub would try again
