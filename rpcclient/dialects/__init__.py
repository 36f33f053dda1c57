"""SQLAlchemy's dialects for remote databases: ``create_engine("postgresql+rpc://TOKEN@host:8765/main?tls=true")``.

They are found by their entry points and need SQLAlchemy, which the client otherwise does not.
"""
