"""Lets pyserial open serial ports of servers, by URLs.

::

    import serial
    import rpcclient.pyserial  # registers rpc://

    port = serial.serial_for_url("rpc://127.0.0.1:8765/dev/ttyUSB0", 115200, timeout=1)

The URL is ``rpc://HOST:PORT/PATH-OF-THE-PORT``, or ``rpc:///PATH-OF-THE-PORT`` for the local server. Options follow a
question mark: ``tls=1`` for ``wss://``, ``token_file=FILE``, ``ca_file=FILE``; without a token file, the token comes
from the environment as for :class:`rpcclient.Client`.
"""

import serial

if __name__ not in serial.protocol_handler_packages:
    serial.protocol_handler_packages.append(__name__)
