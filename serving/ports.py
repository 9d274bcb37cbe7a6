"""Where a service listens: the wanted port, or the next free one."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from common.errors import InputError, UnavailableError

_PORTS_TRIED = 50


@dataclass(frozen=True)
class Listening:
    """Where a service listens.

    Args:
        url: Base address.
        wanted: The port asked for.
        port: The port taken.
    """

    url: str
    wanted: int
    port: int

    @property
    def message(self) -> str:
        """What to tell the user."""
        if self.port == self.wanted:
            return f"Listening on {self.url}"
        return f"Port {self.wanted} is in use; listening on {self.url}"


def bind(host: str, wanted: int) -> socket.socket:
    """A socket on the wanted port, or on the next free one. It stays bound, so nobody can take the port in between.

    Raises:
        InputError: if the host is no address of this machine.
        UnavailableError: if none of the next 50 ports is free.
    """
    for port in range(wanted, min(wanted + _PORTS_TRIED, 65_536)):
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(2048)
        except PermissionError:
            listener.close()
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                raise InputError(
                    f"Cannot listen on {host}: {error.strerror}",
                    expected="an address of this machine, such as 127.0.0.1",
                    field="serving.host",
                ) from error
        else:
            return listener
    raise UnavailableError(
        f"No port from {wanted} to {wanted + _PORTS_TRIED - 1} is free",
        next_step="stop what uses them, or choose another with SALIENCE_SERVING__PORT",
    )


def listening_on(listener: socket.socket, wanted: int) -> Listening:
    """Where `listener` listens."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return Listening(url=f"http://{shown}:{port}", wanted=wanted, port=port)
