"""Programs that outlive the server, and what earlier servers have left."""
