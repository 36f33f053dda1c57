"""Lets pyserial open serial ports of servers, by URLs.

::

    import serial
    import rpcclient.pyserial  # registers rpc://

    port = serial.serial_for_url("rpc://127.0.0.1:8765/dev/ttyUSB0", 115200, timeout=1)

The URL is ``rpc://HOST:PORT/PATH-OF-THE-PORT``, or ``rpc:///PATH-OF-THE-PORT`` for the local server. Options follow a
question mark: ``tls=1`` for ``wss://``; ``token_file``, ``token_by``, ``ca_file``, ``cert_file``, ``key_file``,
``server_hostname`` and ``proxy`` as of :class:`rpcclient.Client`; ``header=Name: value``, which may be repeated. What
is not given comes from the environment, as there.
"""

import serial

if __name__ not in serial.protocol_handler_packages:
    serial.protocol_handler_packages.append(__name__)
