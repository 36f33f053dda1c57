"""Services from plugins: finding them, and what is written about them (settings file, stubs, OpenRPC)."""
